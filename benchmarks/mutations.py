"""Files as somebody malicious or careless would leave them: mutations of real ones, drawn from a generator."""

import copy
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

SECRET = "/etc/hostname"  # noqa: S105 - a file outside, which nothing may read
SIZES = (0, 1, 2**7, 2**8 - 1, 2**15, 2**31 - 1, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1)
TEXTS = (
    "", "x" * 20_000, "../../outside", SECRET, "/dev/zero", ".", "a/b", "a\0b", "two\nlines", "\x1b[2J", "\ud800",
    "<script>alert(1)</script>", "</script><b>", "$\\frac", "|a|b|", "{0}", "%s%n", "nan", "never", "auto",
    "canary_of_hostile:make", "gym/canary_of_hostile:Any-v0", "os:system", "[/red]", "--out", "ﷺ" * 50,
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2**31, 2**63, 2**64, 10**30, 10**400, -(2**63) - 1, 0.0, -0.0, 1e-320, 1e308, -1e308, 0.5, math.inf,
    -math.inf, math.nan,
)  # fmt: skip


def value(rng: random.Random) -> Any:
    """Any value that JSON can hold, and that a reader may not expect."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(TEXTS)
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice((None, True, False))
    if kind == 3:
        return rng.choice(([], {}, [[]], {"a": {}}, [1, "a", None], {"": 0}, list(range(1000))))
    if kind == 4:
        return nested(rng.choice((10, 100, 900)), rng.choice(("list", "table")))
    return rng.getrandbits(rng.choice((4, 16, 40)))


def nested(depth: int, kind: str) -> Any:
    """Lists or tables, one in the other."""
    inner: Any = 0
    for _ in range(depth):
        inner = [inner] if kind == "list" else {"a": inner}
    return inner


def altered(tree: Any, rng: random.Random) -> Any:
    """A copy of plain data with one to three values changed, removed, doubled or swapped."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return value(rng)
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        elif kind == 2 and isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = holder.pop(key)
        elif kind == 3:
            source, name = rng.choice(places)
            if name in source if isinstance(source, dict) else name < len(source):
                holder[key] = copy.deepcopy(source[name])
        else:
            holder[key] = value(rng)
    return tree


def _places(tree: Any) -> Any:
    """Every holder and key in plain data."""
    left = [tree]
    while left:
        holder = left.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, part in items:
            yield holder, key
            left.append(part)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes cut, with bits turned, a length overwritten, parts swapped, doubled, removed or made up."""
    text = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1) if rng.random() < 0.5 else rng.randrange(min(len(text), 300) + 1)
        size = rng.choice((1, 2, 4, 8, 64, 1000))
        kind = rng.randrange(8)
        if kind == 0:
            del text[at:]
        elif kind <= 2 and text:
            text[min(at, len(text) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            text[at : at + 8] = rng.choice(SIZES).to_bytes(8, rng.choice(("little", "big")))
        elif kind == 4:
            text[at:at] = text[at : at + size]
        elif kind == 5:
            del text[at : at + size]
        elif kind == 6:
            text[at:at] = rng.randbytes(size)
        else:
            text[at:at] = _varint(rng.choice(SIZES))
    return bytes(text)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def text_of(write: Callable[[Any], str], read: Callable[[str], Any]) -> Callable[[bytes, random.Random], bytes]:
    """A mutation of a text format: half of the time of its data, half of the time of its bytes."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return damaged(content, rng)
        try:
            return write(altered(read(content.decode()), rng)).encode(errors="surrogatepass")
        except (TypeError, ValueError, AttributeError, RecursionError):  # what the format cannot hold
            return damaged(content, rng)

    return mutate


def _json_lines(lines: Any) -> str:
    return "\n".join(map(json.dumps, lines)) + "\n"


def toml(content: bytes, rng: random.Random) -> bytes:
    """A mutation of a TOML file."""
    import tomllib

    if rng.random() < 0.05:
        return f"a{'.a' * rng.choice((50, 2000, 30_000))} = 1".encode()
    return text_of(tomli_w.dumps, tomllib.loads)(content, rng)


json_file = text_of(json.dumps, json.loads)
json_lines = text_of(_json_lines, lambda text: [json.loads(line) for line in text.splitlines()])


def odd(file: Path, rng: random.Random) -> str:
    """Put something in a file's place that is no such file; returns what."""
    what = rng.choice(("nothing", "pipe", "folder", "empty", "sparse", "link out", "link to itself", "zeros"))
    file.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what == "empty":
        file.touch()
    elif what == "sparse":
        file.touch()
        os.truncate(file, 2**40)
    elif what == "link out":
        file.symlink_to(SECRET)
    elif what == "link to itself":
        file.symlink_to(file.name)
    elif what == "zeros":
        file.symlink_to("/dev/zero")
    return what
