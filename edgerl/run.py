"""A run from its configuration to its summary: check, build, train, report."""

import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgerl import agents, checkpoint, envs, plan, summary
from edgerl.config import Config, ConfigError, load
from edgerl.freezing import frozen, rehearse
from edgerl.metrics import Metrics
from edgerl.progress import Reporter
from edgerl.replay import Replay
from edgerl.representation import Pixels, Representation
from edgerl.trainer import Trainer, evaluate, statistics
from memory_budget import Watchdog, format_bytes, rss_bytes
from memory_budget.malloc import keep_blocks

SCRATCH_BLOCK = 32 * 2**20  # bytes: what a training step frees is kept for the next


def train(
    config: Config,
    out: Path | None = None,
    *,
    resume: bool = False,
    limit_bytes: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train, and return the summary that is also written to the run folder's summary.json.

    `out`: the run folder (default runs/<env>__<algo>__<seed>__<time>); with `resume`, one that holds a run, which goes
    on from its newest whole checkpoint. `limit_bytes`: what the process tree may hold.
    Raises ConfigError, EnvError or CheckpointError, in one line, for what the user must change; nothing is left behind
    or changed then.
    """
    run = config.run
    seeds = np.random.SeedSequence(run.seed).spawn(3)
    env_rng, replay_rng, agent_rng = (np.random.default_rng(seed) for seed in seeds)
    env = envs.make(run.env, env_rng, training=True)
    planned = plan.make(config, env.frame, env.history, env.actions)
    check_memory(run.budget, limit_bytes)
    folder = out or default_folder(config)
    saved = checkpoint.newest(folder / "checkpoint") if resume else None
    if saved is None:
        make_folder(folder)
    elif run.steps < saved.values["step"]:
        raise ConfigError(f"--steps: {run.steps} is below the {saved.values['step']} that are done")
    with locked(folder):
        checkpoint.write_whole(folder / "config.toml", config.to_toml().encode())
        keep_blocks(SCRATCH_BLOCK)
        baseline = rss_bytes()
        window = (env.history, *env.frame)
        agent = agents.make(config, window, env.actions, agent_rng)
        rehearse(agent, window, config.agent.cut)
        metrics = Metrics(folder)
        libraries = rss_bytes() - sum(agent.nbytes().values())  # after the rehearsal: nothing more is loaded later
        replay = Replay(
            run.budget,
            Pixels(env.frame, env.history),
            plan.ACTION,
            n_step=config.replay.n_step,
            gamma=config.replay.gamma,
            omega=config.replay.omega,
            rng=replay_rng,
        )
        with Watchdog(limit_bytes) as watchdog, Reporter(run.steps, quiet=quiet) as reporter:
            reporter.say(introduction(config, planned, limit_bytes, folder))
            trainer = Trainer(
                config,
                env,
                agent,
                replay,
                folder,
                metrics,
                watchdog,
                reporter,
                planned.flops,
                lambda rng: envs.make(run.env, rng, training=False),
            )
            status = "failed"
            with interruptible(trainer):
                if saved is None:
                    env.reset()
                else:
                    go_on(trainer, saved)
                try:
                    status = trainer.run()
                finally:
                    metrics.close()
                    found = summary.write(trainer, planned, status, baseline, libraries)
    return found


def go_on(trainer: Trainer, saved: checkpoint.Saved) -> None:
    """Put a new trainer where its run's newest whole checkpoint stood."""
    for line in saved.passed:
        trainer.reporter.say(f"passed over: {line}")
    try:
        trainer.restore(saved)
    except (RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, checkpoint.CheckpointError):
            raise
        raise checkpoint.CheckpointError(f"{saved.place} is of another run: {error}".splitlines()[0]) from None
    checkpoint.discard_after(trainer.folder / "checkpoint", trainer.step)
    trainer.reporter.say(f"resumed at step {trainer.step:,} from {saved.place}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder against other processes; raises ConfigError where one trains in it."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another process trains in this folder") from None
        yield


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training after the step under way; a second Ctrl-C ends it at once."""

    def stop(signum: int, frame: object) -> None:
        trainer.stop = "interrupted"
        signal.signal(signal.SIGINT, signal.default_int_handler)

    kept = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def default_folder(config: Config) -> Path:
    """runs/<env>__<algo>__<seed>__<time>, the environment's slash as a dash."""
    run = config.run
    return Path("runs") / f"{run.env.replace('/', '-')}__{run.algo}__{run.seed}__{time.strftime('%Y%m%d-%H%M%S')}"


def make_folder(folder: Path) -> Path:
    """The run folder, with its parents; raises ConfigError where it is not empty or cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"--out: {folder} is not empty; name a new folder or an empty one")
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None
    return folder


def check_memory(budget: int, limit_bytes: int | None) -> None:
    """Raise ConfigError where the replay alone is more than the machine, or the limit, can give now."""
    available = psutil.virtual_memory().available
    if budget > available:
        raise ConfigError(
            f"--budget: {format_bytes(budget)} is larger than this machine: {format_bytes(available)} are available"
        )
    if limit_bytes is not None and budget > limit_bytes:
        raise ConfigError(
            f"--budget: {format_bytes(budget)} is larger than what --device leaves one application, "
            f"{format_bytes(limit_bytes)}"
        )


def introduction(config: Config, planned: plan.Plan, limit_bytes: int | None, folder: Path) -> str:
    """The lines a run starts with: what will be done, in which bytes, and where it goes."""
    run = config.run
    rows = f"{planned.initial:,} rows of {planned.pixel_row:,} B (pixels)"
    if run.freeze_at is not None:
        rows += f", from step {run.freeze_at:,} {planned.after_freeze:,} rows of {planned.latent_row:,} B (latents)"
    limit = f"; process limit {format_bytes(limit_bytes)}" if limit_bytes is not None else ""
    device = f"{run.device}: " if run.device else ""
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    return (
        f"{run.env}, {run.algo}, {run.steps:,} steps, seed {run.seed}\n"
        f"replay  {format_bytes(run.budget)}: {rows}\n"
        f"machine {device}{threads}{limit}\n"
        f"folder  {folder}"
    )


def evaluate_run(folder: Path, *, episodes: int, seed: int, threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Play whole games with a run's newest checkpoint; returns their statistics, with `step` and `env`.

    Raises ConfigError or CheckpointError, in one line, where the folder holds no run that can be read.
    """
    config = load(folder / "config.toml")
    saved = checkpoint.newest(folder / "checkpoint")
    for line in saved.passed:
        say(f"passed over: {line}")
    rng = np.random.default_rng(seed)
    env = envs.make(config.run.env, rng, training=False)
    agent = agents.make(config, (env.history, *env.frame), env.actions, rng, threads=threads)
    try:
        agent.load(saved.arrays, saved.values["agent"])
    except (RuntimeError, KeyError) as error:
        raise checkpoint.CheckpointError(f"{saved.place} is of another run: {error}".splitlines()[0]) from None
    representation: Representation = Pixels(env.frame, env.history)
    if agent.cut is not None:
        representation = frozen(folder)
    scores = evaluate(
        agent, representation, env, episodes=episodes, epsilon=config.run.eval_epsilon, rng=np.random.default_rng(seed)
    )
    return {"env": config.run.env, "step": saved.values["step"], **statistics(scores)}
