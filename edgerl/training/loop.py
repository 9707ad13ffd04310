"""The training loop: environment, replay, agent; at T_f the paper's event; evaluations and checkpoints."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.config.settings import Config
from edgerl.envs.base import Environment
from edgerl.errors import EnvFailed, TrainingError
from edgerl.planning import flops, ledger
from edgerl.planning.plan import Plan
from edgerl.replay.buffer import Replay
from edgerl.replay.representation import Pixels, chunk
from edgerl.runs import checkpoint
from edgerl.runs.metrics import Metrics
from edgerl.runs.progress import Reporter
from edgerl.runs.snapshots import Snapshot, place, save, weights
from edgerl.runs.terminal import warn
from edgerl.training import resume
from edgerl.training.evaluate import evaluate, statistics
from edgerl.training.freeze import freeze, told
from edgerl.training.stopwatch import Stopwatch
from memory_budget import Ledger, Watchdog, format_bytes, rss_bytes
from memory_budget.malloc import trim

LOG_EVERY = 500  # agent steps


class Trainer:
    """Runs one configuration from built parts. `step` counts agent steps done; `stop` may be set from a signal."""

    def __init__(
        self,
        config: Config,
        env: Environment,
        agent: Agent,
        replay: Replay,
        pixels: Pixels,
        folder: Path,
        metrics: Metrics,
        watchdog: Watchdog,
        reporter: Reporter,
        plan: Plan,
        libraries: int,
        make_eval_env: Callable[[np.random.Generator], Environment],
    ) -> None:
        self.config, self.env, self.agent, self.replay, self.pixels = config, env, agent, replay, pixels
        self.folder, self.metrics, self.watchdog, self.reporter = folder, metrics, watchdog, reporter
        self.plan, self.flops, self.libraries, self.make_eval_env = plan, plan.flops, libraries, make_eval_env
        self.step = 0
        self.stop: str | None = None
        self.freeze_report: dict[str, Any] | None = None
        self.rss_around_freeze: tuple[int, int] | None = None
        self.returns: list[dict[str, Any]] = []
        self.flops_total = self.flops_exact = 0
        self.checkpoint: Path | None = None
        self.stopwatch = Stopwatch()
        self.score = 0.0
        self.sums: dict[str, float] = {}  # of the updates' metrics since they were last logged
        self.updates = 0
        self.origin: dict[str, Any] | None = None  # whose networks it began with
        self.episodes_restarted = 0  # at resumes, where the environment could not go on with the saved one

    def run(self) -> str:
        """Train to the last step, or until `stop` or the memory limit; returns the summary's status.

        The environment must have been reset, or restored together with this trainer.
        """
        run = self.config.run
        self.account("at the start")
        while True:
            if (
                due(self.step, run.eval_every, done=self.done)
                and not self.evaluated
                and self.room(self.plan.evaluation)
            ):
                with self.surviving():
                    self.evaluate()
            keep_snapshot(self)
            if self.stopping or self.done:
                break
            if self.step == 0 or due(self.step, run.checkpoint_every, done=False):
                self.save(needed=self.step == 0)
            if self.step == run.freeze_at and self.freeze_report is None:
                if not self.room(self.plan.freezing):
                    continue
                self.freeze()
            with self.stopwatch.step(self.step, self.config.replay.learn_start, self.frozen_at):
                self.interact()
                self.step += 1
                if self.step > self.config.replay.learn_start:
                    self.learn()
                else:
                    self.flops_exact += self.flops.acting(frozen=self.freeze_report is not None)
            self.report()
        self.save(needed=True)
        self.show(f"{len(self.replay):,} rows  {format_bytes(self.watchdog.peak)} at most")
        self.account("at the end")
        return self.stopping or "finished"

    @property
    def done(self) -> bool:
        """Whether all steps are done, or all multiply-adds."""
        run = self.config.run
        return self.step >= run.steps or self.flops_total >= (run.stop_at_flops or math.inf)

    @property
    def evaluated(self) -> bool:
        """Whether this step's evaluation has been played."""
        return bool(self.returns) and bool(self.returns[-1]["step"] == self.step)

    @property
    def stopping(self) -> str | None:
        return "memory-limit" if self.watchdog.exceeded else self.stop

    @property
    def frozen_at(self) -> int | None:
        return None if self.freeze_report is None else int(self.freeze_report["step"])

    def room(self, nbytes: int) -> bool:
        """Whether the process limit has room for so many more bytes; where not, the run ends in order."""
        if not self.watchdog.allows(nbytes):
            self.reporter.say(f"step {self.step:,}: the process limit has no room for {format_bytes(nbytes)} more")
            self.watchdog.exceeded = True
        return not self.watchdog.exceeded

    def interact(self) -> None:
        """Act on the pending window, and store what that brought."""
        observation, stored = self.replay.representation.observe(self.env.window)
        action = self.agent.act(observation, explore=True)
        with self.surviving():
            timestep = self.env.step(action)
        self.score += timestep.reward
        clip = self.config.replay.reward_clip
        reward = timestep.reward if clip is None else min(max(timestep.reward, -clip), clip)
        self.replay.append(stored, action, reward, terminated=timestep.terminated)
        if timestep.truncated:
            self.replay.truncate(self.replay.representation.observe(timestep.window)[1])
        if timestep.over:
            self.metrics.write(self.step + 1, {"train/score": self.score})
            self.score = 0.0
        if timestep.terminated or timestep.truncated:
            self.env.reset()

    @contextlib.contextmanager
    def surviving(self) -> Iterator[None]:
        """Save a checkpoint where the environment fails: nothing has been changed yet by what it was asked."""
        try:
            yield
        except EnvFailed:
            self.save(needed=False)
            raise

    def learn(self) -> None:
        """One update on one batch, and its priorities."""
        replay, frozen = self.config.replay, self.freeze_report is not None
        progress = (self.step - replay.learn_start) / max(1, self.config.run.steps - replay.learn_start)
        beta = replay.beta_start + (replay.beta_end - replay.beta_start) * progress
        batch = self.replay.sample(replay.batch(frozen=frozen), beta)
        update = self.agent.update(batch)
        self.replay.prioritize(batch.index, update.priority)
        for name, value in update.metrics.items():
            if not math.isfinite(value):
                raise TrainingError(f"the metric {name} is {value} at step {self.step}: training has diverged")
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.updates += 1
        self.flops_total += self.flops.per_update(frozen=frozen)
        self.flops_exact += self.flops.exact_per_update(frozen=frozen)

    def freeze(self) -> None:
        """The paper's event, between two steps: the observation pending at T_f is the first one the stem encodes."""
        self.account("before the freeze")
        before = rss_bytes()
        config, window = self.config, self.env.window
        found = freeze(
            self.agent,
            self.replay,
            self.pixels,
            window,
            config.agent.cut,
            self.folder,
            store=config.replay.store,
            dtype=config.replay.latent_dtype,
            provider=config.run.ort_provider,
            chunk=chunk(config.agent.encoder, self.pixels.shape),
            progress=lambda done: self.show(f"freezing, row {done:,} of {len(self.replay):,}"),
        )
        self.freeze_report = {"step": self.step, **found}
        self.recount()
        self.rss_around_freeze = before, rss_bytes()
        for count in ("flops_total", "flops_exact"):
            setattr(self, count, getattr(self, count) + self.flops.conversion(found["rows_before"]))
        self.reporter.say(f"step {self.step:,}: {told(found, self.replay.capacity, config.replay.latent_dtype)}")
        self.metrics.write(self.step, {"freeze/seconds": found["seconds"], "replay/capacity": self.replay.capacity})
        self.account("after the freeze")

    def recount(self) -> None:
        """What an update takes follows from whether pixels were kept at the freeze, which the plan could only guess."""
        if self.freeze_report is not None:
            pixels, spec = self.pixels, self.env.spec
            kept = self.freeze_report["store"] == "pixels"
            self.flops = flops.count(self.config, pixels.shape, spec.actions, keeps_pixels=kept)

    def evaluate(self) -> None:
        """Play whole games without exploration, on an environment and a generator of their own."""
        run = self.config.run
        rng = np.random.default_rng([run.seed, self.step, 1])
        scores = evaluate(
            self.agent,
            self.replay.representation,
            self.make_eval_env(rng),
            episodes=run.eval_episodes,
            epsilon=run.eval_epsilon,
            rng=rng,
            stopping=lambda: self.stopping is not None,
            playing=lambda done: self.show(f"evaluating, game {done + 1} of {run.eval_episodes}"),
        )
        trim()  # the games' environment is gone
        if len(scores) < run.eval_episodes:  # stopped on the way: no result
            return
        found = statistics(scores)
        env_steps = self.step * self.env.spec.repeat
        self.returns.append({"step": self.step, "env_steps": env_steps, "flops": self.flops_total, **found})
        self.metrics.write(self.step, {f"eval/{name}": found[name] for name in ("mean", "std", "min", "max")})
        self.reporter.say(
            f"step {self.step:,}: {found['episodes']} games, score {found['mean']:,.1f} +- {found['std']:,.1f} "
            f"({found['min']:,.0f} to {found['max']:,.0f})"
        )

    def report(self) -> None:
        """Metrics every LOG_EVERY steps; the progress bar whenever it is due; what the watchdog has to say."""
        if (line := self.watchdog.relieve()) is not None:
            self.reporter.say(f"step {self.step:,}: {line}")
        speed = self.stopwatch.recent
        if self.step % LOG_EVERY == 0:
            values = {
                "replay/rows": len(self.replay),
                "memory/rss_bytes": rss_bytes(),
                "memory/tree_peak_bytes": self.watchdog.peak,
                "flops/total": self.flops_total,
                "throughput/steps_per_s": speed,
            }
            values |= {f"train/{name}": total / self.updates for name, total in self.sums.items()}
            self.sums, self.updates = {}, 0
            self.metrics.write(self.step, values)
        if self.reporter.due or self.done:
            score = f"score {self.returns[-1]['mean']:,.0f}  " if self.returns else ""
            self.show(f"{speed:.0f} steps/s  {score}{len(self.replay):,} rows  {format_bytes(self.watchdog.peak)}")

    def show(self, note: str) -> None:
        """Bring the progress bar up to date."""
        self.reporter.step(self.step, self.replay.representation.stores, note)

    def accounts(self) -> Ledger:
        """The ledger now."""
        return ledger.take(self.plan, self.libraries, self.agent, self.replay)

    def account(self, when: str) -> None:
        """Show and log the ledger, with a warning where too much of it is unaccounted for."""
        lines = self.accounts()
        self.reporter.say(f"memory {when}: {ledger.line(lines)}")
        if (warning := ledger.warning(lines)) is not None:
            self.reporter.say(warning)
        measured = {f"ledger/{name}": each["measured"] or 0 for name, each in lines.lines.items()}
        self.metrics.write(self.step, measured)

    def save(self, *, needed: bool) -> None:
        """Write a checkpoint of everything that a resumed run goes on from.

        Where the disk refuses one that is not `needed`, the run says so and goes on; the older ones stay whole.
        """
        arrays, values, raw = resume.state(self)
        try:
            self.checkpoint = checkpoint.save(self.folder / "checkpoint", self.step, arrays, values, raw)
        except OSError as error:
            if needed:
                raise
            warn(f"step {self.step:,}: no checkpoint: {error.strerror}; going on")
            return
        written = sum(file.stat().st_size for file in self.checkpoint.iterdir())
        self.metrics.write(self.step, {"checkpoint/bytes": written})


def due(step: int, every: int, *, done: bool) -> bool:
    """Whether something done every `every` steps (0: never) and when the run is done is due after `step`."""
    return every > 0 and step > 0 and (step % every == 0 or done)


def keep_snapshot(trainer: "Trainer") -> None:
    """Write the trainer's snapshot, where one is due now and not there yet.

    No run ends for want of one: where the disk refuses it, that is said, and nothing half-written stays.
    """
    run, step = trainer.config.run, trainer.step
    freezing = step == run.freeze_at and trainer.freeze_report is None
    file = place(trainer.folder, step)
    if not snapshot_due(step, run.snapshot_every, freezing=freezing, done=trainer.done) or file.exists():
        return
    arrays, values = trainer.agent.state()
    try:
        save(trainer.folder, Snapshot(step, values["cut"], weights(arrays)))
    except OSError as error:
        warn(f"step {step:,}: no snapshot: {error.strerror}; going on")
        return
    trainer.metrics.write(step, {"snapshot/bytes": file.stat().st_size})


def snapshot_due(step: int, every: int, *, freezing: bool, done: bool) -> bool:
    """Whether one is due after `step`: at 0, every `every` steps (0: never), just before the freeze, and at the end."""
    return every > 0 and (step % every == 0 or freezing or done)
