"""Bootstrap of a test set, by image or by patient: intervals of a metric, and of the difference of two models.

A replicate is how often each example was drawn (`counts`), and a metric is asked of those counts: nothing is copied,
and two models are compared on the same replicates. The intervals tell what another test set from the same source could
have given; that another training could have given another model is not in them. Efron and Tibshirani 1993.
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

    `replicated`: counts R x N -> R values; `left_out`: the number 0 … M - 1 of each example's unit -> M values, each
    without one unit; `whole`: nothing -> the one value of the test set itself. A statistic of several labels gives R x
    labels. NaN where a value is not defined.
    """

    replicated: Callable[[NDArray[Any]], Floats]
    left_out: Callable[[Positions], Floats]
    whole: Callable[[], Floats]

    def __sub__(self, other: "Statistic") -> "Statistic":
        """Returns the difference of two models on the same test set."""
        return Statistic(
            lambda counts: self.replicated(counts) - other.replicated(counts),
            lambda unit: self.left_out(unit) - other.left_out(unit),
            lambda: self.whole() - other.whole(),
        )

    def mean_over(self, columns: Sequence[int] | None = None) -> "Statistic":
        """Returns the mean over some labels (None: all), of each replicate over those that it has a value of."""
        at: Any = slice(None) if columns is None else list(columns)
        return Statistic(
            lambda counts: mean_of_known(self.replicated(counts)[:, at]),
            lambda unit: mean_of_known(self.left_out(unit)[:, at]),
            lambda: mean_of_known(self.whole()[:, at]),
        )


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """`difference`: first minus second on the test set itself; `low`, `high`: its 95 % interval; `p`: two-sided, by
    inverting the interval; `replicates`: the R differences, NaN where a replicate has none; `units`: how many images,
    cases, exams or patients were resampled.
    """

    difference: float
    low: float
    high: float
    p: float
    replicates: Floats
    units: int


def resampled(units: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Iterator[NDArray[np.uint16]]:
    """How often each of N examples is drawn, as chunks of replicates x N, `replicates` rows in all.

    `units`: N names; the examples of one name (a patient's images) are drawn together, as many names as there are. Each
    seed has replicates of its own, the same ones at each call.
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
    """Names -> numbers 0 … M - 1, in the order of the names."""
    return np.unique(np.asarray(units), return_inverse=True)[1].reshape(-1)


def auc_statistic(truth: ArrayLike, score: ArrayLike) -> Statistic:
    """Returns the AUC of each label, of N x labels (or N); NaN for a label that a replicate has one class of."""
    truth, score = np.asarray(truth, dtype=float), np.asarray(score)
    truth, score = truth.reshape(len(truth), -1), score.reshape(len(score), -1)
    of_counts = auc_of_counts(truth, score)
    ones = np.ones((1, len(truth)), dtype=np.uint16)
    return Statistic(of_counts, lambda unit: jackknife_auc(truth, score, unit), lambda: of_counts(ones))


def curves_statistic(truth: ArrayLike, score: ArrayLike, curve: Curve, *, micro: bool = False) -> Statistic:
    """Returns a statistic of each label's ranking, of N x labels: `curve` makes of truth and score (N) a function of counts
    N x R. `micro`: all pairs of example and label are ranked together, as one label.
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

    def left_out(unit: Positions) -> Floats:
        last, rows = int(unit.max(initial=-1)) + 1, max(1, CHUNK // max(1, num * (labels if micro else 1)))
        chunks = [np.arange(start, min(start + rows, last)) for start in range(0, last, rows)]
        return np.concatenate([of_counts(unit != which[:, None]) for which in chunks])

    return Statistic(of_counts, left_out, lambda: of_counts(np.ones((1, num), dtype=np.uint16)))


def sums_statistic(statistics: ArrayLike, value: Callable[[Floats], Floats]) -> Statistic:
    """Returns a statistic of sums over the examples: `statistics` N x labels x F, NaN for an example that does not count;
    `value` makes R x labels of the sums R x labels x F.

    Accuracies, kappas and Dice are such: of hits, of a confusion matrix, of pixels.
    """
    given = np.asarray(statistics, dtype=float)
    num, *shape = given.shape
    columns = given.reshape(num, -1)
    filled = np.nan_to_num(columns)

    def of_sums(sums: Floats) -> Floats:
        return value(sums.reshape(-1, *shape))

    def left_out(unit: Positions) -> Floats:
        of_units = np.zeros((int(unit.max(initial=-1)) + 1, filled.shape[1]))
        np.add.at(of_units, unit, filled)
        return of_sums(filled.sum(axis=0) - of_units)

    def whole() -> Floats:
        # the examples that count, one after the other: to the last digit the sum that a mean over them has
        return of_sums(np.array([column[~np.isnan(column)].sum() for column in columns.T]))

    return Statistic(lambda counts: of_sums(counts.astype(float) @ filled), left_out, whole)


def mean_statistic(statistics: Sequence[Statistic]) -> Statistic:
    """Returns the mean of several models' (a model's runs), each on the same replicate."""
    return Statistic(
        lambda counts: np.mean([of.replicated(counts) for of in statistics], axis=0),
        lambda unit: np.mean([of.left_out(unit) for of in statistics], axis=0),
        lambda: np.mean([of.whole() for of in statistics], axis=0),
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
    """First minus second on the same replicates of the N examples that `units` names. Replicates without a value are
    left out of the interval and of p.
    """
    of_both, unit = first - second, numbered(units)
    difference = float(of_both.whole()[0])
    found = replicated(of_both, units, replicates, seed)
    jackknife = of_both.left_out(unit) if kind == "bca" else None
    low, high = interval(difference, found, kind, jackknife=jackknife)
    return Bootstrapped(
        difference=difference,
        low=low,
        high=high,
        p=p_of_zero(difference, found, kind, jackknife=jackknife),
        replicates=found,
        units=len(np.unique(unit)),
    )


def replicated(statistic: Statistic, units: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """The statistic's R values."""
    return np.concatenate([statistic.replicated(counts) for counts in resampled(units, replicates, seed)])


def bca_interval(values: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float]:
    """Returns the ends of the 95 % bias-corrected and accelerated interval (Efron 1987) of the mean of N values, NaN left
    out; NaN where they do not vary.
    """
    known = _known(values)
    mean = sums_statistic(
        np.stack([known, np.ones_like(known)], axis=1)[:, None], lambda sums: sums[..., 0] / sums[..., 1]
    ).mean_over()
    if len(known) < 2:
        return math.nan, math.nan
    units = np.arange(len(known))
    found = replicated(mean, units, replicates, seed)
    return interval(float(known.mean()), found, "bca", jackknife=mean.left_out(units))


def interval(
    estimate: float,
    replicates: ArrayLike,
    kind: Kind = "percentile",
    *,
    jackknife: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """The interval that the replicates give, NaN among them left out.

    `percentile`: their quantiles. `bca` (bias-corrected and accelerated, Efron 1987) corrects which quantiles those
    are; it needs `jackknife`, the statistic without each unit, and is NaN where all replicates lie on one side of the
    estimate. Raises ValueError for `bca` without it.
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
    """Two-sided p of no difference: twice the level at which the interval's nearer end reaches zero.

    For percentiles: twice the smaller of the shares of replicates at or below zero and at or above it, the sample
    itself counted with either, (b + 1) / (R + 1), so that p is never 0. For `bca` that share is moved as the interval's
    ends are.
    """
    known = _known(replicates)
    if not len(known) or math.isnan(estimate):
        return math.nan
    most = len(known) / (len(known) + 1)
    below = min(most, (int((known <= 0).sum()) + 1) / (len(known) + 1))
    above = min(most, (int((known >= 0).sum()) + 1) / (len(known) + 1))
    if kind == "bca":
        bias, acceleration = _correction(estimate, known, jackknife)
        moved = stats.norm.ppf([below, 1 - above]) - bias
        if not (acceleration * moved > -1).all():
            return math.nan
        level = stats.norm.cdf(moved / (1 + acceleration * moved) - bias)
        below, above = float(level[0]), 1 - float(level[1])
    return min(1.0, 2 * min(below, above))


def mean_of_known(values: Floats) -> Floats:
    """Returns each row's mean over what is no NaN; NaN where all is."""
    values = np.ascontiguousarray(values)
    means = values.mean(axis=1) if values.shape[1] else np.full(len(values), np.nan)
    for row in np.flatnonzero(np.isnan(means)):
        known = values[row][~np.isnan(values[row])]
        means[row] = known.mean() if len(known) else np.nan
    return means


def _correction(estimate: float, known: Floats, jackknife: ArrayLike | None) -> tuple[float, float]:
    """BCa's bias (ties counting half) and acceleration (0 where leaving units out changes nothing)."""
    if jackknife is None:
        raise ValueError("bca: wanted `jackknife`, the statistic without each unit")
    share = ((known < estimate).mean() + (known <= estimate).mean()) / 2
    if not 0 < share < 1:
        return math.nan, math.nan
    leave = _known(jackknife)
    away = leave.mean() - leave if len(leave) else leave
    spread = float((away**2).sum())
    acceleration = float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    return float(stats.norm.ppf(share)), acceleration


def _known(values: ArrayLike) -> Floats:
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values)]
