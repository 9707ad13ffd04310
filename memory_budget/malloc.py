"""What glibc's malloc keeps for itself after a free, and how to get it back. Elsewhere these do nothing."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

SCRATCH_BLOCK = 32 * 2**20  # bytes: what a training step frees is kept for the next; glibc's own bound
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "malloc_trim") else None


def trim() -> None:
    """Collect garbage and give free heap pages back to the system."""
    gc.collect()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def keep_blocks(up_to: int) -> None:
    """Keep freed blocks of up to `up_to` bytes for reuse, at most SCRATCH_BLOCK.

    A training step frees and takes the same few megabytes again; when they were given back in between, dividing a
    batch of frames by 255, which takes 0.2 ms, cost 4 ms of page faults.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, up_to)
        library.mallopt(_M_TRIM_THRESHOLD, 4 * up_to)


@contextmanager
def returning_blocks(above: int) -> Iterator[None]:
    """Inside, freed blocks larger than `above` bytes leave the process at once; later, those above SCRATCH_BLOCK.

    By default glibc raises that limit to 32 MiB as it goes and leaves holes in the heap: converting a replay 32 rows at
    a time then held 25 to 40 MB while 7 MB were in use.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_M_MMAP_THRESHOLD, above)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_THRESHOLD, SCRATCH_BLOCK)
        library.malloc_trim(0)
