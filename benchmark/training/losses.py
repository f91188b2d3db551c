"""Losses on logits; each a mean over the batch, so that a batch in pieces weighs as the whole."""

from collections.abc import Callable

import torch
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy over what is labelled (targets that are NaN are not)."""
    targets = targets.to(logits.dtype)
    labelled = ~torch.isnan(targets)  # never asked for its value: that would make a GPU wait at each step
    terms = functional.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none")
    return (terms * labelled).sum() / labelled.sum().clamp(min=1)


def ce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over exclusive classes. Targets B x classes, one of them 1; or one 0/1 label, B x 1, over two
    outputs. Rows of NaN are not labelled.
    """
    labelled = ~torch.isnan(targets).any(1)
    known = targets.nan_to_num()
    terms = functional.cross_entropy(
        logits, known[:, 0].long() if targets.shape[1] == 1 else known.argmax(1), reduction="none"
    )
    return (terms * labelled).sum() / labelled.sum().clamp(min=1)


def dice(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One minus the soft Dice of all the batch's pixels together, smoothed by 1 (the first paper's code).

    segmentation_models_pytorch's DiceLoss is zero for a batch without foreground, whatever is predicted; this is not.
    """
    probability, targets = logits.sigmoid(), targets.to(logits.dtype)
    overlap = (probability * targets).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + targets.sum() + 1)


LOSSES: dict[str, Loss] = {"bce": bce, "ce": ce, "dice": dice}
