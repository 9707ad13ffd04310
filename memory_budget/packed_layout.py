"""How a packed ring's budget is laid out: where heads and payloads may lie, and how many rows there can be."""

from typing import NamedTuple

import numpy as np

from memory_budget import frames
from memory_budget.rows import Dtype, Field, IndexBytes

BLOCK = 64  # the table of heads grows by this many: the sampler sums priorities 64 at a time


class Layout(NamedTuple):
    """A packed ring's layout: a head's dtype, how many rows there can be at most, and where payloads end."""

    head: Dtype
    max_rows: int
    end: int


def layout(budget: int, columns: list[Field], frame: int, index_bytes: IndexBytes) -> Layout:
    """How `budget` bytes are laid out for rows of `columns` and frames of `frame` bytes."""
    start = np.uint32 if budget < 2**32 else np.uint64
    length = np.uint16 if frame < 2**16 else np.uint32
    head = np.dtype([*columns, ("start", start), ("length", length)])
    max_rows = budget // (head.itemsize + frames.shortest_payload(frame)) // BLOCK * BLOCK
    return Layout(head, max_rows, (budget - index_bytes(max_rows)) // 8 * 8)
