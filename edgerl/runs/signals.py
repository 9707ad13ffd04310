"""Signal handlers for a block of code, and interruptions that wait while a process becomes another program."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal, or an ssh session, is gone

# Within `handling`, by signal: the handler that it set, and the one from before all of its blocks.
_handled: dict[int, tuple[Any, Any]] = {}


@contextmanager
def handling(handler: Callable[[int, object], None], numbers: Iterable[int] = INTERRUPTIONS) -> Iterator[None]:
    """Call `handler(number, frame)` for these signals within the block; afterwards the old handlers are restored.

    A SIGHUP that is ignored, as under nohup, stays so, and a handler that was not set in Python. Only a program's main
    thread can handle signals: in another one the block runs without. A process that is forked within has the old
    handlers: who ends it means that process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    kept = {number for number, own in before.items() if own is None}
    if before.get(signal.SIGHUP) == signal.SIG_IGN:
        kept.add(signal.SIGHUP)
    old_handlers = {number: signal.signal(number, handler) for number in before if number not in kept}
    outer = dict(_handled)
    _handled.update({number: (handler, outer.get(number, (None, old))[1]) for number, old in old_handlers.items()})
    try:
        yield
    finally:
        _handled.clear()
        _handled.update(outer)
        for number, old_handler in old_handlers.items():
            signal.signal(number, old_handler)


def handle_again() -> None:
    """Handle the signals of `handling` again, where an environment that was made or reset has set handlers since."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in tuple(_handled):  # a signal that arrives meanwhile may change them
        handler, _ = _handled[number]
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _leave_to_child() -> None:
    for number, (_, old_handler) in _handled.items():
        signal.signal(number, old_handler)
    _handled.clear()


os.register_at_fork(after_in_child=_leave_to_child)


@contextmanager
def held_back() -> Iterator[int]:
    """Have interruptions wait, until the block ends or the next program calls `deliver` with what this gives.

    That is the end of a pipe with the numbers of those that were not blocked: other threads still catch them.
    """
    caught, writer = os.pipe()
    os.set_blocking(writer, False)
    old_writer = signal.set_wakeup_fd(writer)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    try:
        yield caught
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        signal.set_wakeup_fd(old_writer)
        for end in (caught, writer):
            os.close(end)


class Interruption:
    """A handler that calls `stop` at the first signal; a second Ctrl-C, or a later other signal, ends the program.

    What ends a machine, a job or a terminal may send several signals within SECONDS: they are one.
    """

    SECONDS = 1.0

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._first: float | None = None

    def __call__(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if signal.SIGINT in _handled:
                _handled[signal.SIGINT] = signal.default_int_handler, _handled[signal.SIGINT][1]
            self._stop()
        elif now - self._first > self.SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def deliver(caught: int) -> None:
    """Let in the interruptions that another program `held_back` before it became this one."""
    with open(caught, "rb") as pipe:
        numbers = pipe.read()  # to its end: the writer was closed as the program changed
    for number in [number for number in INTERRUPTIONS if number in numbers][:1]:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
