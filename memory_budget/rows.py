"""What a ring of rows is, whether its rows are all of one size (`ring`) or not (`packed`)."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from memory_budget.changes import Span

Array = npt.NDArray[Any]
Dtype = np.dtype[Any]
Field = tuple[str, Any, tuple[int, ...]]  # of a row: name, type, shape
IndexBytes = Callable[[int], int]  # bytes that the index takes for so many rows
Convert = Callable[[Array, Array], Array]  # rows [b] and their observations [b, ...] to new rows [b]


class Stored(Protocol):
    """What rows store of an observation, by slot: an array [slots, ...], or what reads like one."""

    def __getitem__(self, slots: Any) -> Array: ...


class Rows(Protocol):
    """A ring of rows over one arena; rows are numbered in the order they were written.

    `rows`: a structured array by slot; `index`: the sampler's bytes (uint8), for `max_rows` rows; `leaves_in_rows`:
    whether the sampler's value of a row is a column of `rows`, or lies in `index`.
    """

    arena: Array
    rows: Array
    index: Array
    leaves_in_rows: bool

    @property
    def obs(self) -> Stored:
        """What rows store of an observation, by slot."""

    @property
    def head(self) -> int:
        """The number of the next row; numbers `oldest` to `head - 1` are present."""

    @property
    def oldest(self) -> int: ...

    @property
    def size(self) -> int:
        """How many rows are present."""

    @property
    def capacity(self) -> int:
        """How many rows fit; an estimate if their size varies."""

    @property
    def max_rows(self) -> int:
        """How many rows there can be at most."""

    @property
    def bytes_per_row(self) -> int:
        """Bytes of a row, the index aside; the mean of the rows present if their size varies."""

    @property
    def wrapped(self) -> bool:
        """Whether rows have been lost to newer ones."""

    @property
    def extent(self) -> int:
        """Slots from here up are empty."""

    @property
    def newer_first(self) -> int:
        """How many rows `transcode` converts before the oldest one; they are the newest."""

    def slots(self, numbers: Array) -> Array:
        """Where the rows of these numbers lie."""

    def numbers(self, slots: Array) -> Array:
        """The number of the row in each slot."""

    def by_age(self, values: Array) -> Array:
        """The values of the rows present, oldest first (a copy), from `values` by slot."""

    def append(self, obs: Array, evicted: Callable[[Array], None] | None = None, **columns: Any) -> int:
        """Store a row; returns its slot.

        `evicted` is called with the other slots that lost their rows to make room, [n], before anything is written.
        """

    @property
    def span(self) -> Span:
        """The one of the arrays of `state` that only appending changes."""

    def state(self) -> tuple[dict[str, Array], dict[str, int]]:
        """The arrays in use by name (views of the arena), and where the ring stands."""

    def restore(self, values: dict[str, int]) -> dict[str, Array]:
        """Stand where `state` stood; returns the arrays to fill with those it gave."""

    def room(self, row: Dtype, index_bytes: IndexBytes) -> int:
        """How many of the newest rows `transcode` would keep."""

    def transcode(self, row: Dtype, index_bytes: IndexBytes, convert: Convert, chunk: int) -> tuple["Rows", int]:
        """Rewrite the rows as dtype `row`, in place, at most `chunk` at a time.

        Returns the ring of the new rows (over the same arena; the old one is of no use then) and how many of the oldest
        rows found no room. Afterwards the oldest row is number 0 in slot 0, and `index` holds nothing of use.
        """
