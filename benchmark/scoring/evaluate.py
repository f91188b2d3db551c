"""Computes scores from stored predictions, at any time and without a model: the scores that a record holds."""

import math
from collections.abc import Container
from dataclasses import replace

import numpy as np

from benchmark.results.predictions import Predictions
from benchmark.scoring.examples import by_case
from benchmark.scoring.metrics.registry import metrics_of
from benchmark.tasks.spec import ScoringRules

Scores = dict[str, float | None]
AGE_BAND = 20  # years
MAX_VALUES = 12  # a group with more values is an identity (a patient, an exam), not a subgroup


def scores_of(
    predictions: Predictions, rules: ScoringRules | None = None, *, names: Container[str] | None = None
) -> tuple[Scores, dict[str, Scores]]:
    """Returns the overall scores by the metrics' names, and those of each label. None stands for what is not defined (a
    label without positives).

    An overall score is the mean over the labels that `rules` scores. Segmentation: against the first reference by plain
    name, against each further one with `:reference` behind the name. `names`: only these metrics (None: all).
    """
    rules = rules or ScoringRules()
    predictions, rules = _judged(predictions, rules)
    columns = predictions.columns
    scored = [columns.index(label) for label in rules.scored_labels(columns)]
    overall: Scores = {}
    per_label: dict[str, Scores] = {}
    if not predictions.has_masks:
        positives = np.nansum(predictions.truth, axis=0)
        per_label = {label: {"positives": float(num)} for label, num in zip(columns, positives, strict=True)}
    for metric in metrics_of(predictions, rules):
        if names is not None and metric.name not in names:
            continue
        if predictions.has_masks:
            values = metric.statistic(predictions, rules).observed()[0]
            for reference, value in zip(columns, values, strict=True):
                overall[metric.name if reference == columns[0] else f"{metric.name}:{reference}"] = _known(value)
        elif metric.label_name:
            of_labels = metric.statistic(predictions, rules)
            for label, value in zip(columns, of_labels.observed()[0], strict=True):
                per_label[label][metric.label_name] = _known(value)
            overall[metric.name] = _known(of_labels.mean_over(scored).observed()[0])
        else:
            overall[metric.name] = _known(metric.statistic(predictions, rules, scored).mean_over().observed()[0])
    return overall, per_label


def group_scores(predictions: Predictions, rules: ScoringRules) -> dict[str, dict[str, Scores]]:
    """Returns, for each group and each value in it, the scores of the images with that value, and `num`, the number of
    these images (cases, where cases are scored).

    Ages are joined into bands of twenty years. A group with one value, or with more than twelve, is left out.
    """
    judged, alone = _judged(predictions, rules)
    scores: dict[str, dict[str, Scores]] = {}
    for group, values in judged.groups.items():
        named = np.array([_band(value) for value in values]) if group == "age" else values
        distinct = [str(value) for value in np.unique(named)]
        if not 1 < len(distinct) <= MAX_VALUES or group in ("patient", rules.case, rules.exam):
            continue
        scores[group] = {}
        for value in distinct:
            rows = np.flatnonzero(named == value)
            scores[group][value or "unknown"] = {**scores_of(judged.rows(rows), alone)[0], "num": float(len(rows))}
    return scores


def unscored(per_label: dict[str, Scores]) -> list[str]:
    """Returns the labels without an AUC: the test split has only positives of them, or only negatives."""
    return [label for label, scores in per_label.items() if scores["auc"] is None]


def _judged(predictions: Predictions, rules: ScoringRules) -> tuple[Predictions, ScoringRules]:
    """Returns the predictions of cases, where cases are scored, and the rules that remain to be applied."""
    if rules.case is None or predictions.has_masks:
        return predictions, rules
    return by_case(predictions, rules.case), replace(rules, case=None)


def _band(age: str) -> str:
    """Returns `40-59` for 45, and an empty text for what is no age."""
    digits = age.partition(".")[0]
    if not digits.isdecimal():
        return ""
    low = int(digits) // AGE_BAND * AGE_BAND
    return f"{low}-{low + AGE_BAND - 1}"


def _known(value: float) -> float | None:
    """Returns None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
