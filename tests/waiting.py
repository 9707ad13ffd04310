"""Waiting for what another process or thread does."""

import time


def until(condition, seconds=300):
    """Wait until `condition` is true; fail after this many seconds, far more than it ever takes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
