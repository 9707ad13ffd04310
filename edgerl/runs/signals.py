"""Signals: a handler that holds for a block of code."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handling(handler: Callable[[int, object], None], numbers: Iterable[int] = INTERRUPTIONS) -> Iterator[None]:
    """Call `handler(number, frame)` for these signals within the block; the old handlers are back after it."""
    kept = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in kept.items():
            signal.signal(number, old)
