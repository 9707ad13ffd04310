"""When the parts of an arena were last written, so that a checkpoint writes only what changed."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

MOST_SEGMENTS, SMALLEST_SEGMENT, PAGE = 256, 2**16, 2**12  # of an arena; bytes


def segment_bytes(nbytes: int) -> int:
    """Bytes of a segment of an arena of `nbytes` bytes: a whole number of pages."""
    return max(SMALLEST_SEGMENT, -(-nbytes // (MOST_SEGMENTS * PAGE)) * PAGE)


class Changes:
    """A clock that goes on at every write, and when each segment of an arena was last written.

    `segment`: bytes of a segment; the first begins with the arena.
    """

    def __init__(self, nbytes: int) -> None:
        self.segment = segment_bytes(nbytes)
        self.clock = 0
        self._written = [0] * -(-nbytes // self.segment)  # no array: those of a replay lie in its arena

    def note(self, start: int, stop: int) -> None:
        """Bytes [start, stop) of the arena are written now."""
        self.clock += 1
        for segment in range(start // self.segment, (stop - 1) // self.segment + 1):
            self._written[segment] = self.clock

    def written(self, segment: int) -> int:
        """The clock when the segment of this number was last written; 0 if it never was."""
        return self._written[segment]


@dataclass(frozen=True)
class Span:
    """The bytes [start, stop) of an arena that the array `name` of a ring takes, and what changes in the arena.

    Bytes that come into the span are written then: what is older than a time was in the span at that time.
    """

    name: str
    arena: npt.NDArray[Any]
    start: int
    stop: int
    changes: Changes

    @property
    def nbytes(self) -> int:
        return self.stop - self.start
