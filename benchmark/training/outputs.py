"""A model's logits -> what it said of each example."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions
from benchmark.training.interface import SplitData, TrainingInput


def num_outputs(inputs: TrainingInput[SplitData]) -> int:
    """How many logits a classifier gives: one a label, or two where cross-entropy asks for both answers of one."""
    return 2 if _is_one_label(inputs) and inputs.recipe.loss == "ce" else len(inputs.columns)


def probability_of(inputs: TrainingInput[SplitData], logits: torch.Tensor) -> torch.Tensor:
    """Probabilities of the columns, ... x columns (segmentation: of each pixel)."""
    if inputs.recipe.loss != "ce":
        return logits.sigmoid()
    return logits.softmax(1)[:, 1:] if _is_one_label(inputs) else logits.softmax(1)


def _is_one_label(inputs: TrainingInput[SplitData]) -> bool:
    return inputs.kind_facts.one_label and not inputs.kind_facts.masks


def references(masks: tuple[str, ...]) -> list[tuple[str, bool]]:
    """What a segmentation is held against: each observer's mask, whole, and within the field of view where one is."""
    observers = [name for name in masks if name != "field_of_view"]
    views = (False, True) if "field_of_view" in masks else (False,)
    return [(name, within) for within in views for name in observers]


def assembled(
    inputs: TrainingInput[SplitData], part: SplitData, gathered: list[tuple[NDArray[Any], NDArray[Any]]]
) -> Predictions:
    """Predictions on a part from its batches' truth and score."""
    truth = np.concatenate([t for t, _ in gathered]).astype(np.float64)
    score = np.concatenate([s for _, s in gathered])
    kind, columns = inputs.kind_facts, inputs.columns
    if kind.masks:
        held = references(inputs.columns)
        for place, (name, _) in enumerate(held):
            truth[~part.present[name], place] = np.nan  # this image has no such reference
        columns = tuple(name + (" in field of view" if within else "") for name, within in held)
    return Predictions(
        kind=kind.predictions, ids=part.ids, groups=part.groups, columns=columns, truth=truth, score=score
    )
