"""Warnings on stderr and plain tables, the same for all commands. Rich is imported only when a table is made."""

import contextlib
import math
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

SMALLEST, LARGEST = 1e-4, 1e15  # numbers beyond these are written with an exponent


def warn(message: str) -> None:
    """Print one line on stderr, even with --quiet; a stderr that refuses it does not end the run."""
    with contextlib.suppress(OSError):
        print(f"edgerl: {message}", file=sys.stderr)


def figure(value: float) -> str:
    """A number for people: as many digits as its size asks for, thousands separated, and no negative zero."""
    size = abs(value)
    if not math.isfinite(value) or (size and not SMALLEST <= size < LARGEST):
        return f"{value:.3g}"
    whole_digits = 1 + math.floor(math.log10(size)) if size else 1
    text = f"{value:,.{max(0, 3 - whole_digits)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def plain_table(
    *headings: str, left: Collection[str] = (), column: Mapping[str, Any] | None = None, **settings: Any
) -> "Table":
    """A table without lines: the first column and those in `left` are aligned left, numbers right.

    `column`, `settings`: rich's settings of every column and of the table.
    """
    from rich.table import Table

    table = Table(**{"box": None, "header_style": "bold", "padding": (0, 2, 0, 0)} | settings)
    for number, heading in enumerate(headings):
        side: Any = "left" if number == 0 or heading in left else "right"
        table.add_column(heading, justify=side, **column or {})
    return table
