"""A cell at work: what its folder says of it, how far it is, and the job that runs it."""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from edgerl.experiments.sweeps.executors.local import Executor, Job
from edgerl.experiments.sweeps.manifest import Cell
from edgerl.runs import checkpoint
from edgerl.runs.folder import held
from edgerl.runs.status import EXIT_CODES, RunProgress, finished, read_summary

TRIES = 3
UNDONE = ("failed", "memory-limit", "interrupted")  # what ended a cell that will not be begun again by itself


class Work:
    """One cell of a sweep in `folder`, and its state:

    waiting, running, stopping (asked to save and leave), elsewhere (another process trains in its folder), finished,
    failed, memory-limit or interrupted.
    """

    def __init__(self, cell: Cell, sweep: Path) -> None:
        self.cell = cell
        self.folder = sweep / cell.folder
        self.log = sweep / f"{cell.folder}.log"
        self.progress = RunProgress(self.folder / "metrics.jsonl")
        self.reason = ""  # why it did not finish
        self.resident = self.peak = 0  # bytes
        self.began = self._measured = 0.0  # on the monotonic clock
        self.job: Job | None = None
        self._newest: list[str] = []  # checkpoint, when its job was last ended by the executor
        self._in_vain = 0
        self._logged = 0  # bytes of the log before this job's
        self.state = self.found()

    def found(self) -> str:
        """The state as its folder shows it."""
        if held(self.folder):
            return "elsewhere"
        return "finished" if finished(self.folder) else "waiting"

    @property
    def summary(self) -> dict[str, Any]:
        """What its summary.json says; empty where there is none."""
        return read_summary(self.folder)

    @property
    def argv(self) -> list[str]:
        """The command that begins the cell, or goes on with it where its run had begun."""
        train = [sys.executable, "-m", "edgerl", "train"]
        if (self.folder / "config.toml").exists():
            return [*train, "--resume", str(self.folder), "--quiet"]
        return [*train, *self.cell.arguments, "--out", str(self.folder), "--quiet"]

    @property
    def occupies(self) -> int:
        """Bytes to keep free for it while it runs: planned, or measured where that is more."""
        return max(self.cell.planned_bytes, self.resident)

    @property
    def needs(self) -> int:
        """Bytes to have before it starts: planned, or what it once took where that is more."""
        return max(self.cell.planned_bytes, self.peak)

    def start(self, executor: Executor) -> None:
        """Begin it or go on with it; what a run left that never came to its first file is removed."""
        if not (self.folder / "config.toml").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        self.job = executor.submit(self.argv, self.log, self.cell.threads, self.cell.planned_bytes)
        self.state, self.began = "running", time.monotonic()

    def stop(self) -> None:
        """Have it save a checkpoint and leave."""
        if self.job is not None and self.state == "running":
            self.job.stop()
            self.state = "stopping"

    def poll(self, *, preempted: bool) -> bool:
        """Bring the state up to date; whether it changed. `preempted`: an interruption may be the executor's."""
        before = self.state
        self.progress.read()
        if self.job is None:
            if self.state == "elsewhere":
                self.state = self.found()
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
        if code == 0:
            return "finished"
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

    def _preempted(self) -> str:
        """A cell whose job the executor ended goes on, unless that leads nowhere."""
        newest = [place.name for place in checkpoint.places(self.folder / "checkpoint")[-1:]]
        self._in_vain = self._in_vain + 1 if newest == self._newest else 0
        self._newest = newest
        if self._in_vain < TRIES:
            return "waiting"
        self.reason = f"its job was ended {TRIES} times in a row before there was a new checkpoint"
        return "interrupted"

    def _last_line(self) -> str:
        """The last line that this job wrote to its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._logged)
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip().removeprefix("edgerl: ") for line in reversed(lines) if line.strip()), "")
