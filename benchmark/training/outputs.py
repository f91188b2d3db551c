"""Turns the logits of a model into predictions."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions
from benchmark.training.interface import SplitData, TrainingInput
from benchmark.training.losses import LOSSES


def num_outputs(inputs: TrainingInput[SplitData]) -> int:
    """Returns how many logits a classifier has: one for each label; two for a single label under cross-entropy."""
    return 2 if _has_two_outputs(inputs) else len(inputs.columns)


def probability_of(inputs: TrainingInput[SplitData], logits: torch.Tensor) -> torch.Tensor:
    """Returns the probabilities of the columns, … x columns (segmentation: of each pixel)."""
    probability = LOSSES[inputs.recipe.loss].activation(logits)
    return probability[:, 1:] if _has_two_outputs(inputs) else probability


def _has_two_outputs(inputs: TrainingInput[SplitData]) -> bool:
    kind = inputs.kind_facts
    return kind.one_label and not kind.masks and inputs.recipe.loss == "ce"


def references(masks: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Returns the references of a segmentation as (mask, whether only within the field of view): the mask of each observer,
    and where there is a field of view, each once more within it.
    """
    observers = [name for name in masks if name != "field_of_view"]
    views = (False, True) if "field_of_view" in masks else (False,)
    return [(name, within) for within in views for name in observers]


def assembled(
    inputs: TrainingInput[SplitData], split: SplitData, gathered: list[tuple[NDArray[Any], NDArray[Any]]]
) -> Predictions:
    """Returns the predictions on a split, from the truth and the score of its batches."""
    truth = np.concatenate([t for t, _ in gathered]).astype(np.float64)
    score = np.concatenate([s for _, s in gathered])
    kind, columns = inputs.kind_facts, inputs.columns
    if kind.masks:
        masks = references(inputs.columns)
        for number, (name, _) in enumerate(masks):
            truth[~split.present[name], number] = np.nan  # these images have no such reference
        columns = tuple(name + (" in field of view" if within else "") for name, within in masks)
    return Predictions(
        kind=kind.predictions, ids=split.ids, groups=split.groups, columns=columns, truth=truth, score=score
    )
