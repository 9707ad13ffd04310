"""A step in the one environment of a run."""

from edgerl.envs.door import Door
from edgerl.errors import EnvFailed
from edgerl.replay.buffer import Replay
from edgerl.runs.signals import handle_again
from edgerl.training.state import Parts, State, clipped, cut_episode


def act(parts: Parts, state: State, env: Door) -> None:
    """Act on the pending window, or the first one of a new episode; store its frame or latent, action and reward."""
    replay = parts.replay
    assert isinstance(replay, Replay)  # noqa: S101
    if state.between_episodes:
        env.reset()
        handle_again()
        state.between_episodes = False
    observation, stored = replay.representation.observe(env.window)
    action = parts.agent.act(observation, explore=True)
    try:
        timestep = env.step(action)
    except EnvFailed:  # it may stand anywhere now: a resume begins with the next episode
        cut_episode(parts, state, stored)
        state.episodes_restarted += 1
        raise
    state.score += timestep.reward
    replay.append(stored, action, clipped(parts.config, timestep.reward), terminated=timestep.terminated)
    if timestep.truncated:
        replay.truncate(replay.representation.observe(timestep.window)[1])
    if timestep.over:
        if parts.watch is not None:
            parts.watch.game(state.score)
        parts.metrics.write(state.step + 1, state.end_game())
    state.between_episodes = timestep.terminated or timestep.truncated
