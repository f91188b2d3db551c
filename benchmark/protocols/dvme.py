"""Fusions of several encoders: Dynamic Visual Meta-Embedding (Truong et al. 2021)."""

from typing import TYPE_CHECKING

from benchmark.protocols.interface import FROZEN_RECIPE, Protocol

if TYPE_CHECKING:
    from benchmark.training.interface import FeatureData, SplitData, TrainingInput, TrainingResult


def _with_attention(data: "TrainingInput[FeatureData]") -> "TrainingResult":
    from benchmark.training.dvme import dvme

    return dvme(data)


def _without_attention(data: "TrainingInput[FeatureData]") -> "TrainingResult":
    from benchmark.training.dvme import dvme_no_attention

    return dvme_no_attention(data)


def _end_to_end(data: "TrainingInput[SplitData]") -> "TrainingResult":
    from benchmark.training.finetune import finetune_fused

    return finetune_fused(data)


PROTOCOLS = (
    Protocol(
        name="dvme",
        title="a fusion of frozen encoders with attention trains (Truong 2021)",
        rank=50,
        fuses=True,
        frozen=True,
        recipe=FROZEN_RECIPE,
        train=_with_attention,
    ),
    Protocol(
        name="dvme-no-attention",
        title="a linear classifier on the projected, joined features of frozen encoders trains (Truong 2021)",
        rank=60,
        fuses=True,
        frozen=True,
        recipe=FROZEN_RECIPE,
        train=_without_attention,
    ),
    Protocol(
        name="dvme-finetune",
        title="the fusion and its encoders train end to end",
        rank=70,
        fuses=True,
        recipe={"learning_rate": 1e-4, "batch_size": 16},  # as the paper fine-tunes DINO, appendix B.2
        train=_end_to_end,
    ),
)
