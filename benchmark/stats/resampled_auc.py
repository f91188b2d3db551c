"""AUC of many resampled test sets at once: the scores are sorted once, and each replicate sums its counts.

The AUC is Mann and Whitney's statistic with weights, ties count half: the value of scikit-learn with `sample_weight`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from benchmark.stats.resampled_curves import Floats, OfCounts, Positions

CHUNK = 2**22  # replicates x examples at a time: some 100 MB


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Returns the area under the ROC curve: the chance that a positive scores above a negative; ties count half.

    `truth` N of 0, 1 or NaN (left out), `score` N. NaN where one class is absent.
    """
    truth, score = np.asarray(truth, dtype=float), np.asarray(score, dtype=float)
    known = ~np.isnan(truth)
    positive = truth[known] == 1
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return math.nan
    ranks = stats.rankdata(score[known])
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def auc_of_counts(truth: ArrayLike, score: ArrayLike) -> Callable[[NDArray[Any]], Floats]:
    """Returns a function from counts, R x N, to AUCs, R x labels. The scores are sorted here, once."""
    truth, score = np.asarray(truth, dtype=float), np.asarray(score)
    of_labels = [weighted_auc(t, s) for t, s in zip(_columns(truth), _columns(score), strict=True)]

    def of(counts: NDArray[Any]) -> Floats:
        by_example = np.ascontiguousarray(counts.T, dtype=np.int32)
        return np.stack([of_label(by_example) for of_label in of_labels], axis=1)

    return of


def jackknife_auc(truth: ArrayLike, score: ArrayLike, unit: Positions) -> Floats:
    """Returns the exact AUC without each unit, M x labels (M for one-dimensional `truth`). `unit`: N numbers 0 … M - 1.

    From the pairs that are in order, those of the unit's examples are subtracted; pairs within the unit, which that
    subtracts twice, are added once.
    """
    truth, score, unit = np.asarray(truth, dtype=float), np.asarray(score), np.asarray(unit)
    num = int(unit.max(initial=-1)) + 1
    columns = zip(_columns(truth), _columns(score), strict=True)
    aucs = np.stack([_auc_without_each(t, s, unit, num) for t, s in columns], axis=1)
    return aucs[:, 0] if truth.ndim == 1 else aucs


def _columns(values: NDArray[Any]) -> NDArray[Any]:
    return values[None] if values.ndim == 1 else values.T


def weighted_auc(truth: Floats, score: NDArray[Any]) -> OfCounts:
    """Returns a function from counts, N x R, to R AUCs of one label. The scores are sorted here, once.

    Pairs are counted from the rarer class. The examples of the other class between two of its scores are summed first, by
    a sparse matrix of ones, so that the cumulative sum is short where a finding is rare.
    """
    known = ~np.isnan(truth)
    if np.isnan(score[known]).any():
        return lambda counts: np.full(counts.shape[1], np.nan)
    positives, negatives = np.flatnonzero(truth == 1), np.flatnonzero(known & (truth != 1))
    swapped = len(positives) > len(negatives)
    rare, common = (negatives, positives) if swapped else (positives, negatives)
    rare, common = rare[np.argsort(score[rare])], common[np.argsort(score[common])]
    values, starts = np.unique(score[rare], return_index=True)
    ends = [np.searchsorted(score[common], values, side) for side in ("left", "right")]
    # for each value of the rare class the common ones below it and those tied with it; last, those above all
    between = _summing(common, np.concatenate([[0], np.stack(ends, axis=1).ravel(), [len(common)]]), len(truth))
    at = _summing(rare, np.append(starts, len(rare)), len(truth))

    def of(counts: NDArray[Any]) -> Floats:
        weight = (at @ counts).astype(float)
        reached = np.cumsum(between @ counts, axis=0, dtype=float)
        below = (weight * (reached[0:-1:2] + reached[1::2])).sum(axis=0) / 2
        pairs = weight.sum(axis=0) * reached[-1]
        won = pairs - below if swapped else below
        return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1), np.nan)

    return of


def _summing(order: Positions, ends: Positions, num: int) -> Any:
    """Returns the sparse matrix whose row k sums the examples order[ends[k]] … order[ends[k + 1] - 1], of `num` in all."""
    ones = np.ones(len(order), dtype=np.int32)
    return sparse.csr_matrix((ones, order, ends), shape=(len(ends) - 1, num))


def _auc_without_each(truth: Floats, score: NDArray[Any], unit: Positions, num: int) -> Floats:
    known = ~np.isnan(truth)
    positive, score, unit = truth[known] == 1, score[known], unit[known]
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return np.full(num, np.nan)
    # an example's wins: pairs of it that are in order, ties half
    of_positives, of_negatives = (stats.rankdata(score[side]) for side in (positive, ~positive))
    ranks = stats.rankdata(score)
    wins = np.empty(len(score))
    wins[positive] = ranks[positive] - of_positives
    wins[~positive] = num_positive - (ranks[~positive] - of_negatives)
    positives = np.bincount(unit, positive, minlength=num)
    negatives = np.bincount(unit, ~positive, minlength=num)
    order = np.lexsort((score, unit))
    first_of_unit = np.concatenate([[0], np.cumsum(positives + negatives)])[:-1]
    ties = np.cumsum(np.append(True, (np.diff(score[order]) != 0) | (np.diff(unit[order]) != 0))) - 1
    positions = np.arange(len(order), dtype=float)
    midrank = (np.bincount(ties, positions) / np.bincount(ties))[ties] - first_of_unit[unit[order]] + 1
    in_order = np.bincount(unit[order], np.where(positive[order], midrank, 0), minlength=num)
    within = in_order - positives * (positives + 1) / 2
    all_won = auc(positive, score) * num_positive * num_negative
    won = all_won - np.bincount(unit, wins, minlength=num) + within
    pairs = (num_positive - positives) * (num_negative - negatives)
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1), np.nan)
