"""`edgerl devices calibrate`: measures this machine in about a minute, at the shapes that the program has.

Updates, acts, encodings and the environment are timed within training steps, in turn, as in a run: an act or an
encoding alone, with warm caches, takes a fraction of that time. The times, less the overhead of their calls, become
rates, which the forecast turns into times for other lengths, budgets and stores (`edgerl/planning/forecast.py`).
"""

import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import edgerl
from edgerl.agents.agent import Agent
from edgerl.agents.build import make_agent
from edgerl.agents.engine_choice import has_torch
from edgerl.config.architectures import layers, of_patches
from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import Environment, EnvSpec
from edgerl.envs.door import Door
from edgerl.envs.suites import suite_of
from edgerl.errors import EnvError
from edgerl.planning import plan, workload
from edgerl.planning.workload import StepWork, Work
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.runs import versions
from edgerl.training.build import make_env, make_replay
from edgerl.training.freeze import FreezeSettings, freeze, rehearse
from edgerl.types import Array, Phases
from memory_budget import format_bytes, rss_bytes
from memory_budget.limits import cgroup_bytes
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks, trim

ENVS = {"rainbow": "atari/qbert", "curl": "dmc/walker-walk"}
BUDGET = 10_000_000  # bytes of the replays that are timed
BLOCK = 64 * 2**20  # bytes copied, and written; larger than caches
SECONDS = Phases(10.0, 6.0)  # for timing training steps
MOST_TIMINGS, FEWEST_TIMINGS = 200, 4  # of one thing; training steps are timed in pairs, and have no upper limit


@dataclass(frozen=True)
class PartTimes:
    """Seconds of a training step's parts, and the counts of their work; before the freeze None if not measured."""

    units: Phases[StepWork]
    update: Phases[float | None]
    act: Phases[float | None]
    encode: float  # a frame, after the freeze
    simulate: float  # a step of the environment


def measure(title: str, threads: int, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The profile of this machine, as the tables of a profile's file (docs/devices.md).

    `folder`: where writing is timed; `say` is told what is being done. What cannot be measured here, such as an
    environment that is not installed or an algorithm that memory has no room for, is left out, and `say` is told why.
    Raises OSError if the disk refuses to be written.
    """
    keep_blocks(SCRATCH_BLOCK)  # as a run does
    libraries = baseline()
    say("copying memory")
    copy, fill = copying()
    say("writing, synced")
    written = writing(folder)
    times, numbers = dict[str, PartTimes](), dict[str, tuple[float, str]]()
    for algo, env in ENVS.items():
        spec = suites.describe(env)
        acting = {"random_steps": 0} if spec.continuous else {}  # so that every act is the network's
        config = edgerl.configure(env=env, algo=algo, budget=BUDGET, threads=threads, freeze_at="never", **acting)
        needed = sum(plan.make_plan(config, spec).ledger.values())
        if needed > psutil.virtual_memory().available:
            say(f"not measured: {algo}, which needs {format_bytes(needed)}")
            continue
        before = has_torch() or of_patches(
            layers(config.agent.encoder, representation.pixels(spec, config.replay).shape)
        )
        if before:
            say(f"training {algo} on {env}, before a freeze and after it")
        else:
            say(f"training {algo} on {env} after a freeze; not measured before it, as torch is not installed")
        try:
            times[algo] = training(config, spec, before=before)
        except EnvError as error:
            say(f"not measured: {error}")
            continue
        numbers[f"{suite_of(env)}_step"] = 1e3 * times[algo].simulate, "ms"
    if times:
        call, by_algo = rates(times, 2 * copy)
        numbers["call"] = 1e6 * call, "us"
        for algo, parts in by_algo.items():
            numbers |= {f"{algo}_{part}": (1e-9 * rate, "GFLOP/s") for part, rate in parts.items()}
    numbers["libraries"] = libraries / 1e6, "MB"
    numbers["threads"] = threads, "threads"
    possible = {"what": "trains", "reason": "edgerl devices calibrate has trained on it"}
    return _profile(title, copy, fill, written, numbers) | ({"possible": possible} if times else {})


def baseline() -> int:
    """Resident bytes with all that training loads, except its networks. Must run before anything else is loaded."""
    config = edgerl.configure(env=ENVS["rainbow"], threads=1)
    with contextlib.suppress(EnvError):
        make_env(config, np.random.default_rng(0), training=True).close()
    spec = suites.describe(config.run.env)
    pixels = representation.pixels(spec, config.replay)
    agent = make_agent(config, pixels.shape, spec.actions, np.random.default_rng(0))
    rehearse(agent, pixels, config.agent.cut)
    trim()
    return rss_bytes() - sum(agent.nbytes().values())


def _profile(
    title: str, copy: float, fill: float, written: float, numbers: dict[str, tuple[float, str]]
) -> dict[str, Any]:
    memory, clock = psutil.virtual_memory(), psutil.cpu_freq()
    available = min(limit for limit in (memory.available, cgroup_bytes()) if limit is not None)
    cluster: dict[str, Any] = {"core": platform.machine(), "count": psutil.cpu_count() or 1}
    if clock is not None and (hertz := clock.max or clock.current):
        cluster["clock"] = round(hertz / 1000, 3)
    return {
        "title": title,
        "platform": "linux",
        "source": f"edgerl devices calibrate, {time.strftime('%Y-%m-%d')}, {_libraries()}",
        "kind": "measured",
        "clusters": [cluster],
        "ram": _quantity(memory.total / 1e6, "MB"),
        "application": _quantity(available / 1e6, "MB"),
        "copy": _quantity(copy / 1e9, "GB/s"),
        "fill": _quantity(fill / 1e9, "GB/s"),
        "storage_write": _quantity(written / 1e6, "MB/s"),
        "calibrated": {name: _quantity(value, unit) for name, (value, unit) in numbers.items()},
    }


def _libraries() -> str:
    """The array libraries that train, and their versions."""
    versions_of = versions.installed()
    return ", ".join(f"{name} {versions_of[name]}" for name in ("numpy", "torch") if versions_of[name] is not None)


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": float(f"{value:.4g}"), "unit": unit}


def median_seconds(action: Callable[[], Any], seconds: float) -> float:
    """Median seconds of a call, over as many as fit in `seconds`; the first call is skipped."""
    action()
    timings: list[float] = []
    while len(timings) < FEWEST_TIMINGS or (len(timings) < MOST_TIMINGS and sum(timings) < seconds):
        started = time.perf_counter()
        action()
        timings.append(time.perf_counter() - started)
    return statistics.median(timings)


def copying() -> tuple[float, float]:
    """Bytes/s that one core copies, and that it fills."""
    source, target = np.ones(BLOCK, np.uint8), np.zeros(BLOCK, np.uint8)
    copied = median_seconds(lambda: np.copyto(target, source), 1.0)
    filled = median_seconds(lambda: target.fill(1), 1.0)
    return BLOCK / copied, BLOCK / filled


def writing(folder: Path) -> float:
    """Bytes/s of writing a file as a checkpoint is: written and synced, then removed. Raises OSError."""
    block = np.random.default_rng(0).integers(0, 256, BLOCK, np.uint8).data

    def write() -> None:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(block)
            file.flush()
            os.fsync(file.fileno())

    return BLOCK / median_seconds(write, 6.0)


def training(config: Config, spec: EnvSpec, *, before: bool) -> PartTimes:
    """Time an algorithm's training steps with a full replay, through a real freeze, on the engines that a run has.

    `before`: whether steps before the freeze are timed. Raises EnvError if the environment cannot be made.
    """
    rng = np.random.default_rng(0)
    with contextlib.closing(make_env(config, rng, training=True)) as env:
        return _training(config, spec, env, rng, before=before)


def _training(config: Config, spec: EnvSpec, env: Door, rng: np.random.Generator, *, before: bool) -> PartTimes:
    """The same, on this environment, which draws from `rng`."""
    pixels, planned = representation.pixels(spec, config.replay), plan.make_plan(config, spec)
    agent = make_agent(config, pixels.shape, spec.actions, np.random.default_rng(0))
    replay = make_replay(config, spec, planned.budget, pixels, rng)
    frames = rng.integers(0, 256, (8, *spec.frame), np.uint8)
    action = np.zeros(spec.actions, np.float32) if spec.continuous else 0
    for row in range(replay.capacity):
        replay.append(frames[row % 8], action, float(rng.random()), terminated=False)
    env.reset()
    step = partial(training_step, env, agent, replay, config.replay.batch_size)
    timed: Sequence[float | None] = part_medians(step, SECONDS.before) if before else [None] * 4
    with tempfile.TemporaryDirectory() as folder:
        settings = FreezeSettings(config.agent.cut)
        freeze(agent, replay, pixels=pixels, window=env.window, folder=Path(folder), settings=settings)
        after = part_medians(step, SECONDS.after)
    return PartTimes(
        workload.step_work(config, planned, pixels.shape),
        update=Phases(timed[3], after[3]),
        act=Phases(timed[1], after[1]),
        encode=after[0],
        simulate=statistics.mean(seconds for seconds in (timed[2], after[2]) if seconds is not None),
    )


def training_step(env: Environment, agent: Agent, replay: Replay, batch_size: int) -> Array:
    """Take one step as a run does; seconds of encoding, acting, the environment and updating, float64 [4]."""
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


def part_medians(step: Callable[[], Array], seconds: float) -> list[float]:
    """Median seconds of each part over pairs of steps (the actor updates every second step), the first pair skipped."""
    spent: list[Array] = []
    while len(spent) < 2 * FEWEST_TIMINGS or np.sum(spent) < seconds:
        spent += [step(), step()]
    pairs = np.reshape(spent, (-1, 2, 4)).mean(axis=1)
    medians: list[float] = np.median(pairs[1:], axis=0).tolist()
    return medians


def rates(times: dict[str, PartTimes], memory: float) -> tuple[float, dict[str, dict[str, float]]]:
    """Seconds of a call, and operations/s of each algorithm's parts; `memory`: bytes/s read and written.

    The overhead of one call is estimated from acting on a stored latent and capped at half of any update.
    """
    calls = []
    for parts in times.values():
        acting = parts.units.after.acting
        calls.append(((parts.act.after or 0.0) - acting.moved / memory) / acting.calls)
        calls += [
            update / unit.updating.calls / 2
            for update, unit in zip(parts.update, parts.units, strict=True)
            if update is not None
        ]
    call = max(1e-7, min(calls))
    by_algo = {}
    for algo, parts in times.items():
        by_algo[algo] = {"encoding": _rate(parts.units.after.encoding, parts.encode, call)}
        for name, unit, update, act in zip(("before", "after"), parts.units, parts.update, parts.act, strict=True):
            if update is not None and act is not None:
                updating = 2 * unit.updating.trained / (update - call * unit.updating.calls)
                by_algo[algo] |= {f"training_{name}": updating, f"acting_{name}": _rate(unit.acting, act, call)}
    return call, by_algo


def _rate(work: Work, seconds: float, call: float) -> float:
    """Operations/s of acting or encoding; at most nine tenths of the time count as overhead of calls."""
    return 2 * (work.acted + work.inferred) / max(0.1 * seconds, seconds - call * work.calls)
