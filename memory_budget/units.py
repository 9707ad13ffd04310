"""Byte counts as people write them. GB is 10^9 bytes, GiB is 2^30, everywhere in this project."""

import re
from decimal import Decimal, InvalidOperation

UNITS = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_NUMBER_AND_UNIT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)")


def parse_bytes(text: str) -> int:
    """Bytes in a text such as "0.07GB" (70,000,000) or "64 MiB"; a fraction of a byte is dropped.

    Raises ValueError, in one line, for a missing or unknown unit and for anything not above zero.
    """
    allowed = "give a positive number and a unit, such as 0.07GB or 64MiB"
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number of bytes; {allowed}")
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{text!r} has no unit; {allowed}")
    if unit not in UNITS:
        raise ValueError(f"{text!r} has an unknown unit {unit!r}; the units are {', '.join(UNITS)}")
    try:
        amount = Decimal(number)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        raise ValueError(f"{text!r} is not a number of bytes; {allowed}") from None
    if amount.adjusted() > 15:  # keeps 1e999999GB from becoming a number of a million digits
        raise ValueError(f"{text!r} is larger than any machine; {allowed}")
    count = int(amount * UNITS[unit])  # Decimal: 0.07 * 10^9 is 70,000,000 and not 70,000,000.000001
    if count >= 2**63:
        raise ValueError(f"{text!r} is larger than any machine; {allowed}")
    if count <= 0:
        raise ValueError(f"{text!r} is not above zero bytes; {allowed}")
    return count


def format_bytes(count: float) -> str:
    """A byte count for reading, in decimal units: 70000000 is "70.0 MB"."""
    for unit in ("GB", "MB", "kB"):
        if abs(count) >= UNITS[unit]:
            return f"{count / UNITS[unit]:.4g} {unit}" if unit == "GB" else f"{count / UNITS[unit]:.1f} {unit}"
    return f"{count:.0f} B"
