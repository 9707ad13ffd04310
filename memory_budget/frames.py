"""Frames in few bytes, losslessly: lz4, with a key frame as its dictionary.

An Atari frame differs from one a second ago in a few sprites; the rest is copied from the key in a handful of bytes,
and so is what has only moved: 200 to 900 bytes of 7,056. (The difference from the key, compressed, is up to 28% longer
and slower to read.) Every frame needs its key and nothing else to be read.
"""

from typing import TypeVar

import lz4.block

LEVEL = 4  # of lz4's slower mode, which reads as fast: its quick one does not look far enough back to find the key


def encode(frame: bytes, key: bytes | None) -> bytes:
    """`frame` compressed, by itself or beside its key frame; may come out longer than it was."""
    found: bytes = lz4.block.compress(
        frame, mode="high_compression", compression=LEVEL, store_size=False, dict=key or b""
    )
    return found


Buffer = TypeVar("Buffer", bytes, memoryview)


def decode(payload: Buffer, key: bytes | None, nbytes: int) -> Buffer | bytes:
    """The frame of `nbytes` that `encode` made `payload` of, given the same key; one as long is the frame itself."""
    if len(payload) == nbytes:
        return payload
    found: bytes = lz4.block.decompress(payload, nbytes, dict=key or b"")
    return found


def smallest(nbytes: int) -> int:
    """A payload of a frame of so many bytes is never shorter: lz4 spends a byte on 255 equal ones."""
    return nbytes // 255 + 1
