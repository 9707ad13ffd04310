"""JSON that every parser reads: a number that is not finite is null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, *, indent: int | None = None, compact: bool = False) -> str:
    """A value as strict JSON, in ASCII; as Python's `json` writes it, but for numbers that are not finite.

    `compact`: without spaces.
    """
    return json.dumps(finite(value), indent=indent, separators=(",", ":") if compact else None, allow_nan=False)


def finite(value: Any) -> Any:
    """A value with None for every float in it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value
