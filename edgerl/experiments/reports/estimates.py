"""Means over seeds with intervals: the interquartile mean and the stratified bootstrap (Agarwal et al. 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgerl.types import Array

RESAMPLES = 2000
LEVEL = 0.95
POINTS = 64  # whose resamples are in memory at a time
Statistic = Callable[[Array], Array]  # over the last axis


@dataclass(frozen=True)
class Estimate:
    """A statistic over seeds; `low` and `high`: the ends of its 95% interval, None if there is one seed."""

    value: float
    low: float | None
    high: float | None


def mean(scores: Array) -> Array:
    """The mean over the last axis."""
    means: Array = np.mean(scores, axis=-1)
    return means


def iqm(scores: Array) -> Array:
    """The interquartile mean over the last axis: a quarter of the values, rounded down, is cut from either end.

    The same as scipy.stats.trim_mean(scores, 0.25); with three seeds or fewer it is the mean.
    """
    count = scores.shape[-1]
    cut = count // 4
    means: Array = np.mean(np.sort(scores, axis=-1)[..., cut : count - cut], axis=-1)
    return means


def estimate(strata: Sequence[Array], statistic: Statistic, rng: np.random.Generator) -> list[Estimate]:
    """`statistic` of all seeds at each of some points, with its percentile interval from a stratified bootstrap.

    `strata`: an array [points, seeds] for each task. Seeds are drawn with replacement within each task; a drawn seed
    gives its scores at all points. There is no interval if every task has only one seed.
    """
    values = statistic(np.concatenate(strata, axis=1))
    if all(scores.shape[1] < 2 for scores in strata):
        return [Estimate(float(value), None, None) for value in values]
    drawn = [rng.integers(scores.shape[1], size=(RESAMPLES, scores.shape[1])) for scores in strata]
    ends = []
    for first in range(0, len(values), POINTS):
        points = slice(first, first + POINTS)
        resampled = statistic(
            np.concatenate([scores[points][:, which] for scores, which in zip(strata, drawn, strict=True)], axis=2)
        )
        ends += np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1).T.tolist()
    return [Estimate(float(value), low, high) for value, (low, high) in zip(values, ends, strict=True)]
