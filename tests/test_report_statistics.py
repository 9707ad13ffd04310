"""Statistics over seeds against scipy's."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from edgerl.experiments.reports import estimates


def test_the_interquartile_mean_is_scipys():
    draws = np.random.default_rng(0)
    for count in range(1, 13):
        scores = draws.normal(size=(7, count))
        assert estimates.iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=1))


def test_the_interval_is_that_of_scipys_percentile_bootstrap():
    scores = np.random.default_rng(1).normal(100, 20, size=(1, 10))
    ours = estimates.estimate([scores], estimates.mean, np.random.default_rng(0))[0]
    theirs = stats.bootstrap((scores[0],), np.mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    assert ours.value == pytest.approx(scores.mean())
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_seeds_are_drawn_within_their_task():
    low, high = np.zeros((1, 5)), np.ones((1, 5))
    found = estimates.estimate([low, high], estimates.mean, np.random.default_rng(0))[0]
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)  # drawn over both, it would differ
    assert estimates.estimate([low[:, :1], high[:, :1]], estimates.mean, np.random.default_rng(0))[0].low is None


def test_tasks_count_alike_however_many_seeds_each_has():
    draws = np.random.default_rng(2)
    one, three = draws.normal(size=(5, 1)), draws.normal(size=(5, 3))
    whole = np.concatenate([np.repeat(one, 12, axis=1), np.repeat(three, 4, axis=1)], axis=1)
    for ours, theirs in ((estimates.mean, np.mean), (estimates.iqm, partial(stats.trim_mean, proportiontocut=0.25))):
        found = estimates.estimate([one, three], ours, np.random.default_rng(0))
        assert [each.value for each in found] == pytest.approx(theirs(whole, axis=1))
        assert all(each.low <= each.value <= each.high for each in found)
