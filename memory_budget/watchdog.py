"""Resident memory of this process and its children, read with psutil, and a thread that watches it."""

import contextlib
import threading
from typing import Self

import psutil


def rss_bytes() -> int:
    """Resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


def tree_bytes() -> int:
    """Resident bytes of this process, and what each of its children adds (proportional where the system tells)."""
    return _Tree().read()


class _Tree:
    """This process and its children; finding the children reads all of /proc, so that is done now and then only."""

    RESCAN = 10  # readings

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._readings = 0

    def read(self) -> int:
        if self._readings % self.RESCAN == 0:
            self._children = self._process.children(recursive=True)
        self._readings += 1
        return int(self._process.memory_info().rss) + sum(map(_own_bytes, self._children))


def _own_bytes(child: psutil.Process) -> int:
    """A child's resident bytes, pages that it shares counted in part (PSS); 0 where it has ended."""
    try:
        return int(child.memory_full_info().pss)
    except (psutil.Error, AttributeError, OSError):
        with contextlib.suppress(psutil.Error):
            return int(child.memory_info().rss)
        return 0


class Watchdog:
    """Reads the process tree's resident bytes `hertz` times a second, from a thread of its own.

    `peak` is the highest reading, `exceeded` becomes true at `limit_bytes` (never, where that is None). The training
    loop looks at `exceeded` once a step and leaves in order. Use as a context manager.
    """

    def __init__(self, limit_bytes: int | None, hertz: float = 5.0) -> None:
        self.limit_bytes = limit_bytes
        self.peak = 0
        self.exceeded = False
        self._tree = _Tree()
        self._period = 1.0 / hertz
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgerl-watchdog", daemon=True)

    def check(self) -> int:
        """One reading now, in bytes; also called by hand before a large allocation."""
        resident = self._tree.read()
        self.peak = max(self.peak, resident)
        if self.limit_bytes is not None and resident >= self.limit_bytes:
            self.exceeded = True
        return resident

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
