"""Metrics of the probabilities themselves: Brier score, calibration, and F1 at a threshold chosen on validation.

The expected calibration error is that of Guo et al. 2017, section 2, with 15 bins of equal width. For exclusive classes it
compares the confidence in the most probable class with the accuracy; for a label, the probability with the share of
positives.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions
from benchmark.scoring.examples import Examples
from benchmark.scoring.metrics.interface import BINARY, CLASSES, MULTILABEL, Metric, Sums, ratio, share
from benchmark.stats.resampled_curves import Floats
from benchmark.tasks.spec import ScoringRules

BINS = 15  # Guo et al. 2017, table 1


def _brier_of_labels(examples: Examples) -> Floats:
    error = (examples.score.astype(float) - examples.truth) ** 2
    return np.stack([error, np.where(np.isnan(error), np.nan, 1.0)], axis=2)


def _brier_of_classes(examples: Examples) -> Floats:
    """Returns the statistics of Brier 1950: the squares are summed over the classes, so the score lies in 0..2."""
    error = ((examples.score.astype(float) - examples.truth) ** 2).sum(axis=1)
    return np.stack([error, np.where(np.isnan(error), np.nan, 1.0)], axis=1)[:, None]


def _binned(confidence: NDArray[Any], correct: NDArray[Any]) -> Floats:
    """Returns N x labels x (BINS + 1): correct minus confidence in the bin of the confidence, 0 in the others; last a 1."""
    known = ~np.isnan(correct)
    bins = np.clip(np.ceil(confidence.astype(float) * BINS) - 1, 0, BINS - 1)  # open to the left, as in the paper
    gap = np.where(known, correct - confidence, 0.0)
    in_bin = bins[..., None] == np.arange(BINS)
    return np.concatenate([in_bin * gap[..., None], known[..., None]], axis=2, dtype=float)


def _calibration_of_labels(examples: Examples) -> Floats:
    return _binned(examples.score, examples.truth)


def _calibration_of_classes(examples: Examples) -> Floats:
    correct = np.where(examples.labeled, examples.score.argmax(axis=1) == examples.classes, np.nan)
    return _binned(examples.score.max(axis=1, keepdims=True), correct[:, None])


def _calibration_error(sums: Floats) -> Floats:
    return ratio(np.abs(sums[..., :BINS]).sum(axis=-1), sums[..., BINS])


def best_threshold(truth: NDArray[Any], score: NDArray[Any]) -> float:
    """Returns the lowest score of one label at which calling all scores from it on positive gives the highest F1; NaN
    where no example is positive. `truth` N of 0, 1 or NaN (left out).
    """
    known = ~np.isnan(truth)
    thresholds, number = np.unique(score[known], return_inverse=True)
    positive = truth[known] == 1
    if not positive.any():
        return np.nan
    hits = np.cumsum(np.bincount(number, positive)[::-1])[::-1]
    called = np.cumsum(np.bincount(number)[::-1])[::-1]
    return float(thresholds[np.argmax(2 * hits / (called + positive.sum()))])


def _f1(examples: Examples) -> Floats:
    validation = examples.validation
    if validation is None:
        raise ValueError("no predictions on the validation split")
    thresholds = [best_threshold(t, s) for t, s in zip(validation.truth.T, validation.score.T, strict=True)]
    called, known = examples.score >= np.array(thresholds), ~np.isnan(examples.truth) & ~np.isnan(thresholds)
    hits = called & (examples.truth == 1)
    parts = np.stack([2 * hits, called + (examples.truth == 1).astype(int)], axis=2)
    return np.where(known[..., None], parts, np.nan)


def _has_validation(predictions: Predictions, _: ScoringRules) -> bool:
    return predictions.validation is not None


METRICS = (
    Metric(
        name="brier",
        title="Brier score",
        kinds=BINARY,
        measure=Sums(_brier_of_labels, share),
        higher_is_better=False,
        unit="number",
        label_name="brier",
    ),
    Metric(
        name="mean_brier",
        title="mean Brier score",
        kinds=MULTILABEL,
        measure=Sums(_brier_of_labels, share),
        higher_is_better=False,
        unit="number",
        label_name="brier",
    ),
    Metric(
        name="multiclass_brier",
        title="Brier score, summed over the classes",
        kinds=CLASSES,
        measure=Sums(_brier_of_classes, share),
        higher_is_better=False,
        unit="number",
    ),
    Metric(
        name="calibration_error",
        title=f"expected calibration error, {BINS} bins",
        kinds=BINARY,
        measure=Sums(_calibration_of_labels, _calibration_error),
        higher_is_better=False,
        label_name="calibration_error",
    ),
    Metric(
        name="mean_calibration_error",
        title=f"mean expected calibration error, {BINS} bins",
        kinds=MULTILABEL,
        measure=Sums(_calibration_of_labels, _calibration_error),
        higher_is_better=False,
        label_name="calibration_error",
    ),
    Metric(
        name="confidence_calibration_error",
        title=f"expected calibration error of the most probable class, {BINS} bins",
        kinds=CLASSES,
        measure=Sums(_calibration_of_classes, _calibration_error),
        higher_is_better=False,
    ),
    Metric(
        name="f1",
        title="F1 at the threshold that is best on validation",
        kinds=BINARY,
        measure=Sums(_f1, share),
        label_name="f1",
        applies=_has_validation,
    ),
    Metric(
        name="mean_f1",
        title="mean F1 at the thresholds that are best on validation",
        kinds=MULTILABEL,
        measure=Sums(_f1, share),
        label_name="f1",
        applies=_has_validation,
    ),
)
