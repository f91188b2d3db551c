"""Predictions of one task's labels, judged by another task's truth on the labels that the two share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a model says of a test split (`score`, N x `columns`), and what is true there (`truth`, N x `labels`)."""

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    columns: tuple[str, ...]
    score: NDArray[np.floating]
    labels: tuple[str, ...]
    truth: NDArray[np.floating]


def judged_across(outputs: Outputs, pairs: tuple[tuple[str, str], ...], *, exclusive: bool) -> tuple[Predictions, int]:
    """Returns the predictions on the shared labels, named as the test's, and how many images were left out.

    Without `exclusive`, each label's probability stands as it is, for all images. With it, the probabilities of the shared
    classes are divided by their sum, and images of other classes are left out; those that could not be decoded stay, with
    a truth of NaN.
    """
    score = outputs.score[:, [outputs.columns.index(own) for own, _ in pairs]].astype(np.float64)
    truth = outputs.truth[:, [outputs.labels.index(other) for _, other in pairs]]
    rows = np.arange(len(truth))
    if exclusive:
        rows = np.flatnonzero(np.isnan(truth).any(axis=1) | (truth == 1).any(axis=1))
        total = score.sum(axis=1, keepdims=True)
        score = np.divide(score, total, out=np.full_like(score, 1 / len(pairs)), where=total > 0)
    predictions = Predictions(
        kind="multiclass" if exclusive else "classification",
        ids=outputs.ids[rows],
        groups={name: values[rows] for name, values in outputs.groups.items()},
        columns=tuple(other for _, other in pairs),
        truth=truth[rows],
        score=score[rows],
    )
    return predictions, len(truth) - len(rows)
