"""Plays a policy that `edgerl export` wrote. It needs NumPy and ONNX Runtime alone.

    player = Player("policy.onnx")
    action = player.act(frame)

A frame is what a camera or a simulator shows: uint8, gray [H, W] or RGB [H, W, 3], of any size. The player makes of it
what the agent was trained on, bit for bit: gray, smaller, stacked, cropped.
"""

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerl_run.policy_file import PolicyError, check_action, check_environment, check_window, entry, one_line, opened

__version__ = "0.2.0"  # the one place: both distributions, edgerl and edgerl-run, read it here
__all__ = ["FrameError", "Player", "PolicyError", "gray", "resize"]

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]
Size = tuple[int, int]  # height, width

SHARE_BITS, GRAY_BITS = 11, 15  # of OpenCV's fixed-point numbers
GRAY = np.array([9798, 19235, 3735], np.int32)  # of red, green and blue: 0.299, 0.587 and 0.114 in 2**-GRAY_BITS
CHANNELS = {"gray": 1, "rgb": 3}
LARGEST = 4096  # pixels of a side, and frames of a window
RESIZES = {"linear": "linear", "area": "area", "none": "area"}  # by the word for how training did it
REPEATS_FIRST = {"zeros": False, "first": True}


class FrameError(ValueError):
    """A frame or a window of the wrong kind; the message is one line that says which kind is needed."""


@dataclass(frozen=True)
class Sight:
    """What a policy sees: `frames` pictures in a window, each in `channels` channels.

    `stored`: a picture's size before the centre crop, `size`: after it; `by`: how it is resized, `linear` or `area`;
    `repeats_first`: whether an episode's first frame stands for those before it, or zeros.
    """

    frames: int
    channels: int
    stored: Size
    size: Size
    by: str
    repeats_first: bool

    @property
    def window(self) -> tuple[int, int, int]:
        """The shape of a window as the policy takes it."""
        return (self.frames * self.channels, *self.size)

    @property
    def stored_window(self) -> tuple[int, ...]:
        """The shape of a window as edgerl's environments give it, before the centre crop."""
        return (self.frames, *((self.channels,) if self.channels > 1 else ()), *self.stored)

    def picture(self, frame: Any) -> Array:
        """A raw frame as the policy sees it, uint8 [channels, *size]. Raises FrameError."""
        picture = np.asarray(frame)
        is_picture = picture.ndim in (2, 3) and picture.shape[2:] in ((), (3,)) and picture.size
        if picture.dtype != np.uint8 or not is_picture:
            raise FrameError(f"a frame is uint8 [H, W] or [H, W, 3], not {picture.dtype} {list(picture.shape)}")
        if self.channels == 1:
            picture = (gray(picture) if picture.ndim == 3 else picture)[:, :, None]
        elif picture.ndim == 2:
            picture = np.repeat(picture[:, :, None], self.channels, axis=2)
        return self.centre(resize(picture, self.stored, self.by).transpose(2, 0, 1))

    def centre(self, windows: Array) -> Array:
        """The middle of [..., *stored], a view [..., *size]."""
        top, left = ((whole - part) // 2 for whole, part in zip(self.stored, self.size, strict=True))
        return windows[..., top : top + self.size[0], left : left + self.size[1]]


class Player:
    """A policy with the window that it acts on.

    `about`: the metadata of the file; `values`: of each action at the last act, float32 [actions], None if actions are
    vectors; `log_std`: of each component at the last act, float32 [A], None if they are not. Raises PolicyError for a
    file that is no policy, or one of another format, and for `threads` that are no whole number from 1 to 1024.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path, self._session = path, opened(path, threads)
        self.about = entry(path, self._session)
        self.sight = _sight(path, self.about)
        check_window(path, self._session, self.sight.window)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._window = np.zeros(self.sight.window, np.uint8)
        self._is_first = True
        self.values: Array | None = None
        self.log_std: Array | None = None
        check_action(path, self.about, self._run(self._window).get("action"))
        check_environment(path, self.about)

    def reset(self) -> None:
        """Forget all frames: the next one is the first of an episode."""
        self._is_first = True

    def act(self, frame: Any, before: Any = None) -> Any:
        """The policy's action after one more frame, uint8 [H, W] or [H, W, 3] of any size: a number or float32 [A].

        `before`: the screen shown just before it, where the environment's frames are the brighter of the last two
        (`max_of_last_two`). Frames of a policy that was trained without resizing are resized by areas if their size is
        another. Raises FrameError.
        """
        picture = self.sight.picture(frame)
        if before is not None:
            picture = np.maximum(picture, self.sight.picture(before))
        self._push(picture)
        return self._act_on(self._window)

    def act_on(self, window: Any) -> Any:
        """The policy's action for a window that the caller makes; the player's own stays as it is. Raises FrameError.

        `window`: uint8 [channels, H, W], or [frames, *frame] as edgerl's environments give it; the newest frame last.
        """
        window, sight = np.asarray(window), self.sight
        if window.dtype != np.uint8 or window.shape not in (sight.window, sight.stored_window):
            shapes = " or ".join(str(list(shape)) for shape in dict.fromkeys((sight.window, sight.stored_window)))
            raise FrameError(f"a window is uint8 {shapes}, not {window.dtype} {list(window.shape)}")
        return self._act_on(window if window.shape == sight.window else sight.centre(window).reshape(sight.window))

    def _push(self, picture: Array) -> None:
        """Put a picture [channels, *size] at the window's end."""
        window, newest = self._window, -len(picture)
        if not self._is_first:
            window[:newest] = window[-newest:]
        elif self.sight.repeats_first:
            window.reshape(self.sight.frames, *picture.shape)[:] = picture
        else:
            window[:] = 0
        window[newest:] = picture
        self._is_first = False

    def _act_on(self, window: Array) -> Any:
        outputs = self._run(window)
        self.values, self.log_std = outputs.get("values"), outputs.get("log_std")
        action = outputs["action"]
        return action if action.ndim else int(action)

    def _run(self, window: Array) -> dict[str, Array]:
        """What the policy gives for a window, by name. Raises PolicyError."""
        try:
            computed = self._session.run(self._outputs, {"windows": np.ascontiguousarray(window)[None]})
            return {name: rows[0] for name, rows in zip(self._outputs, computed, strict=True)}
        except Exception as error:  # onnxruntime's errors have no class in common
            raise PolicyError(f"{self._path} cannot be run: {one_line(error)}") from None


def gray(picture: Array) -> Array:
    """RGB pictures uint8 [..., 3] in gray, uint8 [...], bit for bit as OpenCV's COLOR_RGB2GRAY.

    The gray screens of ale-py are the same: no pixel differed in six games, 125 colours in all. Raises FrameError.
    """
    if picture.dtype != np.uint8 or picture.shape[-1:] != (3,):
        raise FrameError(f"a picture in colour is uint8 [..., 3], not {picture.dtype} {list(picture.shape)}")
    sums: Array = picture.astype(np.int32) @ GRAY
    return (sums + (1 << GRAY_BITS - 1) >> GRAY_BITS).astype(np.uint8)


def resize(picture: Array, size: Size, by: str) -> Array:
    """A picture uint8 [H, W, C] in another size, uint8 [*size, C], bit for bit as OpenCV does it.

    `by`: `linear` as INTER_LINEAR, or `area` as INTER_AREA. Area weighs every pixel if height and width both shrink;
    otherwise it goes, as OpenCV does, from one pixel to the next. Raises FrameError.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or not picture.size:
        raise FrameError(f"a picture is uint8 [H, W, C], not {picture.dtype} {list(picture.shape)}")
    if by not in RESIZES.values() or len(size) != 2 or min(size) < 1:
        raise FrameError(f"pictures are resized to a height and a width, by linear or area, not to {size} by {by}")
    before = picture.shape[:2]
    if before == size:
        return picture
    scales = [1 / (new / old) for old, new in zip(before, size, strict=True)]  # as OpenCV rounds them
    if by == "linear" or min(scales) < 1:
        return _between(picture, _neighbours(before, size, by))
    are_whole = all(abs(scale - round(scale)) < np.finfo(np.float64).eps for scale in scales)
    return _blocks(picture, size) if are_whole else _areas(picture, size)


def _blocks(picture: Array, size: Size) -> Array:
    """The means of blocks of whole pixels."""
    height, width = (old // new for old, new in zip(picture.shape, size, strict=False))
    columns = picture.reshape(size[0], height, -1).sum(1, dtype=np.int32)
    sums: Array = columns.reshape(*size, width, -1).sum(2, dtype=np.int32)
    if height == width == 2:  # OpenCV rounds a half up here, and to the even number elsewhere
        return (sums + 2 >> 2).astype(np.uint8)
    means: Array = sums.astype(np.float32) * (np.float32(1) / np.float32(height * width))
    return np.rint(means).astype(np.uint8)


def _areas(picture: Array, size: Size) -> Array:
    """The means of all that a new pixel covers, along rows first: float32 sums in OpenCV's order."""
    height, width, channels = picture.shape
    across: Array = np.zeros((height, size[1] * channels), np.float32)
    for indices, shares in zip(*_covered(width, size[1]), strict=True):
        columns = (indices[:, None] * channels + np.arange(channels)).ravel()
        across += picture.reshape(height, -1).take(columns, axis=1) * shares.repeat(channels)
    down: Array = np.zeros((size[0], size[1] * channels), np.float32)
    for rows, shares in zip(*_covered(height, size[0]), strict=True):
        down += across[rows] * shares[:, None]
    return np.rint(down).astype(np.uint8).reshape(*size, channels)


@lru_cache(maxsize=16)
def _covered(before: int, after: int) -> tuple[Array, Array]:
    """Which of `before` pixels each of `after` covers, and what share of it they are: both [most, after], ends 0."""
    scale, covered = 1 / (after / before), []
    for place in range(after):
        start, end = place * scale, place * scale + scale
        width = min(scale, before - start)
        last = min(math.floor(end), before - 1)
        first = min(math.ceil(start), last)
        pixels = [(first - 1, (first - start) / width)] if first - start > 1e-3 else []
        pixels += [(index, 1 / width) for index in range(first, last)]
        pixels += [(last, min(end - last, 1.0, width) / width)] if end - last > 1e-3 else []
        covered.append(pixels)
    most = max(map(len, covered))
    table = np.array([pixels + [(0, 0.0)] * (most - len(pixels)) for pixels in covered])
    return table[:, :, 0].T.astype(np.intp), table[:, :, 1].T.astype(np.float32)


def _lying(before: int, after: int, by: str) -> tuple[Array, Array]:
    """The pixel that comes before each new one, and the share of the pixel behind it."""
    scale, places = 1 / (after / before), np.arange(after)
    if by == "linear":
        centres = ((places + 0.5) * scale - 0.5).astype(np.float32)
        return np.floor(centres).astype(np.intp), centres - np.floor(centres)
    first = np.floor(places * scale).astype(np.intp)  # by areas two pixels mix only where a new one lies over both
    share = (places + 1 - (first + 1) * (after / before)).astype(np.float32)
    return first, np.where(share <= 0, np.float32(0), share - np.floor(share))


@lru_cache(maxsize=8)
def _neighbours(before: Size, after: Size, by: str) -> tuple[Array, ...]:
    """Of rows, then of columns: the two pixels that each new one lies between, and their shares in 2**-SHARE_BITS."""
    tables: list[Array] = []
    for axis in range(2):
        first, share = _lying(before[axis], after[axis], by)
        last = before[axis] - 1
        if axis:  # OpenCV takes all of a border's pixel in a row; between rows it adds two shares of it
            share = np.where((first < 0) | (first >= last), np.float32(0), share)
        tables += [np.clip(first + step, 0, last) for step in range(2)]
        tables += [np.rint(part * np.float32(1 << SHARE_BITS)).astype(np.int32) for part in (1 - share, share)]
    return tuple(tables)


def _between(picture: Array, tables: tuple[Array, ...]) -> Array:
    """Two pixels of two rows for each new one; of each sum the lowest bits are dropped where OpenCV drops them."""
    above, below, of_above, of_below, left, right, of_left, of_right = tables
    rows = picture[np.concatenate([above, below])]
    sums: Array = rows[:, left] * of_left[:, None]
    sums += rows[:, right] * of_right[:, None]
    sums >>= 4
    sums *= np.concatenate([of_above, of_below])[:, None, None]
    sums >>= 2 * SHARE_BITS - 6
    return (sums[: len(above)] + sums[len(above) :] + 2 >> 2).astype(np.uint8)


def _sight(path: Path, about: dict[str, Any]) -> Sight:
    try:
        frame, window = about["frame"], about["window"]
        stored_height, stored_width = frame["stored"]
        sight = Sight(
            frames=window["frames"],
            channels=CHANNELS[frame["colour"]],
            stored=(stored_height, stored_width),
            size=(frame["height"], frame["width"]),
            by=RESIZES[frame["resize"]],
            repeats_first=REPEATS_FIRST[window["before_first"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PolicyError(f"{path}: its metadata does not say what a window is, at {error}") from None
    sides = (*sight.stored, *sight.size)
    are_counts = all(type(number) is int and 1 <= number <= LARGEST for number in (sight.frames, *sides))
    if not are_counts or any(whole < part for whole, part in zip(sight.stored, sight.size, strict=True)):
        raise PolicyError(f"{path}: its metadata does not say what a window is, at its sizes")
    return sight
