"""What is shown on a terminal, or piped to a file: plain tables, the same for all commands."""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # it draws while it waits, which most commands never do
    from rich.status import Status

UNLIMITED = 10_000  # characters of a line where no terminal limits it


class PipeSafeConsole(Console):
    """A console that falls silent if its pipe is closed, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


def console(*, stderr: bool = False, quiet: bool = False) -> PipeSafeConsole:
    """The console of all output: text is shown as it is, and wrapped where a terminal, or COLUMNS, has a width."""
    output = PipeSafeConsole(stderr=stderr, quiet=quiet, highlight=False, markup=False, emoji=False)
    if not output.is_terminal and os.environ.get("COLUMNS", "0") == "0":
        output.width = UNLIMITED
    elif output.width < 1:  # COLUMNS is 0 here too, which stands for none
        output.width = shutil.get_terminal_size().columns
    return output


def waiting(text: str) -> "Status":
    """What shows on a terminal that something takes a while; its `update` changes the text."""
    return console(stderr=True).status(text, spinner="line")


def bold(text: str) -> Text:
    """A text in bold, for a table's cell."""
    return Text(text, style="bold")


def plain_table(
    *headings: str, left: Collection[str] = (), column: Mapping[str, Any] | None = None, **settings: Any
) -> Table:
    """A table without lines: the first column and those in `left` are aligned left, numbers right.

    `column`, `settings`: rich's settings of every column and of the table.
    """
    table = Table(**{"box": None, "header_style": "bold", "padding": (0, 2, 0, 0)} | settings)
    for number, heading in enumerate(headings):
        side: Any = "left" if number == 0 or heading in left else "right"
        table.add_column(heading, justify=side, **column or {})
    return table


def side_by_side(where: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[Text | str]]) -> None:
    """Print what the columns under `headings` have in each row, in as many tables as the width asks for.

    A row: its name, then a cell for every heading.
    """

    def table(first: int, after: int) -> Table:
        part = plain_table(title, *headings[first:after])
        for column in part.columns[1:]:
            column.no_wrap, column.overflow = True, "fold"  # where a single column is too wide, the names wrap
        for row in rows:
            part.add_row(row[0], *row[1 + first : 1 + after])
        return part

    def fits(first: int, after: int) -> bool:
        unlimited = where.options.update(max_width=UNLIMITED)
        return Measurement.get(where, unlimited, table(first, after)).maximum <= where.width

    first = 0
    while first < len(headings):
        after = first + 1
        while after < len(headings) and fits(first, after + 1):
            after += 1
        if first:
            where.print()
        where.print(table(first, after))
        first = after
