"""The working directory that a user's environment changes to: it holds within the environment's calls alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Workdir:
    """The directory in which an environment left off: its relative paths, and the program's, stay what they are.

    Two system calls around each call of the environment: 2 us.
    """

    def __init__(self) -> None:
        self._own: str | None = None

    def enter(self) -> str | None:
        """Go where the environment left off; returns where the program was, for `leave`."""
        before = here()
        _go(self._own)
        return before

    def leave(self, before: str | None) -> None:
        """Go back to where the program was, and note where the environment is."""
        own = here()
        self._own = None if own == before else own
        if own != before:  # its own may be gone by now
            _go(before)

    @contextmanager
    def within(self) -> Iterator[None]:
        """Both around a block."""
        before = self.enter()
        try:
            yield
        finally:
            self.leave(before)


def here() -> str | None:
    """The working directory; None if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _go(place: str | None) -> None:
    if place is not None:
        with suppress(OSError):
            os.chdir(place)
