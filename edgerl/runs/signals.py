"""Signal handlers for a block of code."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handling(handler: Callable[[int, object], None], numbers: Iterable[int] = INTERRUPTIONS) -> Iterator[None]:
    """Call `handler(number, frame)` for these signals within the block; afterwards the old handlers are restored."""
    old_handlers = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old_handler in old_handlers.items():
            signal.signal(number, old_handler)
