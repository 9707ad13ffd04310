"""What every store of the replay holds and how fast it is, with real play: one table, a row for every store.

Rows: the fewest that a full, wrapped ring held; bytes a row: the whole budget over them. Play that does not fill the
ring is fed again, in order, from its start ("fed": how often), until as many rows as one pass has are gone again. An
add is `Replay.append`, which compresses if the store does; latents exist by then, since acting needs them. A batch is
`Replay.sample`: slots, weights and both observations. Times are medians, and mean something only on a quiet machine.
--peers: after that, the same Qbert play beside public libraries (replay_peers.py).
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from replays import BATCHES, BUDGETS, Play, StoreSpeed, empty, fill, head, line, pixels_of, played, timed

import edgerl
from edgerl.agents.build import make_agent
from edgerl.config.replay_settings import ReplayConfig
from edgerl.envs import suites
from edgerl.envs.base import EnvOptions, EnvSpec
from edgerl.envs.suites import suite_of
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import CHUNK
from edgerl.training.freeze import SCALE_ROWS
from edgerl.training.policy import Policy
from edgerl.types import Array
from memory_budget import format_bytes
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks
from runtime import Session
from runtime.export import export

GAMES = ["atari/qbert", "atari/crazy_climber", "atari/krull"]
TASKS = ["dmc/cartpole-swingup", "dmc/walker-walk", "dmc/cheetah-run"]
GOALS = {
    ("atari/qbert", "pixels lz4"): 180_000,
    ("atari/crazy_climber", "pixels lz4"): 150_000,
    ("atari/krull", "pixels lz4"): 45_000,
    **{(game, "latents uint8"): 110_000 for game in GAMES},
    ("dmc/cartpole-swingup", "pixels lz4"): 5000,
    ("dmc/cartpole-swingup", "latents uint8"): 56_250,
}


def stores(
    play: Play, spec: EnvSpec, config: ReplayConfig, budget: int, stem: Stem
) -> Iterator[tuple[str, Replay, StoreSpeed]]:
    """Every store in turn: its name, a replay of it, full and wrapped, and what filling it measured."""
    for codec in ("raw", "lz4"):
        replay = empty(spec, config, codec, budget)
        speed = fill(replay, play, play.frames)
        yield f"pixels {codec}", replay, speed
    once = min(1, stem.views)  # a batch reads one random crop, if the run crops
    replay.transcode(Encoded(Stem(stem.encode, stem.shape, pixels_of(spec, config, "lz4"), views=once, rng=stem.rng)))
    yield "pixels lz4, the stem on read", replay, speed
    for dtype in ("float32", "float16", "uint8"):
        replay = empty(spec, config, "raw", budget)
        fed = round(fill(replay, play, play.frames).fed * len(play))
        latents = Latents(stem, dtype)
        if latents.scales:
            latents.fit(replay.observations(rows) for rows in chunks(replay.spread(SCALE_ROWS)))
        replay.transcode(latents)
        stored = [latents.convert(play.windows(rows, stem.pixels)) for rows in chunks(np.arange(len(play)))]
        yield f"latents {dtype}", replay, fill(replay, play, np.concatenate(stored), fed)


def chunks(numbers: Array) -> list[Array]:
    """Row numbers in parts as large as those that the freeze converts."""
    return np.array_split(numbers, -(-len(numbers) // CHUNK))


def stem_of(policy: Policy | None, config: edgerl.Config, spec: EnvSpec) -> Stem:
    """The stem that a freeze puts before the replay: the run's encoder up to the cut, or an untrained one."""
    if policy and isinstance(policy.representation, Latents | Encoded):
        frozen = policy.representation.stem
        encode, shape = frozen.encode, frozen.shape
    else:
        window = representation.pixels(spec, config.replay).shape
        agent = policy.agent if policy else make_agent(config, window, spec.actions, np.random.default_rng(0))
        session = Session(export(agent.stem(config.agent.cut).graph))
        encode, shape = session, session.shape
    pixels = pixels_of(spec, config.replay, "raw")
    return Stem(encode, shape, pixels, views=pixels.augment, rng=np.random.default_rng(0))


def measure(env: str, policy: Policy | None, steps: int | None) -> None:
    """Print the rows of one environment."""
    (config, play, who), suite = played(env, policy, steps), suite_of(env)
    budget, batch = BUDGETS[suite], BATCHES[suite]
    spec = suites.describe(env, EnvOptions(action_repeat=config.run.action_repeat))
    stem = stem_of(policy, config, spec)
    print(f"\n{env}, {format_bytes(budget)}, {config.run.algo}, batches of {batch}; {who}")
    for store, replay, filled in stores(play, spec, config.replay, budget, stem):
        speed = replace(filled, seconds=timed(partial(replay.sample, batch, 0.4)))
        print(line(store, speed, batch, GOALS.get((env, store), 0)), flush=True)
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

        replay_peers.measure(policies.get(replay_peers.GAME), args.frames, stores=[], equal="both")


if __name__ == "__main__":
    main()
