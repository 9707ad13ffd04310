"""Markdown of texts that may hold anything."""

import re
from collections.abc import Iterable, Sequence

MARKS = re.compile(r"([\\`*_{}\[\]<>#|~])")


def escaped(text: str) -> str:
    """A text as it is, on one line."""
    return MARKS.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """A text in the letters of code, on one line."""
    line = " ".join(text.split())
    fence, space = _fence(line, 1), " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"


def block(text: str, language: str) -> str:
    """Lines of code in a language."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{text}\n{fence}"


def _fence(text: str, least: int) -> str:
    """Backticks that no backticks of a text end: `least`, or one more than stand there together."""
    return "`" * max(least, 1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table of Markdown cells; its last `numbers` columns are aligned right."""
    sides = [":--"] * (len(head) - numbers) + ["--:"] * numbers
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, sides, *rows))
