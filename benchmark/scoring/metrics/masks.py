"""Metrics of masks, from pixel counts: Dice and intersection over union, against each reference.

Departs: Dice is of masks at the size that the net sees, as in the first paper's code, not at the images' own, at which
SIIM-ACR's challenge and other work judge.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmark.scoring.examples import Examples
from benchmark.scoring.metrics.interface import MASKS, Metric, Sums, ratio, share
from benchmark.stats.resampled_curves import Floats

Overlap = Callable[[Floats, Floats], tuple[Floats, Floats]]


def _dice(both: Floats, marked: Floats) -> tuple[Floats, Floats]:
    return 2 * both, marked


def _iou(both: Floats, marked: Floats) -> tuple[Floats, Floats]:
    return both, marked - both


def _parts(examples: Examples, overlap: Overlap) -> tuple[Floats, Floats]:
    """Returns the numerator and the denominator of the overlap, images x references; NaN where there is no reference."""
    predicted, both = examples.score.astype(float)[..., 0], examples.score.astype(float)[..., 1]
    return overlap(np.where(np.isnan(examples.truth), np.nan, both), predicted + examples.truth.astype(float))


def _pooled(examples: Examples, overlap: Overlap) -> Floats:
    part, total = _parts(examples, overlap)
    return np.stack([part, total, np.where(np.isnan(part), np.nan, 1.0)], axis=2)


def _per_image(examples: Examples, overlap: Overlap, *, positive: bool = False) -> Floats:
    part, total = _parts(examples, overlap)
    counts = examples.truth > 0 if positive else ~np.isnan(examples.truth)
    each = np.where(counts, ratio(part, total, empty=1.0), np.nan)  # an empty reference predicted empty counts 1
    return np.stack([each, np.where(counts, 1.0, np.nan)], axis=2)


def _value_of_pooled(sums: Floats) -> Floats:
    return np.where(sums[..., 2] > 0, ratio(sums[..., 0], sums[..., 1], empty=1.0), np.nan)


METRICS = (
    Metric(
        name="dice_pooled",
        title="Dice of all pixels together",
        kinds=MASKS,
        measure=Sums(partial(_pooled, overlap=_dice), _value_of_pooled),
    ),
    Metric(
        name="dice_per_image",
        title="mean Dice of the images",
        kinds=MASKS,
        measure=Sums(partial(_per_image, overlap=_dice), share),
    ),
    Metric(
        name="dice_positive",
        title="mean Dice of the images whose reference marks anything",
        kinds=MASKS,
        measure=Sums(partial(_per_image, overlap=_dice, positive=True), share),
    ),
    Metric(
        name="iou_pooled",
        title="intersection over union of all pixels together",
        kinds=MASKS,
        measure=Sums(partial(_pooled, overlap=_iou), _value_of_pooled),
    ),
    Metric(
        name="iou_per_image",
        title="mean intersection over union of the images",
        kinds=MASKS,
        measure=Sums(partial(_per_image, overlap=_iou), share),
    ),
)
