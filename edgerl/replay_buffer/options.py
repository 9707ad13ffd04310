"""What a buffer may be asked for: each refusal is one line that names the option."""

from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from edgerl.errors import ConfigError
from edgerl.replay_buffer.stacks import PADDINGS
from edgerl.types import Array
from memory_budget import parse_bytes

CODECS = ("lz4", "raw")
MOST = 2**31 - 1
LARGEST_FLOAT = float(np.finfo(np.float32).max)
LARGEST_LOSS, ROUNDING = 1e30, 1e-6  # sums of larger ones overflow; a loss of 0 may come out a little below it


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


def flag(name: str, value: Any) -> bool:
    """A truth value: True or False, NumPy's, or 0 or 1. Raises ConfigError."""
    array = numbers(value)
    if array is None or array.size != 1 or array.item() not in (0, 1):
        raise ConfigError(f"{name} = {value!r} must be True or False")
    return bool(array.item())


def reward(value: Any) -> float:
    """A finite reward, as a float32 holds it. Raises ConfigError."""
    array = numbers(value)
    if array is None or array.size != 1 or not abs(array.item()) <= LARGEST_FLOAT:
        raise ConfigError(f"reward = {value!r} must be one finite number, at most {LARGEST_FLOAT:.2g} either way")
    return float(array.item())


def vector(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """Finite float32 numbers of this shape. Raises ConfigError."""
    array = numbers(value)
    if array is None or array.shape != shape:
        what = "no numbers" if array is None else str(list(array.shape))
        raise ConfigError(f"{name} must be numbers of the shape {list(shape)}, not {what}")
    if not (np.abs(array.astype(np.float64)) <= LARGEST_FLOAT).all():
        raise ConfigError(f"{name} must be finite, at most {LARGEST_FLOAT:.2g} either way")
    return array.astype(np.float32)


def losses(value: Any) -> Array:
    """Losses of a batch, float64. Raises ConfigError for what would spoil the sums of priorities."""
    array = numbers(value)
    if array is None:
        raise ConfigError("losses must be numbers [B]")
    array = array.astype(np.float64)
    if not ((array >= -ROUNDING) & (array <= LARGEST_LOSS)).all():
        raise ConfigError(f"losses must be from 0 to {LARGEST_LOSS:g}; of TD errors give the absolute values")
    return array


def numbers(value: Any) -> Array | None:
    """An array of booleans, whole numbers or floats; None if it is none."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):  # lists of different lengths, an array on an accelerator
        return None
    return array if array.dtype.kind in "biuf" else None


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
