"""Linear evaluation: a linear layer trains on the frozen encoder's features; in segmentation, a decoder above it."""

from typing import TYPE_CHECKING

from benchmark.protocols.interface import FROZEN_RECIPE, Protocol

if TYPE_CHECKING:
    from benchmark.training.interface import FeatureData, SplitData, TrainingInput, TrainingResult
    from benchmark.training.loop import Diverged


def _train_together(data: "list[TrainingInput[FeatureData]]") -> "list[TrainingResult | Diverged]":
    from benchmark.training.linear_heads import linear

    return linear(data)


def _train_segmentation(data: "TrainingInput[SplitData]") -> "TrainingResult":
    from benchmark.training.finetune import decode

    return decode(data)


PROTOCOLS = (
    Protocol(
        name="linear",
        title="a linear layer trains on the frozen encoder's features; in segmentation, the decoder above it",
        rank=20,
        frozen=True,
        recipe=FROZEN_RECIPE,
        # all heads of a grid are trained as one product, epoch by epoch
        allowed={"optimizer": ("adam", "sgd"), "max_steps": (None,), "warmup": (None,)},
        train_together=_train_together,
        train_segmentation=_train_segmentation,
    ),
)
