"""The labels by which an encoder is probed while it trains without them: those of the task that its images are of."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmark.cores import usable_cores
from benchmark.data.assignment import EVERYTHING, assign_examples
from benchmark.data.batches import Batch, rendered_ahead
from benchmark.data.decoding import StoredSize
from benchmark.data.rendering import PixelSource
from benchmark.errors import BenchmarkError
from benchmark.pretrain.images import TrainingImages
from benchmark.random_streams import Purpose, stream
from benchmark.training.probe import Probe
from benchmark.workspace import Workspace

NUM_PROBED = 2000  # labeled images that a probe learns from, and as many that it is scored on, at most
BATCH = 64


def probe_of(
    images: TrainingImages,
    size: int,
    seed: int,
    workspace: Workspace,
    device: torch.device,
    notify: Callable[[str], None],
) -> Probe | None:
    """Returns a probe that learns from training images of the task, at `size`, and is scored on validation images: by the
    accuracy where classes exclude each other, else by the mean AUC. None where there are no labels to probe by.
    """
    task = images.task
    if task is None or task.has_masks:
        return None
    try:
        assignment = assign_examples(images.index, task, task.complete_recipe(), EVERYTHING, seed)
    except BenchmarkError:  # training images of one class alone, from which a probe learns nothing
        return None
    if not len(assignment.validation):
        return None
    rng = np.random.default_rng(stream(seed, Purpose.SUBSET))
    labels = assignment.evaluation_labels

    def open_source(rows: pd.Index) -> tuple[PixelSource, NDArray[np.float32]]:
        chosen = rows[np.sort(rng.permutation(len(rows))[:NUM_PROBED])]
        stored = StoredSize(shape="square", size=size)
        threads = usable_cores().count
        cache = images.open(
            chosen, stored, workspace, threads=threads, progress=lambda _done, _total: None, notify=notify
        )
        targets = labels[assignment.positions(chosen)]
        return PixelSource(cache=cache, positions=np.arange(len(chosen)), targets=targets), targets

    def batches(source: PixelSource) -> Callable[[], Iterator[Batch]]:
        rows = [np.arange(start, min(start + BATCH, len(source))) for start in range(0, len(source), BATCH)]
        return lambda: rendered_ahead(source.plain(), rows, device, usable_cores().count)

    train, _ = open_source(assignment.training)
    validation, truth = open_source(assignment.validation)
    measure = accuracy if task.is_exclusive else mean_auc
    return Probe(
        train=batches(train),
        validation=batches(validation),
        score=lambda scores: measure(truth.astype(np.float64), scores),
    )


def accuracy(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float | None:
    """Returns the share of labeled examples whose class has the highest score; None where none is labeled."""
    known = ~np.isnan(truth).any(axis=1)
    return float((truth[known].argmax(1) == scores[known].argmax(1)).mean()) if known.any() else None


def mean_auc(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float | None:
    """Returns the mean AUC of the labels that have examples of both kinds; None where none has."""
    found = []
    for label, score in zip(truth.T, scores.T, strict=True):
        known = ~np.isnan(label)
        if len(np.unique(label[known])) == 2:
            found.append(roc_auc_score(label[known], score[known]))
    return float(np.mean(found)) if found else None
