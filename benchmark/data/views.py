"""Pairs of augmented views for contrastive training: of one image (SimCLR), or of two images of one bag (MICLe).

Views are albumentations' operations, drawn anew for each image, in the order of SimCLR's code.

Departs: views are rounded to 8 bits after each operation; SimCLR's code works in floating point.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from benchmark.contrastive_recipe import ViewKind
from benchmark.data.batches import Batch, Rows, rendered_ahead
from benchmark.data.image_files import Pixels
from benchmark.data.rendering import PixelSource
from benchmark.random_streams import Purpose, stream

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the package index for a newer version
import albumentations as A  # noqa: N812 - after the variable; its own documentation's name

from benchmark.data.augmentation import AREA, RATIO, apply_composition


def photograph_views(size: int, *, color: bool) -> list[A.BasicTransform]:
    """Returns SimCLR's augmentation: crop, mirror, color of strength 1, gray, blur (Chen et al. 2020, appendix A). `color`:
    the images have three channels.
    """
    # Departs: a view's blur has a strength of its own; in SimCLR's code one is drawn for all blurred images of a batch.
    kernel = size // 10 // 2 * 2 + 1
    blur = A.GaussianBlur(blur_limit=(kernel, kernel), sigma_limit=(0.1, 2.0), p=0.5)
    return [*crop_views(size, color=color), *_jitter(1.0, color=color), blur]


def radiograph_views(size: int, *, color: bool) -> list[A.BasicTransform]:
    """Returns Azizi 2021's augmentation of radiographs (section 4.2): rotation by up to 45 degrees, crop, color of strength
    0.5, mirror; no blur.
    """
    rotation = A.Rotate(limit=45, interpolation=cv2.INTER_LINEAR, border_mode=cv2.BORDER_CONSTANT, p=1)
    return [rotation, *crop_views(size, color=color), *_jitter(0.5, color=color)]


def crop_views(size: int, *, color: bool) -> list[A.BasicTransform]:
    """Returns crop and mirror alone: the partial augmentation of MICLe (Azizi 2021, table B.2)."""
    del color
    # bicubic without antialiasing, as SimCLR's code resizes its crops
    crop = A.RandomResizedCrop(size=(size, size), scale=AREA, ratio=RATIO, interpolation=cv2.INTER_CUBIC, p=1)
    return [crop, A.HorizontalFlip(p=0.5)]


def _jitter(strength: float, *, color: bool) -> list[A.BasicTransform]:
    """Returns SimCLR's color jitter with its probability of 0.8, and gray with 0.2 for images that are not gray already."""
    around = (1 - 0.8 * strength, 1 + 0.8 * strength)
    hue = (-0.2 * strength, 0.2 * strength)
    jitter = A.ColorJitter(brightness=around, contrast=around, saturation=around, hue=hue, p=0.8)
    return [jitter, A.ToGray(p=0.2)] if color else [jitter]


VIEWS: dict[ViewKind, Callable[..., list[A.BasicTransform]]] = {
    "photographs": photograph_views,
    "radiographs": radiograph_views,
    "crops": crop_views,
}


@dataclass(frozen=True, kw_only=True)
class PairBatch(Batch):
    """Holds the first views of B bags, then their second views. `images`: 2B x channels x height x width; `rows`: the B
    bags.

    A batch is never divided, since the loss compares each view with all others.
    """

    def pieces(self, size: int) -> Iterator["PairBatch"]:
        """Yields the batch itself."""
        del size
        yield self


@dataclass(frozen=True, kw_only=True)
class PairSplit:
    """Gives bags of images, and pairs of views of each. `bags`: the rows of the source that each bag holds."""

    source: PixelSource
    bags: Sequence[Rows]
    views: ViewKind
    image_size: int
    seed: int
    device: torch.device
    threads: int

    def __len__(self) -> int:
        return len(self.bags)

    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Batch]:
        """Yields the pairs of all bags, shuffled and drawn as this seed's epoch of that number has them, in whole batches
        from batch `first` on; bags that fill no batch are left out of the epoch.
        """
        order = np.random.default_rng(stream(self.seed, Purpose.ORDER, number)).permutation(len(self))
        batches = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
        return rendered_ahead(self._render(number), batches[first:], self.device, self.threads)

    def images_of(self, epoch: int, bag: int) -> tuple[int, int]:
        """Returns the two rows of which a bag's views are made in an epoch: two different ones, where it has two."""
        rows = self.bags[bag]
        if len(rows) == 1:
            return int(rows[0]), int(rows[0])
        rng = np.random.default_rng(stream(self.seed, Purpose.BAG, epoch, bag))
        one, other = rng.choice(rows, 2, replace=False)
        return int(one), int(other)

    def _render(self, epoch: int) -> Callable[[Rows], Batch]:
        compositions = threading.local()  # albumentations keeps its random state in the composition: one a thread

        def view(row: int, number: int) -> Pixels:
            seed = stream(self.seed, Purpose.VIEW, epoch, row, number)
            rendered = apply_composition(compositions.own, seed, image=self.source.image(row))["image"]
            return rendered if rendered.ndim == 3 else rendered[..., None]

        def render(bags: Rows) -> Batch:
            if not hasattr(compositions, "own"):
                color = self.source.cache.channels == 3
                compositions.own = A.Compose(VIEWS[self.views](self.image_size, color=color))
            pairs = [self.images_of(epoch, int(bag)) for bag in bags]
            images = np.stack([view(pair[number], number) for number in (0, 1) for pair in pairs])
            nothing = torch.empty(len(bags), 0)
            return PairBatch(images=torch.from_numpy(images).permute(0, 3, 1, 2), targets=nothing, rows=bags)

        return render
