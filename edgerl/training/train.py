"""A run from its configuration to its summary: check, build, train, report."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import plugins
from edgerl.agents.build import make_agent
from edgerl.agents.engine_choice import torch_is_missed
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.config.toml import sealed
from edgerl.envs.base import sees
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import ConfigError, EnvError, EnvFailed
from edgerl.output.listeners import Listeners
from edgerl.output.messages import warn
from edgerl.output.progress import Reporter
from edgerl.planning import advice, forecast, limits, plan
from edgerl.planning.introduction import introduction
from edgerl.replay import representation
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Saved
from edgerl.runs.files import write_whole
from edgerl.runs.folder import check_folder, folder_of, locked, new_folder
from edgerl.runs.metrics import Metrics
from edgerl.runs.saver import Saver
from edgerl.runs.signals import Interruption, handling
from edgerl.settling.watch import Watch
from edgerl.training import fork as forking
from edgerl.training import handover, summary, transfer
from edgerl.training.build import make_env, make_replays, make_training_env, try_out
from edgerl.training.freeze import rehearse
from edgerl.training.handover import Handover
from edgerl.training.loop import TrainingLoop
from edgerl.training.meters import PeakWatchdog
from edgerl.training.resume import begin_again, encode_once, failure, go_on
from edgerl.training.state import Parts, State, freeze_report_of
from memory_budget import rss_bytes
from memory_budget.malloc import keep_blocks, trim

SCRATCH_BLOCK = 32 * 2**20  # bytes: what a training step frees is kept for the next


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
    with (
        heap_set_aside(),
        folder_of(config, out) as folder,
        handover.received(folder) if replaceable else nullcontext() as handed,
        closing(make_training_env(config, _rngs(config)[0])) as env,
    ):
        launcher = handover.launcher() if replaceable else None
        told = () if quiet or handed is not None else notes
        return _train(
            config,
            folder,
            env,
            resume=resume,
            fork=fork,
            shown={"quiet": quiet, "verbose": verbose},
            notes=told,
            listeners=listeners or Listeners(),
            launcher=launcher,
            handed=handed,
        )


def _rngs(config: Config) -> list[np.random.Generator]:
    """The generators of environment, replay and agent."""
    return [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.run.seed).spawn(3)]


def _train(
    config: Config,
    folder: Path,
    env: Door | Fleet,
    *,
    resume: bool,
    fork: Path | None,
    shown: dict[str, bool],
    notes: Sequence[str],
    listeners: Listeners,
    launcher: list[str] | None,
    handed: Handover | None,
) -> dict[str, Any]:
    """Check everything, build the other parts, and run them; returns the summary.

    What was `handed` over by the program before this one has been checked, and told to the user, by that one.
    """
    # What can be checked before any network or replay is made.
    _, replay_rng, agent_rng = _rngs(config)
    planned, pixels = plan.make_plan(config, env.spec), representation.pixels(env.spec, config.replay)
    config = advice.settled(config, planned, pixels.shape, load_device(config.run.device))
    run = config.run
    limit, limit_source = limits.process_limit(config)
    if handed is None:
        limits.check_size(planned, limit, limit_source)
    places = checkpoint.places(folder / "checkpoint")
    saved = _newest(config, folder) if resume else None
    if not resume:
        check_folder(folder)
    if fork is not None:
        saved = forking.find(fork, config)
    source = transfer.find(config, env.spec) if saved is None else None
    alone = try_out(env, config)

    # The networks, through a rehearsal of the freeze.
    keep_blocks(SCRATCH_BLOCK)
    baseline = rss_bytes()
    report = None if saved is None else freeze_report_of(saved)
    frozen = report is not None
    cut = config.agent.cut if frozen else None
    agent = make_agent(config, pixels.shape, env.actions, agent_rng, cut=cut)
    if source is not None:
        transfer.begin(agent, source)
    provider_note = None
    if report is None:
        provider_note = rehearse(agent, pixels, config.agent.cut, run.ort_provider)
    else:
        encode_once(agent, folder, pixels, report, run.ort_provider)
    trim()  # what making and exporting the networks left free
    library_bytes = rss_bytes() - sum(agent.nbytes().values())  # after a first encoding: nothing more is loaded later
    if handed is None:
        limits.check_fit(planned, library_bytes, *limits.process_limit(config))  # read again: it may have changed

    # The folder, held against other processes; the replay; the run.
    state = State(planned.flops)
    if resume:
        holding = locked(folder, adopted=handed.lock if handed else None)
    else:
        holding = new_folder(folder, has_begun=lambda: state.checkpoint is not None)
    with holding as lock:
        if resume and checkpoint.places(folder / "checkpoint") != places:  # what was read is no longer the newest
            raise ConfigError(f"{folder}: another process has trained in this folder meanwhile")
        if saved is None:
            write_config(config, folder)
        elif fork is not None:
            saved = forking.take_over(saved, fork, folder)
        profile = load_device(run.device)
        elsewhere = partial(forecast.so_far, config, planned, pixels.shape, profile)
        done, tenths, peak = (handed.step, handed.tenths, handed.peak) if handed else (0, 0, 0)
        with (
            PeakWatchdog(limits.lasting_limit(config), peak=peak, frozen=frozen) as watchdog,
            Reporter(run.steps, **shown, elsewhere=elsewhere, done=done, tenths=tenths) as reporter,
        ):
            for note in notes:
                warn(note)
            if handed is None:
                reporter.say(introduction(config, planned, limit, limit_source, folder, pixels.shape))
                if (seen := env.sees if isinstance(env, Fleet) else sees(env)) is not None:
                    reporter.say(f"sees     {seen}")
                if (missed := torch_is_missed(config, pixels.shape, frozen=frozen)) is not None:
                    reporter.say(missed)
                for note in env.notes:
                    reporter.say(note)
                if alone is not None:
                    reporter.say(f"evaluations are played on the training environment, after an episode: {alone}")
            if provider_note is not None and saved is None:  # a resumed run says it of its stem, or at its freeze
                reporter.say(f"--ort-provider: {provider_note}")
            arena = limits.take_arena(watchdog, planned.budget, folder)
            parts = Parts(
                config=config,
                env=env,
                agent=agent,
                replay=make_replays(config, env.spec, planned.budget, pixels, replay_rng, arena),
                pixels=pixels,
                folder=folder,
                metrics=Metrics(
                    folder,
                    run.steps,
                    told=listeners.metrics,
                    say=reporter.say,
                    **(handed.metrics if handed else {}),
                ),
                watchdog=watchdog,
                reporter=reporter,
                plan=planned,
                library_bytes=library_bytes,
                make_eval_env=partial(make_env, config, training=False) if alone is None else None,
                baseline=handed.baseline if handed else baseline,
                lock=lock,
                launcher=launcher,
                watch=Watch(config, planned.checks, pixels, env.spec.action) if planned.checks else None,
                saver=Saver(folder / "checkpoint"),
                listeners=listeners,
            )
            if source is not None:
                state.origin = source.origin
                reporter.say(source.lines)
            return _run(parts, state, saved, handed, is_new=not resume)


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


def _newest(config: Config, folder: Path) -> Saved | None:
    """The checkpoint to go on from; None if the run was killed before its first."""
    checkpoints = folder / "checkpoint"
    if not checkpoint.exists(checkpoints):
        return None
    saved = checkpoint.newest(checkpoints)
    saved.check(config.identity)
    if saved.for_training:
        raise ConfigError(f"--resume: {folder} holds no replay: begin a run with --encoder-from {folder}")
    if config.run.steps < saved.values["step"]:
        raise ConfigError(f"--steps: {config.run.steps} is below the {saved.values['step']} that are done")
    return saved


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
            parts.env.close()
            status = ended
        except EnvFailed as error:
            if is_new and state.checkpoint is None:
                raise EnvError(f"--env: {error}") from error
            raise failure(error, parts, state) from error
        finally:
            profile = load_device(config.run.device)
            expected = forecast.forecast(config, parts.plan, parts.pixels.shape, profile, state.step)
            written = summary.write(parts, state, status, expected)
    return written


@contextmanager
def interruptible(state: State) -> Iterator[None]:
    """Within, Ctrl-C, SIGTERM and SIGHUP end the training after the current step; a second one ends it at once."""
    with handling(Interruption(state.interrupt)):
        yield
