"""A sweep as it runs: which cells begin, which are put off for memory, and how all of them are brought to an end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from edgerl.config.device import available_cores
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import manifest
from edgerl.experiments.sweeps.cell import Work
from edgerl.experiments.sweeps.display import Display
from edgerl.experiments.sweeps.executors.local import Executor
from edgerl.experiments.sweeps.manifest import Cell, Sweep
from edgerl.runs.folder import locked
from edgerl.runs.signals import handling
from memory_budget import format_bytes

SHARE = 0.9  # of the memory that is available, where no limit is given
TICK = 0.3  # seconds
BUSY = "sweep runs"  # in this folder


class Runner:
    """Runs cells, at most `jobs` at a time and in at most `limit` resident bytes (None: memory is not watched here).

    `interruptions`: how often the sweep was asked to end; at the first one every cell saves a checkpoint and leaves, at
    the second one they are killed.
    """

    def __init__(self, works: list[Work], executor: Executor, jobs: int, limit: int | None, display: Display) -> None:
        self._works, self._executor, self._jobs, self._limit = works, executor, jobs, limit
        self._display = display
        self._asked = 0
        self._crowded = False  # a cell was put off, and none has ended since
        self.interruptions = 0

    def run(self) -> None:
        """Until every cell has finished or failed, or the sweep is interrupted and its cells have left."""
        self._display.found()
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
    def _active(self) -> list[Work]:
        return [work for work in self._works if work.job is not None]

    def _poll(self) -> None:
        for work in self._works:
            if work.poll(preempted=self._executor.preempts):
                self._crowded = self._crowded and work.state == "waiting"
                self._display.changed(work)

    def _goes_on(self) -> bool:
        if self.interruptions:
            return bool(self._active)
        return any(work.state in ("waiting", "running", "stopping", "elsewhere") for work in self._works)

    def _begin(self) -> None:
        """Start what waits, in order, as far as there are jobs and memory for it."""
        for work in self._works:
            active = self._active
            if len(active) >= self._jobs or (active and self._crowded) or self.interruptions:
                return
            if work.state == "waiting" and (not active or self._fits(work, active)):
                work.start(self._executor)
                self._display.changed(work)

    def _fits(self, work: Work, active: list[Work]) -> bool:
        return self._limit is None or work.needs + sum(each.occupies for each in active) <= self._limit

    def _relieve(self) -> None:
        """Where more is resident than allowed, have the youngest cell save and wait; one always goes on."""
        active = self._active
        if self._limit is None or len(active) < 2 or any(work.state == "stopping" for work in active):
            return
        if sum(work.resident for work in active) > self._limit:
            youngest = max(active, key=lambda work: work.began)
            youngest.stop()
            self._crowded = True
            self._display.changed(youngest)

    def _end(self) -> None:
        """Bring the cells to an end, as often as that was asked since."""
        while self._asked < self.interruptions:
            self._asked += 1
            for work in self._active:
                if self._asked == 1:
                    work.stop()
                    self._display.changed(work)
                elif work.job is not None:
                    work.job.kill()


@contextmanager
def counting_interruptions(runner: Runner) -> Iterator[None]:
    """Ctrl-C and SIGTERM are counted, and no more: the runner sees to them."""

    def count(number: int, frame: object) -> None:
        runner.interruptions += 1

    with handling(count):
        yield


def begin(sweep: Sweep, folder: Path) -> None:
    """Make a new sweep's folder and leave its sweep.json there; raises ConfigError where there is something already."""
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
    """Raise ConfigError where a new sweep's folder is there and not empty, or is no folder; creates nothing."""
    try:
        if (folder / manifest.FILE).exists():
            raise ConfigError(f"--out: {folder} holds a sweep; go on with it: edgerl sweep --resume {folder}")
        if folder.exists() and any(file.name != ".lock" for file in folder.iterdir()):
            raise ConfigError(f"--out: {folder} is not empty; name a new folder or an empty one")
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be written: {error.strerror}") from None


def memory_limit(given: int | None, cells: tuple[Cell, ...]) -> int:
    """What all cells together may hold, in bytes; raises ConfigError where one alone is planned to hold more."""
    limit = int(SHARE * psutil.virtual_memory().available) if given is None else given
    largest = max(cells, key=lambda cell: cell.planned_bytes)
    if largest.planned_bytes > limit:
        default = "" if given is not None else f" ({SHARE:.0%} of what is available now)"
        raise ConfigError(
            f"--memory-limit: {format_bytes(limit)}{default} is too little for one cell, which takes "
            f"{format_bytes(largest.planned_bytes)} (cell {largest.name})"
        )
    return limit


def parallel_jobs(given: int | None, cells: tuple[Cell, ...], *, local: bool) -> int:
    """How many cells run at the same time; raises ConfigError where their threads are more than the cores here."""
    if not local:
        return given or len(cells)
    threads, cores = max(cell.threads for cell in cells), available_cores()
    found = min(given or max(1, cores // threads), len(cells))
    if found * threads > cores and found > 1 and threads > 1:  # one slows the other down several-fold
        raise ConfigError(
            f"--jobs: {found} cells of {threads} threads each are more than the {cores} cores here; give at most "
            f"{max(1, cores // threads)}"
        )
    return found
