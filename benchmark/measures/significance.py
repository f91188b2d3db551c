"""Tests of a difference between two sets of runs."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`mean`: first minus second; `low`, `high`: its 95 % t-interval; `p`: two-sided. NaN where a side has under two
    values, or neither varies.
    """

    mean: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


def independent_t(first: ArrayLike, second: ArrayLike) -> Difference:
    """Student's two-sample t-test with equal variances: the test of the first paper (section 2, control 6)."""
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    mean = float(one.mean() - two.mean())
    if min(len(one), len(two)) < 2 or (np.ptp(one) == 0 and np.ptp(two) == 0):
        return Difference(mean=mean)
    test = stats.ttest_ind(one, two)
    interval = test.confidence_interval(0.95)
    return Difference(mean=mean, low=float(interval.low), high=float(interval.high), p=float(test.pvalue))


def sample_sd(values: ArrayLike) -> float:
    """Standard deviation with n - 1 in the denominator; NaN for fewer than two values."""
    values = np.asarray(values, dtype=float)
    return float(values.std(ddof=1)) if values.size > 1 else math.nan
