"""Protocols that train on images: fine-tuning, a decoder over a frozen encoder, and the end-to-end fusion of encoders."""

from dataclasses import replace

from benchmark.models.fusion import FusedClassifier
from benchmark.models.networks import Classifier, Segmenter
from benchmark.models.normalization import Normalization
from benchmark.random_streams import Purpose, stream
from benchmark.training.interface import TrainingInput, TrainingResult
from benchmark.training.outputs import num_outputs
from benchmark.training.supervised import supervised


def finetune(question: TrainingInput) -> TrainingResult:
    """All parameters of the encoder and of a fresh head (a decoder, in segmentation) train."""
    (encoder, (mean, std)) = _one(question)
    head = stream(question.seed, Purpose.HEAD)
    model: Classifier | Segmenter
    if question.kind == "segmentation":
        model = Segmenter(encoder, Normalization(mean, std), head)
    else:
        model = Classifier(
            encoder, Normalization(mean, std), num_outputs(question), head, question.recipe.initialization
        )
    return replace(supervised(question, model), encoder=model.encoder)


def decode(question: TrainingInput) -> TrainingResult:
    """A fresh decoder trains over the encoder, whose weights and batch norms stay as they are."""
    (encoder, (mean, std)) = _one(question)
    return supervised(
        question, Segmenter(encoder, Normalization(mean, std), stream(question.seed, Purpose.HEAD), frozen=True)
    )


def finetune_fused(question: TrainingInput) -> TrainingResult:
    """Several encoders and the fusion of their embeddings train end to end."""
    intakes = tuple(Normalization(mean, std) for _, (mean, std) in question.encoders)
    encoders = tuple(encoder for encoder, _ in question.encoders)
    return supervised(
        question, FusedClassifier(encoders, intakes, num_outputs(question), stream(question.seed, Purpose.HEAD))
    )


def _one(question: TrainingInput) -> tuple:  # type: ignore[type-arg]
    if len(question.encoders) != 1:
        raise ValueError(f"wanted one encoder, not {len(question.encoders)}")
    return question.encoders[0]
