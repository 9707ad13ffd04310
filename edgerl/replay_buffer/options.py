"""What a buffer may be asked for: each refusal is one line that names the option."""

from math import isfinite
from numbers import Real
from typing import Any

from edgerl.errors import ConfigError
from edgerl.replay_buffer.stacks import PADDINGS
from memory_budget import parse_bytes

CODECS = ("lz4", "raw")
MOST = 2**31 - 1


def nbytes(budget: Any) -> int:
    """A budget in bytes: a whole number of them, or text with a unit. Raises ConfigError."""
    if isinstance(budget, str):
        try:
            return parse_bytes(budget)
        except ValueError as error:
            raise ConfigError(f"budget: {error}") from None
    return whole("budget", budget, 1, 2**63 - 1)


def whole(name: str, value: Any, low: int, high: int = MOST) -> int:
    """A whole number from `low` to `high`. Raises ConfigError."""
    try:
        number = value.__index__()
    except (AttributeError, TypeError):  # no number, or an array
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        raise ConfigError(f"{name} = {value!r} must be a whole number from {low} to {high}")
    return int(number)


def share(name: str, value: Any) -> float:
    """A number from 0 to 1. Raises ConfigError."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or not 0 <= value <= 1:
        raise ConfigError(f"{name} = {value!r} must be a number from 0 to 1")
    return float(value)


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of these texts. Raises ConfigError."""
    if value not in allowed:
        raise ConfigError(f"{name} = {value!r} must be one of {', '.join(allowed)}")
    return str(value)


def codec(value: Any) -> str:
    """A codec of frames. Raises ConfigError."""
    return one_of("codec", value, CODECS)


def padding(value: Any) -> str | None:
    """How stacks begin; None: as the first one that shows it. Raises ConfigError."""
    chosen = one_of("padding", value, ("auto", *PADDINGS))
    return None if chosen == "auto" else chosen


def frame(value: Any) -> tuple[int, ...]:
    """The shape of one frame, [H, W] or [C, H, W]. Raises ConfigError."""
    sides = shape("observation", value)
    if len(sides) not in (2, 3):
        raise ConfigError(f"observation = {value!r} must be the shape of one frame, (H, W) or (C, H, W)")
    return sides


def shape(name: str, value: Any) -> tuple[int, ...]:
    """A shape, at most 65,536 along each axis. Raises ConfigError."""
    try:
        sides = tuple(value)
    except TypeError:
        raise ConfigError(f"{name} = {value!r} must be a shape, such as (84, 84)") from None
    return tuple(whole(name, side, 1, 2**16) for side in sides)
