"""Play an environment with random actions, as training would, and note what it is like and what is wrong with it."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgerl.config.settings import Config
from edgerl.envs.base import EnvSpec, random_action, sees
from edgerl.envs.door import Door
from edgerl.envs.resumable import Resumable
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.training.build import make_env
from edgerl.types import Array, TimeStep
from memory_budget import format_bytes, rss_bytes

BEFORE, AGAIN = 5, 20  # steps before a state is saved, and steps that are played twice after it
SHOWN = 8  # meanings of actions
MUCH = 4_000_000  # bytes that the second half of the steps may leave in memory


@dataclass
class Findings:
    """What was found in `steps` random steps. `faults`: what must be changed before training, a line each.

    `sees`: what an agent sees, in words; `returns`, `lengths`: of whole episodes; `rewards`: the lowest and the highest
    of a step; `speed`: steps a second; `most_steps`: after which it ends an episode itself, if it says so; `resumes`:
    how a resume goes on; `second`: why there cannot be a second environment beside the first, None if there can;
    `left_bytes`: resident memory that a step left behind; `window`: the last one, uint8 [history, *frame].
    """

    name: str
    sees: str
    actions: str
    most_steps: int | None
    steps: int = 0
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    rewards: tuple[float, float] | None = None
    speed: float | None = None
    resumes: str | None = None
    second: str | None = None
    left_bytes: float | None = None
    window: Array | None = None
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def check(config: Config, steps: int, playing: Callable[[int], None] = lambda done: None) -> Findings:
    """Play `steps` random steps of a run's environment; `playing` is called with the steps done.

    What it raises and what it gives that cannot be used is among the faults. Raises EnvError if it cannot be made, or
    has a spec that cannot be trained on.
    """
    rng = np.random.default_rng([config.run.seed, 5])  # of no actions below: it would draw the same numbers as they
    with closing(make_env(config, rng, training=True)) as env:
        findings = Findings(env.name, _sees(env), _actions(env), env.most_steps, notes=env.notes)

        def look() -> None:
            _play(env, steps, findings, playing)
            findings.second = _second(config, env.spec)
            findings.resumes = _resumes(env, config, alone=findings.second is not None)

        for part in (look, env.close):
            try:
                part()
            except EnvFailed as error:
                findings.faults.append(str(error).removeprefix(f"{env.name} failed: "))
    findings.faults = list(dict.fromkeys(findings.faults))
    return findings


def _sees(env: Door) -> str:
    """What an agent sees; windows of a user's own class say nothing of themselves but their shape."""
    frame, history = env.spec.frame, env.spec.history
    size, colours = f"{frame[-2]}x{frame[-1]}", "gray" if len(frame) == 2 else f"{frame[0]} channels"
    return sees(env) or f"its own windows, {colours} {size}, {history} frames"


def _actions(env: Door) -> str:
    """How an agent acts, in words."""
    if env.spec.continuous:
        scaled = ", scaled to its bounds" if env.interface.bounds is not None else ""
        return f"{env.actions} numbers from -1 to 1{scaled}"
    meanings = env.interface.meanings or ()
    named = ", ".join(meanings[:SHOWN]) + (", ..." if len(meanings) > SHOWN else "")
    return f"{env.actions} choices" + (f": {named}" if named else "")


def _play(env: Door, steps: int, findings: Findings, playing: Callable[[int], None]) -> None:
    rng, shades = np.random.default_rng(0), np.zeros(256, bool)  # shades: those that pixels of windows had
    score, length, games, resident = 0.0, 0, 0, 0
    timestep, began = env.reset(), time.perf_counter()
    before: Array | None = None  # the window before, in this episode
    for step in range(steps):
        shades[timestep.window] = True
        if not (timestep.terminated or timestep.truncated):
            findings.faults += _unlike_the_replays(env.spec, before, timestep.window)
        before = timestep.window.copy()
        if step == steps // 2:
            resident = rss_bytes()
        timestep = env.step(random_action(env, rng))
        length, score, games = length + 1, score + timestep.reward, games + timestep.over
        _note(findings, step + 1, timestep)
        playing(step + 1)
        if timestep.terminated or timestep.truncated:
            findings.returns.append(score)
            findings.lengths.append(length)
            timestep, score, length, before = env.reset(), 0.0, 0, None
    findings.speed = steps / (time.perf_counter() - began)
    if findings.returns and not games:
        findings.notes.append("no episode's end was `over`, a whole game: training games are not counted")
    left, second_half = max(0, rss_bytes() - resident), steps - steps // 2
    findings.left_bytes = left / second_half
    if left > MUCH:
        findings.faults.append(
            f"{second_half} steps left {format_bytes(left)} in memory, and more steps leave more: free what it keeps"
        )
    if shades.sum() == 1:
        findings.faults.append(
            f"every pixel of every window is {shades.argmax()}, so an agent sees nothing: draw in shades from 0 to 255"
        )


def _unlike_the_replays(spec: EnvSpec, before: Array | None, window: Array) -> list[str]:
    """What is wrong with the frames before the newest one of a window, a line or none.

    The replay stores the newest frames alone, and puts windows together from them: what was acted on must be the same.
    `before`: the window of the step before, None at the first one.
    """
    older = window[:-1]
    if before is not None:
        if np.array_equal(older, before[1:]):
            return []
        return ["its window is not the one before without its oldest frame, and a new one: learning sees it so"]
    if np.array_equal(older, np.broadcast_to(window[-1], older.shape) if spec.refill else np.zeros_like(older)):
        return []
    should = "that frame again, as refill=True says" if spec.refill else "zeros, or that frame again with refill=True"
    return [f"what stands before the first frame of its first window is unlike what learning sees: {should}"]


def _note(findings: Findings, steps: int, timestep: TimeStep) -> None:
    reward = timestep.reward
    lowest, highest = findings.rewards or (reward, reward)
    findings.steps, findings.rewards = steps, (min(lowest, reward), max(highest, reward))
    findings.window = timestep.window.copy()


def _second(config: Config, spec: EnvSpec) -> str | None:
    """Why there cannot be a second environment beside the first, of the same spec; None if there can."""
    rng = np.random.default_rng(1)
    try:
        with closing(make_env(config, rng, training=False, like=spec)) as second:
            second.reset()
            second.step(random_action(second, rng))
    except (EnvError, EnvFailed) as error:
        return str(error).removeprefix("--env: ")
    return None


def _resumes(env: Door, config: Config, *, alone: bool) -> str:
    """How a resume goes on, found by going on from a saved state twice; `alone`: in the same environment."""
    env.reset()
    actions = np.random.default_rng(2)
    for _ in range(BEFORE):
        timestep = env.step(random_action(env, actions))
        if timestep.terminated or timestep.truncated:
            env.reset()
    arrays, values = env.state()
    arrays = {name: np.array(array) for name, array in arrays.items()}
    values = json.loads(json.dumps(values))
    first = _went_on(env)
    how = "playing the episode again" if isinstance(env.env, Resumable) else "the state that it saves"
    try:
        if alone:
            env.restore(arrays, values)
            again = _went_on(env)
        else:
            with closing(make_env(config, np.random.default_rng(3), training=True)) as second:
                second.restore(arrays, values)
                again = _went_on(second)
    except EpisodeLost as error:
        return f"with a new episode, not in the one under way: {error}"
    if first != again:
        return f"by {how}, but goes on otherwise: it depends on more than its seed and its actions"
    return f"by {how}, exactly"


def _went_on(env: Door) -> list[Any]:
    """What the next steps give, to compare: windows, rewards and ends."""
    actions, outcomes = np.random.default_rng(4), []
    for _ in range(AGAIN):
        timestep = env.step(random_action(env, actions))
        outcomes.append((timestep.window.tobytes(), *timestep[1:]))
        if timestep.terminated or timestep.truncated:
            break
    return outcomes
