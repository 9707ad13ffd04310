"""Rows behind the freeze: latents of whole windows, or frames that the frozen stem encodes when they are read."""

from collections.abc import Iterable

import numpy as np

from edgerl.replay import crops
from edgerl.replay.quantization import Scales
from edgerl.replay.representation import Encode, Field, Pixels
from edgerl.types import Array
from memory_budget.rows import Stored

HALF_MOST = float(np.finfo(np.float16).max)


def latent_field(shape: tuple[int, ...], dtype: str = "float32") -> Field:
    """One latent; float32 takes the paper's 4 L bytes."""
    return ("obs", np.dtype(dtype).type, shape)


class Stem:
    """The frozen stem with the augmentation before it: `encode` takes windows as the agent was trained on them.

    `views`: random crops of a window that are kept, drawn from `rng`; 0: what is seen to act is what is kept.
    """

    def __init__(
        self, encode: Encode, shape: tuple[int, ...], pixels: Pixels, *, views: int = 0, rng: np.random.Generator
    ) -> None:
        self.encode, self.shape, self.pixels, self.views, self.rng = encode, shape, pixels, views, rng

    def see(self, window: Array) -> Array:
        """Of one window [history, *frame] the latent to act on."""
        latent: Array = self.encode(np.ascontiguousarray(self.pixels.see(window)[None]))[0]
        return latent

    def observe(self, window: Array) -> tuple[Array, Array]:
        """The same, and the latents to keep [views, ...], in one call."""
        if not self.views:
            latent = self.see(window)
            return latent, latent
        whole = self.pixels.window(window)[None]
        latents = self.encode(np.concatenate([self.pixels.seen(whole), self._views(whole)]))
        return latents[0], latents[1:]

    def keep(self, windows: Array) -> Array:
        """The latents to keep of windows [B, history C, H, W]: [B, views, ...], or [B, ...] where none is random."""
        if not self.views:
            return self.encode(np.ascontiguousarray(self.pixels.seen(windows)))
        return self.encode(self._views(windows)).reshape(len(windows), self.views, *self.shape)

    def _views(self, windows: Array) -> Array:
        repeated = np.repeat(windows, self.views, axis=0)
        return crops.crop(repeated, crops.draw(repeated, self.pixels.crop, self.rng), self.pixels.crop)


class Encoded:
    """Pixels as they are stored, latents as they are read: the stem runs on one view of every window of a batch."""

    stores, views = "pixels", 1
    scales: Scales | None = None

    def __init__(self, stem: Stem) -> None:
        self.stem, self.pixels, self.codec = stem, stem.pixels, stem.pixels.codec
        self.field, self.history = self.pixels.field, self.pixels.history

    def see(self, window: Array) -> Array:
        return self.stem.see(window)

    def observe(self, window: Array) -> tuple[Array, Array]:
        return self.see(window), self.pixels.observe(window)[1]

    def read(self, stored: Stored, slots: Array, present: Array) -> Array:
        latents = self.stem.keep(self.pixels.read(stored, slots, present))
        return latents[:, 0] if self.stem.views else latents

    def convert(self, windows: Array) -> Array:
        return self.pixels.convert(windows)


class Latents:
    """Latents of whole windows, one row a step (paper section 4: z = f(o)), K of them where `stem.views` is K.

    One of the K, at random, is what a batch reads; the latent acted on is another, of the centre. `codec`: the dtype
    they are stored as; float16 holds values to 65,504, further ones become that; uint8 is on `Scales`.
    """

    stores, history = "latents", 1

    def __init__(self, stem: Stem, codec: str = "float32") -> None:
        self.stem, self.views, self.codec = stem, max(1, stem.views), codec
        self.field = latent_field((stem.views, *stem.shape) if stem.views else stem.shape, codec)
        self.scales = Scales(stem.shape) if codec == "uint8" else None

    def fit(self, blocks: Iterable[Array]) -> None:
        """Lay the scales of uint8 over the latents of windows, in blocks [b, history C, H, W]."""
        assert self.scales is not None  # noqa: S101
        stem = self.stem
        self.scales.fit(np.concatenate([stem.encode(np.ascontiguousarray(stem.pixels.seen(each))) for each in blocks]))

    def see(self, window: Array) -> Array:
        return self.stem.see(window)

    def observe(self, window: Array) -> tuple[Array, Array]:
        latent, kept = self.stem.observe(window)
        return latent, self._stored(kept)

    def read(self, stored: Stored, slots: Array, present: Array) -> Array:
        rows = slots[:, -1]
        if not self.stem.views:
            return self._floats(stored[rows])
        return self._floats(stored[rows, self.stem.rng.integers(self.views, size=len(rows))])

    def convert(self, windows: Array) -> Array:
        return self._stored(self.stem.keep(windows))

    def _stored(self, latents: Array) -> Array:
        if self.scales is not None:
            return self.scales.encode(latents)
        if self.codec == "float16":
            return np.clip(latents, -HALF_MOST, HALF_MOST).astype(np.float16)
        return latents

    def _floats(self, stored: Array) -> Array:
        return stored.astype(np.float32, copy=False) if self.scales is None else self.scales.decode(stored)
