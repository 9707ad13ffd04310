"""What the benchmarks of the replay have in common: recorded play, filling a store with it, and timing it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import edgerl
from edgerl.config.replay_settings import ReplayConfig
from edgerl.envs.base import EnvSpec
from edgerl.envs.suites import suite_of
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.representation import Pixels
from edgerl.training.build import make_env
from edgerl.training.policy import Policy
from edgerl.types import Array

BUDGETS, BATCHES = {"atari": 70_000_000, "dmc": 30_000_000}, {"atari": 32, "dmc": 128}
STEPS = {"atari": 20_000, "dmc": 2000}
EPSILON = 0.05  # random actions of a trained policy
ADDS, MOST_BATCHES, SECONDS = 256, 200, 3.0  # adds timed as one; batches timed, at most, and for about how long


@dataclass(frozen=True)
class Play:
    """Rows as a ring has them: frames, actions, clipped rewards, and whether the episode terminated there.

    `last`: the row is no step, but the last frame of an episode that was cut off, as the end of the play cuts off the
    last one; `first`: the number of the first row of a row's episode.
    """

    frames: Array
    action: Array
    reward: Array
    terminated: Array
    last: Array
    first: Array

    def __len__(self) -> int:
        return len(self.frames)

    def windows(self, numbers: Array, pixels: Pixels) -> Array:
        """The windows [B, history C, H, W] that end with these rows."""
        slots = numbers[:, None] - np.arange(pixels.history - 1, -1, -1)
        return pixels.read(self.frames, np.maximum(slots, 0), slots >= self.first[numbers, None])

    def add(self, replay: Replay, stored: Array, number: int) -> None:
        """Put row `number` into a replay; `stored`: what the replay stores of every row."""
        if self.last[number]:
            replay.truncate(stored[number])
        else:
            terminated = bool(self.terminated[number])
            replay.append(stored[number], self.action[number], float(self.reward[number]), terminated=terminated)


def collect(config: edgerl.Config, policy: Policy | None, steps: int) -> Play:
    """Real steps: of the policy, with some random ones, or all random if there is none."""
    rng, clip = np.random.default_rng(0), config.replay.reward_clip or np.inf
    env, rows, first = make_env(config, rng, training=True), [], 0
    env.reset()
    for step in range(1, steps + 1):
        frame = env.window[-1].copy()
        if policy is not None and rng.random() >= EPSILON:
            action = policy.act(env.window)
        elif env.spec.continuous:
            action = rng.uniform(-1, 1, env.actions).astype(np.float32)
        else:
            action = int(rng.integers(env.actions))
        timestep = env.step(action)
        reward = float(np.clip(timestep.reward, -clip, clip))
        rows.append((frame, action, reward, timestep.terminated, False, first))
        if timestep.truncated or (step == steps and not timestep.terminated):
            rows.append((timestep.window[-1].copy(), 0 * action, 0.0, False, True, first))
        if timestep.terminated or timestep.truncated:
            env.reset()
            first = len(rows)
    return Play(*(np.array(column) for column in zip(*rows, strict=True)))


def played(env: str, policy: Policy | None, steps: int | None) -> tuple[edgerl.Config, Play, str]:
    """An environment's configuration, play in it, and a description of that play."""
    config = policy.config if policy else edgerl.configure(env=env, budget=BUDGETS[suite_of(env)])
    play = collect(config, policy, steps or STEPS[suite_of(env)])
    who = f"trained, {policy.step:,} steps, {EPSILON:.0%} random" if policy else "random play"
    return config, play, f"{who}; {(~play.last).sum():,} steps of {len(np.unique(play.first))} episodes"


def pixels_of(spec: EnvSpec, config: ReplayConfig, codec: str) -> Pixels:
    """Frames as such a run stores them, except for the codec."""
    return representation.pixels(spec, replace(config, pixel_codec="lz4" if codec == "lz4" else "raw"))


def empty(spec: EnvSpec, config: ReplayConfig, codec: str, budget: int) -> Replay:
    """An empty replay of frames, as a run makes it."""
    return Replay(
        budget,
        pixels_of(spec, config, codec),
        spec.action,
        n_step=config.n_step,
        gamma=config.gamma,
        omega=config.omega,
        rng=np.random.default_rng(0),
        sampling=config.sampling,
    )


@dataclass(frozen=True)
class StoreSpeed:
    """What was measured of a full store of `rows` rows in `nbytes` bytes.

    `fed`: passes of the play; `adds`: a second, once it was full; `seconds`: of a batch; `resident`: bytes that the
    process grew by, None if that was not measured.
    """

    rows: int
    nbytes: int
    fed: float
    adds: float
    seconds: float = 0.0
    resident: int | None = None


def fill(replay: Replay, play: Play, stored: Array, begin: int = 0) -> StoreSpeed:
    """Feed a replay the play, from row `begin` on, until as many rows as one pass has are gone again."""
    fed, rows, adds = begin, list[int](), list[float]()
    while replay.ring.oldest < len(play) or not rows:
        full, started = replay.ring.wrapped, time.perf_counter()
        for number in range(fed, fed + ADDS):
            play.add(replay, stored, number % len(play))
        fed += ADDS
        if full:
            adds.append(ADDS / (time.perf_counter() - started))
            rows.append(len(replay))
    passes = (fed - begin) / len(play)
    return StoreSpeed(rows=min(rows), nbytes=replay.ring.arena.nbytes, fed=passes, adds=statistics.median(adds))


def timed(action: Callable[[], Any]) -> float:
    """The median seconds of one call, without the first."""
    action()
    seconds: list[float] = []
    while len(seconds) < 5 or (len(seconds) < MOST_BATCHES and sum(seconds) < SECONDS):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def head() -> str:
    """The names of the table's columns."""
    columns = f"{'rows':>9}{'B a row':>9}{'resident':>10}{'fed':>9}{'adds/s':>9}{'us a batch':>12}{'transitions/s':>15}"
    return f"{'store':33}{columns}   goal"


def line(store: str, speed: StoreSpeed, batch: int, goal: int = 0) -> str:
    """A row of the table; `goal`: rows."""
    resident = "" if speed.resident is None else f"{speed.resident / speed.rows:,.0f}"
    verdict = f"   {goal:,}: {'reached' if speed.rows >= goal else 'not reached'}" if goal else ""
    sizes = f"{speed.rows:9,}{speed.nbytes / speed.rows:9,.0f}{resident:>10}{speed.fed:8,.1f}x"
    return f"{store:33}{sizes}{speed.adds:9,.0f}{1e6 * speed.seconds:12,.0f}{batch / speed.seconds:15,.0f}{verdict}"
