"""A round of steps, one in each of several environments, and how they go on at a resume.

What is theirs alone, such as the scores of their games, is kept by the fleet, not by the run's state.
"""

from typing import Any

from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import EnvFailed
from edgerl.replay.buffer import Replay
from edgerl.replay.replays import Replays
from edgerl.training.state import Parts, State, clipped
from edgerl.types import Array, TimeStep


def act(parts: Parts, state: State, fleet: Fleet) -> None:
    """Act on the pending windows of all environments at once, and store each step in the replay of its environment.

    If an environment fails, the episodes of all end at these windows, and no step of the round is stored.
    """
    fleet.begin()
    observations, stored = parts.replay.representation.observe_all(fleet.windows)
    actions = parts.agent.explore(observations)
    try:
        timesteps = fleet.step(actions)
    except EnvFailed:
        for replay, pending in zip(_replays(parts), stored, strict=True):
            replay.truncate(pending)
        state.episodes_restarted += len(fleet)
        raise
    for place, timestep in enumerate(timesteps):
        _store(parts, _replays(parts)[place], stored[place], actions[place], timestep)
        if timestep.over:
            _end_game(parts, state, fleet, place)


def _replays(parts: Parts) -> list[Replay]:
    """The replays by environment."""
    assert isinstance(parts.replay, Replays)  # noqa: S101
    return parts.replay.replays


def _store(parts: Parts, replay: Replay, stored: Array, action: Any, timestep: TimeStep) -> None:
    replay.append(stored, action, clipped(parts.config, timestep.reward), terminated=timestep.terminated)
    if timestep.truncated:
        replay.truncate(replay.representation.observe(timestep.window)[1])


def _end_game(parts: Parts, state: State, fleet: Fleet, place: int) -> None:
    """Count the game that has ended in the environment of this place."""
    state.score = fleet.take_score(place)
    if parts.watch is not None:
        parts.watch.game(state.score)
    parts.metrics.write(state.step + len(fleet), state.end_game())


def restore(parts: Parts, state: State, fleet: Fleet, arrays: dict[str, Array], values: dict[str, Any]) -> None:
    """Put the environments where they stood. The episode of one that cannot be ends there; the next begins another."""
    for place, why in fleet.restore(arrays, values).items():
        _replays(parts)[place].truncate(parts.replay.representation.observe(arrays[f"{place}.window"])[1])
        state.episodes_restarted += 1
        parts.reporter.say(f"the episode under way in environment {place} starts again: {why}")
