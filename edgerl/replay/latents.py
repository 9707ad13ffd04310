"""Rows after a freeze: latents of whole windows, or frames that the frozen stem encodes when they are read."""

from collections.abc import Iterable

import numpy as np

from edgerl.replay import crops
from edgerl.replay.quantization import Scales
from edgerl.replay.representation import Encode, Pixels
from edgerl.types import Array
from memory_budget.rows import Field, Stored

FLOAT16_MAX = float(np.finfo(np.float16).max)


def latent_field(shape: tuple[int, ...], dtype: str = "float32") -> Field:
    """The field of one latent; float32 takes the paper's 4 L bytes."""
    return ("obs", np.dtype(dtype).type, shape)


class Stem:
    """The frozen stem, and the augmentation before it. `encode`: from windows as the agent was trained on them.

    `views`: how many random crops of a window are stored, drawn from `rng`; 0: the latent acted on is the one stored.
    """

    def __init__(
        self, encode: Encode, shape: tuple[int, ...], pixels: Pixels, *, views: int = 0, rng: np.random.Generator
    ) -> None:
        self.encode, self.shape, self.pixels, self.views, self.rng = encode, shape, pixels, views, rng

    def see(self, window: Array) -> Array:
        """The latent of one window [history, *frame], to act on."""
        latent: Array = self.see_all(window[None])[0]
        return latent

    def see_all(self, windows: Array) -> Array:
        """The latents [B, ...] of windows [B, history, *frame], to act on."""
        return self.encode(np.ascontiguousarray(self.pixels.see_all(windows)))

    def observe(self, window: Array) -> tuple[Array, Array]:
        """The latent to act on, and the latents to store [views, ...], from one call of the stem."""
        if not self.views:
            latent = self.see(window)
            return latent, latent
        whole = self.pixels.window(window)[None]
        latents = self.encode(np.concatenate([self.pixels.seen(whole), self._views(whole)]))
        return latents[0], latents[1:]

    def observe_all(self, windows: Array) -> tuple[Array, Array]:
        """The latents to act on [B, ...], and those to store, [B, views, ...], of windows [B, history, *frame]."""
        if not self.views:
            latents = self.see_all(windows)
            return latents, latents
        count, whole = len(windows), windows.reshape(len(windows), *self.pixels.whole)
        latents = self.encode(np.concatenate([self.pixels.seen(whole), self._views(whole)]))
        return latents[:count], latents[count:].reshape(count, self.views, *self.shape)

    def keep(self, windows: Array) -> Array:
        """The latents to store of windows [B, history C, H, W]: [B, views, ...], or [B, ...] if `views` is 0."""
        if not self.views:
            return self.encode(np.ascontiguousarray(self.pixels.seen(windows)))
        return self.encode(self._views(windows)).reshape(len(windows), self.views, *self.shape)

    def _views(self, windows: Array) -> Array:
        repeated = np.repeat(windows, self.views, axis=0)
        return crops.crop(repeated, crops.draw(repeated, self.pixels.crop, self.rng), self.pixels.crop)


class Encoded:
    """Pixels are stored, latents are read: the stem runs on one view of every window of a batch."""

    stores, views = "pixels", 1
    scales: Scales | None = None

    def __init__(self, stem: Stem) -> None:
        self.stem, self.pixels, self.codec = stem, stem.pixels, stem.pixels.codec
        self.field, self.history = self.pixels.field, self.pixels.history

    def see(self, window: Array) -> Array:
        return self.stem.see(window)

    def see_all(self, windows: Array) -> Array:
        return self.stem.see_all(windows)

    def observe(self, window: Array) -> tuple[Array, Array]:
        return self.see(window), self.pixels.observe(window)[1]

    def observe_all(self, windows: Array) -> tuple[Array, Array]:
        return self.see_all(windows), self.pixels.observe_all(windows)[1]

    def read(self, stored: Stored, slots: Array, present: Array) -> Array:
        latents = self.stem.keep(self.pixels.read(stored, slots, present))
        return latents[:, 0] if self.stem.views else latents

    def convert(self, windows: Array) -> Array:
        return self.pixels.convert(windows)


class Latents:
    """Latents of whole windows, one row a step (paper section 4: z = f(o)); K a row if `stem.views` is K.

    A batch reads one of the K at random; acting uses the centre crop's latent, which is not stored. `codec`: the dtype
    they are stored as. float16 clips values beyond 65,504; uint8 has `Scales`.
    """

    stores, history = "latents", 1

    def __init__(self, stem: Stem, codec: str = "float32") -> None:
        self.stem, self.views, self.codec = stem, max(1, stem.views), codec
        self.field = latent_field((stem.views, *stem.shape) if stem.views else stem.shape, codec)
        self.scales = Scales(stem.shape) if codec == "uint8" else None

    def fit(self, blocks: Iterable[Array]) -> None:
        """Set the scales of uint8 to the latents of windows, given in blocks [b, history C, H, W]."""
        assert self.scales is not None  # noqa: S101
        stem = self.stem
        latents = [stem.encode(np.ascontiguousarray(stem.pixels.seen(windows))) for windows in blocks]
        self.scales.fit(np.concatenate(latents))

    def see(self, window: Array) -> Array:
        return self.stem.see(window)

    def see_all(self, windows: Array) -> Array:
        return self.stem.see_all(windows)

    def observe(self, window: Array) -> tuple[Array, Array]:
        latent, kept = self.stem.observe(window)
        return latent, self._stored(kept)

    def observe_all(self, windows: Array) -> tuple[Array, Array]:
        latents, kept = self.stem.observe_all(windows)
        return latents, self._stored(kept)

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
            return np.clip(latents, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16)
        return latents

    def _floats(self, stored: Array) -> Array:
        return stored.astype(np.float32, copy=False) if self.scales is None else self.scales.decode(stored)
