"""What every store of the replay holds and how fast it is: real play, one run, one table, every row naming its store.

Rows: the fewest that a full, wrapped ring held; bytes a row: the whole budget over them. Play that does not fill the
ring is fed again, in order, from its start ("fed": how often), until as many rows as one pass has are gone again. An
add is `Replay.append`, which compresses where the store does; latents exist by then, since acting needs them. A batch
is `Replay.sample`: slots, weights and both observations. Times are medians; only a quiet machine's mean something.
--peers: after that, the same Qbert play beside public libraries (replay_peers.py).
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import edgerl
from edgerl.agents.build import make_agent
from edgerl.config.settings import ReplayConfig
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.envs.suites import suite_of
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import CHUNK, Pixels
from edgerl.training.build import make_env
from edgerl.training.freeze import FITTED, spread
from edgerl.training.policy import Policy
from edgerl.training.train import SCRATCH_BLOCK
from edgerl.types import Array
from memory_budget import format_bytes
from memory_budget.malloc import keep_blocks
from runtime import Session
from runtime.export import export

GAMES = ["atari/qbert", "atari/crazy_climber", "atari/krull"]
TASKS = ["dmc/cartpole-swingup", "dmc/walker-walk", "dmc/cheetah-run"]
BUDGETS, BATCHES = {"atari": 70_000_000, "dmc": 30_000_000}, {"atari": 32, "dmc": 128}
STEPS = {"atari": 20_000, "dmc": 2000}
GOALS = {
    ("atari/qbert", "pixels lz4"): 180_000,
    ("atari/crazy_climber", "pixels lz4"): 150_000,
    ("atari/krull", "pixels lz4"): 45_000,
    **{(game, "latents uint8"): 110_000 for game in GAMES},
    ("dmc/cartpole-swingup", "pixels lz4"): 5000,
    ("dmc/cartpole-swingup", "latents uint8"): 56_250,
}
EPSILON = 0.05  # random actions of a trained policy
ADDS, MOST_BATCHES, SECONDS = 256, 200, 3.0  # adds timed as one; batches timed, at most, and for about how long


@dataclass(frozen=True)
class Play:
    """Rows as a ring has them: frames, actions, clipped rewards, and whether the episode terminated there.

    `last`: no step, but what was seen when an episode was cut off, as the end of the play cuts off the one under way;
    `first`: the number of the first row of a row's episode.
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
        """Put a row into a replay; `stored`: what that stores of every row."""
        if self.last[number]:
            replay.truncate(stored[number])
        else:
            terminated = bool(self.terminated[number])
            replay.append(stored[number], self.action[number], float(self.reward[number]), terminated=terminated)


def collect(config: edgerl.Config, policy: Policy | None, steps: int) -> Play:
    """Real steps, of the policy with some random ones, or all random."""
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
        found = env.step(action)
        rows.append((frame, action, float(np.clip(found.reward, -clip, clip)), found.terminated, False, first))
        if found.truncated or (step == steps and not found.terminated):
            rows.append((found.window[-1].copy(), 0 * action, 0.0, False, True, first))
        if found.terminated or found.truncated:
            env.reset()
            first = len(rows)
    return Play(*(np.array(column) for column in zip(*rows, strict=True)))


def played(env: str, policy: Policy | None, steps: int | None) -> tuple[edgerl.Config, Play, str]:
    """An environment's configuration, play, and what to call that."""
    config = policy.config if policy else edgerl.configure(env=env, budget=BUDGETS[suite_of(env)])
    play = collect(config, policy, steps or STEPS[suite_of(env)])
    who = f"trained, {policy.step:,} steps, {EPSILON:.0%} random" if policy else "random play"
    return config, play, f"{who}; {(~play.last).sum():,} steps of {len(np.unique(play.first))} episodes"


def pixels_of(spec: EnvSpec, config: ReplayConfig, codec: str) -> Pixels:
    """Frames as such a run stores them, but for the codec."""
    return representation.pixels(spec, replace(config, pixel_codec="lz4" if codec == "lz4" else "raw"))


def empty(spec: EnvSpec, config: ReplayConfig, codec: str, budget: int) -> Replay:
    """A replay of frames as a run makes it."""
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
class Found:
    """What was measured of a full store of so many rows in `nbytes`.

    `fed`: passes of the play; `adds`: a second, once it was full; `seconds`: a batch; `resident`: bytes that the
    process grew by, where that was looked at.
    """

    rows: int
    nbytes: int
    fed: float
    adds: float
    seconds: float = 0.0
    resident: int | None = None


def fill(replay: Replay, play: Play, stored: Array, begin: int = 0) -> Found:
    """Feed it the play from row `begin` on, until as many rows as one pass has are gone again."""
    fed, rows, adds = begin, list[int](), list[float]()
    while replay.ring.oldest < len(play) or not rows:
        full, started = replay.ring.wrapped, time.perf_counter()
        for number in range(fed, fed + ADDS):
            play.add(replay, stored, number % len(play))
        fed += ADDS
        if full:
            adds.append(ADDS / (time.perf_counter() - started))
            rows.append(len(replay))
    return Found(min(rows), replay.ring.arena.nbytes, (fed - begin) / len(play), statistics.median(adds))


def timed(action: Callable[[], Any]) -> float:
    """Seconds of one call."""
    action()
    found: list[float] = []
    while len(found) < 5 or (len(found) < MOST_BATCHES and sum(found) < SECONDS):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def head() -> str:
    """The names of the table's columns."""
    columns = f"{'rows':>9}{'B a row':>9}{'resident':>10}{'fed':>9}{'adds/s':>9}{'us a batch':>12}{'transitions/s':>15}"
    return f"{'store':33}{columns}   goal"


def line(store: str, found: Found, batch: int, goal: int = 0) -> str:
    """A row of the table; `goal`: rows."""
    resident = "" if found.resident is None else f"{found.resident / found.rows:,.0f}"
    verdict = f"   {goal:,}: {'reached' if found.rows >= goal else 'not reached'}" if goal else ""
    sizes = f"{found.rows:9,}{found.nbytes / found.rows:9,.0f}{resident:>10}{found.fed:8,.1f}x"
    return f"{store:33}{sizes}{found.adds:9,.0f}{1e6 * found.seconds:12,.0f}{batch / found.seconds:15,.0f}{verdict}"


def stores(
    play: Play, spec: EnvSpec, config: ReplayConfig, budget: int, stem: Stem
) -> Iterator[tuple[str, Replay, Found]]:
    """Every store in turn: its name, and a replay of it, full and wrapped."""
    for codec in ("raw", "lz4"):
        replay = empty(spec, config, codec, budget)
        found = fill(replay, play, play.frames)
        yield f"pixels {codec}", replay, found
    once = min(1, stem.views)  # a batch reads one random crop, where there are any
    replay.transcode(Encoded(Stem(stem.encode, stem.shape, pixels_of(spec, config, "lz4"), views=once, rng=stem.rng)))
    yield "pixels lz4, the stem on read", replay, found
    for dtype in ("float32", "float16", "uint8"):
        replay = empty(spec, config, "raw", budget)
        fed = round(fill(replay, play, play.frames).fed * len(play))
        latents = Latents(stem, dtype)
        if latents.scales:
            latents.fit(replay.observations(each) for each in chunks(spread(replay, FITTED)))
        replay.transcode(latents)
        stored = [latents.convert(play.windows(each, stem.pixels)) for each in chunks(np.arange(len(play)))]
        yield f"latents {dtype}", replay, fill(replay, play, np.concatenate(stored), fed)


def chunks(numbers: Array) -> list[Array]:
    """As many at once as the freeze converts."""
    return np.array_split(numbers, -(-len(numbers) // CHUNK))


def stem_of(policy: Policy | None, config: edgerl.Config, spec: EnvSpec) -> Stem:
    """What the freeze puts before the replay: the run's encoder up to the cut, or an untrained one."""
    if policy and isinstance(policy.representation, Latents | Encoded):
        frozen = policy.representation.stem
        encode, shape = frozen.encode, frozen.shape
    else:
        window = representation.pixels(spec, config.replay).shape
        agent = policy.agent if policy else make_agent(config, window, spec.actions, np.random.default_rng(0))
        session = Session(export(agent.stem(config.agent.cut), window))
        encode, shape = session, session.shape
    pixels = pixels_of(spec, config.replay, "raw")
    return Stem(encode, shape, pixels, views=pixels.augment, rng=np.random.default_rng(0))


def measure(env: str, policy: Policy | None, steps: int | None) -> None:
    """Print the rows of one environment."""
    (config, play, who), suite = played(env, policy, steps), suite_of(env)
    budget, batch = BUDGETS[suite], BATCHES[suite]
    spec = suites.describe(env, action_repeat=config.run.action_repeat)
    stem = stem_of(policy, config, spec)
    print(f"\n{env}, {format_bytes(budget)}, {config.run.algo}, batches of {batch}; {who}")
    for store, replay, found in stores(play, spec, config.replay, budget, stem):
        found = replace(found, seconds=timed(partial(replay.sample, batch, 0.4)))
        print(line(store, found, batch, GOALS.get((env, store), 0)), flush=True)
    took = timed(lambda: stem.observe(play.frames[: spec.history]))
    print(f"  and to encode a step, what is acted on with what is kept: {1e6 * took:,.0f} us", flush=True)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", action="append", help="may be repeated; without it three games and three dmc tasks")
    parser.add_argument("--run", action="append", type=Path, help="may be repeated: the policy that plays its env")
    parser.add_argument("--frames", type=int, help="steps of play; without it 20,000 of Atari and 2,000 of dmc")
    parser.add_argument("--peers", action="store_true")
    args = parser.parse_args()
    keep_blocks(SCRATCH_BLOCK)  # as a run does
    policies = {policy.config.run.env: policy for policy in map(Policy, args.run or [])}
    names = [suites.canonical_name(env) for env in dict.fromkeys([*(args.env or GAMES + TASKS), *policies])]
    if unknown := [name for name in names if suite_of(name) not in BUDGETS]:
        parser.error(f"{unknown[0]}: only atari and dmc have a budget here")
    print(head())
    for name in names:
        measure(name, policies.get(name), args.frames)
    if args.peers:
        import replay_peers

        replay_peers.measure(policies.get(replay_peers.GAME), args.frames)


if __name__ == "__main__":
    main()
