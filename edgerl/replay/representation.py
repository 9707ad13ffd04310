"""What one stored step is: the pixels of a frame, or the latent of a whole window.

A representation says which field a row has, what a step stores, and how stored rows become observations. `Pixels`: the
cut is at the input. `Latents`: nothing left of the cut is trained, so the stem runs once a step. `Encoded`, if a latent
is larger than a frame: frames are stored, and the stem runs on sampled windows.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from edgerl.config import architectures
from edgerl.config.replay_settings import ReplayConfig
from edgerl.envs.base import EnvSpec
from edgerl.replay import crops
from edgerl.replay.quantization import Scales
from edgerl.types import Array
from memory_budget.rows import Field, Stored

# How many windows are encoded at a time: ONNX Runtime takes 6.7 MB for 32 stacked Atari frames, 56 MB for 256. And the
# bytes that it may take: a larger encoder gets fewer windows.
CHUNK, CHUNK_BYTES = 32, 12_000_000
Encode = Callable[[Array], Array]  # windows [B, history, H, W] to latents [B, ...], which may stay on an accelerator


def pixel_field(frame: tuple[int, ...]) -> Field:
    """The field of one uint8 frame."""
    return ("obs", np.uint8, frame)


def nbytes(field: Field) -> int:
    """Bytes of one row's field."""
    return np.dtype(field[1:]).itemsize


def chunk(encoder: str, window: tuple[int, ...]) -> int:
    """How many windows of this shape the encoder's stem encodes at a time."""
    return max(1, min(CHUNK, CHUNK_BYTES // architectures.encoding_bytes(encoder, window)))


class Representation(Protocol):
    """`stores`: pixels or latents, in the row field "obs", `field`; `history` successive rows make one observation.

    `codec`: raw or lz4 for pixels, the dtype for latents; `scales`: of uint8 latents; `views`: how many latents are
    made of one row when it is converted.
    """

    stores: str
    codec: str
    scales: Scales | None
    field: Field
    history: int
    views: int

    def see(self, window: Array) -> Array:
        """The observation to act on, from an environment's window [history, *frame]."""

    def see_all(self, windows: Array) -> Array:
        """The observations [B, ...] to act on, from windows [B, history, *frame]."""

    def observe(self, window: Array) -> tuple[Array, Array]:
        """The observation to act on, and what the row stores."""

    def observe_all(self, windows: Array) -> tuple[Array, Array]:
        """The same [B, ...] of the windows [B, history, *frame] of several environments."""

    def read(self, stored: Stored, slots: Array, present: Array) -> Array:
        """Observations [B, ...] from `stored` at slots [B, history]; those not `present` are refilled."""

    def convert(self, windows: Array) -> Array:
        """What rows store for windows [B, history C, H, W]."""


class Pixels:
    """uint8 frames, one a row; windows [history C, H, W] are put together when they are read.

    Missing history is zeros or, with `refill`, the episode's first frame again. Encoders see `crop` x `crop` pixels (0:
    all): acting uses the centre; a batch has whole windows, which the agent crops. `augment`: K, how many random crops'
    latents a row will hold after the freeze; 0: the centre's.
    """

    stores, views = "pixels", 1
    scales: Scales | None = None

    def __init__(
        self,
        frame: tuple[int, ...],
        history: int,
        *,
        refill: bool = False,
        crop: int = 0,
        augment: int = 0,
        codec: str = "raw",
    ) -> None:
        self.codec = codec
        self.field = pixel_field(frame)
        self.history, self.refill, self.crop, self.augment = history, refill, crop, augment
        channels = 1 if len(frame) == 2 else frame[0]
        self.whole = (history * channels, frame[-2], frame[-1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """What encoders see: [history C, side, side]."""
        return (self.whole[0], self.crop or self.whole[1], self.crop or self.whole[2])

    def window(self, window: Array) -> Array:
        """An environment's window as encoders take it, [history C, H, W]."""
        return window.reshape(self.whole)

    def seen(self, windows: Array) -> Array:
        """The part of windows [..., H, W] that encoders see if nothing is random: the centre."""
        return crops.centre(windows, self.crop)

    def see(self, window: Array) -> Array:
        return self.seen(self.window(window))

    def see_all(self, windows: Array) -> Array:
        return self.seen(windows.reshape(len(windows), *self.whole))

    def observe(self, window: Array) -> tuple[Array, Array]:
        return self.see(window), window[-1].copy()  # the environment writes over its window

    def observe_all(self, windows: Array) -> tuple[Array, Array]:
        return self.see_all(windows), windows[:, -1].copy()

    def read(self, stored: Stored, slots: Array, present: Array) -> Array:
        if self.refill:
            first = slots[np.arange(len(slots)), present.argmax(axis=1)]
            slots = np.where(present, slots, first[:, None])
        frames = stored[slots]
        if not self.refill and not present.all():
            frames[~present] = 0
        return frames.reshape(len(slots), *self.whole)

    def convert(self, windows: Array) -> Array:
        newest: Array = windows.reshape(len(windows), self.history, *self.field[2])[:, -1]
        return newest


def pixels(spec: EnvSpec, config: ReplayConfig) -> Pixels:
    """How an environment's frames are stored under these settings."""
    augment = config.augmentations if config.random_crop else 0
    return Pixels(
        spec.frame, spec.history, refill=spec.refill, crop=config.crop, augment=augment, codec=config.pixel_codec
    )
