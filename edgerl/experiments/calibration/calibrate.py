"""`edgerl devices calibrate`: what this machine really does, measured in about a minute at the program's own shapes.

Updates, acts, encodings and the environment are timed within training steps, in turn, as a run has them: an act or an
encoding alone, with warm caches, takes a fraction of that. The times become rates by taking away what their calls cost;
the forecast puts them together again for other lengths, budgets and stores (`edgerl/planning/forecast.py`).
"""

import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import edgerl
from edgerl.agents.agent import Agent
from edgerl.agents.build import make_agent
from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import Environment, EnvSpec
from edgerl.envs.suites import suite_of
from edgerl.errors import EnvError
from edgerl.planning import plan, workload
from edgerl.planning.workload import StepWork
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.runs import versions
from edgerl.training import train
from edgerl.training.build import make_env, make_replay
from edgerl.training.freeze import FreezeSettings, freeze, rehearse
from edgerl.types import Array
from memory_budget import format_bytes, rss_bytes
from memory_budget.limits import cgroup_bytes
from memory_budget.malloc import keep_blocks, trim

ENVS = {"rainbow": "atari/qbert", "curl": "dmc/walker-walk"}
BUDGET = 10_000_000  # bytes of the replays that are timed
BLOCK = 64 * 2**20  # bytes copied, and written; larger than caches
SECONDS = {False: 10.0, True: 6.0}  # that training steps are timed for, before the freeze and after it
MOST, FEWEST = 200, 4  # how often anything is timed; of training steps, pairs at least


@dataclass(frozen=True)
class Timed:
    """Seconds of a training step's parts, before the freeze and after it, beside the counts of each."""

    units: tuple[StepWork, StepWork]
    update: tuple[float, float]
    act: tuple[float, float]
    encode: float  # a frame, after the freeze
    simulate: float  # a step of the environment


def measure(title: str, threads: int, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The profile of this machine as a table, as a file of it has it (docs/devices.md).

    `folder`: where writing is timed; `say` hears what is being done. What cannot be measured here, such as environments
    that are not installed or an algorithm that memory has no room for, is told and left out. Raises OSError where the
    disk refuses to be written.
    """
    keep_blocks(train.SCRATCH_BLOCK)  # as a run does
    libraries = baseline()
    say("copying memory")
    copy, fill = copying()
    say("writing, synced")
    written = writing(folder)
    units, numbers = dict[str, Timed](), dict[str, tuple[float, str]]()
    for algo, env in ENVS.items():
        spec = suites.describe(env)
        acting = {"random_steps": 0} if spec.continuous else {}  # so that every act is the network's
        config = edgerl.configure(env=env, algo=algo, budget=BUDGET, threads=threads, freeze_at="never", **acting)
        needed = sum(plan.make_plan(config, spec).ledger.values())
        if needed > psutil.virtual_memory().available:
            say(f"not measured: {algo}, which needs {format_bytes(needed)}")
            continue
        say(f"training {algo} on {env}, before a freeze and after it")
        try:
            units[algo] = training(config, spec)
        except EnvError as error:
            say(f"not measured: {error}")
            continue
        numbers[f"{suite_of(env)}_step"] = 1e3 * units[algo].simulate, "ms"
    if units:
        call, found = rates(units, 2 * copy)
        numbers["call"] = 1e6 * call, "us"
        for algo, parts in found.items():
            numbers |= {f"{algo}_{part}": (1e-9 * rate, "GFLOP/s") for part, rate in parts.items()}
    numbers["libraries"] = libraries / 1e6, "MB"
    numbers["threads"] = threads, "threads"
    return _table(title, copy, fill, written, numbers)


def baseline() -> int:
    """Bytes resident with all that training loads, its networks aside: nothing else may have been done before."""
    config = edgerl.configure(env=ENVS["rainbow"], threads=1)
    with contextlib.suppress(EnvError):
        make_env(config, np.random.default_rng(0), training=True)
    spec = suites.describe(config.run.env)
    pixels = representation.pixels(spec, config.replay)
    agent = make_agent(config, pixels.shape, spec.actions, np.random.default_rng(0))
    rehearse(agent, pixels, config.agent.cut)
    trim()
    return rss_bytes() - sum(agent.nbytes().values())


def _table(
    title: str, copy: float, fill: float, written: float, numbers: dict[str, tuple[float, str]]
) -> dict[str, Any]:
    memory, clock = psutil.virtual_memory(), psutil.cpu_freq()
    available = min(each for each in (memory.available, cgroup_bytes()) if each is not None)
    cluster: dict[str, Any] = {"core": platform.machine(), "count": psutil.cpu_count() or 1}
    if clock is not None and (hertz := clock.max or clock.current):
        cluster["clock"] = round(hertz / 1000, 3)
    return {
        "title": title,
        "platform": "linux",
        "source": f"edgerl devices calibrate, {time.strftime('%Y-%m-%d')}, torch {versions.found()['torch']}",
        "kind": "measured",
        "clusters": [cluster],
        "ram": _number(memory.total / 1e6, "MB"),
        "application": _number(available / 1e6, "MB"),
        "copy": _number(copy / 1e9, "GB/s"),
        "fill": _number(fill / 1e9, "GB/s"),
        "storage_write": _number(written / 1e6, "MB/s"),
        "calibrated": {name: _number(value, unit) for name, (value, unit) in numbers.items()},
    }


def _number(value: float, unit: str) -> dict[str, Any]:
    return {"value": float(f"{value:.4g}"), "unit": unit}


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


def training(config: Config, spec: EnvSpec) -> Timed:
    """Time an algorithm's training steps with a full replay, through a real freeze.

    Raises EnvError where the environment cannot be made.
    """
    keep_blocks(train.SCRATCH_BLOCK)  # once more: the freeze of the algorithm before has undone it
    rng, pixels = np.random.default_rng(0), representation.pixels(spec, config.replay)
    env, planned = make_env(config, rng, training=True), plan.make_plan(config, spec)
    agent = make_agent(config, pixels.shape, spec.actions, np.random.default_rng(0))
    replay = make_replay(config, spec, planned.budget, pixels, rng)
    frames = rng.integers(0, 256, (8, *spec.frame), np.uint8)
    action = np.zeros(spec.actions, np.float32) if spec.continuous else 0
    for n in range(replay.capacity):
        replay.append(frames[n % 8], action, float(rng.random()), terminated=False)
    env.reset()
    step = partial(training_step, env, agent, replay, config.replay.batch_size)
    before = medians(step, SECONDS[False])
    with tempfile.TemporaryDirectory() as folder:
        settings = FreezeSettings(config.agent.cut)
        freeze(agent, replay, pixels=pixels, window=env.window, folder=Path(folder), settings=settings)
        after = medians(step, SECONDS[True])
    return Timed(
        workload.step_work(config, planned, pixels.shape),
        update=(before[3], after[3]),
        act=(before[1], after[1]),
        encode=after[0],
        simulate=(before[2] + after[2]) / 2,
    )


def training_step(env: Environment, agent: Agent, replay: Replay, batch_size: int) -> Array:
    """One step as a run takes it; seconds, float64 [4], of encoding, acting, the environment and updating."""
    marks = [time.perf_counter()]
    observation, stored = replay.representation.observe(env.window)
    marks.append(time.perf_counter())
    action = agent.act(observation, explore=True)
    marks.append(time.perf_counter())
    timestep = env.step(action)
    over = timestep.terminated or timestep.truncated
    if over:
        env.reset()
    marks.append(time.perf_counter())
    replay.append(stored, action, timestep.reward, terminated=over)
    batch = replay.sample(batch_size, 1.0)
    replay.prioritize(batch.index, agent.update(batch).priority)
    marks.append(time.perf_counter())
    return np.diff(marks)


def medians(step: Callable[[], Array], seconds: float) -> list[float]:
    """Of each part over pairs of steps, as actors are updated every second time; the first pair is not counted."""
    spent: list[Array] = []
    while len(spent) < 2 * FEWEST or np.sum(spent) < seconds:
        spent += [step(), step()]
    pairs = np.reshape(spent, (-1, 2, 4)).mean(axis=1)
    found: list[float] = np.median(pairs[1:], axis=0).tolist()
    return found


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
            "acting_before": _rate(before.acting.acted, each.act[0], call * before.acting.calls),
            "acting_after": _rate(after.acting.acted, each.act[1], call * after.acting.calls),
            "encoding": _rate(after.encoding.inferred, each.encode, call * after.encoding.calls),
        }
    return call, found


def _rate(multiplied: float, seconds: float, calls: float) -> float:
    """Operations/s, of at least a tenth of the time."""
    return 2 * multiplied / max(0.1 * seconds, seconds - calls)
