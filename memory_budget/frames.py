"""Frames in few bytes, losslessly: lz4, with a key frame as its dictionary.

An Atari frame differs from one a second ago in a few sprites. The rest, and what has only moved, is copied from the key
in a handful of bytes: 7,056 bytes become 200 to 900. (The difference from the key, compressed, is up to 28% longer and
slower to read.) Decoding a frame takes its key and nothing else.

Frames in colour are compressed pixel by pixel, not plane by plane: what moves does so in all planes at once, and 15 to
30% fewer bytes say so. docs/results.md has what was tried beside this.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import lz4.block
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LEVEL = 4  # of lz4's slower mode, which decodes as fast; the fast mode does not look far enough back to find the key


def encode(frame: bytes, key: bytes | None) -> bytes:
    """`frame` compressed, alone or with its key frame; the payload may be longer than the frame."""
    payload: bytes = lz4.block.compress(
        frame, mode="high_compression", compression=LEVEL, store_size=False, dict=key or b""
    )
    return payload


Buffer = TypeVar("Buffer", bytes, memoryview)


def decode(payload: Buffer, key: bytes | None, nbytes: int) -> Buffer | bytes:
    """Decode a payload with its key; a payload of `nbytes` bytes is a raw frame."""
    if len(payload) == nbytes:
        return payload
    frame: bytes = lz4.block.decompress(payload, nbytes, dict=key or b"")
    return frame


def shortest_payload(nbytes: int) -> int:
    """Bytes of the shortest payload of a frame of `nbytes` bytes: lz4 spends one byte on 255 equal ones."""
    return nbytes // 255 + 1


def pixel_by_pixel(frame: Array) -> Array:
    """A frame in the order in which it is compressed: [C, H, W] as [H, W, C], others as they are; a view."""
    return np.moveaxis(frame, 0, -1) if frame.ndim == 3 else frame


def unpack(pixels: Buffer | bytes, into: Array) -> None:
    """Copy a decoded frame into `into`, uint8 [C, H, W] or any other shape."""
    planes = into.reshape(len(into) if into.ndim == 3 else 1, -1)
    planes[:] = np.frombuffer(pixels, np.uint8).reshape(-1, len(planes)).T


def unpack_all(decoded: Iterable[Buffer | bytes], first: Array, again: Array, frame: tuple[int, ...]) -> Array:
    """A batch of N frames, some of them repeated: uint8 [N, *frame] if they are in colour, else flat.

    `decoded`: its D distinct frames; `first` [D]: the place in the batch where each stands first; `again` [N]: which of
    them stands at a place; `frame`: the shape of one.
    """
    if len(frame) != 3:
        distinct = list(decoded)
        return np.frombuffer(bytearray().join([distinct[n] for n in again.tolist()]), np.uint8)
    copies = np.empty((len(again), *frame), np.uint8)
    for pixels, place in zip(decoded, first.tolist(), strict=True):  # while the frame is in the processor's cache
        unpack(pixels, copies[place])
    source = first[again]
    repeated = np.flatnonzero(source != np.arange(len(source)))
    for place, origin in zip(repeated.tolist(), source[repeated].tolist(), strict=True):
        copies[place] = copies[origin]
    return copies
