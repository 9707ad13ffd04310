"""A run from its configuration to its summary: check, build, train, report; and the evaluation of a finished one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import preflight, resuming, summary, transfer
from edgerl.agents.build import make_agent
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.envs.base import Environment, EnvSpec
from edgerl.errors import ConfigError
from edgerl.evaluation import Shown, evaluate, statistics, unseen
from edgerl.freezing import rehearse
from edgerl.planning import forecast, limits, plan
from edgerl.policy import Policy
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.runs import checkpoint
from edgerl.runs.files import write_whole
from edgerl.runs.folder import check_folder, default_folder, locked, make_folder
from edgerl.runs.metrics import Metrics
from edgerl.runs.progress import Reporter
from edgerl.runs.signals import handling
from edgerl.trainer import Trainer
from memory_budget import Watchdog, rss_bytes
from memory_budget.malloc import keep_blocks, trim

SCRATCH_BLOCK = 32 * 2**20  # bytes: what a training step frees is kept for the next

__all__ = ["default_folder", "evaluate_run", "locked", "train"]


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
            reporter.say(preflight.introduction(config, planned, limit, source, folder))
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
                    resuming.go_on(trainer, saved)
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


def make_replay(
    config: Config, spec: EnvSpec, budget: int, pixels: representation.Pixels, rng: np.random.Generator
) -> Replay:
    """The configured replay in `budget` bytes, empty; `rng` draws its batches."""
    replay = config.replay
    return Replay(
        budget,
        pixels,
        spec.action,
        n_step=replay.n_step,
        gamma=replay.gamma,
        omega=replay.omega,
        rng=rng,
        sampling=replay.sampling,
    )


def make_env(config: Config, rng: np.random.Generator, *, training: bool) -> Environment:
    """The configured environment, to train on or to be scored on."""
    run = config.run
    return suites.make(
        run.env,
        rng,
        training=training,
        sticky_actions=run.sticky_actions,
        full_action_set=run.full_action_set,
        action_repeat=run.action_repeat,
    )


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training after the step under way; a second Ctrl-C ends it at once."""

    def stop(number: int, frame: object) -> None:
        trainer.stop = "interrupted"
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with handling(stop):
        yield


def evaluate_run(
    folder: Path,
    *,
    episodes: int,
    seed: int,
    threads: int,
    say: Callable[[str], None],
    shown: Shown = unseen,
) -> dict[str, Any]:
    """Play whole games with a run's newest checkpoint; returns their statistics, with `step` and `env`.

    `shown`: see `evaluate`.
    Raises ConfigError or CheckpointError, in one line, where the folder holds no run that can be read.
    """
    policy = Policy(folder, threads=threads)
    for line in policy.passed:
        say(f"passed over: {line}")
    run = policy.config.run
    scores = evaluate(
        policy.agent,
        policy.representation,
        make_env(policy.config, np.random.default_rng(seed), training=False),
        episodes=episodes,
        epsilon=run.eval_epsilon,
        rng=np.random.default_rng(seed),
        shown=shown,
    )
    return {"env": run.env, "step": policy.step, **statistics(scores)}
