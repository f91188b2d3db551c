"""Frozen encoders on a task's images: features, computed once, and the parts of cells made of them."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.cell import Cell, Weights
from benchmark.checksums import read_json, write_json
from benchmark.data.assignment import Assignment, class_numbers, groups_of
from benchmark.data.evaluation_images import EvaluationImages
from benchmark.data.feature_cache import FeatureCache, Features, Rows
from benchmark.data.feature_dataset import FeatureSplit
from benchmark.files import DiskFullError
from benchmark.models.feature_extractor import feature_extractor
from benchmark.models.normalization import Normalization
from benchmark.runner.encoders import told_of
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.matching import LoadReport

BATCH = 32  # always filled up: a convolution may round otherwise in a batch of another size


@dataclass(frozen=True, kw_only=True)
class EncoderFeatures:
    """One encoder's features of a task's images (rows that no cell here asked for may be empty), its account, and lines
    about features that were damaged and computed again.
    """

    features: Features
    account: dict[str, Any]
    notes: list[str]


def rows_of(assignments: list[Assignment], views: EvaluationImages) -> Rows:
    """The images that some cells need, a challenge's unlabelled ones included."""
    needed = [its.positions(rows) for its in assignments for rows in (its.training, its.validation, its.test)]
    return np.unique(np.concatenate([*needed, np.arange(views.num_labelled, views.num)]))


def seen(
    cache: FeatureCache,
    weights: Weights,
    cell: Cell,
    load: Callable[[], tuple[nn.Module, LoadReport]],
    views: EvaluationImages,
    wanted: Rows,
    progress: Callable[[int, int], None],
) -> EncoderFeatures:
    """The features of the wanted images; those that are missing are computed, `progress` told of images done, in all."""
    path = cache.folder / "account.json"

    def loaded() -> nn.Module:
        encoder, account = load()
        write_json(path, told_of(weights, account))
        return encoder

    def compute(missing: Rows) -> Iterator[tuple[Rows, NDArray[np.floating[Any]]]]:
        recipe = cell.recipe
        look = feature_extractor(
            loaded(), Normalization(weights.mean, weights.std), recipe.image_size, views.device, recipe.precision
        )
        done = 0
        for rows, images in views.batches(missing, BATCH):
            features = look(images)[: len(rows)].cpu().numpy()
            features[views.is_unreadable()[rows]] = np.nan
            yield rows, features
            done += len(rows)
            progress(done, len(missing))

    features, notes = cache.read(wanted, views.ids, compute)
    if (account := read_json(path)) is None:  # lost or damaged: the encoder tells again
        _, again = load()
        account = told_of(weights, again)
        with suppress(OSError, DiskFullError):
            write_json(path, account)
    return EncoderFeatures(features=features, account={**account, "name": weights.name}, notes=notes)


def vector_parts(
    assignment: Assignment, task: TaskSpec, vectorised: list[EncoderFeatures], cell: Cell, device: torch.device
) -> tuple[dict[str, FeatureSplit | None], dict[str, str]]:
    """The cell's parts by name, and the images that could not be decoded: they are in their parts, unlabelled."""
    table = assignment.index.table
    held = tuple(one.features for one in vectorised)
    black: dict[str, str] = {}

    def part(rows: Any, labels: NDArray[np.float32], *, oversample: bool = False) -> FeatureSplit:
        positions = assignment.positions(rows)
        targets = labels[positions].copy()
        if task.unreadable is not None:
            dark = np.isnan(np.asarray(held[0][positions, 0]))
            targets[dark] = np.nan
            black.update(dict.fromkeys(table.loc[rows, "image"][dark], "not decoded"))
        return FeatureSplit(
            ids=table.loc[rows, "id"].to_numpy(dtype=str),
            groups=groups_of(table.loc[rows], task),
            features=held,
            rows=positions,
            targets=targets,
            classes=class_numbers(targets) if oversample else None,
            seed=cell.seed,
            device=device,
        )

    secret = None
    if assignment.index.unlabelled is not None:
        of = assignment.index.unlabelled
        secret = FeatureSplit(
            ids=of["id"].to_numpy(dtype=str),
            groups=groups_of(of, task),
            features=held,
            rows=np.arange(len(table), len(table) + len(of)),
            targets=np.full((len(of), assignment.evaluation_labels.shape[1]), np.nan, dtype=np.float32),
            seed=cell.seed,
            device=device,
        )
    parts = {
        "train": part(assignment.training, assignment.training_labels, oversample=assignment.oversample),
        "validation": part(assignment.validation, assignment.evaluation_labels),
        "test": part(assignment.test, assignment.evaluation_labels),
        "unlabelled": secret,
    }
    return parts, black
