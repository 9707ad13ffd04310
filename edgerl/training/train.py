"""A run from its configuration to its summary: check, build, train, report."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import plugins
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.config.toml import sealed
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import ConfigError, EnvError, EnvFailed
from edgerl.output.listeners import Listeners
from edgerl.output.progress import Reporter
from edgerl.planning import forecast, limits
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Saved
from edgerl.runs.files import write_whole
from edgerl.runs.folder import folder_of, locked, new_folder
from edgerl.runs.metrics import Metrics
from edgerl.runs.saver import Saver
from edgerl.runs.signals import Interruption, handling
from edgerl.settling.watch import Watch
from edgerl.training import fork as forking
from edgerl.training import handover, summary
from edgerl.training.build import make_env, make_replays, make_training_env
from edgerl.training.handover import Handover
from edgerl.training.loop import TrainingLoop
from edgerl.training.meters import PeakWatchdog
from edgerl.training.resume import begin_again, failure, go_on
from edgerl.training.start.checks import Checked, check
from edgerl.training.start.networks import Networks, make_networks
from edgerl.training.start.opening import tell
from edgerl.training.start.request import Request
from edgerl.training.state import Parts, State


def train(
    config: Config,
    out: Path | None = None,
    *,
    resume: bool = False,
    fork: Path | None = None,
    quiet: bool = False,
    verbose: bool = False,
    notes: Sequence[str] = (),
    listeners: Listeners | None = None,
    replaceable: bool = False,
) -> dict[str, Any]:
    """Train, and return the summary that is also written to the run folder's summary.json.

    `out`: the run folder (default runs/<env>__<algo>__<seed>__<time>). With `resume` it holds a run, which goes on from
    its newest whole checkpoint (from the start, if it was killed before its first). `fork`: the folder of a run whose
    newest checkpoint, from before T_f, this one begins with. `verbose`: also show what takes the memory; `notes`: what
    the user is told as it begins; `listeners`: what a program is told. `replaceable`: this process does nothing else,
    and may become a fresh `edgerl train --resume` at the freeze, to be rid of torch.
    Raises ConfigError, EnvError or CheckpointError, in one line, for what the user must change; nothing is left behind
    or changed then.
    """
    plugins.ask_for(config.code)
    if resume and out is None:
        raise ConfigError("resume: name the folder of the run to go on with")
    with (
        heap_set_aside(),
        folder_of(config, out) as named,
        handover.received(named.absolute()) if replaceable else nullcontext() as handed,
        closing(make_training_env(config, _rngs(config)[0])) as env,
    ):
        request = Request(
            config=config,
            folder=named.absolute(),
            named=named,
            resume=resume,
            fork=fork,
            quiet=quiet,
            verbose=verbose,
            notes=() if quiet or handed is not None else notes,
            listeners=listeners or Listeners(),
            launcher=handover.launcher() if replaceable else None,
            handed=handed,
        )
        _, replay_rng, agent_rng = _rngs(config)
        checked = check(request, env)
        networks = make_networks(request, checked, env, agent_rng)
        return _train(request, checked, networks, env, replay_rng)


def _rngs(config: Config) -> list[np.random.Generator]:
    """The generators of environment, replay and agent."""
    return [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.run.seed).spawn(3)]


def _train(
    request: Request, checked: Checked, networks: Networks, env: Door | Fleet, replay_rng: np.random.Generator
) -> dict[str, Any]:
    """Hold the folder against other processes, build the other parts, and run them; returns the summary."""
    config, run, handed = checked.config, checked.config.run, request.handed
    state = State(checked.plan.flops)
    if checked.source is not None:
        state.origin = checked.source.origin
    profile, shape = load_device(run.device), checked.pixels.shape
    done, tenths, peak = (handed.step, handed.tenths, handed.peak) if handed else (0, 0, 0)
    shown: dict[str, Any] = {
        "quiet": request.quiet,
        "verbose": request.verbose,
        "elsewhere": lambda step: forecast.so_far(_as_frozen(config, state), checked.plan, shape, profile, step),
        "done": done,
        "tenths": tenths,
    }
    with _held(request, state) as lock:
        saved = _take_over(request, checked)
        with (
            PeakWatchdog(limits.lasting_limit(config)[0], peak=peak, frozen=networks.frozen) as watchdog,
            Reporter(checked.plan.last_step, **shown) as reporter,
        ):
            tell(reporter, request, checked, networks, env)
            arena = limits.take_arena(watchdog, checked.plan.budget, request.folder)
            checks = checked.plan.checks
            another = partial(make_env, config, training=False, like=env.spec)
            parts = Parts(
                config=config,
                env=env,
                agent=networks.agent,
                replay=make_replays(config, env.spec, checked.plan.budget, checked.pixels, replay_rng, arena),
                pixels=checked.pixels,
                folder=request.folder,
                metrics=Metrics(
                    request.folder,
                    run.steps,
                    told=request.listeners.metrics,
                    say=reporter.say,
                    **(handed.metrics if handed else {}),
                ),
                watchdog=watchdog,
                reporter=reporter,
                plan=checked.plan,
                library_bytes=networks.library_bytes,
                make_eval_env=another if checked.why_alone is None else None,
                baseline=handed.baseline if handed else networks.baseline,
                lock=lock,
                launcher=request.launcher,
                watch=Watch(config, checks, checked.pixels, env.spec.action) if checks else None,
                saver=Saver(request.folder / "checkpoint"),
                listeners=request.listeners,
            )
            return _run(parts, state, saved, handed, is_new=not request.resume)


def _held(request: Request, state: State) -> AbstractContextManager[int]:
    """The run's folder, held against other processes: the descriptor of its lock."""
    if request.resume:
        return locked(request.folder, adopted=request.handed.lock if request.handed else None)
    return new_folder(request.folder, has_begun=lambda: state.checkpoint is not None)


def _take_over(request: Request, checked: Checked) -> Saved | None:
    """Begin the held folder's files; returns the checkpoint to go on from."""
    if request.resume and checkpoint.places(request.folder / "checkpoint") != checked.places:
        raise ConfigError(f"{request.folder}: another process has trained in this folder meanwhile")
    if checked.saved is None:
        write_config(checked.config, request.folder)
    elif request.fork is not None:
        return forking.take_over(checked.saved, request.fork, checked.config, request.folder)
    return checked.saved


@contextmanager
def heap_set_aside() -> Iterator[None]:
    """Hide what is loaded so far from the garbage collector: every trim would go through all of it."""
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
    """Write the run's settings into its folder; a resumed run does it only once it has taken over its checkpoint."""
    write_whole(folder / "config.toml", sealed(config))


def _run(parts: Parts, state: State, saved: Saved | None, handed: Handover | None, *, is_new: bool) -> dict[str, Any]:
    """Run the parts, from the start or from a checkpoint, and write the summary, however the run ends.

    `is_new`: the folder is this run's own from now on; if nothing is kept in it, an environment that fails is one that
    cannot start.
    """
    config, status, began = parts.config, "failed", "at the start"
    parts.listeners.stop = state.interrupt
    with interruptible(state):
        try:
            if saved is not None:
                go_on(parts, state, saved, seamless=handed is not None and not saved.passed)
                write_config(config, parts.folder)
            elif not is_new:
                begin_again(parts)
            if handed is not None:
                began = handover.take_over(parts, state, handed)
            ended = TrainingLoop(parts, state).run(began)
            try:
                parts.env.close()
            except EnvFailed as error:
                if state.stop is None:
                    raise
                parts.reporter.say(f"{error}, as the run was interrupted")
            status = ended
        except EnvFailed as error:
            if is_new and state.checkpoint is None:
                raise EnvError(f"--env: {error}") from error
            raise failure(error, parts, state) from error
        finally:
            profile = load_device(config.run.device)
            frozen = _as_frozen(config, state)
            expected = forecast.forecast(frozen, parts.plan, parts.pixels.shape, profile, state.step)
            written = summary.write(parts, state, status, expected)
    return written


def _as_frozen(config: Config, state: State) -> Config:
    """The settings with the step of the freeze as T_f, which may be earlier than `auto`'s latest; once it has come."""
    if state.frozen_at is None:
        return config
    return replace(config, run=replace(config.run, freeze_at=state.frozen_at))


@contextmanager
def interruptible(state: State) -> Iterator[None]:
    """Within, Ctrl-C, SIGTERM and SIGHUP end the training after the current step; a second one ends it at once."""
    with handling(Interruption(state.interrupt)):
        yield
