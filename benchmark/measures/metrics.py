"""Scores of predictions."""

import math

import numpy as np
from numpy.typing import ArrayLike
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
