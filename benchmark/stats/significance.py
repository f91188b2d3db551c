"""Tests of a difference between two sets of runs, the size of that difference, and what n runs can detect.

Tests are two-sided, intervals are of 95 %, sds have n - 1 in the denominator. A result is NaN where it is not defined: a
side has fewer than two runs, the runs do not vary, or one is NaN. Values are scores in 0..1, or in the caller's unit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

CONFIDENCE = 0.95
MAX_EXACT = 50  # pairs up to which the signed-rank test is exact, as in scipy
DECIMALS = 12  # values are equal up to these: the differences 0.3 - 0.2 and 0.2 - 0.1 tie


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`mean` is first minus second, `low` and `high` are the ends of the 95 % t-interval, `p` is two-sided. NaN where a
    side has fewer than two values, or neither varies.
    """

    mean: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


def independent_t(first: ArrayLike, second: ArrayLike) -> Difference:
    """Returns Student's two-sample t-test with equal variances: the test of the first paper (section 2, control 6)."""
    return _two_samples(first, second, equal_variances=True)


def welch_t(first: ArrayLike, second: ArrayLike) -> Difference:
    """Returns Welch's two-sample t-test: the variances may differ, the degrees of freedom are Satterthwaite's."""
    return _two_samples(first, second, equal_variances=False)


def paired_t(first: ArrayLike, second: ArrayLike) -> Difference:
    """Returns Student's t-test of the differences of pairs (of the same seeds, in the same order). NaN where they do not vary.

    Raises ValueError where the sides are not of one length.
    """
    differences = _paired(first, second)
    mean = _mean(differences)
    if not _varies(differences):
        return Difference(mean=mean)
    test = stats.ttest_1samp(differences, 0)
    interval = test.confidence_interval(CONFIDENCE)
    return Difference(mean=mean, low=float(interval.low), high=float(interval.high), p=float(test.pvalue))


def wilcoxon(first: ArrayLike, second: ArrayLike) -> Difference:
    """Returns Wilcoxon's signed-rank test of pairs, without an interval; `mean` is the pairs' mean difference.

    Pairs without a difference are left out, as by default in scipy. Up to 50 pairs the test is exact, with or without ties
    (all signs of the ranks are counted); beyond, it is scipy's normal approximation. NaN where fewer than two pairs differ.
    Raises ValueError where the sides are not of one length.
    """
    differences = _paired(first, second)
    mean = _mean(differences)
    unequal = differences[differences != 0]
    if len(unequal) < 2 or np.isnan(mean):
        return Difference(mean=mean)
    if len(unequal) > MAX_EXACT:
        return Difference(mean=mean, p=float(stats.wilcoxon(unequal, method="asymptotic").pvalue))
    # with ties, scipy is exact up to 13 pairs only, and this limit has changed between versions
    ranks = np.rint(2 * stats.rankdata(np.abs(unequal))).astype(int)  # twice: midranks are halves
    chance = np.ones(1)
    for rank in ranks:
        chance = (np.pad(chance, (0, rank)) + np.pad(chance, (rank, 0))) / 2
    above, total = int(ranks[unequal > 0].sum()), int(ranks.sum())
    return Difference(mean=mean, p=min(1.0, 2 * float(chance[: min(above, total - above) + 1].sum())))


def t_from_moments(
    mean1: float, sd1: float, n1: int, mean2: float, sd2: float, n2: int, *, equal_variances: bool = True
) -> Difference:
    """Returns the two-sample t-test, Student's or Welch's, of what a paper prints: means, sds (ddof 1), numbers of runs.

    NaN where a sd is not known or both are 0. Raises ValueError for a negative sd.
    """
    if sd1 < 0 or sd2 < 0:
        raise ValueError(f"an sd cannot be negative: {sd1}, {sd2}")
    mean = float(mean1 - mean2)
    if min(n1, n2) < 2 or not sd1 + sd2 > 0 or math.isnan(mean):
        return Difference(mean=mean)
    test = stats.ttest_ind_from_stats(mean1, sd1, n1, mean2, sd2, n2, equal_var=equal_variances)
    of1, of2 = sd1**2 / n1, sd2**2 / n2
    if equal_variances:
        freedom: float = n1 + n2 - 2
        error = math.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / freedom * (1 / n1 + 1 / n2))
    else:
        freedom = (of1 + of2) ** 2 / (of1**2 / (n1 - 1) + of2**2 / (n2 - 1))
        error = math.sqrt(of1 + of2)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Difference(mean=mean, low=mean - half, high=mean + half, p=float(test.pvalue))


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns the interval of the mean of runs by Student's t: at ten runs 2.262 standard errors to each side, not 1.96."""
    values = np.asarray(values, dtype=float)
    if not _varies(values):
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * sample_sd(values) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def hedges_g(first: ArrayLike, second: ArrayLike) -> float:
    """Returns the difference of two independent sets of runs in pooled sds, without the bias of few runs.

    Hedges 1981: Cohen's d times Γ(m/2) / (√(m/2) Γ((m - 1)/2)), m degrees of freedom; exact, not 1 - 3/(4m - 1).
    """
    t, freedom, scale = _standardized(first, second)
    return t * scale * _unbiasing(freedom)


def hedges_g_interval(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns the interval of `hedges_g`: the noncentrality parameters for which the observed t is the upper or the lower
    quantile, times the same correction.
    """
    t, freedom, scale = _standardized(first, second)
    if math.isnan(t):
        return math.nan, math.nan
    tails = np.array([(1 + confidence) / 2, (1 - confidence) / 2])
    low, high = special.nctdtrinc(freedom, tails, t) * scale * _unbiasing(freedom)
    return float(low), float(high)


def tost(first: ArrayLike, second: ArrayLike, margin: float, *, equal_variances: bool = True) -> float:
    """Returns the p of equivalence: where it is small, the means of two independent sets of runs differ by less than
    `margin`.

    It is the larger p of two one-sided t-tests (Schuirmann 1987), Student's or Welch's. Raises ValueError for a margin that is
    not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin: wanted more than 0, found {margin}")
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not _testable(one, two):
        return math.nan
    above = stats.ttest_ind(one + margin, two, equal_var=equal_variances, alternative="greater").pvalue
    below = stats.ttest_ind(one - margin, two, equal_var=equal_variances, alternative="less").pvalue
    return float(max(above, below))


def smallest_effect(n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Returns the difference, in sds of the runs, that Student's two-sided t-test of n against n runs detects with `power`.

    NaN for fewer than two runs. Raises ValueError unless 0 < alpha < power < 1.
    """
    if not 0 < alpha < power < 1:
        raise ValueError(f"wanted 0 < alpha < power < 1, found alpha {alpha}, power {power}")
    if n < 2:
        return math.nan
    freedom = 2 * n - 2
    bound = float(stats.t.ppf(1 - alpha / 2, freedom))

    def lacking(effect: float) -> float:
        # t squared, both tails at once: where the noncentral t's far tail is next to nothing, scipy's is NaN
        return float(stats.ncf.sf(bound**2, 1, freedom, effect**2 * n / 2)) - power

    enough = 1.0
    while lacking(enough) < 0:
        enough *= 2
    return float(optimize.brentq(lacking, 0.0, enough, xtol=1e-12))


def sample_sd(values: ArrayLike) -> float:
    """Returns the standard deviation with n - 1 in the denominator; NaN for fewer than two values."""
    values = np.asarray(values, dtype=float)
    return float(values.std(ddof=1)) if values.size > 1 else math.nan


def _two_samples(first: ArrayLike, second: ArrayLike, *, equal_variances: bool) -> Difference:
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    mean = _mean(one) - _mean(two)
    if not _testable(one, two):
        return Difference(mean=mean)
    test = stats.ttest_ind(one, two, equal_var=equal_variances)
    interval = test.confidence_interval(CONFIDENCE)
    return Difference(mean=mean, low=float(interval.low), high=float(interval.high), p=float(test.pvalue))


def _paired(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != two.shape:
        raise ValueError(f"pairs: wanted two sides of one length, found {one.shape} and {two.shape}")
    return np.round(one - two, DECIMALS)


def _standardized(first: ArrayLike, second: ArrayLike) -> tuple[float, int, float]:
    """Returns Student's t, the degrees of freedom, and the factor from t to Cohen's d."""
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    freedom = len(one) + len(two) - 2
    if not _testable(one, two):
        return math.nan, freedom, math.nan
    return float(stats.ttest_ind(one, two).statistic), freedom, math.sqrt(1 / len(one) + 1 / len(two))


def _unbiasing(freedom: int) -> float:
    if freedom < 2:
        return math.nan
    return math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)


def _testable(one: NDArray[np.float64], two: NDArray[np.float64]) -> bool:
    return min(len(one), len(two)) > 1 and (_varies(one) or _varies(two))


def _varies(values: NDArray[np.float64]) -> bool:
    """Returns whether values differ by more than rounding; NaN counts as varying, so that the results are NaN too."""
    return len(values) > 1 and not np.ptp(values) <= 10.0**-DECIMALS


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else math.nan
