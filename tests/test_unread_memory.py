"""A watchdog whose readings fail: it goes on, and ends a run whose limit nobody can watch."""

import contextlib
import os
import resource
import sys
import time

import pytest
from test_watchdog import MB, room_above, take
from waiting import until

from memory_budget import Surroundings, Watchdog, tree_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reads memory from files")
@pytest.mark.parametrize("seconds", [0.2, 60.0])
def test_a_reading_that_fails_for_a_while_is_tried_again_and_one_that_fails_for_long_ends_the_run(seconds, monkeypatch):
    monkeypatch.setattr(Watchdog, "UNREAD_SECONDS", seconds)
    limits, files = resource.getrlimit(resource.RLIMIT_NOFILE), []
    with Watchdog(room_above(tree_bytes(), 100 * MB), hertz=50, surroundings=Surroundings()) as watchdog:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    files.append(open(os.devnull))  # noqa: SIM115  # until there are too many
            time.sleep(0.6)
        finally:
            for file in files:
                file.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        if seconds < 1:
            assert watchdog.exceeded
            assert watchdog.reason.startswith("memory could not be read for 0 s: ")
        else:
            assert not watchdog.exceeded
            block = take(150 * MB)
            until(lambda: watchdog.exceeded)
            assert "the process tree reached 97%" in watchdog.reason
            del block
