"""Predictions -> scores. The judge: it can be asked again at any time, with no model at hand."""

import math
from collections.abc import Callable

import numpy as np

from benchmark.measures import metrics
from benchmark.record import Predictions

Scores = dict[str, float | None]
DICE: dict[str, Callable[..., float]] = {
    "dice_pooled": metrics.dice_pooled,
    "dice_per_image": metrics.dice_per_image,
    "dice_positive": metrics.dice_positive,
}
METRICS = ("auc", "mean_auc", *DICE)  # what a task may name as its primary score


def scores_of(predictions: Predictions, scored: tuple[str, ...] | None = None) -> tuple[Scores, dict[str, Scores]]:
    """Overall scores, and scores per label. None stands for what cannot be scored (a label without positives).

    Classification: `mean_auc` over the labels (those in `scored`, where given) that have both classes; `auc`, its
    equal, where there is one label. Segmentation: the three forms of Dice against the first reference, by plain name;
    against each further one with `:reference` behind the name.
    """
    if predictions.kind == "segmentation":
        return _segmentation(predictions), {}
    per_label: dict[str, Scores] = {}
    for place, label in enumerate(predictions.columns):
        truth = predictions.truth[:, place]
        value = metrics.auc(truth, predictions.score[:, place])
        per_label[label] = {"auc": _known(value), "positives": float(np.nansum(truth))}
    each = [per_label[label]["auc"] for label in scored or per_label]
    known = [value for value in each if value is not None]
    mean = float(np.mean(known)) if known else None
    return {"mean_auc": mean} | ({"auc": mean} if len(per_label) == 1 else {}), per_label


def _segmentation(predictions: Predictions) -> Scores:
    scores: Scores = {}
    for place, reference in enumerate(predictions.columns):
        actual = predictions.truth[:, place]
        given = ~np.isnan(actual)
        predicted, overlap = predictions.score[given, place].T
        for name, measure in DICE.items():
            value = measure(overlap.astype(np.float64), predicted.astype(np.float64), actual[given].astype(np.float64))
            scores[name if place == 0 else f"{name}:{reference}"] = _known(value)
    return scores


def unscored(per_label: dict[str, Scores]) -> list[str]:
    """Labels without an AUC, since the test part has one class of them only."""
    return [label for label, scores in per_label.items() if scores["auc"] is None]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
