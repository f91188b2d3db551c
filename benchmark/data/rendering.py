"""Rows of a cache -> batches: as they are, or augmented as one epoch of one seed has them."""

import threading
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data import augmentation as transforms
from benchmark.data.batches import Batch, Render, Rows
from benchmark.data.cache import Images
from benchmark.data.image_files import Pixels
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class PixelSource:
    """A part's rows in a cache, with their targets. `places` maps rows of the part to rows of the cache."""

    cache: Images
    positions: Rows
    targets: NDArray[np.float32] | None

    def image(self, row: int) -> Pixels:
        """One image, with as many channels as the cache's widest has."""
        image = self.cache.image(int(self.positions[row]))
        return image if image.shape[2] == self.cache.channels else np.repeat(image, self.cache.channels, axis=2)

    def masks(self, row: int) -> NDArray[np.uint8]:
        """One image's masks, height x width x their number."""
        return self.cache.masks(int(self.positions[row]))

    def __len__(self) -> int:
        return len(self.positions)

    def stream(self, seed: int, epoch: int, row: int, again: int = 0) -> int:
        """The seed of one image's augmentation: by its place in the cache, which no label fraction changes."""
        return stream(seed, Purpose.AUGMENTATION, epoch, int(self.positions[row]), *([int(again)] if again else []))

    def batch(self, rows: Rows, images: list[Pixels], masks: list[NDArray[np.uint8]] | None = None) -> Batch:
        """Images (and masks) of these rows as tensors."""
        if self.targets is not None:
            labels = self.targets[rows]
            if self.cache.unreadable:  # known only when the images were asked for; a black image teaches nothing
                labels[[int(self.positions[row]) in self.cache.unreadable for row in rows]] = np.nan
            targets = torch.from_numpy(labels)
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


@dataclass(frozen=True, kw_only=True)
class EpochRender:
    """Augmented rendering of a part's rows in one epoch. A row asked for once more in one epoch, as oversampling does, is
    called by its number plus the part's length (twice more: plus twice that), and drawn anew.
    """

    pixels: PixelSource
    recipe: Recipe
    seed: int

    def of(self, epoch: int) -> Render:
        """The epoch's render: rows -> batch."""
        source, recipe = self.pixels, self.recipe
        if recipe.augmentation == "none":
            unaugmented = source.plain(crop=recipe.image_size)
            return lambda rows: unaugmented(rows % len(source))
        if recipe.augmentation in transforms.SEGMENTATION:
            return self._segmentation(epoch)
        look = transforms.CLASSIFICATION[recipe.augmentation]
        composed = threading.local()  # albumentations keeps its random state in the composition: one a thread

        def render(rows: Rows) -> Batch:
            if not hasattr(composed, "own"):
                composed.own = look.compose() if look.compose else None
            images = []
            own = rows % len(source)
            for row, called in zip(own, rows, strict=True):
                seed = source.stream(self.seed, epoch, row, called // len(source))
                images.append(look.render(recipe.pixels, source.image(row), recipe.image_size, seed, composed.own))
            return source.batch(own, images)

        return render

    def _segmentation(self, epoch: int) -> Render:
        source, recipe = self.pixels, self.recipe
        composed = threading.local()  # as above

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
