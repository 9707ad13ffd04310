"""Gray screens made smaller, bit for bit as OpenCV does it. OpenCV itself would take 17 MB of a board's memory."""

import numpy as np

from edgerl.types import Array

BITS = 11  # of a share, a fixed-point number


class Shrink:
    """Makes screens uint8 `shape` smaller, to `side` x `side`, by linear interpolation (cv2.INTER_LINEAR).

    The arithmetic is OpenCV's for bytes: shares of 11 bits; of a row's sums the lowest 4 bits are dropped, of their
    products with the rows' shares 16, and the sum of two rows is rounded by the last 2.
    """

    def __init__(self, shape: tuple[int, int], side: int) -> None:
        above, below, of_above, of_below = _neighbours(shape[0], side)
        self._left, self._right, self._of_left, self._of_right = _neighbours(shape[1], side)
        self._rows, self._of_rows = np.concatenate([above, below]), np.concatenate([of_above, of_below])[:, None]
        self._side = side
        self._chosen = np.empty((2 * side, shape[1]), np.uint8)
        self._pixels = np.empty((2 * side, side), np.uint8)
        self._sums, self._parts = np.empty((2, 2 * side, side), np.int32)

    def __call__(self, screen: Array, into: Array) -> None:
        """Write the smaller screen into `into`, uint8 [side, side]."""
        sums = self._sums
        screen.take(self._rows, axis=0, out=self._chosen, mode="clip")  # clip: straight into `out`
        self._chosen.take(self._left, axis=1, out=self._pixels, mode="clip")
        np.multiply(self._pixels, self._of_left, out=sums)
        self._chosen.take(self._right, axis=1, out=self._pixels, mode="clip")
        np.multiply(self._pixels, self._of_right, out=self._parts)
        sums += self._parts
        sums >>= 4
        sums *= self._of_rows
        sums >>= 2 * BITS - 6
        upper = sums[: self._side]
        upper += sums[self._side :]
        upper += 2
        upper >>= 2
        into[:] = upper


def _neighbours(length: int, side: int) -> tuple[Array, Array, Array, Array]:
    """For each of `side` places the two pixels of `length` that it lies between, and their shares in 2**-BITS."""
    places = ((np.arange(side) + 0.5) * (length / side) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.intp)
    share = places - first.astype(np.float32)
    share[(first < 0) | (first >= length - 1)] = 0
    first = np.clip(first, 0, length - 1)
    shares = [np.rint(part * np.float32(2**BITS)).astype(np.int32) for part in (1 - share, share)]
    return first, np.minimum(first + 1, length - 1), *shares
