"""Protocols that train on images: fine-tuning, a decoder over a frozen encoder, and the end-to-end fusion of encoders."""

from dataclasses import replace

from torch import nn

from benchmark.models.fusion import FusedClassifier
from benchmark.models.networks import Classifier, Segmenter
from benchmark.models.normalization import Normalization
from benchmark.random_streams import Purpose, stream
from benchmark.training.interface import SplitData, Statistics, TrainingInput, TrainingResult
from benchmark.training.outputs import num_outputs
from benchmark.training.supervised import supervised


def finetune(inputs: TrainingInput[SplitData]) -> TrainingResult:
    """Trains all parameters of the encoder and of a fresh head (in segmentation, a decoder)."""
    (encoder, (mean, std)) = _one(inputs)
    head = stream(inputs.seed, Purpose.HEAD)
    model: Classifier | Segmenter
    if inputs.kind_facts.masks:
        model = Segmenter(encoder, Normalization(mean, std), head)
    else:
        model = Classifier(encoder, Normalization(mean, std), num_outputs(inputs), head, inputs.recipe.initialization)
    return replace(supervised(inputs, model), encoder=model.encoder)


def decode(inputs: TrainingInput[SplitData]) -> TrainingResult:
    """Trains a fresh decoder over the encoder, whose weights and batch norms stay as they are."""
    (encoder, (mean, std)) = _one(inputs)
    return supervised(
        inputs, Segmenter(encoder, Normalization(mean, std), stream(inputs.seed, Purpose.HEAD), frozen=True)
    )


def finetune_fused(inputs: TrainingInput[SplitData]) -> TrainingResult:
    """Trains several encoders and the fusion of their embeddings end to end."""
    normalizations = tuple(Normalization(mean, std) for _, (mean, std) in inputs.encoders)
    encoders = tuple(encoder for encoder, _ in inputs.encoders)
    return supervised(
        inputs, FusedClassifier(encoders, normalizations, num_outputs(inputs), stream(inputs.seed, Purpose.HEAD))
    )


def _one(inputs: TrainingInput[SplitData]) -> tuple[nn.Module, Statistics]:
    """Returns the only encoder and its input statistics. Raises ValueError where there are several."""
    if len(inputs.encoders) != 1:
        raise ValueError(f"wanted one encoder, not {len(inputs.encoders)}")
    return inputs.encoders[0]
