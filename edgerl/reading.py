"""Files that somebody else may have made, read within bounds, and held against the shape that they must have.

A shape is a kind, such as COUNT; a table of shapes by key, where a key that ends in `?` may be absent and other keys
are passed over; a list of one shape, for any number of these; `Or(shape, None)`; or `Each(shape)`, a table of any keys.
"""

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

MOST_SETTINGS = 64 * 1024  # bytes of a file that people write, such as a config.toml
MOST_JSON, MOST_MODEL = 64 * 2**20, 2**30  # of a JSON file, of an ONNX file
LARGEST = 2**63 - 1  # of a whole number
LONGEST = 10_000  # characters of a text
SEPARATORS = {"/", os.sep, "\0"}  # of the parts of a path, and its end
MOST_PARTS = 64  # of a key in TOML, between dots: its parser takes as long as their square
_LONG_KEY = re.compile(rf"""(?<![\w-])(?>(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}""")
# A backslash, a character of two halves, or half a character, which JSON can say and UTF-8 cannot.
_HALVES = re.compile(r"\\\\|\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|\\u[dD][89a-fA-F]\w\w")

Shape = Any


@dataclass(frozen=True)
class Kind:
    """A kind of value: what it is called, and what is true of its values."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Or:
    """Values of a shape, or None."""

    shape: Shape


@dataclass(frozen=True)
class Each:
    """Tables of any keys, whose values all have one shape."""

    shape: Shape


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_number(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) <= LARGEST)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_name(value: Any) -> bool:
    """One part of a path, with no way up or out."""
    return isinstance(value, str) and len(value) < 256 and value not in ("", ".", "..") and not set(value) & SEPARATORS


COUNT = Kind("a whole number from 0", _is_count)
NUMBER = Kind("a number", _is_number)
TEXT = Kind("text", _is_text)
NAME = Kind("the name of a folder", _is_name)


def fault(value: Any, shape: Shape, where: str = "") -> str | None:
    """What is wrong with a value of that shape, in words, and where; None if nothing is."""
    if isinstance(shape, Or):
        return None if value is None else fault(value, shape.shape, where)
    if isinstance(shape, Kind):
        return None if shape.holds(value) else f"{where or 'it'} is not {shape.words}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where or 'it'} is not a list"
        return _first(fault(part, shape[0], f"{where}[{index}]") for index, part in enumerate(value))
    if not isinstance(value, dict):
        return f"{where or 'it'} is not a table"
    if isinstance(shape, Each):
        return _first(fault(part, shape.shape, f"{where}.{name}") for name, part in value.items())
    return _first(_fault_at(value, key, part, where) for key, part in shape.items())


def _fault_at(table: dict[str, Any], key: str, shape: Shape, where: str) -> str | None:
    name = key.removesuffix("?")
    if name not in table:
        return None if key.endswith("?") else f"lacks {where}{'.' if where else ''}{name}"
    return fault(table[name], shape, f"{where}{'.' if where else ''}{name}")


def _first(faults: Iterator[str | None]) -> str | None:
    return next((words for words in faults if words is not None), None)


@contextmanager
def opened(file: Path) -> Iterator[BufferedReader]:
    """Open a regular file to read; raises OSError, or ValueError for what is none, such as a pipe or a device."""
    with open(file, "rb", opener=at_once) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("it is no regular file")
        yield stream


def at_once(file: str, flags: int) -> int:
    """An `opener` that does not wait: a pipe would, for its other end."""
    return os.open(file, flags | os.O_NONBLOCK, 0o666)


def here(file: str, flags: int) -> int:
    """The same, and one that follows no link: what is written stays in its folder."""
    return os.open(file, flags | os.O_NONBLOCK | os.O_NOFOLLOW, 0o666)


def content(file: Path, most: int) -> bytes:
    """The bytes of a regular file; raises OSError, or ValueError if it is none or has more than `most` bytes."""
    with opened(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size:,} bytes; at most {most:,} are read")
        return stream.read(most)


def toml(content: bytes) -> dict[str, Any]:
    """The tables of a TOML file; raises ValueError for what is none, or takes the parser too long."""
    text = content.decode("utf-8-sig")
    if _LONG_KEY.search(text):
        raise ValueError(f"a key of {MOST_PARTS} parts or more")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parsed(content: bytes) -> Any:
    """A value from JSON, with None for numbers that are not finite; raises ValueError for what is no JSON."""
    text = content.decode("utf-8-sig")
    if "\\ud" in text.lower():
        text = _HALVES.sub(lambda match: match[0] if len(match[0]) != 6 else "\\ufffd", text)
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def table(file: Path, shape: Shape) -> dict[str, Any]:
    """The table in a JSON file; raises OSError, or ValueError if it cannot be read or has another shape."""
    values = parsed(content(file, MOST_JSON))
    if (wrong := fault(values, shape)) is not None:
        raise ValueError(wrong)
    whole: dict[str, Any] = values
    return whole


def check_files(folder: Path, most: int) -> None:
    """Raise ValueError for what lies in a folder and is neither folder nor regular file.

    Also for a file of more than `most` bytes, which may be all holes, and for a link that leads out of the folder.
    """
    for path in folder.rglob("*"):
        try:
            status = inside(folder, str(path.relative_to(folder))).stat()
        except FileNotFoundError:  # the run that trains there has removed it
            continue
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is no regular file")
        if status.st_size > most:
            raise ValueError(f"{path} has {status.st_size:,} bytes, more than {most:,}")


def inside(folder: Path, name: str) -> Path:
    """The file of that name in a folder; raises ValueError for a link that leads out of the folder."""
    file = folder / name
    try:
        if file.resolve().is_relative_to(folder.resolve()):
            return file
    except RuntimeError:  # a link that leads to itself
        raise ValueError(f"{name} leads nowhere") from None
    raise ValueError(f"{name} leads out of the folder")
