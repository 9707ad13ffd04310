"""Crops of stacked frames: all frames of a window have the same offsets, every window has its own."""

import numpy as np

from edgerl.types import Array


def centre(windows: Array, side: int) -> Array:
    """The middle of windows [..., H, W] as a view [..., side, side]; the windows themselves if `side` is 0."""
    if not side:
        return windows
    top, left = ((length - side) // 2 for length in windows.shape[-2:])
    return windows[..., top : top + side, left : left + side]


def draw(windows: Array, side: int, rng: np.random.Generator) -> Array:
    """Offsets [B, 2] (top, left) of crops, uniform over all places that fit in windows [B, C, H, W]."""
    return rng.integers(0, np.array(windows.shape[-2:]) - side + 1, (len(windows), 2))


def crop(windows: Array, offsets: Array, side: int) -> Array:
    """Windows [B, C, H, W] cut at `offsets` [B, 2] to [B, C, side, side], a copy."""
    crops = np.empty((*windows.shape[:2], side, side), windows.dtype)
    for into, window, (top, left) in zip(crops, windows, offsets.tolist(), strict=True):
        into[:] = window[:, top : top + side, left : left + side]
    return crops
