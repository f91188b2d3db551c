"""The door of the data: an index and a recipe -> training, validation and test parts that give batches.

Training batches are augmented, in an order and with draws that depend on the cell's seed, the epoch and the example
alone. Validation and test batches are never augmented: classification gives images at the evaluation size (their
crops are cut on the device), segmentation at working size.

Departs: validation images are never augmented; the first paper's code augments those of X-ray segmentation.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmark.cell import Recipe, stream
from benchmark.data import splits, transforms
from benchmark.data.batches import Batch, Render, Rows, cut, rendered_ahead
from benchmark.data.cache import NATIVE_LIMIT, Cache, Progress, Source, Working, open_cache
from benchmark.data.index import MASKS, Index
from benchmark.data.labels import judged_labels, training_labels
from benchmark.data.pixels import Pixels
from benchmark.disk import Places
from benchmark.tasks import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a task. `ids`, `groups` and `present` (per mask: which images have it) follow the examples' order."""

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    present: dict[str, NDArray[np.bool_]]
    seed: int
    device: torch.device
    threads: int
    _render: Render = field(repr=False)
    _render_epoch: "EpochRender" = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[Batch]:
        """All examples in their order, unaugmented."""
        rows = [np.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)]
        return rendered_ahead(self._render, rows, self.device, self.threads)

    def epoch(self, number: int, size: int) -> Iterator[Batch]:
        """All examples shuffled and augmented, as this seed's epoch of that number has them."""
        order = np.random.default_rng(stream(self.seed, "order", number)).permutation(len(self))
        render = self._render_epoch.of(number)
        return rendered_ahead(render, cut(order, size), self.device, self.threads)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A task's parts. `columns` name what is scored: labels, or the masks that references give."""

    train: Part
    validation: Part
    test: Part
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EpochRender:
    """Augmented rendering of a part's rows in one epoch."""

    pixels: "PixelSource"
    recipe: Recipe
    seed: int

    def of(self, epoch: int) -> Render:
        """The epoch's render: rows -> batch."""
        source, recipe = self.pixels, self.recipe
        if recipe.augmentation == "none":
            return source.plain(crop=recipe.image_size)
        if recipe.augmentation in transforms.SEGMENTATION:
            return self._segmentation(epoch)
        how = transforms.RENDERERS[recipe.pixels]

        def render(rows: Rows) -> Batch:
            images = []
            for row in rows:
                image = source.image(row)
                generator = torch.Generator().manual_seed(source.stream(self.seed, epoch, row))
                images.append(how(image, transforms.draw(*image.shape[:2], generator), recipe.image_size))
            return source.batch(rows, images)

        return render

    def _segmentation(self, epoch: int) -> Render:
        source, recipe = self.pixels, self.recipe
        composed = threading.local()  # albumentations keeps its random state in the composition: one a thread

        def render(rows: Rows) -> Batch:
            if not hasattr(composed, "own"):
                composed.own = transforms.SEGMENTATION[recipe.augmentation](recipe.image_size)
            images, masks = [], []
            for row in rows:
                seed = source.stream(self.seed, epoch, row)
                image, mask = transforms.render_segmentation(composed.own, source.image(row), source.masks(row), seed)
                images.append(image)
                masks.append(mask)
            return source.batch(rows, images, masks)

        return render


@dataclass(frozen=True, kw_only=True)
class PixelSource:
    """A part's rows in a cache, with their targets. `places` maps rows of the part to rows of the cache."""

    cache: Cache
    places: Rows
    targets: NDArray[np.float32] | None

    def image(self, row: int) -> Pixels:
        """One image, with as many channels as the cache's widest has."""
        image = self.cache.image(int(self.places[row]))
        return image if image.shape[2] == self.cache.channels else np.repeat(image, self.cache.channels, axis=2)

    def masks(self, row: int) -> NDArray[np.uint8]:
        """One image's masks, height x width x their number."""
        return self.cache.masks(int(self.places[row]))

    def stream(self, seed: int, epoch: int, row: int) -> int:
        """The seed of one image's augmentation: by its place in the cache, which no label fraction changes."""
        return stream(seed, "augmentation", epoch, int(self.places[row]))

    def batch(self, rows: Rows, images: list[Pixels], masks: list[NDArray[np.uint8]] | None = None) -> Batch:
        """Images (and masks) of these rows as tensors."""
        if self.targets is not None:
            targets = torch.from_numpy(self.targets[rows])
        else:
            stacked = np.stack(masks if masks is not None else [self.masks(row) for row in rows])
            targets = torch.from_numpy(stacked).permute(0, 3, 1, 2)
        # a view: height x width x channels in memory is what channels_last means
        return Batch(images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), targets=targets, rows=rows)

    def plain(self, crop: int | None = None) -> Render:
        """Unaugmented rendering, the centre cut out where `crop` says."""

        def render(rows: Rows) -> Batch:
            images = [self.image(row) for row in rows]
            if crop is not None and images[0].shape[0] > crop:
                # half rounds to even, as torchvision's centre crop has it
                top = round((images[0].shape[0] - crop) / 2)
                images = [image[top : top + crop, top : top + crop] for image in images]
            return self.batch(rows, images)

        return render


def open_parts(
    *,
    index: Index,
    task: TaskSpec,
    recipe: Recipe,
    fraction: float,
    seed: int,
    places: Places,
    device: torch.device,
    threads: int,
    progress: Progress,
) -> Parts:
    """The parts of a cell. Builds the pixel caches that are not there yet (progress: images done, in all).

    Raises Fault for what the images are found to be.
    """
    parts = splits.assign_parts(index, task.split)
    rows = {part: index.table.index[parts == part] for part in ("train", "validation", "test")}
    segmentation = task.kind == "segmentation"
    masks = (
        tuple(name for name in MASKS if name in index.table and (index.table[name] != "").any()) if segmentation else ()
    )

    def cached(of_rows: pd.Index, working: Working) -> Cache:
        table = index.table.loc[of_rows]
        source = Source(
            root=index.root,
            images=list(table["image"]),
            masks=list(table[list(masks)].itertuples(index=False, name=None)),
            data_digest=index.digest,
            phantom=index.phantom,
        )
        return open_cache(source, working, places.pixels, name=task.name, progress=progress, threads=max(2, threads))

    def part(of_rows: pd.Index, cache_rows: pd.Index, working: Working, labels: NDArray[np.float32]) -> Part:
        table = index.table.loc[of_rows]
        targets = None if segmentation else labels[index.table.index.get_indexer(of_rows)]
        source = PixelSource(
            cache=cached(cache_rows, working), places=cache_rows.get_indexer(of_rows).astype(np.int64), targets=targets
        )
        return Part(
            ids=table["id"].to_numpy(dtype=str),
            groups={name: table[name].to_numpy(dtype=str) for name in ("patient", *task.groups) if name in table},
            present={name: (table[name] != "").to_numpy() for name in masks},
            seed=seed,
            device=device,
            threads=threads,
            _render=source.plain(),
            _render_epoch=EpochRender(pixels=source, recipe=recipe, seed=seed),
        )

    if segmentation:
        square = Working(shape="square", size=recipe.image_size, resize=recipe.resize, masks=masks)
        training_rows, evaluation_rows, training, evaluation = (index.table.index, index.table.index, square, square)
    else:
        evaluation = Working(shape="square", size=recipe.evaluation_size)
        kept = NATIVE_LIMIT if recipe.train_resolution == "native" else recipe.train_resolution
        training = evaluation if recipe.augmentation == "none" else Working(shape="short_side", size=kept)
        training_rows, evaluation_rows = rows["train"], rows["validation"].append(rows["test"])
    chosen = splits.fraction_of(index, rows["train"], fraction, stream(seed, "subset"))
    named = () if segmentation else task.labels
    judged = judged_labels(index.table, named)
    learned = training_labels(index.table, named, recipe.uncertain, stream(seed, "uncertain"))
    return Parts(
        train=part(chosen, training_rows, training, learned),
        validation=part(rows["validation"], evaluation_rows, evaluation, judged),
        test=part(rows["test"], evaluation_rows, evaluation, judged),
        columns=masks or task.labels,
    )
