"""The replay's bytes: one arena, rows at its front, an index at its back.

    |row 0|row 1| ... |row C-1|   unused   |index (the sampler's)|
    0                                                        budget

A row is a NumPy structured dtype padded to 8 bytes. Rows are numbered in the order they were written;
row number i lies in slot i mod C.
"""

import contextlib
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

from memory_budget.budget import fit_rows
from memory_budget.changes import Changes, Span
from memory_budget.rows import Array, Convert, Dtype, Field, IndexBytes

PIECE = 16 * 2**20  # bytes of an arena that are touched at a time


def padded(fields: list[Field]) -> Dtype:
    """A structured dtype of these fields, its size rounded up to 8 bytes."""
    formats = [np.dtype((kind, shape)) for _, kind, shape in fields]
    ends = np.cumsum([kind.itemsize for kind in formats])
    return np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": formats,
            "offsets": [0, *ends[:-1].tolist()],
            "itemsize": -(-int(ends[-1]) // 8) * 8,
        }
    )


class Ring:
    """`Rows` of one dtype with a field "obs", in exactly `budget` bytes; the dtype can change in place.

    `rows`: a structured array [capacity] over the arena's front; `index`: `index_bytes(capacity)` bytes at its back.
    """

    leaves_in_rows = False

    def __init__(self, budget: int, row: Dtype, index_bytes: IndexBytes, arena: Array | None = None) -> None:
        self.arena = arena_of(budget) if arena is None else arena
        self.index_bytes = index_bytes
        self.head = self.size = 0
        self._lay(row)

    def _lay(self, row: Dtype) -> None:
        budget = self.arena.nbytes
        self.capacity = fit_rows(budget, row.itemsize, self.index_bytes)
        back = (budget - self.index_bytes(self.capacity)) // 8 * 8
        self.rows: Array = self.arena[: self.capacity * row.itemsize].view(row)
        self.index: Array = self.arena[back : back + self.index_bytes(self.capacity)]
        self.changes = Changes(budget)

    @property
    def oldest(self) -> int:
        return self.head - self.size

    @property
    def max_rows(self) -> int:
        """The capacity."""
        return self.capacity

    @property
    def bytes_per_row(self) -> int:
        """Bytes of a row, the index aside."""
        return self.rows.itemsize

    @property
    def wrapped(self) -> bool:
        """Whether rows have been overwritten."""
        return self.head > self.capacity

    @property
    def obs(self) -> Array:
        """What rows store of an observation, by slot."""
        return self.rows["obs"]

    @property
    def extent(self) -> int:
        """Slots from here up are empty."""
        return self.size

    def slots(self, numbers: Array) -> Array:
        """Where the rows of these numbers lie."""
        slots: Array = numbers % self.capacity
        return slots

    def numbers(self, slots: Array) -> Array:
        """The number of the row in each slot: the only one in [oldest, oldest + capacity) that lies there."""
        numbers: Array = self.oldest + (slots - self.oldest) % self.capacity
        return numbers

    @property
    def newer_first(self) -> int:
        """How many rows `transcode` converts before the oldest one, as it goes by slot; they are the newest."""
        return self.head % self.capacity if self.wrapped else 0

    def by_age(self, values: Array) -> Array:
        """The values of the rows present, oldest first (a copy), from `values` by slot."""
        return np.roll(values[: self.size], -self.newer_first)

    def append(self, obs: Array, evicted: Callable[[Array], None] | None = None, **columns: Any) -> int:
        """Store a row, over the oldest if the ring is full; returns its slot. `evicted` is never called."""
        slot = self.head % self.capacity
        for name, value in columns.items():
            self.rows[name][slot] = value
        self.rows["obs"][slot] = obs
        self.head += 1
        self.size = min(self.size + 1, self.capacity)
        self.changes.note(slot * self.rows.itemsize, (slot + 1) * self.rows.itemsize)
        return slot

    @property
    def span(self) -> Span:
        """The rows present, which only appending changes."""
        return Span("rows", self.arena, 0, self.size * self.rows.itemsize, self.changes)

    def state(self) -> tuple[dict[str, Array], dict[str, int]]:
        """The rows present (a view of the arena), and where the ring stands."""
        return {"rows": self.rows[: self.size]}, {"head": self.head, "size": self.size}

    def restore(self, values: dict[str, int]) -> dict[str, Array]:
        """Stand where `state` stood; returns the array to fill with what it gave."""
        self.head, self.size = values["head"], values["size"]
        return self.state()[0]

    def room(self, row: Dtype, index_bytes: IndexBytes) -> int:
        """How many of the newest rows there is room for as dtype `row`."""
        return min(self.size, fit_rows(self.arena.nbytes, row.itemsize, index_bytes))

    def transcode(self, row: Dtype, index_bytes: IndexBytes, convert: Convert, chunk: int) -> tuple["Ring", int]:
        """Rewrite every row as dtype `row`, in place, `chunk` rows at a time; the capacity grows to what then fits.

        `convert` receives copies of the old rows in slot order and returns the new ones. New row i ends before old
        row i+1 begins, so walking forward never overwrites a row that is still to be read. Afterwards the oldest row
        is number 0 in slot 0, and `index` lies elsewhere, holding nothing of use. Returns this ring, and 0: no row is
        dropped. Raises ValueError if a new row is larger than an old one.
        """
        old, turn = self.rows, self.newer_first
        if row.itemsize > old.dtype.itemsize:
            raise ValueError(f"a row of {row.itemsize} bytes does not fit in place of one of {old.dtype.itemsize}")
        self.index_bytes = index_bytes
        self._lay(row)

        def converted(block: Array) -> Array:
            return convert(block, block["obs"])

        for start in range(0, self.size, chunk):
            stop = min(start + chunk, self.size)
            self.rows[start:stop] = converted(old[start:stop].copy())  # no name keeps it: one copy at a time
        rotate(self.rows[: self.size], turn, chunk)
        self.head = self.size
        return self, 0


def arena_of(nbytes: int, ask: Callable[[int], None] = lambda left: None, *, inherited: bool = True) -> Array:
    """`nbytes` bytes mapped outside malloc, which would add to them or keep them; every page is touched here.

    `ask` is called before each PIECE with the bytes that are still to be touched; it raises if there is no room.
    `inherited`: whether a process that is forked may use its copy; such a copy takes as many bytes again, page by page,
    while this process goes on writing.
    """
    # Private: shared memory gets no huge pages, and a process that is forked would write into its parent's rows.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    mapping = mmap.mmap(-1, nbytes, **private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages is only slower
            mapping.madvise(mmap.MADV_HUGEPAGE)
    if not inherited and hasattr(mmap, "MADV_DONTFORK"):
        mapping.madvise(mmap.MADV_DONTFORK)
    arena = np.frombuffer(mapping, np.uint8)
    for start in range(0, nbytes, PIECE):
        ask(nbytes - start)
        arena[start : start + PIECE] = 0
    return arena


def rotate(rows: Array, turn: int, chunk: int) -> None:
    """Move rows[turn:] to the front and rows[:turn] behind them, in place: three reversals, `chunk` rows at a time."""
    if turn:
        for part in (rows[:turn], rows[turn:], rows):
            reverse(part, chunk)


def reverse(rows: Array, chunk: int) -> None:
    """Reverse the order of rows, in place, `chunk` at a time from both ends."""
    half = len(rows) // 2
    for start in range(0, half, chunk):
        stop = min(start + chunk, half)
        front, back = rows[start:stop], rows[len(rows) - stop : len(rows) - start]
        kept = front.copy()
        front[:] = back[::-1]
        back[:] = kept[::-1]
