"""Losses on logits, each with the activation that turns these logits into probabilities.

A loss is a mean over the batch, so that pieces of a batch, weighted by their sizes, give the loss of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Loss:
    """`function` computes the mean loss from logits and targets, `activation` the probabilities from logits."""

    function: LossFunction
    activation: Callable[[torch.Tensor], torch.Tensor]


def bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the binary cross-entropy over the targets that are known (not NaN)."""
    targets = targets.to(logits.dtype)
    labeled = ~torch.isnan(targets)  # multiplied below, never read as a number: that would make a GPU wait at each step
    terms = functional.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none")
    return (terms * labeled).sum() / labeled.sum().clamp(min=1)


def ce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the cross-entropy over exclusive classes. Targets: B x classes, one of them 1; or one 0/1 label, B x 1, over two
    outputs. Rows of NaN are left out.
    """
    labeled = ~torch.isnan(targets).any(1)
    known = targets.nan_to_num()
    terms = functional.cross_entropy(
        logits, known[:, 0].long() if targets.shape[1] == 1 else known.argmax(1), reduction="none"
    )
    return (terms * labeled).sum() / labeled.sum().clamp(min=1)


def dice(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns one minus the soft Dice of all the batch's pixels together, smoothed by 1 (the first paper's code).

    segmentation_models_pytorch's DiceLoss is zero for a batch without foreground, whatever is predicted; this is not.
    """
    probability, targets = logits.sigmoid(), targets.to(logits.dtype)
    overlap = (probability * targets).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + targets.sum() + 1)


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(1)


LOSSES: dict[str, Loss] = {
    "bce": Loss(bce, torch.sigmoid),
    "ce": Loss(ce, _softmax),
    "dice": Loss(dice, torch.sigmoid),
}
