"""Decoding: the files of a data set, the size at which their images are stored, one image and its masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.dicom import Windows
from benchmark.data.image_files import Mask, Pixels, read_image, read_mask
from benchmark.errors import BenchmarkError


@dataclass(frozen=True, kw_only=True)
class StoredSize:
    """Says at which size images are stored. `native`: unchanged (`size` is then the side of the black placeholder for
    an image that cannot be decoded); `short_side` keeps the aspect and never enlarges; `square` is exact.

    Classification resizes as torchvision does on PIL images (bilinear, antialiased); segmentation (`masks` not empty)
    as the first paper's code does with OpenCV, its masks by nearest neighbor.
    """

    shape: Literal["native", "short_side", "square"]
    size: int
    resize: Literal["antialias", "nearest", "bilinear"] = "antialias"
    masks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Returns the size in a word, as folders are named by it."""
        return "native" if self.shape == "native" else str(self.size)

    @property
    def mask_shape(self) -> tuple[int, int, int]:
        """Returns the shape of an image's masks together: height, width, number."""
        return self.size, self.size, len(self.masks)

    def image(self, pixels: Pixels) -> Pixels:
        """Returns one image at this size."""
        height, width = pixels.shape[:2]
        if self.shape == "native":
            return pixels
        if self.shape == "short_side":
            if min(height, width) <= self.size:
                return pixels
            # torchvision cuts the long side's fraction off, it does not round
            long = int(self.size * max(height, width) / min(height, width))
            new = (self.size, long) if width <= height else (long, self.size)
        else:
            new = (self.size, self.size)
        if new == (width, height):
            return pixels
        if self.resize == "antialias":
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            resized = np.asarray(image.resize(new, Image.Resampling.BILINEAR))
        else:
            how = cv2.INTER_NEAREST if self.resize == "nearest" else cv2.INTER_LINEAR
            resized = np.asarray(cv2.resize(pixels, new, interpolation=how))
        return resized[..., None] if resized.ndim == 2 else resized

    def mask(self, mask: Mask) -> NDArray[np.uint8]:
        """Returns one mask at this size, 0 or 1."""
        values = mask.astype(np.uint8)
        if self.resize == "bilinear":  # as the first paper's code treats DRIVE: interpolate, then half
            gray = cv2.resize(values * 255, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
            return (np.asarray(gray) > 127).astype(np.uint8)
        return np.asarray(cv2.resize(values, (self.size, self.size), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Names the files to decode: images in order, and for segmentation the masks of each. `verified`: names of files
    whose content was already compared with the ledger of source files (`data.source_files`).
    """

    root: Path
    images: Sequence[str]
    masks: Sequence[Sequence[str]] = ()  # per image, one name per entry of StoredSize.masks
    data_digest: str
    phantom: bool
    windows: Windows | None = None  # of CT
    tolerant: bool = False  # an image that cannot be decoded is replaced by a black placeholder and reported
    verified: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def files(self) -> list[str]:
        """Returns all names of images and masks."""
        return [*self.images, *(mask for masks in self.masks for mask in masks)]


def estimated_bytes(source: ImageFiles, stored_size: StoredSize, sample: int = 8) -> int:
    """Estimates the size in bytes of a cache of these images, from a few of them spread evenly over all."""
    total = len(source.images)
    rows = np.unique(np.linspace(0, total - 1, min(sample, total)).round().astype(int))
    sizes = [
        pixels.nbytes + masks.nbytes for pixels, masks, _ in (decode(source, stored_size, int(row)) for row in rows)
    ]
    return round(float(np.mean(sizes)) * total) if sizes else 0


def decode(source: ImageFiles, stored_size: StoredSize, row: int) -> tuple[Pixels, NDArray[np.uint8], str]:
    """Returns image and masks at the stored size, and the reason where a black placeholder stands for the image, else ""."""
    path = source.root / source.images[row]
    try:
        pixels, is_phantom = read_image(path, source.windows)
    except BenchmarkError as fault:
        if not source.tolerant:
            raise
        return (
            np.zeros((stored_size.size, stored_size.size, 1), np.uint8),
            np.zeros(stored_size.mask_shape, np.uint8),
            str(fault),
        )
    if is_phantom and not source.phantom:
        raise BenchmarkError(
            f"{path} is a phantom in a folder that is not marked as one: its results would pass for real ones"
        )
    if not stored_size.masks:
        return stored_size.image(pixels), np.zeros(stored_size.mask_shape, np.uint8), ""
    try:
        masks = [stored_size.mask(read_mask(name, source.root, pixels.shape[:2])) for name in source.masks[row]]
    except BenchmarkError as fault:
        raise BenchmarkError(
            f"{path}: its mask: {fault}"
        ) from fault  # run lengths have no file of their own to be named by
    return stored_size.image(pixels), np.stack(masks, axis=-1), ""
