"""Predictions -> scores. The judge: it can be asked again at any time, with no model at hand.

Departs: Dice is of masks at the size that the net sees, as in the first paper's code, not at the images' own, at which
SIIM-ACR's challenge and other work judge.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmark.results.predictions import Predictions
from benchmark.stats import formulas as metrics
from benchmark.tasks.spec import ScoringRules

Scores = dict[str, float | None]
DICE: dict[str, Callable[..., float]] = {
    "dice_pooled": metrics.dice_pooled,
    "dice_per_image": metrics.dice_per_image,
    "dice_positive": metrics.dice_positive,
}
TOP_SLICES = 10  # an exam's score beside its highest slice: the mean of this many
AGE_BAND = 20  # years
MAX_VALUES = 12  # a group with more values is an identity (a patient, an exam), not a subgroup


def scores_of(predictions: Predictions, judging: ScoringRules | None = None) -> tuple[Scores, dict[str, Scores]]:
    """Overall scores, and scores per label. None stands for what cannot be scored (a label without positives).

    Classification: `mean_auc` over the labels that `judging` scores and that have both classes; `auc`, its equal, where
    there is one label. Exclusive classes: also `accuracy`, `top3_accuracy` (of four classes or more) and
    `mean_sensitivity` (recall, and `mean_sensitivity_top3`, over the scored classes). Ordinal: also `kappa`, quadratic,
    of the most probable grade, and `kappa_expected` of the rounded mean grade. With an exam: `exam_auc_max` and
    `exam_auc_top10`, of its slices' highest score and of the mean of its ten highest. Segmentation: the three forms of
    Dice against the first reference, by plain name; against each further one with `:reference` behind the name.
    """
    judging = judging or ScoringRules()
    if predictions.kind == "segmentation":
        return _segmentation(predictions), {}
    judged = by_case(predictions, judging.case) if judging.case else predictions
    per_label: dict[str, Scores] = {}
    for place, label in enumerate(judged.columns):
        truth = judged.truth[:, place]
        value = metrics.auc(truth, judged.score[:, place])
        per_label[label] = {"auc": _known(value), "positives": float(np.nansum(truth))}
    scored = judging.scored_labels(judged.columns)
    mean = _mean([per_label[label]["auc"] for label in scored])
    overall: Scores = {"mean_auc": mean} | ({"auc": mean} if len(per_label) == 1 else {})
    if predictions.kind != "classification":
        overall |= _exclusive(judged, scored, per_label)
    if judging.exam:
        overall |= _of_exams(judged, judging.exam)
    return overall, per_label


def group_scores(predictions: Predictions, judging: ScoringRules) -> dict[str, dict[str, Scores]]:
    """Group -> value -> the scores of the images that have it, and `num`, how many (cases, where cases are judged).

    Ages are judged in bands of twenty years. A group of one value, or of more than twelve, is none.
    """
    judged = by_case(predictions, judging.case) if judging.case else predictions
    alone = replace(judging, case=None)
    found: dict[str, dict[str, Scores]] = {}
    for group, values in judged.groups.items():
        told = np.array([_band(value) for value in values]) if group == "age" else values
        distinct = [str(value) for value in np.unique(told)]
        if not 1 < len(distinct) <= MAX_VALUES or group in ("patient", judging.case, judging.exam):
            continue
        found[group] = {}
        for value in distinct:
            rows = np.flatnonzero(told == value)
            found[group][value or "unknown"] = {**scores_of(judged.rows(rows), alone)[0], "num": float(len(rows))}
    return found


def by_case(predictions: Predictions, case: str) -> Predictions:
    """Each case as one example, its score the mean of its images'; its truth and groups are its first image's.

    Images that are not labelled (unreadable ones) are left out, cases of none but those too.
    """
    known = np.flatnonzero(~np.isnan(predictions.truth).all(axis=1))
    kept = predictions.rows(known)
    names, first, place = np.unique(kept.groups[case], return_index=True, return_inverse=True)
    summed = np.zeros((len(names), kept.score.shape[1]))
    np.add.at(summed, place, kept.score)
    return Predictions(
        kind=kept.kind,
        ids=names,
        groups={name: values[first] for name, values in kept.groups.items()},
        columns=kept.columns,
        truth=kept.truth[first],
        score=summed / np.bincount(place)[:, None],
    )


def _exclusive(predictions: Predictions, scored: tuple[str, ...], per_label: dict[str, Scores]) -> Scores:
    known = ~np.isnan(predictions.truth).any(axis=1)
    truth, score = predictions.truth[known].argmax(axis=1), predictions.score[known]
    scores: Scores = {"accuracy": _known(metrics.top_accuracy(truth, score))}
    for name, first in (("sensitivity", 1), ("sensitivity_top3", 3)):
        for label, value in zip(predictions.columns, metrics.sensitivities(truth, score, first), strict=True):
            per_label[label][name] = _known(float(value))
        scores[f"mean_{name}"] = _mean([per_label[label][name] for label in scored])
    if len(predictions.columns) > 3:
        scores["top3_accuracy"] = _known(metrics.top_accuracy(truth, score, 3))
    if predictions.kind == "ordinal":
        grades = len(predictions.columns)
        expected = (score @ np.arange(grades)).round()
        scores["kappa"] = _known(metrics.quadratic_kappa(truth, score.argmax(axis=1), grades))
        scores["kappa_expected"] = _known(metrics.quadratic_kappa(truth, expected, grades))
    return scores


def _of_exams(predictions: Predictions, exam: str) -> Scores:
    known = ~np.isnan(predictions.truth[:, 0])
    truth, score = predictions.truth[known, 0], predictions.score[known, 0]
    names, place = np.unique(predictions.groups[exam][known], return_inverse=True)
    positive = np.zeros(len(names))
    np.maximum.at(positive, place, truth)
    return {
        "exam_auc_max": _known(metrics.auc(positive, metrics.top_mean(score, place, 1))),
        f"exam_auc_top{TOP_SLICES}": _known(metrics.auc(positive, metrics.top_mean(score, place, TOP_SLICES))),
    }


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


def _band(age: str) -> str:
    """`40-59` for 45; nothing for what is no age."""
    digits = age.partition(".")[0]
    if not digits.isdecimal():
        return ""
    low = int(digits) // AGE_BAND * AGE_BAND
    return f"{low}-{low + AGE_BAND - 1}"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
