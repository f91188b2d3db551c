"""Dynamic Visual Meta-Embedding over the features of frozen encoders: only the fusion trains."""

from dataclasses import replace

import numpy as np
import torch

from benchmark.models.fusion import Fusion
from benchmark.random_streams import Purpose, stream
from benchmark.training.interface import FeatureData, TestOutput, TrainingInput, TrainingResult
from benchmark.training.outputs import num_outputs
from benchmark.training.supervised import supervised

CHUNK = 8  # examples at a time: the attention of a batch of 64 alone takes 600 MB


def dvme(inputs: TrainingInput[FeatureData]) -> TrainingResult:
    """Trains the fusion with self-attention; the attention between encoders is averaged over the test split."""
    return _fuse(inputs, attention=True)


def dvme_no_attention(inputs: TrainingInput[FeatureData]) -> TrainingResult:
    """Trains a linear classifier of the projected and joined embeddings (section 6.2)."""
    return _fuse(inputs, attention=False)


def _fuse(inputs: TrainingInput[FeatureData], *, attention: bool) -> TrainingResult:
    train = inputs.train
    model = Fusion(train.widths, num_outputs(inputs), stream(inputs.seed, Purpose.HEAD), attention=attention)
    result = supervised(inputs, model)
    return replace(result, test=lambda: _tested(inputs, model, result.test(), attention=attention))


def _tested(inputs: TrainingInput[FeatureData], model: Fusion, output: TestOutput, *, attention: bool) -> TestOutput:
    """Returns the test output with the fused embeddings and, where there is attention, its mean between the encoders."""
    model.eval()
    total = torch.zeros(len(model.widths), len(model.widths), dtype=torch.float64)
    fused = []
    with torch.inference_mode():
        for batch in inputs.test.batches(CHUNK):
            fused.append(model.fused(batch.images).cpu().numpy().astype(np.float16))
            if attention:
                total += model.between_encoders(batch.images).sum(0).double().cpu()
    mean = np.asarray(total / len(inputs.test)) if attention else None
    return replace(output, attention=mean, embedding=np.concatenate(fused))
