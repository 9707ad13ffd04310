"""The training loop: environment, replay and agent step by step, the freeze at T_f, evaluations and checkpoints."""

import math
import time

from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import EnvFailed, TrainingError
from edgerl.output.messages import figure
from edgerl.planning import ledger
from edgerl.training import handover, resume
from edgerl.training.acting import one, several
from edgerl.training.evaluate import Hooks, cut_games, play
from edgerl.training.freeze import FreezeSettings, freeze, freeze_line
from edgerl.training.state import Parts, State, accounts, recount
from memory_budget import format_bytes, rss_bytes
from memory_budget.malloc import trim

LOG_EVERY = 500  # agent steps


class TrainingLoop:
    """Trains with the parts of a run and keeps its state. `state.stop` may be set from a signal."""

    def __init__(self, parts: Parts, state: State) -> None:
        self.parts, self.state = parts, state

    def run(self, began: str = "at the start") -> str:
        """Train to the last step, or until `state.stop` or the memory limit; returns the summary's status.

        The environment must have been reset, or restored together with the state. `began`: when this is, in words.
        """
        self.account(began)
        try:
            self.train()
            resume.save(self.parts, self.state, needed=True)
        except EnvFailed as error:  # its episode was cut after the checkpoint of this step, if there is one
            asked = self.state.stop is not None
            resume.write_checkpoint(self.parts, self.state, needed=asked, replace=True)
            if not asked:
                raise
            self.say(f"{error}, as the run was interrupted")  # Ctrl-C reaches all processes of a terminal
        finally:
            resume.settle(self.parts, self.state)
        self.show(f"{len(self.parts.replay):,} rows  {format_bytes(self.parts.watchdog.peak)} at most")
        self.account("at the end")
        return self.stopping or "finished"

    def train(self) -> None:
        """All steps from where the run stands, with what is due between them."""
        while True:
            self.check_stem()
            if self.evaluation_due and self.room(self.parts.plan.evaluation_bytes):
                self.evaluate()
            resume.keep_snapshot(self.parts, self.state, freezing=self.freeze_due, done=self.done)
            if self.stopping or self.done or self.paused:
                break
            if self.freeze_due:
                if not self.room(self.parts.plan.freeze_bytes):
                    continue  # and end in order, as at the limit itself
                self.freeze()
                if self.stopping is None and handover.torch_is_idle(self.parts):
                    self.shed_torch()
            if self.checkpoint_due:
                first = self.state.step == 0
                resume.save(self.parts, self.state, needed=first, behind=not first)
            self.step()
            self.report()
            resume.settle(self.parts, self.state, wait=False)

    @property
    def evaluation_due(self) -> bool:
        """Whether an evaluation is due now and has not been played.

        On the training environment it waits for the end of an episode, or of the run.
        """
        every, step, returns = self.parts.config.run.eval_every, self.state.step, self.state.returns
        played = returns[-1]["step"] if returns else 0
        if self.parts.make_eval_env is None and every > 0 and not self.done:
            return self.state.between_episodes and step // every > played // every
        return due(step, every, done=self.done, stride=self.stride) and played != step

    @property
    def checkpoint_due(self) -> bool:
        """Whether a checkpoint is due before the next step: before step 0, and every so many steps."""
        step = self.state.step
        return step == 0 or due(step, self.parts.config.run.pace, done=False, stride=self.stride)

    @property
    def freeze_due(self) -> bool:
        """Whether this is step T_f, before its freeze: the one that was given, or that the stem is settled at."""
        if self.state.frozen:
            return False
        watch, latest = self.parts.watch, self.parts.config.run.latest_freeze
        return (latest is not None and self.state.step >= latest) or (watch is not None and watch.settled)

    @property
    def stopping(self) -> str | None:
        """Why the run ends before its last step; None if it goes on."""
        return "memory-limit" if self.parts.watchdog.exceeded else self.state.stop

    @property
    def done(self) -> bool:
        """Whether all steps are done, or as many multiply-adds as the run may take."""
        run, state = self.parts.config.run, self.state
        return state.step >= run.steps or state.flops_total >= (run.stop_at_flops or math.inf)

    @property
    def paused(self) -> bool:
        """Whether the run ends here for others to begin with: before a freeze of this step."""
        until = self.parts.config.run.until
        return until is not None and self.state.step >= until

    @property
    def stride(self) -> int:
        """Steps made at once, one in each environment. What is due at a step comes after those that reach it."""
        return self.parts.config.run.envs

    def step(self) -> None:
        """A timed step in every environment, and the updates that belong to them, once learning has begun."""
        state, stride, learn_start = self.state, self.stride, self.parts.config.replay.learn_start
        with state.stopwatch.step(state.step, learn_start, state.frozen_at, stride):
            self.interact()
            state.step += stride
            updates = self.updates_due
            for number in updates:
                if state.frozen:
                    self.begin_update(number)
                self.learn()
            counts = state.flops.phases.at(state.frozen)
            state.flops_exact += counts.exact(stride, len(updates))
            state.flops_total += counts.paper(min(stride, max(0, state.step - learn_start)), len(updates))

    def interact(self) -> None:
        """Act in every environment, and store what came of it."""
        env = self.parts.env
        if isinstance(env, Fleet):
            several.act(self.parts, self.state, env)
        else:
            one.act(self.parts, self.state, env)

    @property
    def updates_due(self) -> range:
        """The numbers of the updates that belong to the steps just done: 0, 1, ... before T_f, and anew after it."""
        state, count = self.state, self.parts.config.replay.updates
        return range(
            *(count(step, state.frozen_at).at(state.frozen) for step in (state.step - self.stride, state.step))
        )

    def begin_update(self, number: int) -> None:
        """Before this update since T_f, the first being 0: reset the heads if it is time; set how far returns look.

        All of it follows from the number, so that a resumed run does the same.
        """
        every, parts = self.parts.config.agent.reset_heads_every, self.parts
        if every and number and number % every == 0:
            parts.agent.reset_heads()
            parts.metrics.write(self.state.step, {"train/head_resets": number // every})
        since = number % every if every else number
        parts.replay.look(*parts.config.replay.horizon(since))

    def learn(self) -> None:
        """Update the agent on one batch, and give the batch its new priorities."""
        settings, state = self.parts.config.replay, self.state
        progress = (state.step - settings.learn_start) / max(1, self.parts.config.run.steps - settings.learn_start)
        beta = settings.beta_start + (settings.beta_end - settings.beta_start) * progress
        batch = self.parts.replay.sample(settings.batches.at(state.frozen), beta)
        update = self.parts.agent.update(batch)
        self.parts.replay.prioritize(batch.index, update.priority)
        for name, value in update.metrics.items():
            if not math.isfinite(value):
                raise TrainingError(f"the metric {name} is {value} at step {state.step}: training has diverged")
            state.add(name, value)

    def check_stem(self) -> None:
        """Check how settled the stem is, if --freeze-at auto has a check at this step."""
        state, watch = self.state, self.parts.watch
        if watch is not None and not state.frozen and watch.due(state.step):
            self.parts.metrics.write(state.step, watch.check(state.step, self.parts.agent, self.parts.replay))
            trim()  # the activations are gone
            state.flops_exact += watch.checks.flops

    def freeze(self) -> None:
        """The paper's event, between two steps: the window pending at T_f is the first one that the stem encodes."""
        self.account("before the freeze")
        before = rss_bytes()
        parts, state, replay = self.parts, self.state, self.parts.replay
        report = freeze(
            parts.agent,
            replay,
            pixels=parts.pixels,
            window=parts.env.window,
            folder=parts.folder,
            settings=FreezeSettings.of(parts.config, parts.pixels),
            progress=lambda done: self.show(f"freezing, row {done:,} of {len(replay):,}"),
        )
        chosen: dict[str, str | None] = {"chosen_by": "freeze_at", "why": None}
        if parts.watch is not None:
            chosen = parts.watch.chosen(state.step)
            parts.watch.forget()
            self.say(f"freezing now, as {chosen['why']}")
        state.freeze_report = {"step": state.step, **report, **chosen}
        recount(parts, state)
        state.rss_around_freeze = before, rss_bytes()
        conversion = state.flops.conversion(report["rows_before"])
        state.flops_total += conversion
        state.flops_exact += conversion
        self.say(freeze_line(report, replay.capacity, parts.config.replay.latent_dtype))
        parts.metrics.write(state.step, {"freeze/seconds": report["seconds"], "replay/capacity": replay.capacity})
        self.account("after the freeze")
        parts.watchdog.freeze_ended()

    def shed_torch(self) -> None:
        """Go on without torch in the same process, from a checkpoint; with it if that cannot be."""
        began = time.monotonic()
        needed = self.state.step == 0
        if resume.write_checkpoint(self.parts, self.state, needed=needed, replace=True):  # one of before, if any
            handover.hand_over(self.parts, self.state, began)

    def evaluate(self) -> None:
        """Play whole games without exploration, and log their scores."""
        episodes = self.parts.config.run.eval_episodes
        hooks = Hooks(
            stopping=lambda: self.stopping is not None,
            playing=lambda done: self.show(f"evaluating, game {done + 1} of {episodes}"),
        )
        evaluation = play(self.parts, self.state, hooks)
        trim()  # the games' environment is gone
        if evaluation is None:
            return
        self.state.returns.append(evaluation)
        metrics = {f"eval/{name}": evaluation[name] for name in ("mean", "std", "min", "max")}
        self.parts.metrics.write(self.state.step, metrics)
        self.say(
            f"{evaluation['episodes']} games, score {figure(evaluation['mean'])} +- {figure(evaluation['std'])} "
            f"({figure(evaluation['min'])} to {figure(evaluation['max'])}){self.state.training_games}"
        )
        if evaluation["cut"]:
            self.say(cut_games(evaluation))

    def room(self, nbytes: int) -> bool:
        """Whether the memory limit has room for `nbytes` more; if not, the run ends in order."""
        watchdog = self.parts.watchdog
        if not watchdog.allows(nbytes):
            watchdog.leave(f"there is no room for {format_bytes(nbytes)} more: {watchdog.fullest}")
        return not watchdog.exceeded

    def report(self) -> None:
        """Let the watchdog free memory; write metrics every LOG_EVERY steps; update the progress bar if it is due."""
        state, watchdog, rows = self.state, self.parts.watchdog, len(self.parts.replay)
        if (line := watchdog.relieve()) is not None:
            self.say(line)
        speed = state.stopwatch.recent
        if state.step % LOG_EVERY < self.stride:
            values = {
                "replay/rows": rows,
                "memory/rss_bytes": rss_bytes(),
                "memory/tree_peak_bytes": watchdog.peak,
                "flops/total": state.flops_total,
                "throughput/steps_per_s": speed,
            }
            values |= self.parts.replay.diagnose()
            values |= {f"train/{name}": total / state.counts[name] for name, total in state.sums.items()}
            state.sums, state.counts = {}, {}
            self.parts.metrics.write(state.step, values)
        if self.parts.reporter.due or self.done:
            score = f"score {figure(state.returns[-1]['mean'])}  " if state.returns else ""
            self.show(f"{speed:.0f} steps/s  {score}{rows:,} rows  {format_bytes(watchdog.peak)}")

    def account(self, when: str) -> None:
        """Log the ledger, and show it if that is asked for, with a warning if too much of it is unaccounted for."""
        lines = accounts(self.parts)
        if self.parts.reporter.verbose:
            self.parts.reporter.say(f"memory {when}: {ledger.line(lines)}")
        if (warning := ledger.warning(lines)) is not None:
            self.parts.reporter.say(warning)
        measured = {f"ledger/{name}": line["measured"] or 0 for name, line in lines.lines.items()}
        self.parts.metrics.write(self.state.step, measured)

    def say(self, line: str) -> None:
        """Print a line that begins with the step."""
        self.parts.reporter.say(f"step {self.state.step:,}: {line}")

    def show(self, note: str) -> None:
        """Update the progress bar."""
        self.parts.reporter.step(self.state.step, self.parts.replay.representation.stores, note)


def due(step: int, every: int, *, done: bool, stride: int = 1) -> bool:
    """Whether something is due after `step`: every `every` steps (0: never), and once the run is done.

    `stride`: how many steps are made at once; it is due after the first ones that reach a multiple.
    """
    return every > 0 and step > 0 and (step % every < stride or done)
