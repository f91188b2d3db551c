"""The training, validation and test splits of a task, as batches of images: an index and a recipe in, splits out.

Training batches are augmented; their order and their augmentation depend on the cell's seed, the epoch and the example
alone. Validation and test batches are never augmented: classification yields images at the evaluation size (their
crops are cut on the device), segmentation at the size of the network's input.

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
from benchmark.data.cache import Images, Notify, UncachedImages, open_cache
from benchmark.data.cache_build import Progress
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.index import MASKS, SPLITS, Index
from benchmark.data.rendering import EpochRender, PixelSource
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class ImageSplit:
    """Gives one split of a task as images. `ids`, `groups` and `present` (for each mask: which images have it) have one
    entry per example, in the examples' order.

    `classes`: the class of each example, where an epoch repeats those of rare classes until all are equally frequent.
    """

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    present: dict[str, NDArray[np.bool_]]
    classes: NDArray[np.int64] | None = None
    seed: int
    device: torch.device
    threads: int
    render: Render = field(repr=False)
    _render_epoch: EpochRender = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all examples in their order, unaugmented, in batches of `size`."""
        rows = [np.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)]
        return rendered_ahead(self.render, rows, self.device, self.threads)

    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Batch]:
        """Yields all examples shuffled and augmented, as this seed's epoch of that number has them, from batch `first` on."""
        rng = np.random.default_rng(stream(self.seed, Purpose.ORDER, number))
        order = rng.permutation(len(self)) if self.classes is None else oversampled(self.classes, rng)
        render = self._render_epoch.of(number)
        return rendered_ahead(render, cut(order, size)[first:], self.device, self.threads)


def oversampled(classes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns rows in random order, those of each class repeated until it is as frequent as the largest class.

    Within a class, rows are repeated equally often, to within one. Repetitions are numbered as `EpochRender` expects.
    """
    numbers, counts = np.unique(classes, return_counts=True)
    rows = []
    for number in numbers:
        members = rng.permutation(np.flatnonzero(classes == number))
        draw = np.arange(int(counts.max()))
        rows.append(members[draw % len(members)] + len(classes) * (draw // len(members)))
    return rng.permutation(np.concatenate(rows))


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Holds the splits of a task. `columns` name what is scored: labels, or the reference masks. `unlabelled`: a
    challenge's test set without public labels. `unreadable()` returns image -> why it could not be decoded, of those
    read so far; `notes()` returns lines about what was damaged in the pixel caches and decoded again. `split_notes`:
    which split lacks a class.
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
    notify: Notify = lambda _: None,
) -> Splits:
    """Returns the splits of a cell; first builds the pixel caches that do not exist yet.

    `progress` is called with the number of images done and in all, `notify` with lines for whoever waits. Raises
    BenchmarkError for images that cannot be decoded and for phantoms among real ones.
    """
    assignment = assign_examples(index, task, recipe, share, seed)
    index, table, masks = assignment.index, assignment.index.table, masks_of(index, task)
    opened: list[tuple[Images, ImageFiles]] = []

    def open_images(source: ImageFiles, stored_size: StoredSize) -> Images:
        images = images_of(source, stored_size, task, workspace, threads=threads, progress=progress, notify=notify)
        opened.append((images, source))
        return images

    def make_split(
        rows: pd.DataFrame, images: Images, positions: Rows, labels: NDArray[np.float32], *, oversample: bool = False
    ) -> ImageSplit:
        source = PixelSource(cache=images, positions=positions, targets=None if masks else labels)
        return ImageSplit(
            ids=rows["id"].to_numpy(dtype=str),
            groups=groups_of(rows, task),
            present={name: (rows[name] != "").to_numpy() for name in masks},
            classes=class_numbers(labels) if oversample else None,
            seed=seed,
            device=device,
            threads=threads,
            render=source.plain(),
            _render_epoch=EpochRender(pixels=source, recipe=recipe, seed=seed),
        )

    training, evaluation = training_and_evaluation_files(
        index, task, recipe, assignment.splits, folds=share.fold is not None
    )
    images = open_images(training[1], training[2])
    train = make_split(
        table.loc[assignment.training],
        images,
        training[0].get_indexer(assignment.training).astype(np.int64),
        assignment.training_labels[assignment.positions(assignment.training)],
        oversample=assignment.oversample,
    )
    evaluated_rows, source, stored_size = evaluation
    images = open_images(source, stored_size)
    validation, test = (
        make_split(
            table.loc[rows],
            images,
            evaluated_rows.get_indexer(rows).astype(np.int64),
            assignment.evaluation_labels[assignment.positions(rows)],
        )
        for rows in (assignment.validation, assignment.test)
    )
    unlabelled = None
    if index.unlabelled is not None:
        num = len(index.unlabelled)
        unknown = np.full((num, assignment.evaluation_labels.shape[1]), np.nan, dtype=np.float32)
        images = open_images(replace(source, images=list(index.unlabelled["image"])), stored_size)
        unlabelled = make_split(index.unlabelled, images, np.arange(num), unknown)
    return Splits(
        train=train,
        validation=validation,
        test=test,
        unlabelled=unlabelled,
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
    notify: Notify,
) -> Images:
    """Returns decoded images: from a cache, built first if it does not exist, or from the files where the task keeps none."""
    if not task.keep_pixels:
        return UncachedImages(source=source, stored_size=stored_size)
    return open_cache(
        source,
        stored_size,
        workspace.pixels,
        name=task.name,
        progress=progress,
        notify=notify,
        threads=max(2, threads),
        ledgers=workspace.sources,
    )


def unreadable_of(opened: list[tuple[Images, ImageFiles]]) -> dict[str, str]:
    """Returns image -> why it could not be decoded, of the images read so far."""
    return {source.images[row]: reason for images, source in opened for row, reason in images.unreadable.items()}


def notes_of(opened: list[tuple[Images, ImageFiles]]) -> list[str]:
    """Returns lines about what was damaged in the pixel caches and decoded again, each once."""
    return list(dict.fromkeys(line for images, _ in opened for line in images.notes))


def training_and_evaluation_files(
    index: Index, task: TaskSpec, recipe: Recipe, splits: pd.Series, *, folds: bool
) -> tuple[tuple[pd.Index, ImageFiles, StoredSize], tuple[pd.Index, ImageFiles, StoredSize]]:
    """Returns what training reads and what evaluation reads: rows of the index, their files, the size they are stored at."""
    every_row = index.table.index
    train, validation, test = (every_row[splits == name] for name in SPLITS)
    if task.has_masks:  # one size serves all splits
        rows = (every_row, every_row)
    elif folds:  # one cache for all folds
        rows = (every_row[splits != "test"], every_row)
    else:
        rows = (train, validation.append(test))

    training, evaluation = stored_sizes(index, task, recipe)
    return (
        (rows[0], image_files_of(index, task, rows[0], training), training),
        (rows[1], image_files_of(index, task, rows[1], evaluation), evaluation),
    )


def image_files_of(index: Index, task: TaskSpec, rows: pd.Index, stored_size: StoredSize) -> ImageFiles:
    """Returns the files of some rows, and how they are read."""
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
    """Returns the sizes at which images are stored for training and for evaluation."""
    if task.has_masks:
        masks = masks_of(index, task)
        square = StoredSize(shape="square", size=recipe.image_size, resize=recipe.resize, masks=masks)
        return square, square
    evaluation = StoredSize(shape="square", size=recipe.evaluation_size)
    if recipe.augmentation in ("none", "flips"):  # no crops are cut
        return evaluation, evaluation
    if recipe.train_resolution == "native":
        return StoredSize(shape="native", size=recipe.image_size), evaluation
    return StoredSize(shape="short_side", size=recipe.train_resolution), evaluation


def masks_of(index: Index, task: TaskSpec) -> tuple[str, ...]:
    """Returns the mask columns that at least one image of a segmentation task has; none for classification."""
    if not task.has_masks:
        return ()
    return tuple(name for name in MASKS if name in index.table and (index.table[name] != "").any())
