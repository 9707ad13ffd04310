"""`edgerl plan --measure`: bytes and sampling time of every store, measured on real steps of the environment."""

import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from edgerl.agents.build import make_agent
from edgerl.config.settings import Config
from edgerl.envs.base import EnvSpec, random_action
from edgerl.output.terminal import side_by_side
from edgerl.planning import plan
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.training.build import make_env, make_replay
from edgerl.types import Array
from memory_budget import format_bytes
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks
from runtime import Session
from runtime.export import export

STEPS, ROUNDS = 400, 15  # random steps taken; batches sampled from every store
TakenStep = tuple[Array, Any, float, bool, bool]  # frame, action, reward, terminated, truncated
Rung = dict[str, Any]


def ladder(config: Config, spec: EnvSpec) -> list[Rung]:
    """Every store, smallest capacity first: `bytes_per_row` (all columns), `capacity` in rows, `sample_us` a batch.

    The steps are random and the encoder is untrained, whose latents take the same time and bytes as a trained one's.
    """
    keep_blocks(SCRATCH_BLOCK)  # as a run does
    with closing(make_env(config, np.random.default_rng(config.run.seed), training=True)) as env:
        taken = steps(env, STEPS)
    budget, rng = plan.make_plan(config, spec).budget, np.random.default_rng(0)
    raw = representation.pixels(spec, replace(config.replay, pixel_codec="raw"))
    agent = make_agent(config, raw.shape, spec.actions, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stem.onnx"
        file.write_bytes(export(agent.stem(config.agent.cut).graph))
        encode = Session(file, most=representation.chunk(config.agent.encoder, raw.shape))

    def stem(pixels: Pixels, views: int) -> Stem:
        return Stem(encode, encode.shape, pixels, views=views, rng=rng)

    rungs = []
    for codec in ("raw", "lz4"):
        pixels = representation.pixels(spec, replace(config.replay, pixel_codec=codec))
        replay = _filled(config, spec, budget, pixels, taken)
        rungs.append(_rung(replay, f"pixels, {codec}", config))
        replay.transcode(Encoded(stem(pixels, min(1, pixels.augment))))
        rungs.append(_rung(replay, f"pixels, {codec}, stem on read", config))
    for dtype in ("float32", "float16", "uint8"):
        replay = _filled(config, spec, budget, raw, taken)
        latents = Latents(stem(raw, raw.augment), dtype)
        if latents.scales:
            low, high = replay.startable
            latents.fit([replay.observations(np.arange(low, min(high, low + representation.CHUNK)))])
        if representation.nbytes(latents.field) <= representation.nbytes(raw.field):
            replay.transcode(latents)
            rungs.append(_rung(replay, f"latents, {dtype}", config))
    return sorted(rungs, key=lambda rung: rung["capacity"])


def steps(env: Any, count: int) -> list[TakenStep]:
    """Take `count` random steps."""
    rng, taken = np.random.default_rng([0, 1]), []
    env.reset()
    for _ in range(count):
        frame, action = env.window[-1].copy(), random_action(env, rng)
        step = env.step(action)
        taken.append((frame, action, step.reward, step.terminated, step.truncated))
        if step.terminated or step.truncated:
            env.reset()
    return taken


def _filled(config: Config, spec: EnvSpec, budget: int, pixels: Pixels, taken: list[TakenStep]) -> Replay:
    """A replay of pixels with these steps."""
    replay = make_replay(config, spec, budget, pixels, np.random.default_rng(0))
    for frame, action, reward, terminated, truncated in taken:
        replay.append(frame, action, reward, terminated=terminated)
        if truncated:
            replay.truncate(frame)
    return replay


def _rung(replay: Replay, name: str, config: Config) -> Rung:
    """Time samples from a replay; the store's rung of the ladder."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        replay.sample(config.replay.batch_size, 1.0)
        seconds.append(time.perf_counter() - start)
    capacity, budget = replay.capacity, replay.ring.arena.nbytes
    return {
        "store": name,
        "bytes_per_row": budget / capacity,
        "capacity": capacity,
        "sample_us": 1e6 * statistics.median(seconds),
    }


def show(rungs: list[Rung], config: Config, console: Console) -> None:
    """Print the ladder; times are compared with those of raw frames."""
    raw = next(rung["sample_us"] for rung in rungs if rung["store"] == "pixels, raw")
    batch = f"a batch of {config.replay.batch_size}"
    rows = [
        (
            rung["store"],
            f"{rung['bytes_per_row']:,.0f}",
            f"{rung['capacity']:,}",
            f"{rung['sample_us']:,.0f} us",
            f"{rung['sample_us'] - raw:+,.0f} us",
        )
        for rung in rungs
    ]
    headings = ("bytes a row", "rows", batch, "beside raw")
    side_by_side(console, f"measured, {STEPS} random steps", headings, rows)
    console.print(
        f"  rows that {format_bytes(_budget(rungs))} hold; how well frames compress changes as the agent learns\n",
        style="dim",
    )


def _budget(rungs: list[Rung]) -> int:
    budget: float = rungs[0]["bytes_per_row"] * rungs[0]["capacity"]
    return round(budget)
