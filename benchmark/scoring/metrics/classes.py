"""Metrics of exclusive classes: accuracy, sensitivity, and the agreement of grades."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions
from benchmark.scoring.examples import Examples
from benchmark.scoring.metrics.interface import CLASSES, ORDINAL, Metric, Sums, share
from benchmark.stats.resampled_curves import Floats
from benchmark.tasks.spec import ScoringRules


def _hits(examples: Examples, first: int) -> NDArray[np.bool_]:
    """Returns whether the class is among the `first` most probable; of equal ones the lower number counts as more probable."""
    ranked = np.argsort(-examples.score.astype(float), axis=1, kind="stable")[:, :first]
    return np.asarray((ranked == examples.classes[:, None]).any(axis=1))


def _accuracy(examples: Examples, first: int) -> Floats:
    labeled = examples.labeled
    return np.stack([_hits(examples, first) & labeled, labeled], axis=1, dtype=float)[:, None]


def _sensitivity(examples: Examples, first: int) -> Floats:
    of_class = examples.classes[:, None] == np.arange(len(examples.columns))
    return np.stack([of_class & _hits(examples, first)[:, None], of_class], axis=2, dtype=float)


def _most_probable(score: NDArray[np.floating]) -> NDArray[np.intp]:
    return score.argmax(axis=1)


def _mean_grade(score: NDArray[np.floating]) -> NDArray[np.floating]:
    return (score @ np.arange(score.shape[1])).round()


def _confusion(examples: Examples, grade: Callable[[NDArray[np.floating]], NDArray[np.number]]) -> Floats:
    classes = np.arange(len(examples.columns))
    cells = (examples.classes[:, None] == classes)[:, :, None] & (grade(examples.score)[:, None] == classes)[:, None]
    return cells.reshape(len(cells), 1, -1).astype(float)


def _quadratic_kappa(sums: Floats) -> Floats:
    """Returns Cohen's kappa with quadratic weights (Cohen 1968); NaN where both give all examples one and the same grade."""
    grades = math.isqrt(sums.shape[2])
    table = sums.reshape(-1, grades, grades)
    distance = (np.arange(grades)[:, None] - np.arange(grades)) ** 2
    num = np.maximum(table.sum(axis=(1, 2)), 1)
    by_chance = table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :] / num[:, None, None]
    expected = (distance * by_chance).reshape(len(table), -1).sum(axis=1)
    observed = (distance * table).reshape(len(table), -1).sum(axis=1)
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), np.nan)[:, None]


def _has_more_than_three(predictions: Predictions, _: ScoringRules) -> bool:
    return len(predictions.columns) > 3


METRICS = (
    Metric(name="accuracy", title="accuracy", kinds=CLASSES, measure=Sums(partial(_accuracy, first=1), share)),
    Metric(
        name="mean_sensitivity",
        title="mean sensitivity",
        kinds=CLASSES,
        measure=Sums(partial(_sensitivity, first=1), share),
        label_name="sensitivity",
    ),
    Metric(
        name="mean_sensitivity_top3",
        title="mean sensitivity, among the three most probable classes",
        kinds=CLASSES,
        measure=Sums(partial(_sensitivity, first=3), share),
        label_name="sensitivity_top3",
    ),
    Metric(
        name="top3_accuracy",
        title="accuracy, among the three most probable classes",
        kinds=CLASSES,
        measure=Sums(partial(_accuracy, first=3), share),
        applies=_has_more_than_three,
    ),
    Metric(
        name="kappa",
        title="quadratic kappa of the most probable grade",
        kinds=ORDINAL,
        measure=Sums(partial(_confusion, grade=_most_probable), _quadratic_kappa),
        unit="number",
    ),
    Metric(
        name="kappa_expected",
        title="quadratic kappa of the rounded mean grade",
        kinds=ORDINAL,
        measure=Sums(partial(_confusion, grade=_mean_grade), _quadratic_kappa),
        unit="number",
    ),
)
