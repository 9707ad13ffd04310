"""A disk that refuses, for several tests."""

import contextlib
import resource


@contextlib.contextmanager
def files_end_at(nbytes):
    """No file of this process, and of what it starts, grows beyond this: a write across it stops in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
