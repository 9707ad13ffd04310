"""How many rows fit a byte budget, and the ledger of planned against measured bytes."""

import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field


def fit_rows(budget: int, row_bytes: int, index_bytes: Callable[[int], int]) -> int:
    """The largest number of rows C with C * row_bytes + index_bytes(C) <= budget (all in bytes).

    `index_bytes` must not fall as C grows.
    """
    stop = min(budget // row_bytes + 1, sys.maxsize)  # a range is no longer
    return bisect_right(range(stop), budget, key=lambda c: c * row_bytes + index_bytes(c)) - 1


@dataclass
class Ledger:
    """Bytes by line, planned and measured; None if a number is not known."""

    lines: dict[str, dict[str, int | None]] = field(default_factory=dict)

    def plan(self, name: str, nbytes: int) -> None:
        self._line(name)["planned"] = int(nbytes)

    def measure(self, name: str, nbytes: int) -> None:
        self._line(name)["measured"] = int(nbytes)

    def balance(self, resident: int, into: str) -> None:
        """Enter the part of `resident` bytes that no line measured: in `into` up to its plan, then "unaccounted"."""
        rest = resident - sum(line["measured"] or 0 for line in self.lines.values())
        expected = min(max(rest, 0), self._line(into)["planned"] or 0)
        self.measure(into, expected)
        self.measure("unaccounted", rest - expected)

    def _line(self, name: str) -> dict[str, int | None]:
        return self.lines.setdefault(name, {"planned": None, "measured": None})
