"""Waiting for what another process or thread does."""

import time

# The beginning of a program that forks a process with `fork.Process(target=wait)`; `begun`: once that waits.
FORKING = """
import multiprocessing, time

fork = multiprocessing.get_context("fork")
begun = fork.Event()

def wait():
    begun.set()
    time.sleep(300)
"""


def until(condition, seconds=300):
    """Wait until `condition` is true; fail after this many seconds, far more than it ever takes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
