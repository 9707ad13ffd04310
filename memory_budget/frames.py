"""Frames in few bytes, losslessly: lz4, with a key frame as its dictionary.

An Atari frame differs from one a second ago in a few sprites. The rest, and what has only moved, is copied from the key
in a handful of bytes: 7,056 bytes become 200 to 900. (The difference from the key, compressed, is up to 28% longer and
slower to read.) Decoding a frame takes its key and nothing else.
"""

from typing import TypeVar

import lz4.block

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
