"""Renders rows of a cache as batches: unaugmented, or augmented as in one epoch of one seed."""

import threading
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data import augmentation
from benchmark.data.batches import Batch, Render, Rows
from benchmark.data.cache import Images
from benchmark.data.image_files import Pixels
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class PixelSource:
    """Holds the images of a split, with their targets. `positions[row]` is the row of the cache that holds the split's
    `row`.
    """

    cache: Images
    positions: Rows
    targets: NDArray[np.float32] | None

    def image(self, row: int) -> Pixels:
        """Returns one image, with as many channels as the widest image of the cache has."""
        image = self.cache.image(int(self.positions[row]))
        return image if image.shape[2] == self.cache.channels else np.repeat(image, self.cache.channels, axis=2)

    def masks(self, row: int) -> NDArray[np.uint8]:
        """Returns one image's masks, height x width x masks."""
        return self.cache.masks(int(self.positions[row]))

    def __len__(self) -> int:
        return len(self.positions)

    def stream(self, seed: int, epoch: int, row: int, repetition: int = 0) -> int:
        """Returns the seed of one image's augmentation. It depends on the row of the cache, not on the label fraction."""
        return stream(
            seed, Purpose.AUGMENTATION, epoch, int(self.positions[row]), *([int(repetition)] if repetition else [])
        )

    def batch(self, rows: Rows, images: list[Pixels], masks: list[NDArray[np.uint8]] | None = None) -> Batch:
        """Returns images and targets of these rows as tensors."""
        if self.targets is not None:
            labels = self.targets[rows]
            if self.cache.unreadable:  # known only once the images were read; nothing is learned from a placeholder
                labels[[int(self.positions[row]) in self.cache.unreadable for row in rows]] = np.nan
            targets = torch.from_numpy(labels)
        else:
            stacked = np.stack(masks if masks is not None else [self.masks(row) for row in rows])
            targets = torch.from_numpy(stacked).permute(0, 3, 1, 2)
        # a view: height x width x channels in memory is what channels_last means
        return Batch(images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), targets=targets, rows=rows)

    def plain(self, crop: int | None = None) -> Render:
        """Returns a function that renders rows unaugmented; with `crop`, only the central crop x crop pixels."""

        def render(rows: Rows) -> Batch:
            images = [self.image(row) for row in rows]
            if crop is not None and images[0].shape[0] > crop:
                # half rounds to even, as torchvision's center crop has it
                top = round((images[0].shape[0] - crop) / 2)
                images = [image[top : top + crop, top : top + crop] for image in images]
            return self.batch(rows, images)

        return render


@dataclass(frozen=True, kw_only=True)
class EpochRender:
    """Renders the rows of a split as one epoch of a seed has them. Where oversampling repeats a row within an epoch, the first
    repetition has the row's number plus the split's length, the second plus twice that; each is augmented differently.
    """

    pixels: PixelSource
    recipe: Recipe
    seed: int

    def of(self, epoch: int) -> Render:
        """Returns the function that renders rows of that epoch."""
        source, recipe = self.pixels, self.recipe
        if recipe.augmentation == "none":
            unaugmented = source.plain(crop=recipe.image_size)
            return lambda rows: unaugmented(rows % len(source))
        if recipe.augmentation in augmentation.SEGMENTATION:
            return self._segmentation(epoch)
        chosen = augmentation.CLASSIFICATION[recipe.augmentation]
        composed = threading.local()  # albumentations keeps its random state in the composition: one a thread

        def render(rows: Rows) -> Batch:
            if not hasattr(composed, "own"):
                composed.composition = chosen.compose() if chosen.compose else None
            images = []
            originals = rows % len(source)
            for row, repeated in zip(originals, rows, strict=True):
                seed = source.stream(self.seed, epoch, row, repeated // len(source))
                images.append(
                    chosen.render(recipe.pixels, source.image(row), recipe.image_size, seed, composed.composition)
                )
            return source.batch(originals, images)

        return render

    def _segmentation(self, epoch: int) -> Render:
        source, recipe = self.pixels, self.recipe
        composed = threading.local()  # as above

        def render(rows: Rows) -> Batch:
            if not hasattr(composed, "own"):
                composed.composition = augmentation.SEGMENTATION[recipe.augmentation](recipe.image_size)
            images, masks = [], []
            for row in rows:
                seed = source.stream(self.seed, epoch, row)
                image, mask = augmentation.render_segmentation(
                    composed.composition, source.image(row), source.masks(row), seed
                )
                images.append(image)
                masks.append(mask)
            return source.batch(rows, images, masks)

        return render
