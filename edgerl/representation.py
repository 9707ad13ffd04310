"""What one stored step is: the pixels of a frame, or the latent of a whole window.

A representation says which field a row has, what acting on a window stores, and how stored rows become observations.
Left of the paper's cut nothing is trained, so `Latents` runs it once a step; `Pixels` is the cut at the input. Where a
latent would be larger than a frame, `Encoded` keeps the frames and runs the stem on what is sampled.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from edgerl.types import Array

Field = tuple[str, Any, tuple[int, ...]]
Encode = Callable[[Array], Array]  # windows [B, history, H, W] to latents [B, ...]


def pixel_field(frame: tuple[int, ...]) -> Field:
    """One uint8 frame [H, W]."""
    return ("obs", np.uint8, frame)


def latent_field(shape: tuple[int, ...]) -> Field:
    """One float32 latent, the paper's 4 L bytes."""
    return ("obs", np.float32, shape)


def nbytes(field: Field) -> int:
    """Bytes of one row's field."""
    return np.dtype(field[1:]).itemsize


class Representation(Protocol):
    """`stores`: pixels or latents, in the row field "obs", `field`; `history` successive rows make one observation."""

    stores: str
    field: Field
    history: int

    def observe(self, window: Array) -> tuple[Array, Array]:
        """From an environment's window: the observation to act on, and what the row stores."""

    def read(self, stored: Array, slots: Array, present: Array) -> Array:
        """Observations [B, ...] from `stored` [rows, ...] at slots [B, history]; those not `present` are blank."""

    def convert(self, windows: Array) -> Array:
        """What rows store for windows [B, history, H, W]."""


class Pixels:
    """uint8 frames [H, W], one a row; windows are put together when read, zeros before an episode's start."""

    stores = "pixels"

    def __init__(self, frame: tuple[int, ...], history: int) -> None:
        self.field = pixel_field(frame)
        self.history = history

    def observe(self, window: Array) -> tuple[Array, Array]:
        return window, window[-1].copy()  # the environment writes over its window

    def read(self, stored: Array, slots: Array, present: Array) -> Array:
        frames = stored[slots]
        if not present.all():
            frames[~present] = 0
        return frames

    def convert(self, windows: Array) -> Array:
        return windows[:, -1]


class Encoded(Pixels):
    """Pixels as they are stored, latents as they are read: `encode`, the frozen stem, runs on every batch."""

    def __init__(self, pixels: Representation, encode: Encode) -> None:
        self.field, self.history, self.encode = pixels.field, pixels.history, encode

    def observe(self, window: Array) -> tuple[Array, Array]:
        return self.encode(window[None])[0], super().observe(window)[1]

    def read(self, stored: Array, slots: Array, present: Array) -> Array:
        return self.encode(super().read(stored, slots, present))


class Latents:
    """float32 latents [L] of whole windows, one a row (paper section 4: z = f(o)); `encode` is the frozen stem."""

    stores = "latents"

    def __init__(self, encode: Encode, shape: tuple[int, ...]) -> None:
        self.field = latent_field(shape)
        self.history = 1
        self.encode = encode

    def observe(self, window: Array) -> tuple[Array, Array]:
        latent = self.encode(window[None])[0]
        return latent, latent

    def read(self, stored: Array, slots: Array, present: Array) -> Array:
        return stored[slots[:, -1]]

    def convert(self, windows: Array) -> Array:
        return self.encode(windows)
