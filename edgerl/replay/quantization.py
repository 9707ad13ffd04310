"""uint8 latents: four times as many as float32, each channel on a scale of its own."""

import numpy as np

from edgerl.types import Array

HEADROOM = 0.25  # of a channel's range, added to it: what the frozen encoder makes of frames it has not seen yet
FEWEST = 100  # rows that scales are laid over; of fewer they would be too narrow, and latents are float16
NARROWEST = 0.1  # of the mean range: what a channel that hardly moved gets


class Scales:
    """value = low + code * step, code 0 to 255, per channel. Values outside become the nearest end of the scale.

    `table`, float32 [2, *shape]: every channel's low and step; where a channel is never negative low is 0, so that a
    ReLU's zeros stay zeros.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.table: Array = np.zeros((2, *shape), np.float32)
        self.table[1] = 1

    def fit(self, latents: Array) -> None:
        """Lay the scales over latents float32 [n, *shape], with headroom."""
        low, high = latents.min(axis=0), latents.max(axis=0)
        span = high - low
        told_apart = 1e-4 * np.maximum(np.abs(low), np.abs(high))  # by float32, a 256th of it too
        span = np.maximum(span, np.maximum(told_apart, max(NARROWEST * float(span.mean()), 1e-30)).astype(np.float32))
        room = HEADROOM * span
        self.table[0] = np.where(low >= 0, 0, low - room)
        self.table[1] = (np.maximum(high, low + span) + room - self.table[0]) / 255

    def move(self, place: Array) -> None:
        """Have the table in `place`, uint8 [table.nbytes], from now on."""
        table = place.view(np.float32).reshape(self.table.shape)
        table[:] = self.table
        self.table = table

    def encode(self, latents: Array) -> Array:
        """Codes uint8 [..., *shape] of latents; off by at most half a step within the scale."""
        found = latents - self.table[0]
        found /= self.table[1]
        np.rint(found, out=found)
        codes: Array = np.clip(found, 0, 255, out=found).astype(np.uint8)
        return codes

    def decode(self, codes: Array) -> Array:
        """float32 latents of codes."""
        found: Array = codes * self.table[1]
        found += self.table[0]
        return found
