"""uint8 latents, a quarter of the bytes of float32: every channel has a scale of its own."""

import numpy as np

from edgerl.types import Array

HEADROOM = 0.25  # part of a channel's range that is added to it, for the latents of frames yet to be seen
MIN_ROWS_FOR_UINT8 = 100  # scales of fewer rows would be too narrow; latents are then float16
MIN_RANGE = 0.1  # part of the mean range that a channel gets at least, even if it hardly moved


class Scales:
    """value = low + code * step, code 0 to 255, per channel. Values outside become the nearest end of the scale.

    `table`, float32 [2, *shape]: every channel's low and step. Low is 0 if a channel is never negative, so that a
    ReLU's zeros stay zeros.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.table: Array = np.zeros((2, *shape), np.float32)
        self.table[1] = 1

    def fit(self, latents: Array) -> None:
        """Set the scales to the range of latents, float32 [n, *shape], with headroom."""
        low, high = latents.min(axis=0), latents.max(axis=0)
        span = high - low
        resolvable = 1e-4 * np.maximum(np.abs(low), np.abs(high))  # float32 still resolves a 256th of it
        span = np.maximum(span, np.maximum(resolvable, max(MIN_RANGE * float(span.mean()), 1e-30)).astype(np.float32))
        room = HEADROOM * span
        self.table[0] = np.where(low >= 0, 0, low - room)
        self.table[1] = (np.maximum(high, low + span) + room - self.table[0]) / 255

    def move(self, place: Array) -> None:
        """Keep the table in `place`, uint8 [table.nbytes], from now on."""
        table = place.view(np.float32).reshape(self.table.shape)
        table[:] = self.table
        self.table = table

    def encode(self, latents: Array) -> Array:
        """Codes uint8 [..., *shape] of latents; off by at most half a step within the scale."""
        steps = latents - self.table[0]
        steps /= self.table[1]
        np.rint(steps, out=steps)
        codes: Array = np.clip(steps, 0, 255, out=steps).astype(np.uint8)
        return codes

    def decode(self, codes: Array) -> Array:
        """The float32 latents of codes."""
        latents: Array = codes * self.table[1]
        latents += self.table[0]
        return latents
