"""Pictures of Gymnasium environments, read as their space declares them, or as `render` must give them."""

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from edgerl.types import Array

LEAST = 8  # height and width in pixels; smaller arrays are boards of symbols
ROUNDING = 1e-5  # that floats may pass 0 and 1 by: far less than a shade
ALLOWED = (
    "a picture is uint8 from 0 to 255 or float from 0 to 1, [H, W], [H, W, 1], [H, W, 3], [H, W, 4] or channels first "
    f"([1, H, W], [3, H, W]), of {LEAST}x{LEAST} pixels or more"
)


class PictureError(ValueError):
    """What is no picture, or contradicts its declared space; the message is one line. `what`: it, in words."""

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(message)
        self.what = what


class Picture(NamedTuple):
    """A picture as its space declares it: shape, dtype, and whether the channels come first."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    channels_first: bool = False

    def read(self, seen: Any) -> Array:
        """An observation as uint8 [H, W, 3]: gray three times, floats times 255, alpha dropped.

        Raises PictureError if it is not what the space declares.
        """
        pixels = np.asarray(seen)
        floats = np.issubdtype(self.dtype, np.floating)
        same_kind = np.issubdtype(pixels.dtype, np.floating) if floats else pixels.dtype == self.dtype
        if pixels.shape != self.shape or not same_kind:
            raise PictureError(f"it observes {described(seen)}, but its space declares {self.dtype} {list(self.shape)}")
        if floats:
            low, high = float(pixels.min()), float(pixels.max())
            if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN too
                raise PictureError(f"it observes values from {low:g} to {high:g}, but its space declares 0 to 1")
            pixels = np.rint(pixels * 255).astype(np.uint8)
        if self.channels_first:
            pixels = pixels.transpose(1, 2, 0)
        return coloured(pixels)


def coloured(pixels: Array) -> Array:
    """uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] as [H, W, 3], contiguous."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return np.ascontiguousarray(np.broadcast_to(pixels[:, :, :3], (*pixels.shape[:2], 3)))


def picture_of(space: Any) -> Picture:
    """How to read observations of this space. Raises PictureError, saying why, if it declares no picture."""
    if not isinstance(space, spaces.Box):
        raise _none(f"a {type(space).__name__}")
    if space.dtype == np.uint8:
        highest = 255
    elif np.issubdtype(space.dtype, np.floating):
        highest = 1
    else:
        raise _none(_declared(space))
    if space.low.size == 0 or (space.low != 0).any() or (space.high != highest).any():
        raise _none(_declared(space))
    shape = space.shape
    sizes = {"last": shape[:2], "first": shape[1:]}
    large = {place: len(size) == 2 and min(size) >= LEAST for place, size in sizes.items()}
    if large["last"] and (len(shape) == 2 or shape[2:] in ((1,), (3,), (4,))):
        return Picture(shape, space.dtype)
    if large["first"] and shape[0] in (1, 3) and len(shape) == 3:
        return Picture(shape, space.dtype, channels_first=True)
    stack = ", perhaps a stack of frames, which is for edgerl to make" if large["first"] and len(shape) == 3 else ""
    raise _none(f"{_declared(space)}{stack}")


def _none(what: str) -> PictureError:
    return PictureError(f"it is {what}; {ALLOWED}", what)


def older_picture_of(space: Any) -> Picture | None:
    """A picture as runs of before `--observation` saw one: uint8 [H, W], [H, W, 1] or [H, W, 3], or none."""
    shape: tuple[int, ...] = getattr(space, "shape", None) or ()
    picture = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))
    fits = isinstance(space, spaces.Box) and space.dtype == np.uint8 and picture
    return Picture(shape, np.dtype(np.uint8)) if fits else None


def rendered(frame: Any) -> Array:
    """What `render` gave, uint8 [H, W, 3], contiguous. Raises PictureError if it gave anything else."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        hint = "; render_mode is rgb_array, not rgb_array_list" if isinstance(frame, list) else ""
        hint = hint or ("; convert it in the environment" if isinstance(frame, np.ndarray) else "")
        raise PictureError(f"its render() gives {described(frame)}; it must give uint8 [H, W, 3], 0 to 255{hint}")
    if min(frame.shape[:2]) < LEAST:
        raise PictureError(f"its render() gives {described(frame)}; a picture has {LEAST}x{LEAST} pixels or more")
    return np.ascontiguousarray(frame)


def described(value: Any) -> str:
    """A value in words: dtype and shape of an array, else its type."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}"


def _declared(space: Any) -> str:
    """A Box in words: dtype, shape and range."""
    if space.low.size == 0:
        return f"{space.dtype} {list(space.shape)}"
    return f"{space.dtype} {list(space.shape)} from {space.low.min():g} to {space.high.max():g}"
