"""The test split of a task that models of another task are judged on: only these images, sized by the other's recipe."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.data.assignment import groups_of
from benchmark.data.cache import Notify
from benchmark.data.cache_build import Progress
from benchmark.data.datasets import ImageSplit, images_of, notes_of, training_and_evaluation_files, unreadable_of
from benchmark.data.index import Index
from benchmark.data.labels import evaluation_labels, settle_classes
from benchmark.data.rendering import EpochRender, PixelSource
from benchmark.data.splitting import assign_splits
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class TargetSplit:
    """Holds the test images and the labels that they have; `unreadable` and `notes` as those of `Splits`."""

    images: ImageSplit
    labels: tuple[str, ...]
    unreadable: Callable[[], dict[str, str]]
    notes: Callable[[], list[str]]


def open_target(
    *,
    index: Index,
    task: TaskSpec,
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    threads: int,
    progress: Progress,
    notify: Notify = lambda _: None,
) -> TargetSplit:
    """Returns the test split of a classification task; first builds the cache of pixels, which cells of that task share."""
    splits = assign_splits(index, task.split)
    index = settle_classes(index, task, splits)
    _, (rows, source, stored_size) = training_and_evaluation_files(index, task, recipe, splits, folds=False)
    images = images_of(source, stored_size, task, workspace, threads=threads, progress=progress, notify=notify)
    table = index.table[splits == "test"]
    pixels = PixelSource(
        cache=images,
        positions=rows.get_indexer(table.index).astype(np.int64),
        targets=evaluation_labels(table, index.labels),
    )
    opened = [(images, source)]
    return TargetSplit(
        images=ImageSplit(
            ids=table["id"].to_numpy(dtype=str),
            groups=groups_of(table, task),
            present={},
            seed=0,  # of the order of training batches, which nobody asks for
            device=device,
            threads=threads,
            render=pixels.plain(),
            _render_epoch=EpochRender(pixels=pixels, recipe=recipe, seed=0),
        ),
        labels=index.labels,
        unreadable=lambda: unreadable_of(opened),
        notes=lambda: notes_of(opened),
    )
