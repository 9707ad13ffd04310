"""Short versions of `make soak`: kills with -9, and a run whose memory, files and threads stay as they are."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import flatness
import soak


@pytest.mark.long
def test_killed_runs_end_bit_identical():
    found = soak.kills(1, seed=1, steps=200)
    assert found.kills.total() >= 1
    assert found.identical == found.runs >= 1


@pytest.mark.long
@pytest.mark.parametrize("phase", flatness.PHASES)
def test_memory_files_and_threads_stay_as_they_are(phase):
    readings = flatness.warm(flatness.watch(phase, 4000, apart=0.05), 4000)  # some between two checkpoints
    assert readings[-1].step > readings[0].step
    assert readings[-1].resident - readings[0].resident < 4e6
    half = len(readings) // 2
    assert flatness.steady(readings[:half]) == flatness.steady(readings[half:])


def test_growth_is_the_slope_of_resident_memory_and_a_file_that_is_open_for_a_moment_is_none():
    flat = [flatness.Reading(step, 10**8, 10**7, 7, 4, 0, 1, 1, 1) for step in range(0, 100_000, 1000)]
    grown = [reading._replace(resident=10**8 + 30 * reading.step) for reading in flat]
    assert flatness.growth(flat) == pytest.approx(0, abs=1e-6)
    assert flatness.growth(grown) == pytest.approx(3)
    assert flatness.is_flat([r._replace(files=8) if n % 7 == 0 else r for n, r in enumerate(flat)], 100_000)
    assert not flatness.is_flat(grown, 100_000)
    assert not flatness.is_flat([r._replace(files=7 + n // 10) for n, r in enumerate(flat)], 100_000)
    assert not flatness.is_flat([r._replace(children=n // 50) for n, r in enumerate(flat)], 100_000)
