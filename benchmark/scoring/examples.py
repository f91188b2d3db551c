"""The examples that metrics are computed on: the images of a test set, its cases, or its exams."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions
from benchmark.tasks.spec import ScoringRules


@dataclass(frozen=True, kw_only=True)
class Examples:
    """N images, cases or exams of a test set.

    `truth` and `score` are as in Predictions; `patients` has N names, or is None where they are not known; `validation`
    holds the same model's examples of the validation split, on which thresholds are chosen.
    """

    ids: NDArray[np.str_]
    patients: NDArray[np.str_] | None
    columns: tuple[str, ...]
    truth: NDArray[np.floating]
    score: NDArray[np.floating]
    validation: "Examples | None" = None

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Returns which examples have a label in every column."""
        return np.asarray(~np.isnan(self.truth).any(axis=1))

    @property
    def classes(self) -> NDArray[np.intp]:
        """Returns the number of the class of each example (for exclusive classes); -1 where it is not known."""
        return np.where(self.labeled, self.truth.argmax(axis=1), -1)


def examples_of(predictions: Predictions, rules: ScoringRules) -> Examples:
    """Returns the images, or the cases where the task scores cases."""
    scored = by_case(predictions, rules.case) if rules.case and not predictions.has_masks else predictions
    return _as_they_are(scored)


def by_case(predictions: Predictions, case: str) -> Predictions:
    """Returns each case as one example: the score is the mean over the images, truth and groups are those of the first image.

    Images without any label (unreadable ones) are left out, and so are cases that have no other images.
    """
    labeled = predictions.rows(np.flatnonzero(~np.isnan(predictions.truth).all(axis=1)))
    names, first, number = np.unique(labeled.groups[case], return_index=True, return_inverse=True)
    total = np.zeros((len(names), labeled.score.shape[1]))
    np.add.at(total, number, labeled.score)
    return Predictions(
        kind=labeled.kind,
        ids=names,
        groups={name: values[first] for name, values in labeled.groups.items()},
        columns=labeled.columns,
        truth=labeled.truth[first],
        score=total / np.bincount(number)[:, None],
        validation=None if labeled.validation is None else by_case(labeled.validation, case),
    )


def _as_they_are(predictions: Predictions) -> Examples:
    """Returns the images (or cases that `by_case` has joined) without a change."""
    return Examples(
        ids=predictions.ids,
        patients=predictions.groups.get("patient"),
        columns=predictions.columns,
        truth=predictions.truth,
        score=predictions.score,
        validation=None if predictions.validation is None else _as_they_are(predictions.validation),
    )


def exams_of(predictions: Predictions, exam: str, slices: int) -> Examples:
    """Returns each exam as one example: positive where any image is, with the mean of the `slices` highest scores."""
    labeled = np.flatnonzero(~np.isnan(predictions.truth[:, 0]))
    truth, score = predictions.truth[labeled, 0], predictions.score[labeled, 0]
    names, first, number = np.unique(predictions.groups[exam][labeled], return_index=True, return_inverse=True)
    positive = np.zeros(len(names))
    np.maximum.at(positive, number, truth)
    patients = predictions.groups.get("patient")
    return Examples(
        ids=names,
        patients=None if patients is None else patients[labeled][first],
        columns=predictions.columns,
        truth=positive[:, None],
        score=top_mean(score, number, slices)[:, None],
    )


def top_mean(score: NDArray[np.floating], group: NDArray[np.intp], first: int) -> NDArray[np.float64]:
    """Returns the mean of each group's `first` highest scores, in the order of the groups' numbers 0 … ."""
    score = score.astype(float)
    order = np.lexsort((-score, group))
    starts = np.searchsorted(group[order], np.arange(int(group.max(initial=-1)) + 1))
    highest = order[np.arange(len(order)) - starts[group[order]] < first]
    return np.bincount(group[highest], score[highest]) / np.bincount(group[highest])
