"""What every command prints in the same way: warnings on stderr, and plain tables. Rich is imported when it is used."""

import contextlib
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def warn(message: str) -> None:
    """Print one line on stderr, with --quiet too; a stderr that takes nothing ends no run."""
    with contextlib.suppress(OSError):
        print(f"edgerl: {message}", file=sys.stderr)


def plain_table(
    *headings: str, left: Collection[str] = (), column: Mapping[str, Any] | None = None, **table: Any
) -> "Table":
    """A table without lines: the first column and those in `left` are aligned left, numbers right.

    `column`, `table`: settings of every column and of the table, as rich has them.
    """
    from rich.table import Table

    made = Table(**{"box": None, "header_style": "bold", "padding": (0, 2, 0, 0)} | table)
    for number, heading in enumerate(headings):
        side: Any = "left" if number == 0 or heading in left else "right"
        made.add_column(heading, justify=side, **column or {})
    return made
