"""Average precision, and the sensitivity at a specificity, of many resampled test sets at once.

The scores are sorted once, and each replicate sums its counts along the thresholds: the values of scikit-learn with
`sample_weight`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
OfCounts = Callable[[NDArray[Any]], Floats]  # counts N x R -> R values
Curve = Callable[[Floats, NDArray[Any]], OfCounts]  # of one label's truth N and score N


def weighted_average_precision(truth: Floats, score: NDArray[Any]) -> OfCounts:
    """Returns a function of counts N x R that gives R average precisions of one label: precision times the step in recall,
    summed over the thresholds. NaN where a replicate has no positives, or no negatives. `truth` N of 0, 1, NaN (left out).
    """
    reached = _reached(truth, score)

    def of(counts: NDArray[Any]) -> Floats:
        positives, negatives = reached(counts)
        precision = positives / np.maximum(positives + negatives, 1)
        steps = np.diff(positives, axis=0, prepend=0)
        total = positives[-1]
        return np.where(
            (total > 0) & (negatives[-1] > 0), (steps * precision).sum(axis=0) / np.maximum(total, 1), np.nan
        )

    return of


def weighted_sensitivity(truth: Floats, score: NDArray[Any], *, specificity_percent: int) -> OfCounts:
    """Returns a function of counts N x R that gives R sensitivities of one label: the highest at any threshold whose
    specificity is at least `specificity_percent`. NaN where a replicate has one class. `truth` N of 0, 1, NaN (left out).
    """
    reached = _reached(truth, score)

    def of(counts: NDArray[Any]) -> Floats:
        positives, negatives = reached(counts)
        # in integers, which do not round: 0.1 of 30 negatives are 3
        allowed = 100 * negatives <= (100 - specificity_percent) * negatives[-1]
        highest = np.where(allowed, positives, 0).max(axis=0)
        total = positives[-1]
        return np.where((total > 0) & (negatives[-1] > 0), highest / np.maximum(total, 1), np.nan)

    return of


def _reached(truth: Floats, score: NDArray[Any]) -> Any:
    """Returns a function from counts, N x R, to the numbers of positives and of negatives at or above each threshold,
    thresholds x R each, from the highest score to the lowest.
    """
    known = np.flatnonzero(~np.isnan(truth))
    if not len(known) or np.isnan(score[known]).any():
        nothing = np.zeros((1, 1), dtype=np.int64)
        return lambda counts: (np.repeat(nothing, counts.shape[1], axis=1),) * 2
    order = known[np.argsort(-score[known].astype(float), kind="stable")]
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # the last example of each score
    positive = (truth[order] == 1)[:, None]

    def reached(counts: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        drawn = counts[order].astype(np.int64)
        above, of_positives = np.cumsum(drawn, axis=0)[ends], np.cumsum(drawn * positive, axis=0)[ends]
        return of_positives, above - of_positives

    return reached
