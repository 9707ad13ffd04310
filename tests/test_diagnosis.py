"""The replay's own metrics against a recount of every draw of every row."""

import numpy as np
import pytest

from edgerl.replay.diagnosis import FOLLOWED, Diagnosis


@pytest.mark.parametrize("rows", [100, 2000])
def test_draws_are_those_of_a_recount(rows):
    """Every row is followed where there are few, every seventh of 2,000."""
    rng, diagnosis = np.random.default_rng(1), Diagnosis(rows)
    stride = max(1, rows // FOLLOWED)
    draws: dict[int, int] = {}
    head = 0
    for _ in range(3 * rows):
        head += 1
        oldest = max(0, head - rows)
        numbers = rng.integers(oldest, head, 8) if head % 3 else np.full(8, head - 1)
        for number in numbers.tolist():
            draws[number] = draws.get(number, 0) + 1
        diagnosis.drawn(numbers, np.zeros(0), oldest, head - oldest)
    left = [draws.get(number, 0) for number in range(0, head - rows, stride)]
    metrics = diagnosis.report(np.zeros(0))
    assert metrics == {"replay/draws_per_row": np.mean(left), "replay/undrawn": np.mean(np.array(left) == 0)}
    again = Diagnosis(rows)
    again.restore(diagnosis.state())
    assert again.state() == diagnosis.state()


def test_losses_are_told_apart_by_age_and_begin_anew_after_a_report():
    diagnosis = Diagnosis(1000, first=500)
    numbers = np.array([500, 700, 999, 1000, 1399, 1400, 1499])  # of rows 500 to 1,499
    diagnosis.drawn(numbers, np.array([1, 2, 3, 4, 5, 6, 7], np.float32), 500, 1000)
    assert diagnosis.report(np.zeros(0)) == {"replay/loss_fresh": 6.5, "replay/loss_old": 2.0}
    assert diagnosis.report(np.zeros(0)) == {}


def test_the_top_tenth_of_priorities_has_its_share():
    priorities = np.concatenate([np.full(90, 1.0), np.full(10, 21.0)])
    assert Diagnosis(100).report(priorities) == {"replay/top_tenth": pytest.approx(210 / 300)}
