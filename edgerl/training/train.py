"""A run from its configuration to its summary: check, build, train, report."""

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
from edgerl.runs.files import write_whole
from edgerl.runs.folder import check_folder, default_folder, locked, make_folder
from edgerl.runs.metrics import Metrics
from edgerl.runs.progress import Reporter
from edgerl.runs.signals import handling
from edgerl.training import summary, transfer
from edgerl.training.build import make_env, make_replay
from edgerl.training.freeze import rehearse
from edgerl.training.loop import Trainer
from edgerl.training.resume import go_on
from memory_budget import Watchdog, format_bytes, rss_bytes
from memory_budget.malloc import keep_blocks, trim

SCRATCH_BLOCK = 32 * 2**20  # bytes: what a training step frees is kept for the next


def train(config: Config, out: Path | None = None, *, resume: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Train, and return the summary that is also written to the run folder's summary.json.

    `out`: the run folder (default runs/<env>__<algo>__<seed>__<time>); with `resume`, one that holds a run, which goes
    on from its newest whole checkpoint (from the start, where it was killed before its first).
    Raises ConfigError, EnvError or CheckpointError, in one line, for what the user must change; nothing is left behind
    or changed then.
    """
    run = config.run
    seeds = np.random.SeedSequence(run.seed).spawn(3)
    env_rng, replay_rng, agent_rng = (np.random.default_rng(seed) for seed in seeds)
    env = make_env(config, env_rng, training=True)
    planned = plan.make(config, env.spec)
    limit, source = limits.process_limit(config)
    profile = load_device(run.device)
    limits.check_size(planned, limit, source)
    folder = out or default_folder(config)
    checkpoints = folder / "checkpoint"
    saved = checkpoint.newest(checkpoints) if resume and checkpoint.exists(checkpoints) else None
    if not resume:
        check_folder(folder)
    elif saved is not None:
        saved.check(config.identity)
        if run.steps < saved.values["step"]:
            raise ConfigError(f"--steps: {run.steps} is below the {saved.values['step']} that are done")
    begins_with = transfer.find(config, env.spec) if saved is None else None

    keep_blocks(SCRATCH_BLOCK)
    baseline = rss_bytes()
    pixels = representation.pixels(env.spec, config.replay)
    agent = make_agent(config, pixels.shape, env.actions, agent_rng)
    if begins_with is not None:
        transfer.begin(agent, begins_with)
    passed = rehearse(agent, pixels, config.agent.cut, run.ort_provider)
    trim()  # what making and exporting the networks took on the way
    libraries = rss_bytes() - sum(agent.nbytes().values())  # after the rehearsal: nothing more is loaded later
    limits.check_fit(planned, libraries, limit, source)
    if not resume:
        make_folder(folder)
    with locked(folder):
        if saved is None:
            write_config(config, folder)
        metrics = Metrics(folder)
        replay = make_replay(config, env.spec, planned.budget, pixels, replay_rng)
        elsewhere = partial(forecast.so_far, config, planned, pixels.shape, profile)
        with Watchdog(limit) as watchdog, Reporter(run.steps, quiet=quiet, elsewhere=elsewhere) as reporter:
            reporter.say(introduction(config, planned, limit, source, folder))
            if passed is not None and saved is None:  # a resumed run says it of the stem it has, or at its freeze
                reporter.say(f"--ort-provider: {passed}")
            if profile is not None:
                expected = forecast.forecast(config, planned, pixels.shape, profile)
                reporter.say(f"forecast {forecast.words(expected, profile.name)}")
            trainer = Trainer(
                config,
                env,
                agent,
                replay,
                pixels,
                folder,
                metrics,
                watchdog,
                reporter,
                planned,
                libraries,
                lambda rng: make_env(config, rng, training=False),
            )
            if begins_with is not None:
                trainer.origin = begins_with.origin
                reporter.say(begins_with.lines)
            status = "failed"
            with interruptible(trainer):
                if saved is None:
                    env.reset()
                else:
                    go_on(trainer, saved)
                    write_config(config, folder)
                try:
                    status = trainer.run()
                finally:
                    taken = forecast.forecast(config, planned, pixels.shape, profile, trainer.step)
                    found = summary.write(trainer, status, baseline, taken)
    return found


def write_config(config: Config, folder: Path) -> None:
    """Leave the run's settings in its folder; a resumed run's only once it has gone on."""
    write_whole(folder / "config.toml", config.to_toml().encode())


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training after the step under way; a second Ctrl-C ends it at once."""

    def stop(number: int, frame: object) -> None:
        trainer.stop = "interrupted"
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
            what = f"frozen, still pixels: {plan.latents.rows:,} rows of latents would be {plan.latents.row:,} B each"
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
        return f"{store.rows:,} rows or more, each of {store.row:,} B or less ({what})"
    return f"{store.rows:,} rows of {store.row:,} B ({what})"
