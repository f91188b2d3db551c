"""Scores of predictions."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    `truth` N of 0, 1 or NaN (left out), `score` N. NaN where one class is absent. Mann and Whitney's statistic.
    """
    truth, score = np.asarray(truth, dtype=float), np.asarray(score, dtype=float)
    known = ~np.isnan(truth)
    positive = truth[known] == 1
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return math.nan
    ranks = rankdata(score[known])
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def top_accuracy(truth: ArrayLike, score: ArrayLike, first: int = 1) -> float:
    """Share of examples whose class is among the `first` most probable. `truth` N class numbers, `score` N x classes.

    Of classes with one score, the lower number counts as more probable. NaN for no examples.
    """
    return _mean(_among_first(truth, score, first))


def sensitivities(truth: ArrayLike, score: ArrayLike, first: int = 1) -> NDArray[np.float64]:
    """`top_accuracy` of each class's own examples, one value a class; NaN for a class without examples."""
    truth, hit = np.asarray(truth), _among_first(truth, score, first)
    return np.array([_mean(hit[truth == number]) for number in range(np.shape(score)[1])])


def quadratic_kappa(truth: ArrayLike, predicted: ArrayLike, num_grades: int) -> float:
    """Cohen's kappa with quadratic weights: agreement of two gradings 0 … num_grades - 1, chance's part taken off.

    NaN where both gradings are one and the same grade throughout, or there are none. Cohen 1968.
    """
    truth, predicted = np.asarray(truth, dtype=int), np.asarray(predicted, dtype=int)
    table = np.zeros((num_grades, num_grades))
    np.add.at(table, (truth, predicted), 1)
    by_chance = np.outer(table.sum(1), table.sum(0)) / max(1, len(truth))
    grades = np.arange(num_grades)
    distance = (grades[:, None] - grades) ** 2
    expected = float((distance * by_chance).sum())
    return 1 - float((distance * table).sum()) / expected if expected else math.nan


def top_mean(score: ArrayLike, group: ArrayLike, first: int) -> NDArray[np.float64]:
    """Mean of each group's `first` highest scores, in the order of the groups' numbers 0 … ; `group` N numbers."""
    score, group = np.asarray(score, dtype=float), np.asarray(group)
    order = np.lexsort((-score, group))
    starts = np.searchsorted(group[order], np.arange(int(group.max(initial=-1)) + 1))
    rank = np.arange(len(order)) - starts[group[order]]
    kept = order[rank < first]
    return np.bincount(group[kept], score[kept]) / np.bincount(group[kept])


def _among_first(truth: ArrayLike, score: ArrayLike, first: int) -> NDArray[np.bool_]:
    ranked = np.argsort(-np.asarray(score, dtype=float), axis=1, kind="stable")[:, :first]
    return np.asarray((ranked == np.asarray(truth)[:, None]).any(axis=1))


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def dice_pooled(overlap: ArrayLike, predicted: ArrayLike, actual: ArrayLike) -> float:
    """Dice of all pixels of all images together. Pixel counts per image: marked by both, by the model, by the reference.
    Empty against empty is 1.
    """
    both, total = float(np.sum(overlap)), float(np.sum(predicted) + np.sum(actual))
    return 2 * both / total if total else 1.0


def dice_per_image(overlap: ArrayLike, predicted: ArrayLike, actual: ArrayLike) -> float:
    """Mean of each image's Dice; an empty reference predicted empty counts 1. NaN for no images."""
    both, total = np.asarray(overlap, dtype=float), np.add(predicted, actual, dtype=float)
    each = np.where(total > 0, 2 * both / np.where(total > 0, total, 1), 1.0)
    return float(each.mean()) if each.size else math.nan


def dice_positive(overlap: ArrayLike, predicted: ArrayLike, actual: ArrayLike) -> float:
    """Mean of each image's Dice over the images whose reference marks anything. NaN where none does."""
    marked = np.asarray(actual) > 0
    return dice_per_image(np.asarray(overlap)[marked], np.asarray(predicted)[marked], np.asarray(actual)[marked])
