"""Short versions of `make soak`: kills with -9, and a run whose memory, files and threads stay as they are."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import soak


@pytest.mark.long
def test_killed_runs_end_bit_identical():
    found = soak.kills(1, seed=1, steps=200)
    assert found.kills.total() >= 1
    assert found.identical == found.runs >= 1


@pytest.mark.long
def test_memory_files_and_threads_stay_as_they_are():
    first, last = soak.flat(3000)
    assert last.step > first.step
    assert last.resident - first.resident < 4e6
    assert (last.files, last.threads) == (first.files, first.threads)
