"""Frames in few bytes, losslessly: lz4 of a key frame, or of what differs from it.

An Atari frame differs from one a second ago in a few sprites; XOR leaves zeros elsewhere, of which lz4 makes
200 to 1,400 bytes of 7,056. Every frame needs its key and nothing else to be read.
"""

import lz4.block
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
LEVEL = 4  # of lz4's slower mode, which reads as fast: 15% smaller than its quick one for 50 us a frame of Atari


def encode(frame: Frame, key: Frame | None) -> bytes:
    """`frame`, uint8 [n], or its difference from `key`, compressed; may be longer than the frame."""
    if key is not None:
        frame = np.bitwise_xor(frame, key)
    found: bytes = lz4.block.compress(frame, mode="high_compression", compression=LEVEL, store_size=False)
    return found


def plain(frame: Frame) -> bytes:
    """`frame` as it is: the payload of one that does not compress."""
    return frame.tobytes()


def decode(payload: memoryview | bytes, key: Frame | None, out: Frame) -> Frame:
    """Read what `encode`, given the same key, or `plain` made of a frame into `out`, uint8 [n], and return that."""
    if len(payload) == len(out):
        out[:] = np.frombuffer(payload, np.uint8)
        return out
    found = np.frombuffer(lz4.block.decompress(payload, uncompressed_size=len(out)), np.uint8)
    if key is None:
        out[:] = found
    else:
        np.bitwise_xor(found, key, out=out)
    return out


def smallest(nbytes: int) -> int:
    """A payload of a frame of so many bytes is never shorter: lz4 spends a byte on 255 equal ones."""
    return nbytes // 255 + 1
