"""A run from its configuration to its summary: check, build, train, report."""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.build import make_agent
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.errors import ConfigError
from edgerl.planning import forecast, limits, plan
from edgerl.planning.capacity import Store
from edgerl.planning.plan import Plan
from edgerl.replay import representation
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Saved
from edgerl.runs.files import write_whole
from edgerl.runs.folder import check_folder, default_folder, locked, make_folder
from edgerl.runs.metrics import Metrics
from edgerl.runs.progress import Reporter
from edgerl.runs.signals import handling
from edgerl.training import summary, transfer
from edgerl.training.build import make_env, make_replay
from edgerl.training.freeze import rehearse
from edgerl.training.loop import TrainingLoop
from edgerl.training.resume import go_on
from edgerl.training.state import Parts, State
from memory_budget import Watchdog, format_bytes, rss_bytes
from memory_budget.malloc import keep_blocks, trim

SCRATCH_BLOCK = 32 * 2**20  # bytes: what a training step frees is kept for the next


def train(config: Config, out: Path | None = None, *, resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Train, and return the summary that is also written to the run folder's summary.json.

    `out`: the run folder (default runs/<env>__<algo>__<seed>__<time>); with `resume`, one that holds a run, which goes
    on from its newest whole checkpoint (from the start, if it was killed before its first).
    Raises ConfigError, EnvError or CheckpointError, in one line, for what the user must change; nothing is left behind
    or changed then.
    """
    with heap_set_aside():
        return _train(config, out or default_folder(config), resume=resume, quiet=quiet)


def _train(config: Config, folder: Path, *, resume: bool, quiet: bool) -> dict[str, Any]:
    run = config.run
    seeds = np.random.SeedSequence(run.seed).spawn(3)
    env_rng, replay_rng, agent_rng = (np.random.default_rng(seed) for seed in seeds)
    env = make_env(config, env_rng, training=True)
    planned = plan.make_plan(config, env.spec)
    limit, source = limits.process_limit(config)
    limits.check_size(planned, limit, source)
    saved = _newest(config, folder) if resume else None
    if not resume:
        check_folder(folder)
    begins_with = transfer.find(config, env.spec) if saved is None else None

    keep_blocks(SCRATCH_BLOCK)
    baseline = rss_bytes()
    pixels = representation.pixels(env.spec, config.replay)
    agent = make_agent(config, pixels.shape, env.actions, agent_rng)
    if begins_with is not None:
        transfer.begin(agent, begins_with)
    passed = rehearse(agent, pixels, config.agent.cut, run.ort_provider)
    trim()  # what making and exporting the networks took on the way
    library_bytes = rss_bytes() - sum(agent.nbytes().values())  # after the rehearsal: nothing more is loaded later
    limits.check_fit(planned, library_bytes, limit, source)
    if not resume:
        make_folder(folder)
    with locked(folder):
        if saved is None:
            write_config(config, folder)
        profile = load_device(run.device)
        elsewhere = partial(forecast.so_far, config, planned, pixels.shape, profile)
        with Watchdog(limit) as watchdog, Reporter(run.steps, quiet=quiet, elsewhere=elsewhere) as reporter:
            reporter.say(introduction(config, planned, limit, source, folder))
            if passed is not None and saved is None:  # a resumed run says it of the stem it has, or at its freeze
                reporter.say(f"--ort-provider: {passed}")
            if profile is not None:
                expected = forecast.forecast(config, planned, pixels.shape, profile)
                reporter.say(f"forecast {forecast.line(expected, profile.name)}")
            parts = Parts(
                config=config,
                env=env,
                agent=agent,
                replay=make_replay(config, env.spec, planned.budget, pixels, replay_rng),
                pixels=pixels,
                folder=folder,
                metrics=Metrics(folder),
                watchdog=watchdog,
                reporter=reporter,
                plan=planned,
                library_bytes=library_bytes,
                make_eval_env=lambda rng: make_env(config, rng, training=False),
            )
            state = State(planned.flops)
            if begins_with is not None:
                state.origin = begins_with.origin
                reporter.say(begins_with.lines)
            return _run(parts, state, saved, baseline)


def _run(parts: Parts, state: State, saved: Saved | None, baseline: int) -> dict[str, Any]:
    """Run what was built, from the start or from a checkpoint, and write its summary, however it ends."""
    config, status = parts.config, "failed"
    with interruptible(state):
        if saved is None:
            parts.env.reset()
        else:
            go_on(parts, state, saved)
            write_config(config, parts.folder)
        try:
            status = TrainingLoop(parts, state).run()
        finally:
            profile = load_device(config.run.device)
            taken = forecast.forecast(config, parts.plan, parts.pixels.shape, profile, state.step)
            ended = summary.write(parts, state, status, baseline, taken)
    return ended


def _newest(config: Config, folder: Path) -> Saved | None:
    """The checkpoint to go on from; None if the run was killed before its first."""
    checkpoints = folder / "checkpoint"
    if not checkpoint.exists(checkpoints):
        return None
    saved = checkpoint.newest(checkpoints)
    saved.check(config.identity)
    if config.run.steps < saved.values["step"]:
        raise ConfigError(f"--steps: {config.run.steps} is below the {saved.values['step']} that are done")
    return saved


@contextmanager
def heap_set_aside() -> Iterator[None]:
    """Keep what is loaded so far from the garbage collector, which every trim sends through the whole heap."""
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def write_config(config: Config, folder: Path) -> None:
    """Leave the run's settings in its folder; a resumed run's only once it has gone on."""
    write_whole(folder / "config.toml", config.to_toml().encode())


@contextmanager
def interruptible(state: State) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training after the step under way; a second Ctrl-C ends it at once."""

    def stop(number: int, frame: object) -> None:
        state.stop = "interrupted"
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with handling(stop):
        yield


def introduction(config: Config, plan: Plan, limit: int | None, source: str, folder: Path) -> str:
    """The lines a run starts with: what will be done, in which bytes, and where it goes."""
    run = config.run
    rows = _rows(plan.before)
    if run.freeze_at is not None:
        what = _rows(plan.after)
        if plan.after.stores == "pixels":
            latents = plan.latents
            what = f"frozen, still pixels: {latents.rows:,} rows of latents would be {latents.row_bytes:,} B each"
        rows += f", from step {run.freeze_at:,} {what}"
    if run.freeze_at == 0:
        rows = f"{_rows(plan.after)}, frozen from the start"
    profile = load_device(run.device)
    device = f"{profile.name}: " if profile else ""
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    bound = f"; process limit {format_bytes(limit)} ({source})" if limit is not None else ""
    return (
        f"{run.env}, {run.algo}, {run.steps:,} steps, seed {run.seed}\n"
        f"replay  {format_bytes(plan.budget)}: {rows}\n"
        f"machine {device}{threads}{bound}\n"
        f"folder  {folder}"
    )


def _rows(store: Store) -> str:
    what = store.stores if store.codec in ("raw", "float32") else f"{store.stores}, {store.codec}"
    if store.varies:
        return f"{store.rows:,} rows or more, each of {store.row_bytes:,} B or less ({what})"
    return f"{store.rows:,} rows of {store.row_bytes:,} B ({what})"
