"""Fine-tuning: all of the encoder and a fresh head train; in segmentation, the encoder and a fresh decoder."""

from typing import TYPE_CHECKING

from benchmark.protocols.interface import Protocol

if TYPE_CHECKING:
    from benchmark.training.interface import SplitData, TrainingInput, TrainingResult


def _train(data: "TrainingInput[SplitData]") -> "TrainingResult":
    from benchmark.training.finetune import finetune

    return finetune(data)


PROTOCOLS = (
    Protocol(
        name="finetune",
        title="all of the encoder and a fresh head train",
        rank=10,
        train=_train,
        train_segmentation=_train,
    ),
)
