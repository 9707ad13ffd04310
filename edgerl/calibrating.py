"""`edgerl devices calibrate`: what this machine really does, measured in about a minute at the program's own shapes.

Times of real updates, acts and encodings become rates by taking away what their calls cost; the forecast puts them
together again for other lengths, budgets and stores (`edgerl/forecast.py`).
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import agents, plan, representation, run, work
from edgerl.config import Config
from edgerl.envs import EnvSpec
from edgerl.evaluation import random_action
from edgerl.freezing import freeze
from edgerl.types import Array
from edgerl.work import Unit

ENVS = {"rainbow": "atari/qbert", "curl": "dmc/walker-walk"}
BUDGET = 10_000_000  # bytes of the replays that are timed
BLOCK = 64 * 2**20  # bytes copied, and written; larger than caches
SECONDS = {False: 8.0, True: 4.0}  # that updates are timed for, before the freeze and after it, at most
MOST, FEWEST = 200, 4  # how often anything is timed
STEPS = 150  # of the environment


@dataclass(frozen=True)
class Timed:
    """Seconds of an algorithm's own parts, before the freeze and after it, beside the counts of each."""

    units: tuple[Unit, Unit]
    update: tuple[float, float]
    act: tuple[float, float]
    encode: float  # a frame, after the freeze


def timed(action: Callable[[], Any], seconds: float) -> float:
    """The median of as many calls as fit in `seconds`, after one that is not counted."""
    action()
    found: list[float] = []
    while len(found) < FEWEST or (len(found) < MOST and sum(found) < seconds):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def copying() -> tuple[float, float]:
    """Bytes/s that one core copies, and fills."""
    source, target = np.ones(BLOCK, np.uint8), np.zeros(BLOCK, np.uint8)
    return BLOCK / timed(lambda: np.copyto(target, source), 1.0), BLOCK / timed(lambda: target.fill(1), 1.0)


def writing(folder: Path) -> float:
    """Bytes/s of writing a file as checkpoints are: written, synced, and gone again. Raises OSError."""
    block = np.random.default_rng(0).integers(0, 256, BLOCK, np.uint8).data

    def write() -> None:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(block)
            file.flush()
            os.fsync(file.fileno())

    return BLOCK / timed(write, 6.0)


def stepping(config: Config) -> float:
    """Seconds of a random step of the environment, drawing included. Raises EnvError where it cannot be made."""
    rng = np.random.default_rng(0)
    env = run.make_env(config, rng, training=True)
    env.reset()
    started = time.perf_counter()
    for _ in range(STEPS):
        timestep = env.step(random_action(env, rng))
        if timestep.terminated or timestep.truncated:
            env.reset()
    return (time.perf_counter() - started) / STEPS


def updating(config: Config, spec: EnvSpec) -> Timed:
    """Time an algorithm's updates, batches included, and its acts, on random frames, through a real freeze."""
    rng, pixels = np.random.default_rng(0), representation.pixels(spec, config.replay)
    planned = plan.make(config, spec)
    agent = agents.make(config, pixels.shape, spec.actions, np.random.default_rng(0))
    replay = run.make_replay(config, spec, planned.budget, pixels, rng)
    frames = rng.integers(0, 256, (8, *spec.frame), np.uint8)
    action = np.zeros(spec.actions, np.float32) if spec.continuous else 0
    for n in range(replay.capacity):
        replay.append(frames[n % 8], action, float(rng.random()), terminated=False)
    window = rng.integers(0, 256, (spec.history, *spec.frame), np.uint8)

    def update() -> None:
        batch = replay.sample(config.replay.batch_size, 1.0)
        replay.prioritize(batch.index, agent.update(batch).priority)

    def encode() -> Array:
        return replay.representation.observe(window)[0]

    updates, acts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for frozen in (False, True):
            if frozen:
                freeze(agent, replay, pixels, window, config.agent.cut, Path(folder))
            update()  # twice, as actors are updated every second time
            updates.append((timed(update, SECONDS[frozen]) + timed(update, 0.0)) / 2)
            acts.append(timed(partial(agent.act, encode(), explore=False), 0.5))
    units = [work.unit(config, planned, pixels.shape, frozen=frozen) for frozen in (False, True)]
    return Timed((units[0], units[1]), (updates[0], updates[1]), (acts[0], acts[1]), timed(encode, 0.5))


def rates(timed: dict[str, Timed], memory: float) -> tuple[float, dict[str, dict[str, float]]]:
    """Seconds of a call, and of each algorithm the operations/s of its parts; `memory`: bytes/s read and written.

    A call is what acting on a stored latent takes, where next to nothing else is done; at most half of any update.
    """
    calls = []
    for each in timed.values():
        acting = each.units[True].acting
        calls.append((each.act[True] - acting.moved / memory) / acting.calls)
        calls += [each.update[frozen] / unit.updating.calls / 2 for frozen, unit in enumerate(each.units)]
    call = max(1e-7, min(calls))
    found = {}
    for algo, each in timed.items():
        before, after = each.units
        found[algo] = {
            "training_before": 2 * before.updating.trained / (each.update[0] - call * before.updating.calls),
            "training_after": 2 * after.updating.trained / (each.update[1] - call * after.updating.calls),
            "acting": _rate(before.acting.inferred, each.act[0], call * before.acting.calls),
            "encoding": _rate(after.encoding.inferred, each.encode, call * after.encoding.calls),
        }
    return call, found


def _rate(multiplied: float, seconds: float, calls: float) -> float:
    """Operations/s, of at least a tenth of the time."""
    return 2 * multiplied / max(0.1 * seconds, seconds - calls)
