"""The door of the data: an index and a recipe -> training, validation and test parts that give batches.

Training batches are augmented, in an order and with draws that depend on the cell's seed, the epoch and the example
alone. Validation and test batches are never augmented: classification gives images at the evaluation size (their
crops are cut on the device), segmentation at working size.

Departs: validation images are never augmented; the first paper's code augments those of X-ray segmentation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmark.data.assignment import EVERYTHING, TrainingShare, assign_examples, class_numbers, groups_of
from benchmark.data.batches import Batch, Render, Rows, cut, rendered_ahead
from benchmark.data.cache import Images, Tell, UncachedImages, open_cache
from benchmark.data.cache_build import Progress
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.index import MASKS, PARTS, Index
from benchmark.data.rendering import EpochRender, PixelSource
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class ImageSplit:
    """One part of a task. `ids`, `groups` and `present` (per mask: which images have it) follow the examples' order.

    `classes`: the class of each example, where an epoch repeats those of rare ones until all are as many.
    """

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    present: dict[str, NDArray[np.bool_]]
    classes: NDArray[np.int64] | None = None
    seed: int
    device: torch.device
    threads: int
    _render: Render = field(repr=False)
    _render_epoch: EpochRender = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[Batch]:
        """All examples in their order, unaugmented."""
        rows = [np.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)]
        return rendered_ahead(self._render, rows, self.device, self.threads)

    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Batch]:
        """Yields all examples shuffled and augmented, as this seed's epoch of that number has them, from batch `first` on."""
        rng = np.random.default_rng(stream(self.seed, Purpose.ORDER, number))
        order = rng.permutation(len(self)) if self.classes is None else oversampled(self.classes, rng)
        render = self._render_epoch.of(number)
        return rendered_ahead(render, cut(order, size)[first:], self.device, self.threads)


def oversampled(classes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows in random order, those of each class repeated to as many as the largest has, each as often as the others, give
    or take one. A row's repetitions are called as `render.EpochRender` has it.
    """
    numbers, counts = np.unique(classes, return_counts=True)
    rows = []
    for number in numbers:
        own = rng.permutation(np.flatnonzero(classes == number))
        turn = np.arange(int(counts.max()))
        rows.append(own[turn % len(own)] + len(classes) * (turn // len(own)))
    return rng.permutation(np.concatenate(rows))


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A task's parts. `columns` name what is scored: labels, or the masks that references give. `unlabelled`: a
    challenge's test. `unreadable()`: image -> why it could not be decoded, of those that were asked for so far; `notes()`:
    lines about what was damaged in the pixel caches and made again. `split_notes`: which part lacks a class.
    """

    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    unlabelled: ImageSplit | None
    columns: tuple[str, ...]
    unreadable: Callable[[], dict[str, str]]
    notes: Callable[[], list[str]]
    split_notes: tuple[str, ...] = ()


def open_splits(
    *,
    index: Index,
    task: TaskSpec,
    recipe: Recipe,
    share: TrainingShare = EVERYTHING,
    seed: int,
    workspace: Workspace,
    device: torch.device,
    threads: int,
    progress: Progress,
    tell: Tell = lambda _: None,
) -> Splits:
    """The parts of a cell. Builds the pixel caches that are not there yet (progress: images done, in all; `tell`: of lines for
    who waits).

    Raises BenchmarkError for what the images are found to be.
    """
    assignment = assign_examples(index, task, recipe, share, seed)
    index, table, segmentation = assignment.index, assignment.index.table, task.kind == "segmentation"
    masks = masks_of(index, task)
    kept = training_and_evaluation_files(index, task, recipe, assignment.parts, folds=share.fold is not None)
    opened: list[tuple[Images, ImageFiles]] = []

    def opening(source: ImageFiles, stored_size: StoredSize) -> Images:
        images = images_of(source, stored_size, task, workspace, threads=threads, progress=progress, tell=tell)
        opened.append((images, source))
        return images

    def part(
        of: pd.DataFrame, images: Images, where: Rows, labels: NDArray[np.float32] | None, *, oversample: bool = False
    ) -> ImageSplit:
        source = PixelSource(cache=images, positions=where, targets=labels)
        return ImageSplit(
            ids=of["id"].to_numpy(dtype=str),
            groups=groups_of(of, task),
            present={name: (of[name] != "").to_numpy() for name in masks},
            classes=class_numbers(labels) if oversample and labels is not None else None,
            seed=seed,
            device=device,
            threads=threads,
            _render=source.plain(),
            _render_epoch=EpochRender(pixels=source, recipe=recipe, seed=seed),
        )

    def labelled(
        chosen: pd.Index, cached: pd.Index, images: Images, labels: NDArray[np.float32], *, oversample: bool = False
    ) -> ImageSplit:
        where = cached.get_indexer(chosen).astype(np.int64)
        own = None if segmentation else labels[assignment.positions(chosen)]
        return part(table.loc[chosen], images, where, own, oversample=oversample)

    (training_rows, training_source, training_size), (evaluation_rows, source, stored_size) = kept
    images = opening(training_source, training_size)
    train = labelled(
        assignment.training, training_rows, images, assignment.training_labels, oversample=assignment.oversample
    )
    images = opening(source, stored_size)
    secret = None
    if index.unlabelled is not None:
        num = len(index.unlabelled)
        unknown = np.full((num, assignment.evaluation_labels.shape[1]), np.nan, dtype=np.float32)
        listed = opening(replace(source, images=list(index.unlabelled["image"])), stored_size)
        secret = part(index.unlabelled, listed, np.arange(num), unknown)
    return Splits(
        train=train,
        validation=labelled(assignment.validation, evaluation_rows, images, assignment.evaluation_labels),
        test=labelled(assignment.test, evaluation_rows, images, assignment.evaluation_labels),
        unlabelled=secret,
        columns=masks or index.labels,
        unreadable=lambda: unreadable_of(opened),
        notes=lambda: notes_of(opened),
        split_notes=assignment.notes,
    )


def images_of(
    source: ImageFiles,
    stored_size: StoredSize,
    task: TaskSpec,
    workspace: Workspace,
    *,
    threads: int,
    progress: Progress,
    tell: Tell,
) -> Images:
    """Decoded images: a cache, built where it is not there yet, or the files themselves where the task keeps none."""
    if not task.keep_pixels:
        return UncachedImages(source=source, stored_size=stored_size)
    return open_cache(
        source,
        stored_size,
        workspace.pixels,
        name=task.name,
        progress=progress,
        tell=tell,
        threads=max(2, threads),
        ledgers=workspace.sources,
    )


def unreadable_of(opened: list[tuple[Images, ImageFiles]]) -> dict[str, str]:
    """Image -> why it could not be decoded, of those that were asked for so far."""
    return {source.images[row]: reason for images, source in opened for row, reason in images.unreadable.items()}


def notes_of(opened: list[tuple[Images, ImageFiles]]) -> list[str]:
    """Lines about what was damaged in the pixel caches and made again, each once."""
    return list(dict.fromkeys(line for images, _ in opened for line in images.notes))


def training_and_evaluation_files(
    index: Index, task: TaskSpec, recipe: Recipe, parts: pd.Series, *, folds: bool
) -> tuple[tuple[pd.Index, ImageFiles, StoredSize], tuple[pd.Index, ImageFiles, StoredSize]]:
    """What training draws from and what evaluation does: rows of the index, their files, the size they are kept at."""
    everything = index.table.index
    train, held, test = (everything[parts == name] for name in PARTS)
    if task.kind == "segmentation":  # one size serves all
        rows = (everything, everything)
    elif folds:  # a cache for whatever they are dealt into
        rows = (everything[parts != "test"], everything)
    else:
        rows = (train, held.append(test))

    training, evaluation = stored_sizes(index, task, recipe)
    return (
        (rows[0], image_files_of(index, task, rows[0], training), training),
        (rows[1], image_files_of(index, task, rows[1], evaluation), evaluation),
    )


def image_files_of(index: Index, task: TaskSpec, rows: pd.Index, stored_size: StoredSize) -> ImageFiles:
    """The files of some rows, and how they are read."""
    table = index.table.loc[rows]
    return ImageFiles(
        root=index.root,
        images=list(table["image"]),
        masks=list(table[list(stored_size.masks)].itertuples(index=False, name=None)),
        data_digest=index.digest,
        phantom=index.phantom,
        windows=task.windows,
        tolerant=task.unreadable is not None,
        verified=index.verified,
    )


def stored_sizes(index: Index, task: TaskSpec, recipe: Recipe) -> tuple[StoredSize, StoredSize]:
    """The sizes at which images are kept for training and for evaluation."""
    if task.kind == "segmentation":
        masks = masks_of(index, task)
        square = StoredSize(shape="square", size=recipe.image_size, resize=recipe.resize, masks=masks)
        return square, square
    evaluation = StoredSize(shape="square", size=recipe.evaluation_size)
    if recipe.augmentation in ("none", "flips"):  # nothing is cut out
        return evaluation, evaluation
    if recipe.train_resolution == "native":
        return StoredSize(shape="native", size=recipe.image_size), evaluation
    return StoredSize(shape="short_side", size=recipe.train_resolution), evaluation


def masks_of(index: Index, task: TaskSpec) -> tuple[str, ...]:
    """The masks that any image of a segmentation task has; none for classification."""
    if task.kind != "segmentation":
        return ()
    return tuple(name for name in MASKS if name in index.table and (index.table[name] != "").any())
