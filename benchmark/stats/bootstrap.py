"""Bootstrap of a test set, by image or by patient: intervals of a metric, and of the difference of two models.

A replicate is stored as how often each example was drawn (`counts`), and a metric is computed from these counts: no
example is copied, and two models are compared on the same replicates. The intervals cover what another test set from the
same source could have given; they do not cover that another training could have given another model. Efron and
Tibshirani 1993.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.stats.resampled_auc import CHUNK, auc_of_counts, jackknife_auc
from benchmark.stats.resampled_curves import Curve, Floats, Positions

Kind = Literal["percentile", "bca"]
REPLICATES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Statistic:
    """A metric of a test set, ready to be computed for resamples of it.

    `replicated` takes counts, R x N, and returns R values. `jackknife` takes the number 0 … M - 1 of each example's unit
    and returns M values, each without one unit. `observed` returns the one value of the test set itself. A statistic of
    several labels returns R x labels (M x labels, 1 x labels). A value that is not defined is NaN.
    """

    replicated: Callable[[NDArray[Any]], Floats]
    jackknife: Callable[[Positions], Floats]
    observed: Callable[[], Floats]

    def __sub__(self, other: "Statistic") -> "Statistic":
        """Returns the difference of two models on the same test set."""
        return Statistic(
            lambda counts: self.replicated(counts) - other.replicated(counts),
            lambda unit: self.jackknife(unit) - other.jackknife(unit),
            lambda: self.observed() - other.observed(),
        )

    def mean_over(self, columns: Sequence[int] | None = None) -> "Statistic":
        """Returns the mean over some labels (None: all); in each replicate, over the labels that have a value there."""
        at: Any = slice(None) if columns is None else list(columns)
        return Statistic(
            lambda counts: mean_of_known(self.replicated(counts)[:, at]),
            lambda unit: mean_of_known(self.jackknife(unit)[:, at]),
            lambda: mean_of_known(self.observed()[:, at]),
        )


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """The difference of two models on one test set.

    `difference` is first minus second on the test set itself, `low` and `high` are the ends of the 95 % interval, `p` is
    two-sided, by inverting the interval; `replicates` are the R differences, NaN where a replicate has none; `units` is
    how many images, cases, exams or patients were resampled.
    """

    difference: float
    low: float
    high: float
    p: float
    replicates: Floats
    units: int


def resampled(units: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Iterator[NDArray[np.uint16]]:
    """Yields how often each of N examples is drawn, in chunks of replicates x N, `replicates` rows in all.

    `units` are N names. The examples of one name (a patient's images) are drawn together; each replicate draws as many
    names as there are. The same seed gives the same replicates at each call, another seed gives others.
    """
    unit = numbered(units)
    num, rng = int(unit.max(initial=-1)) + 1, np.random.default_rng(seed)
    rows = max(1, CHUNK // max(1, len(unit)))
    for start in range(0, replicates, rows):
        drawn = [
            np.bincount(rng.integers(num, size=num), minlength=num) for _ in range(start, min(start + rows, replicates))
        ]
        yield np.array(drawn, dtype=np.uint16)[:, unit]


def numbered(units: ArrayLike) -> Positions:
    """Returns the number 0 … M - 1 of each name, in the sorted order of the names."""
    return np.unique(np.asarray(units), return_inverse=True)[1].reshape(-1)


def auc_statistic(truth: ArrayLike, score: ArrayLike) -> Statistic:
    """Returns the AUC of each label, of N x labels (or N); NaN for a label of which a replicate has one class only."""
    truth, score = np.asarray(truth, dtype=float), np.asarray(score)
    truth, score = truth.reshape(len(truth), -1), score.reshape(len(score), -1)
    of_counts = auc_of_counts(truth, score)
    ones = np.ones((1, len(truth)), dtype=np.uint16)
    return Statistic(of_counts, lambda unit: jackknife_auc(truth, score, unit), lambda: of_counts(ones))


def curves_statistic(truth: ArrayLike, score: ArrayLike, curve: Curve, *, micro: bool = False) -> Statistic:
    """Returns a statistic of each label's ranking; truth and score are N x labels.

    `curve` takes the truth and the score of one label (N) and returns a function of counts N x R. With `micro`, all pairs
    of example and label are ranked together, as one label.
    """
    truth, score = np.asarray(truth, dtype=float), np.asarray(score)
    num, labels = truth.shape
    pairs = [(truth.ravel(), score.ravel())] if micro else list(zip(truth.T, score.T, strict=True))
    curves = [curve(*pair) for pair in pairs]

    def of_counts(counts: NDArray[Any]) -> Floats:
        by_example = np.ascontiguousarray(counts.T, dtype=np.int32)
        if micro:
            by_example = np.repeat(by_example, labels, axis=0)
        return np.stack([of_label(by_example) for of_label in curves], axis=1)

    def jackknife(unit: Positions) -> Floats:
        last, rows = int(unit.max(initial=-1)) + 1, max(1, CHUNK // max(1, num * (labels if micro else 1)))
        chunks = [np.arange(start, min(start + rows, last)) for start in range(0, last, rows)]
        return np.concatenate([of_counts(unit != which[:, None]) for which in chunks])

    return Statistic(of_counts, jackknife, lambda: of_counts(np.ones((1, num), dtype=np.uint16)))


def sums_statistic(statistics: ArrayLike, value: Callable[[Floats], Floats]) -> Statistic:
    """Returns a statistic that is computed from sums over the examples.

    `statistics` is N x labels x F, NaN for an example that does not count; `value` takes the sums, R x labels x F, and
    returns R x labels. Accuracy (sums of hits), kappa (of a confusion matrix) and Dice (of pixels) are such statistics.
    """
    given = np.asarray(statistics, dtype=float)
    num, *shape = given.shape
    columns = given.reshape(num, -1)
    filled = np.nan_to_num(columns)

    def of_sums(sums: Floats) -> Floats:
        return value(sums.reshape(-1, *shape))

    def jackknife(unit: Positions) -> Floats:
        of_units = np.zeros((int(unit.max(initial=-1)) + 1, filled.shape[1]))
        np.add.at(of_units, unit, filled)
        return of_sums(filled.sum(axis=0) - of_units)

    def observed() -> Floats:
        # one after the other, only the examples that count: equal to the last digit to the sum in a mean over them
        return of_sums(np.array([column[~np.isnan(column)].sum() for column in columns.T]))

    return Statistic(lambda counts: of_sums(counts.astype(float) @ filled), jackknife, observed)


def mean_statistic(statistics: Sequence[Statistic]) -> Statistic:
    """Returns the mean of several statistics (those of a model's runs), each on the same replicate."""
    return Statistic(
        lambda counts: np.mean([of.replicated(counts) for of in statistics], axis=0),
        lambda unit: np.mean([of.jackknife(unit) for of in statistics], axis=0),
        lambda: np.mean([of.observed() for of in statistics], axis=0),
    )


def bootstrap_difference(
    first: Statistic,
    second: Statistic,
    units: ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    kind: Kind = "percentile",
) -> Bootstrapped:
    """Returns first minus second on the same replicates; `units` are the N names that are drawn (see `resampled`).

    Replicates without a value are left out of the interval and of p.
    """
    of_both, unit = first - second, numbered(units)
    difference = float(of_both.observed()[0])
    differences = replicated(of_both, units, replicates, seed)
    jackknife = of_both.jackknife(unit) if kind == "bca" else None
    low, high = interval(difference, differences, kind, jackknife=jackknife)
    return Bootstrapped(
        difference=difference,
        low=low,
        high=high,
        p=p_of_zero(difference, differences, kind, jackknife=jackknife),
        replicates=differences,
        units=len(np.unique(unit)),
    )


def replicated(statistic: Statistic, units: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Returns the statistic's values of R replicates."""
    return np.concatenate([statistic.replicated(counts) for counts in resampled(units, replicates, seed)])


def bca_interval(values: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float]:
    """Returns the ends of the 95 % bias-corrected and accelerated interval (Efron 1987) of the mean of N values, NaN left
    out; NaN where they do not vary.
    """
    known = _known(values)
    if len(known) < 2 or np.ptp(known) == 0:
        return math.nan, math.nan
    mean = sums_statistic(
        np.stack([known, np.ones_like(known)], axis=1)[:, None], lambda sums: sums[..., 0] / sums[..., 1]
    ).mean_over()
    units = np.arange(len(known))
    means = replicated(mean, units, replicates, seed)
    return interval(float(known.mean()), means, "bca", jackknife=mean.jackknife(units))


def interval(
    estimate: float,
    replicates: ArrayLike,
    kind: Kind = "percentile",
    *,
    jackknife: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Returns the ends of the replicates' interval; NaN among the replicates is left out.

    `percentile` takes the replicates' quantiles. `bca` (bias-corrected and accelerated, Efron 1987) corrects which
    quantiles are taken; it needs `jackknife`, the statistic without each unit, and raises ValueError without it. Its ends
    are NaN where all replicates lie on one side of the estimate.
    """
    known = _known(replicates)
    if not len(known) or math.isnan(estimate):
        return math.nan, math.nan
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if kind == "bca":
        bias, acceleration = _correction(estimate, known, jackknife)
        moved = bias + stats.norm.ppf(tails)
        if not (acceleration * moved < 1).all():  # nor where they are NaN
            return math.nan, math.nan
        tails = stats.norm.cdf(bias + moved / (1 - acceleration * moved))
    low, high = np.quantile(known, tails)
    return float(low), float(high)


def p_of_zero(
    estimate: float, replicates: ArrayLike, kind: Kind = "percentile", *, jackknife: ArrayLike | None = None
) -> float:
    """Returns the two-sided p of no difference: twice the level at which the interval's nearer end reaches zero.

    For percentiles this is twice the smaller of two shares of replicates, those at or below zero and those at or above it.
    The sample itself is counted in both, (b + 1) / (R + 1), so that p is never 0. For `bca` the share is moved as the
    ends of the interval are.
    """
    known = _known(replicates)
    if not len(known) or math.isnan(estimate):
        return math.nan
    largest = len(known) / (len(known) + 1)
    below = min(largest, (int((known <= 0).sum()) + 1) / (len(known) + 1))
    above = min(largest, (int((known >= 0).sum()) + 1) / (len(known) + 1))
    if kind == "bca":
        bias, acceleration = _correction(estimate, known, jackknife)
        moved = stats.norm.ppf([below, 1 - above]) - bias
        if not (acceleration * moved > -1).all():
            return math.nan
        level = stats.norm.cdf(moved / (1 + acceleration * moved) - bias)
        below, above = float(level[0]), 1 - float(level[1])
    return min(1.0, 2 * min(below, above))


def mean_of_known(values: Floats) -> Floats:
    """Returns the mean of each row without its NaN; NaN for a row that has nothing else."""
    values = np.ascontiguousarray(values)
    means = values.mean(axis=1) if values.shape[1] else np.full(len(values), np.nan)
    for row in np.flatnonzero(np.isnan(means)):
        known = values[row][~np.isnan(values[row])]
        means[row] = known.mean() if len(known) else np.nan
    return means


def _correction(estimate: float, known: Floats, jackknife: ArrayLike | None) -> tuple[float, float]:
    """Returns BCa's bias (ties count half) and acceleration (0 where leaving units out changes nothing)."""
    if jackknife is None:
        raise ValueError("bca: wanted `jackknife`, the statistic without each unit")
    share = ((known < estimate).mean() + (known <= estimate).mean()) / 2
    if not 0 < share < 1:
        return math.nan, math.nan
    left_out = _known(jackknife)
    away = left_out.mean() - left_out if len(left_out) else left_out
    spread = float((away**2).sum())
    acceleration = float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    return float(stats.norm.ppf(share)), acceleration


def _known(values: ArrayLike) -> Floats:
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values)]
