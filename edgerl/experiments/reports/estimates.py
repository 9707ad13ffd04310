"""Means over seeds with intervals: the interquartile mean and the stratified bootstrap (Agarwal et al. 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgerl.types import Array

RESAMPLES = 2000
LEVEL = 0.95
POINTS = 64  # whose resamples are in memory at a time
Statistic = Callable[[Array, Array | None], Array]  # over the last axis; weights of its values, None: equal ones


@dataclass(frozen=True)
class Estimate:
    """A statistic over seeds; `low` and `high`: the ends of its 95% interval, None if there is one seed."""

    value: float
    low: float | None
    high: float | None


def mean(scores: Array, weights: Array | None = None) -> Array:
    """The mean over the last axis, weighted if there are `weights` of its values."""
    means: Array = np.average(scores, axis=-1, weights=weights)
    return means


def iqm(scores: Array, weights: Array | None = None) -> Array:
    """The interquartile mean over the last axis: a quarter of the values, rounded down, is cut from either end.

    The same as scipy.stats.trim_mean(scores, 0.25); with three seeds or fewer it is the mean. With `weights` of the
    values, exactly a quarter of their sum is cut from either end.
    """
    if weights is None:
        cut = scores.shape[-1] // 4
        means: Array = np.mean(np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut], axis=-1)
        return means
    order = np.argsort(scores, axis=-1)
    ends = np.cumsum(weights[order], axis=-1) / weights.sum()
    kept = np.diff(np.clip(ends, 0.25, 0.75), axis=-1, prepend=0.25)
    halves: Array = np.sum(np.take_along_axis(scores, order, axis=-1) * kept, axis=-1)
    return halves / 0.5


def estimate(strata: Sequence[Array], statistic: Statistic, rng: np.random.Generator) -> list[Estimate]:
    """`statistic` of all seeds at each of some points, with its percentile interval from a stratified bootstrap.

    `strata`: an array [points, seeds] for each task. Tasks count alike, however many seeds each has. Seeds are drawn
    with replacement within each task; a drawn seed gives its scores at all points. There is no interval if every task
    has only one seed.
    """
    counts = [scores.shape[1] for scores in strata]
    weights = np.concatenate([np.full(count, 1 / count) for count in counts]) if len(set(counts)) > 1 else None
    values = statistic(np.concatenate(strata, axis=1), weights)
    if max(counts) < 2:
        return [Estimate(float(value), None, None) for value in values]
    drawn = [rng.integers(count, size=(RESAMPLES, count)) for count in counts]
    ends = []
    for first in range(0, len(values), POINTS):
        points = slice(first, first + POINTS)
        resampled = statistic(
            np.concatenate([scores[points][:, which] for scores, which in zip(strata, drawn, strict=True)], axis=2),
            weights,
        )
        ends += np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1).T.tolist()
    return [Estimate(float(value), low, high) for value, (low, high) in zip(values, ends, strict=True)]
