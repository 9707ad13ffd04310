"""Resident memory of this process and its children, read with psutil, and a thread that watches it."""

import threading
from typing import Self

import psutil


def rss_bytes() -> int:
    """Resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


def tree_bytes(process: psutil.Process | None = None) -> int:
    """Resident bytes of a process (default: this one) and of all its children."""
    process = process or psutil.Process()
    total = int(process.memory_info().rss)
    for child in process.children(recursive=True):
        try:
            total += int(child.memory_info().rss)
        except psutil.Error:  # it ended between the listing and the reading
            continue
    return total


class Watchdog:
    """Reads the process tree's resident bytes `hertz` times a second, from a thread of its own.

    `peak` is the highest reading, `exceeded` becomes true at `limit_bytes` (never, where that is None). The training
    loop looks at `exceeded` once a step and leaves in order. Use as a context manager.
    """

    def __init__(self, limit_bytes: int | None, hertz: float = 5.0) -> None:
        self.limit_bytes = limit_bytes
        self.peak = 0
        self.exceeded = False
        self._process = psutil.Process()
        self._period = 1.0 / hertz
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgerl-watchdog", daemon=True)

    def check(self) -> int:
        """One reading now, in bytes; also called by hand before a large allocation."""
        resident = tree_bytes(self._process)
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
