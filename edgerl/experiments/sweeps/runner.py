"""A sweep as it runs: which cells start, which one stops for want of memory, and how all of them end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from edgerl.config.device import available_cores
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import manifest
from edgerl.experiments.sweeps.cell import CellRun
from edgerl.experiments.sweeps.display import Display
from edgerl.experiments.sweeps.executors.local import Executor
from edgerl.experiments.sweeps.manifest import Cell, Sweep
from edgerl.runs.folder import locked
from edgerl.runs.signals import handling
from memory_budget import format_bytes, tree_bytes
from memory_budget.limits import cgroup_bytes

SHARE = 0.9  # of the available memory: the limit if none is given
TICK = 0.3  # seconds between two looks at the jobs
BUSY = "sweep runs"  # "another ... in this folder", see `locked`


class Runner:
    """Runs cells, at most `jobs` at a time and in at most `limit` resident bytes (None: memory is not watched here).

    `interruptions`: how often the sweep was asked to end. At the first one every cell saves a checkpoint and leaves;
    at the second one they are killed.
    """

    def __init__(
        self, runs: list[CellRun], executor: Executor, display: Display, *, jobs: int, limit: int | None
    ) -> None:
        self._runs, self._executor, self._display = runs, executor, display
        self._jobs, self._limit = jobs, limit
        self._handled = 0  # interruptions that the cells have been told of
        self._crowded = False  # a cell was put off, and none has ended since
        self.interruptions = 0

    def run(self) -> None:
        """Return when every cell has finished or failed, or when the sweep was interrupted and its cells have left."""
        self._display.show_earlier()
        try:
            while self._goes_on():
                self._poll()
                if self.interruptions:
                    self._end()
                else:
                    self._relieve()
                    self._begin()
                self._display.show()
                time.sleep(TICK)
        finally:  # whatever went wrong here, no cell loses what it has done
            self.interruptions += bool(self._active)
            while self._active:
                self._end()
                time.sleep(TICK)
                self._poll()

    @property
    def _active(self) -> list[CellRun]:
        return [run for run in self._runs if run.job is not None]

    def _poll(self) -> None:
        for run in self._runs:
            if run.poll(preempted=self._executor.preempts):
                self._crowded = self._crowded and run.state == "waiting"
                self._display.changed(run)

    def _goes_on(self) -> bool:
        if self.interruptions:
            return bool(self._active)
        return any(run.state in ("waiting", "running", "stopping", "elsewhere") for run in self._runs)

    def _begin(self) -> None:
        """Start waiting cells, in order, as far as there are jobs and memory for them."""
        for run in self._runs:
            active = self._active
            if len(active) >= self._jobs or (active and self._crowded) or self.interruptions:
                return
            if run.state == "waiting" and run.ready and (not active or self._fits(run, active)):
                run.start(self._executor)
                self._display.changed(run)

    def _fits(self, run: CellRun, active: list[CellRun]) -> bool:
        return self._limit is None or run.needs + sum(running.occupies for running in active) <= self._limit

    def _relieve(self) -> None:
        """If more is resident than allowed, have the youngest cell save and wait; one cell always goes on."""
        active = self._active
        if self._limit is None or len(active) < 2 or any(run.state == "stopping" for run in active):
            return
        if sum(run.resident for run in active) > self._limit:
            youngest = max(active, key=lambda run: run.began)
            youngest.stop()
            self._crowded = True
            self._display.changed(youngest)

    def _end(self) -> None:
        """Stop the cells at the first interruption, kill them at the next."""
        while self._handled < self.interruptions:
            self._handled += 1
            for run in self._active:
                if self._handled == 1:
                    run.stop()
                    self._display.changed(run)
                elif run.job is not None:
                    run.job.kill()


@contextmanager
def counting_interruptions(runner: Runner) -> Iterator[None]:
    """Count Ctrl-C and SIGTERM in `runner.interruptions`; the runner acts on them."""

    def count(number: int, frame: object) -> None:
        runner.interruptions += 1

    with handling(count):
        yield


def begin(sweep: Sweep, folder: Path) -> None:
    """Make a new sweep's folder and write its sweep.json there; raises ConfigError if there is something already."""
    check_new(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, BUSY):
            if (folder / manifest.FILE).exists():
                raise ConfigError(f"--out: another sweep has begun in {folder}")
            manifest.write(sweep, folder)
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


def check_new(folder: Path) -> None:
    """Raise ConfigError if a new sweep's folder is not empty, or is no folder; creates nothing."""
    try:
        if (folder / manifest.FILE).exists():
            raise ConfigError(f"--out: {folder} holds a sweep; go on with it: edgerl sweep --resume {folder}")
        if folder.exists() and any(file.name != ".lock" for file in folder.iterdir()):
            raise ConfigError(f"--out: {folder} is not empty; name a new folder or an empty one")
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


def memory_limit(wanted: int | None, cells: tuple[Cell, ...]) -> int:
    """Bytes that all cells may hold: `wanted` if said. Raises ConfigError if one alone is planned to hold more."""
    limit = int(SHARE * _available()) if wanted is None else wanted
    largest = max(cells, key=lambda cell: cell.planned_bytes)
    if largest.planned_bytes > limit:
        default = "" if wanted is not None else f" ({SHARE:.0%} of what is available now)"
        raise ConfigError(
            f"--memory-limit: {format_bytes(limit)}{default} is too little for one cell, which takes "
            f"{format_bytes(largest.planned_bytes)} (cell {largest.name})"
        )
    return limit


def _available() -> int:
    """Bytes that new processes may take: what the machine has, or less if a control group allows less."""
    available, group = int(psutil.virtual_memory().available), cgroup_bytes()
    return available if group is None else min(available, max(0, group - tree_bytes()))


def parallel_jobs(wanted: int | None, cells: tuple[Cell, ...], *, local: bool) -> int:
    """How many cells run at a time: `wanted` if said. Raises ConfigError if their threads are more than the cores."""
    if not local:
        return wanted or len(cells)
    threads, cores = max(cell.threads for cell in cells), available_cores()
    jobs = min(wanted or max(1, cores // threads), len(cells))
    if jobs * threads > cores and jobs > 1 and threads > 1:  # one slows the other down several-fold
        raise ConfigError(
            f"--jobs: {jobs} cells of {threads} threads each are more than the {cores} cores here; give at most "
            f"{max(1, cores // threads)}"
        )
    return jobs
