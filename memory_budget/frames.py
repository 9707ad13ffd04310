"""Frames in few bytes, losslessly: lz4, with a key frame as its dictionary.

An Atari frame differs from one a second ago in a few sprites. The rest, and what has only moved, is copied from the key
in a handful of bytes: 7,056 bytes become 200 to 900. (The difference from the key, compressed, is up to 28% longer and
slower to read.) Decoding a frame takes its key and nothing else.

Frames in colour are compressed pixel by pixel, not plane by plane: what moves does so in all planes at once, and 15 to
30% fewer bytes say so. docs/results.md has what was tried beside this.
"""

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


def shaped(pixels: Array, frame: tuple[int, ...], many: tuple[int, ...] = (-1,)) -> Array:
    """Pixels of decoded frames as [*many, *frame]: a view, but of frames in colour a copy."""
    if len(frame) != 3:
        return pixels.reshape(*many, *frame)
    channels, height, width = frame
    return np.ascontiguousarray(np.moveaxis(pixels.reshape(*many, height, width, channels), -1, -3))
