"""Resident memory of this process and its children, read with psutil, and a thread that watches it."""

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Self

from memory_budget.malloc import trim
from memory_budget.units import format_bytes

if TYPE_CHECKING:
    import psutil


def rss_bytes() -> int:
    """Resident bytes of this process."""
    import psutil  # here and below, not above: a plan reads no memory, and starts sooner without

    return int(psutil.Process().memory_info().rss)


def tree_bytes() -> int:
    """Resident bytes of this process, and what each of its children adds (in proportion if the system tells)."""
    return _Tree().read()


class _Tree:
    """This process and its children; they are listed once in RESCAN readings, as that reads all of /proc."""

    RESCAN = 10  # readings

    def __init__(self) -> None:
        self._children: list[psutil.Process] = []
        self._readings = 0

    def read(self) -> int:
        """Resident bytes now. If the children cannot be listed, the last list counts."""
        import psutil

        if self._readings % self.RESCAN == 0:
            self._process = (
                psutil.Process()
            )  # anew: once the clock was set, psutil takes an old one for another process
            with contextlib.suppress(psutil.Error):
                self._children = self._process.children(recursive=True)
        self._readings += 1
        return int(self._process.memory_info().rss) + sum(map(_own_bytes, self._children))


def _own_bytes(child: "psutil.Process") -> int:
    """A child's resident bytes, shared pages counted in part (PSS); 0 if it has ended."""
    import psutil

    try:
        return int(child.memory_full_info().pss)
    except (psutil.Error, AttributeError, OSError):
        with contextlib.suppress(psutil.Error):
            return int(child.memory_info().rss)
        return 0


class Watchdog:
    """Reads the process tree's resident bytes `hertz` times a second, from a thread of its own.

    Three thresholds, as parts of `limit_bytes` (None: no limit). At WARN the user is warned, and at TRIM garbage is
    collected and free heap is given back, both by `relieve`, which the training loop calls. At LEAVE `exceeded` becomes
    true and stays true, and the loop ends in order. `peak`: the highest reading in bytes. Use as a context manager.
    """

    WARN, TRIM, LEAVE = 0.85, 0.92, 0.97
    TRIM_EVERY = 10.0  # seconds

    def __init__(self, limit_bytes: int | None, hertz: float = 5.0) -> None:
        self.limit_bytes = limit_bytes
        self.peak = self.last = 0
        self.exceeded = False
        self._warned = False
        self._trimmed: float | None = None  # the time of the last trim
        self._tree = _Tree()
        self._period = 1.0 / hertz
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgerl-watchdog", daemon=True)

    def check(self) -> int:
        """One reading now, in bytes."""
        self.last = self._tree.read()
        self.peak = max(self.peak, self.last)
        self.exceeded = self.exceeded or self._above(self.LEAVE, self.last)
        return self.last

    def relieve(self) -> str | None:
        """Do what the last reading calls for; returns a line for the user if that is new."""
        if self._above(self.TRIM, self.last) and (
            self._trimmed is None or time.monotonic() - self._trimmed >= self.TRIM_EVERY
        ):
            first, before = self._trimmed is None, self.last
            trim()
            self._trimmed, after = time.monotonic(), self.check()
            if first:
                return f"{self._share(before)}: collected and trimmed, now {format_bytes(after)}"
        elif self._above(self.WARN, self.last) and not self._warned:
            self._warned = True
            return f"warning: {self._share(self.last)}; at {self.LEAVE:.0%} the run saves a checkpoint and ends"
        return None

    def allows(self, nbytes: int) -> bool:
        """Whether `nbytes` more stay below LEAVE, to be asked before a large allocation; trims if they do not."""
        if self._above(self.LEAVE, self.check() + nbytes):
            trim()
            return not self._above(self.LEAVE, self.check() + nbytes)
        return True

    def _above(self, part: float, resident: int) -> bool:
        return self.limit_bytes is not None and resident >= part * self.limit_bytes

    def _share(self, resident: int) -> str:
        limit = self.limit_bytes or 1
        return f"{format_bytes(resident)} resident is {resident / limit:.0%} of the limit of {format_bytes(limit)}"

    def _watch(self) -> None:
        while not self._stop.wait(self._period):
            self.check()

    def __enter__(self) -> Self:
        self.check()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.check()
