"""A cell as it runs: what its folder says of it, how far it is, and the job that runs it."""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from edgerl import reading
from edgerl.experiments.sweeps.executors.local import Executor, Job
from edgerl.experiments.sweeps.manifest import Cell
from edgerl.runs import checkpoint
from edgerl.runs.folder import LOCK, held
from edgerl.runs.status import EXIT_CODES, RunProgress, finished, read_summary

TRIES = 3
LEFTOVERS = (LOCK, ".writable", ".config.toml.part", "metrics.jsonl")  # of a run that was killed as it began
UNDONE = ("failed", "memory-limit", "interrupted")  # states of a cell that the sweep does not start again by itself


class CellRun:
    """The run of one cell of a sweep, in `folder`. `beginning`: the run that it is forked from, if it shares one.

    `state`: waiting, running, stopping (asked to save and leave), elsewhere (another process trains in its folder),
    finished, failed, memory-limit or interrupted.
    """

    def __init__(self, cell: Cell, sweep: Path, beginning: "CellRun | None" = None) -> None:
        self.cell, self.beginning = cell, beginning
        self.folder = sweep / cell.folder
        self.log = sweep / f"{cell.folder}.log"
        self.progress = RunProgress(self.folder / "metrics.jsonl")
        self.reason = ""  # why it did not finish
        self.resident = self.peak = 0  # bytes
        self.began = self._measured = 0.0  # on the monotonic clock
        self.job: Job | None = None
        self._newest: list[str] = []  # the newest checkpoint when the executor last ended its job
        self._in_vain = 0  # jobs in a row that the executor ended before a new checkpoint
        self._logged = 0  # bytes that the log had before this job
        self.state = self.state_of_folder()

    def state_of_folder(self) -> str:
        """The state as the run folder shows it."""
        if held(self.folder):
            return "elsewhere"
        return "finished" if self._has_finished else "waiting"

    @property
    def summary(self) -> dict[str, Any]:
        """What its summary.json says; empty if there is none."""
        return read_summary(self.folder)

    @property
    def argv(self) -> list[str]:
        """The command that starts the run, or resumes it if it had begun."""
        train = [sys.executable, "-m", "edgerl", "train"]
        if self.begun:
            return [*train, "--resume", str(self.folder), "--quiet"]
        if self.beginning is not None:
            return [*train, "--fork", str(self.beginning.folder), *self.cell.differs, *self._out]
        return [*train, *self.cell.arguments, *self._out]

    @property
    def _out(self) -> list[str]:
        return ["--out", str(self.folder), "--quiet"]

    @property
    def begun(self) -> bool:
        """Whether there is a run in its folder."""
        return (self.folder / "config.toml").exists()

    @property
    def ready(self) -> bool:
        """Whether it can start: it has begun, or the beginning that it is forked from has been trained."""
        return self.begun or self.beginning is None or self.beginning.state == "finished"

    @property
    def own_steps(self) -> int:
        """Agent steps that it trains itself."""
        return max(0, self.cell.steps - (self.beginning.cell.steps if self.beginning else 0))

    @property
    def steps_done(self) -> int:
        """How many of its own steps are done."""
        if self.state == "finished":
            return self.own_steps
        return max(0, min(self.progress.step, self.cell.steps) - (self.cell.steps - self.own_steps))

    @property
    def occupies(self) -> int:
        """Bytes to keep free for it while it runs: planned, or measured if that is more."""
        return max(self.cell.planned_bytes, self.resident)

    @property
    def needs(self) -> int:
        """Bytes to have before it starts: planned, or what it once took if that is more."""
        return max(self.cell.planned_bytes, self.peak)

    def start(self, executor: Executor) -> None:
        """Start or resume it; what a run that never began has left in its folder is removed. Other files fail it."""
        if not self.begun:
            if (other := self._foreign_file()) is not None:
                self.state = "failed"
                self.reason = f"{self.folder} has no config.toml, but {other}, which no new run leaves: move it away"
                return
            shutil.rmtree(self.folder, ignore_errors=True)
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        self.job = executor.submit(self.argv, self.log, self.cell.threads, self.cell.planned_bytes)
        self.state, self.began = "running", time.monotonic()

    def _foreign_file(self) -> str | None:
        """A file in its folder that no run leaves as it begins; None if there is none."""
        known = LEFTOVERS if self.beginning is None else (*LEFTOVERS, "checkpoint")  # which a fork takes over first
        there = sorted(place.name for place in self.folder.iterdir()) if self.folder.is_dir() else []
        return next((name for name in there if name not in known), None)

    def stop(self) -> None:
        """Have it save a checkpoint and leave."""
        if self.job is not None and self.state == "running":
            self.job.stop()
            self.state = "stopping"

    def poll(self, *, preempted: bool) -> bool:
        """Bring the state up to date; returns whether it changed. `preempted`: the executor may have interrupted it."""
        before = self.state
        self.progress.read()
        if self.job is None:
            if self.state == "elsewhere":
                self.state = self.state_of_folder()
            if self.state == "waiting" and not self.ready and self.beginning and self.beginning.state in UNDONE:
                self.state = self.beginning.state
                self.reason = f"its beginning {self.beginning.cell.folder}: {self.beginning.reason}"
            return self.state != before
        code = self.job.poll()
        if code is None:
            self._measure(self.job)
            return False
        self.job, self.resident = None, 0
        self.state = self._ended(code, stopped=before == "stopping", preempted=preempted)
        return True

    def _measure(self, job: Job) -> None:
        """Read its resident memory, once a second."""
        if time.monotonic() >= self._measured + 1:
            self._measured = time.monotonic()
            self.resident = job.rss() or 0
            self.peak = max(self.peak, self.resident)

    def _ended(self, code: int, *, stopped: bool, preempted: bool) -> str:
        """The state after a job that ended with exit code `code`; sets `reason` if the run did not finish."""
        if self._has_finished:
            return "finished"
        if code == 0:  # as of `os._exit(0)` in an environment
            self.reason = f"its process ended with exit code 0 before the run had: {self._summarised}; see {self.log}"
            return "failed"
        if held(self.folder):
            return "elsewhere"
        if code == EXIT_CODES["memory-limit"]:
            self.reason = self._last_line()
            return "memory-limit"
        if stopped:
            return "waiting"
        if preempted and code == EXIT_CODES["interrupted"]:
            return self._preempted()
        self.reason = f"killed by signal {-code}" if code < 0 else self._last_line() or f"exit code {code}"
        return "interrupted" if code == EXIT_CODES["interrupted"] else "failed"

    @property
    def _has_finished(self) -> bool:
        return finished(self.folder, self.cell.last_step)

    @property
    def _summarised(self) -> str:
        """What the summary of a run that has not finished says, in words."""
        if not (summary := self.summary):
            return "it has no summary"
        return f"its summary says {summary.get('status')} after {summary.get('steps')} of {self.cell.steps:,} steps"

    def _preempted(self) -> str:
        """The state after the executor ended the job: waiting, to be resumed, unless that leads nowhere."""
        newest = [place.name for place in checkpoint.places(self.folder / "checkpoint")[-1:]]  # [] if there is none
        self._in_vain = self._in_vain + 1 if newest == self._newest else 0
        self._newest = newest
        if self._in_vain < TRIES:
            return "waiting"
        self.reason = f"its job was ended {TRIES} times in a row before there was a new checkpoint"
        return "interrupted"

    def _last_line(self) -> str:
        """The last line that this job wrote to its log."""
        try:
            with open(self.log, "rb", opener=reading.here) as log:
                log.seek(self._logged)
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip().removeprefix("edgerl: ") for line in reversed(lines) if line.strip()), "")
