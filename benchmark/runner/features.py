"""The features that frozen encoders give for a task's images, computed once, and the splits of cells made of them."""

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
from benchmark.runner.encoders import describe_load
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.matching import LoadReport

BATCH = 32  # always filled up: a convolution may round otherwise in a batch of another size


@dataclass(frozen=True, kw_only=True)
class EncoderFeatures:
    """One encoder's features of a task's images (rows that no cell here needs may be empty), what was loaded into it, and
    lines about features that were damaged and computed again.
    """

    features: Features
    account: dict[str, Any]
    notes: list[str]


def needed_rows(assignments: list[Assignment], views: EvaluationImages) -> Rows:
    """Returns the rows of the images that these cells need, a challenge's unlabelled ones included."""
    needed = [one.positions(rows) for one in assignments for rows in (one.training, one.validation, one.test)]
    return np.unique(np.concatenate([*needed, np.arange(views.num_labelled, views.num)]))


def read_features(
    cache: FeatureCache,
    weights: Weights,
    cell: Cell,
    load: Callable[[], tuple[nn.Module, LoadReport]],
    views: EvaluationImages,
    wanted: Rows,
    progress: Callable[[int, int], None],
) -> EncoderFeatures:
    """Returns the features of the wanted images; those that are missing are computed and cached. `progress` is called with
    the number of images done and in all.
    """
    path = cache.folder / "account.json"

    def load_encoder() -> nn.Module:
        encoder, account = load()
        write_json(path, describe_load(weights, account))
        return encoder

    def compute(missing: Rows) -> Iterator[tuple[Rows, NDArray[np.floating[Any]]]]:
        recipe = cell.recipe
        extract = feature_extractor(
            load_encoder(), Normalization(weights.mean, weights.std), recipe.image_size, views.device, recipe.precision
        )
        done = 0
        for rows, images in views.batches(missing, BATCH):
            features = extract(images)[: len(rows)].cpu().numpy()
            features[views.is_unreadable()[rows]] = np.nan
            yield rows, features
            done += len(rows)
            progress(done, len(missing))

    features, notes = cache.read(wanted, views.ids, compute)
    if (account := read_json(path)) is None:  # lost or damaged: loading the encoder gives it again
        _, again = load()
        account = describe_load(weights, again)
        with suppress(OSError, DiskFullError):
            write_json(path, account)
    return EncoderFeatures(features=features, account={**account, "name": weights.name}, notes=notes)


def feature_splits(
    assignment: Assignment, task: TaskSpec, encoders: list[EncoderFeatures], cell: Cell, device: torch.device
) -> tuple[dict[str, FeatureSplit | None], dict[str, str]]:
    """Returns the cell's splits by name, and the images that could not be decoded: they stay in their splits, unlabelled."""
    table = assignment.index.table
    features = tuple(one.features for one in encoders)
    undecoded: dict[str, str] = {}

    def make_split(rows: Any, labels: NDArray[np.float32], *, oversample: bool = False) -> FeatureSplit:
        positions = assignment.positions(rows)
        targets = labels[positions].copy()
        if task.unreadable is not None:
            is_undecoded = np.isnan(np.asarray(features[0][positions, 0]))
            targets[is_undecoded] = np.nan
            undecoded.update(dict.fromkeys(table.loc[rows, "image"][is_undecoded], "not decoded"))
        return FeatureSplit(
            ids=table.loc[rows, "id"].to_numpy(dtype=str),
            groups=groups_of(table.loc[rows], task),
            features=features,
            rows=positions,
            targets=targets,
            classes=class_numbers(targets) if oversample else None,
            seed=cell.seed,
            device=device,
        )

    unlabelled = None
    if assignment.index.unlabelled is not None:
        rows = assignment.index.unlabelled
        unlabelled = FeatureSplit(
            ids=rows["id"].to_numpy(dtype=str),
            groups=groups_of(rows, task),
            features=features,
            rows=np.arange(len(table), len(table) + len(rows)),
            targets=np.full((len(rows), assignment.evaluation_labels.shape[1]), np.nan, dtype=np.float32),
            seed=cell.seed,
            device=device,
        )
    splits = {
        "train": make_split(assignment.training, assignment.training_labels, oversample=assignment.oversample),
        "validation": make_split(assignment.validation, assignment.evaluation_labels),
        "test": make_split(assignment.test, assignment.evaluation_labels),
        "unlabelled": unlabelled,
    }
    return splits, undecoded
