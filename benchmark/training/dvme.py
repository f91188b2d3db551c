"""Dynamic Visual Meta-Embedding over frozen encoders: their features are given, the fusion alone trains."""

from dataclasses import replace

import numpy as np
import torch

from benchmark.models.fusion import Fusion
from benchmark.random_streams import Purpose, stream
from benchmark.training.interface import FeatureData, TestOutput, TrainingInput, TrainingResult
from benchmark.training.outputs import num_outputs
from benchmark.training.supervised import supervised

FEW = 8  # examples at a time: of a batch of 64, the attention alone takes 600 MB


def dvme(inputs: TrainingInput[FeatureData]) -> TrainingResult:
    """The fusion with self-attention; the attention between encoders is averaged over the test part."""
    return _fuse(inputs, attention=True)


def dvme_no_attention(inputs: TrainingInput[FeatureData]) -> TrainingResult:
    """A linear classifier of the projected and joined embeddings (section 6.2)."""
    return _fuse(inputs, attention=False)


def _fuse(inputs: TrainingInput[FeatureData], *, attention: bool) -> TrainingResult:
    train = inputs.train
    model = Fusion(train.widths, num_outputs(inputs), stream(inputs.seed, Purpose.HEAD), attention=attention)
    result = supervised(inputs, model)
    return replace(result, test=lambda: _tested(inputs, model, result.test(), attention=attention))


def _tested(inputs: TrainingInput[FeatureData], model: Fusion, output: TestOutput, *, attention: bool) -> TestOutput:
    """The test's output with the fused embeddings and, where there is attention, its mean between the encoders."""
    model.eval()
    total = torch.zeros(len(model.widths), len(model.widths), dtype=torch.float64)
    fused = []
    with torch.inference_mode():
        for batch in inputs.test.batches(FEW):
            fused.append(model.fused(batch.images).cpu().numpy().astype(np.float16))
            if attention:
                total += model.between_encoders(batch.images).sum(0).double().cpu()
    mean = np.asarray(total / len(inputs.test)) if attention else None
    return replace(output, attention=mean, embedding=np.concatenate(fused))
