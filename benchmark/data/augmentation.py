"""Training augmentation of one image: parameters are drawn from a stream, then rendered.

Classification draws the same parameters in both modes, in the order in which torchvision's RandomResizedCrop,
RandomHorizontalFlip and RandomRotation draw them; `exact` renders them with the same PIL operations, bit for bit, and
`fast` with OpenCV. Segmentation is albumentations throughout; this is the one file that imports it.
"""

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.image_files import Pixels

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the package index for a newer version
import albumentations as A  # noqa: N812 - after the variable; its own documentation's name

AREA = (0.08, 1.0)  # RandomResizedCrop's defaults: share of the area, aspect ratio
RATIO = (3.0 / 4.0, 4.0 / 3.0)
MAX_ROTATION = 7.0  # degrees either way (code)


@dataclass(frozen=True)
class AugmentationParameters:
    """Holds one image's augmentation: the crop (pixels of the source), whether it is mirrored, the rotation in degrees."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool
    angle: float


def draw(height: int, width: int, generator: torch.Generator, rotation: float = MAX_ROTATION) -> AugmentationParameters:
    """Draws a crop, a flip and a rotation of up to `rotation` degrees, as torchvision's transforms draw them from a
    generator in the same state.
    """
    top, left, crop_height, crop_width = _draw_crop(height, width, generator)
    mirrored = bool(torch.rand(1, generator=generator) < 0.5)
    angle = float(torch.empty(1).uniform_(-rotation, rotation, generator=generator).item())
    return AugmentationParameters(top, left, crop_height, crop_width, mirrored, angle)


def _draw_crop(height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    log_ratio = torch.log(torch.tensor(RATIO))
    for _ in range(10):
        area = height * width * torch.empty(1).uniform_(*AREA, generator=generator).item()
        low, high = float(log_ratio[0]), float(log_ratio[1])
        aspect = torch.exp(torch.empty(1).uniform_(low, high, generator=generator)).item()
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(0, height - h + 1, size=(1,), generator=generator).item())
            left = int(torch.randint(0, width - w + 1, size=(1,), generator=generator).item())
            return top, left, h, w
    # no crop fitted: the largest central one within the ratios, as torchvision falls back
    in_ratio = width / height
    w, h = width, height
    if in_ratio < min(RATIO):
        h = round(w / min(RATIO))
    elif in_ratio > max(RATIO):
        w = round(h * max(RATIO))
    return (height - h) // 2, (width - w) // 2, h, w


def render_exact(pixels: Pixels, drawn: AugmentationParameters, size: int) -> Pixels:
    """Renders the papers' pixels: PIL crop, antialiased bilinear resize, mirror, rotation by nearest neighbor over
    black.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    box = (drawn.left, drawn.top, drawn.left + drawn.width, drawn.top + drawn.height)
    image = image.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    if drawn.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(drawn.angle, Image.Resampling.NEAREST)
    rendered = np.asarray(image)
    return rendered[..., None] if rendered.ndim == 2 else rendered


def render_fast(pixels: Pixels, drawn: AugmentationParameters, size: int) -> Pixels:
    """Renders the same crop, mirror and rotation in one bilinear warp. A warp alone would alias a crop of twice `size`
    and more, so such a crop is first averaged over blocks of pixels (and loses less than a block at its far edges).
    """
    crop: NDArray[Any] = pixels[drawn.top : drawn.top + drawn.height, drawn.left : drawn.left + drawn.width]
    block = min(drawn.height, drawn.width) // size
    if block >= 2:
        height, width = drawn.height // block, drawn.width // block
        crop = cv2.resize(crop[: height * block, : width * block], (width, height), interpolation=cv2.INTER_AREA)
    height, width = crop.shape[:2]
    # output pixel center -> centered, rotated, mirrored -> crop pixel center; OpenCV wants that inverse map
    cosine, sine = math.cos(math.radians(drawn.angle)), math.sin(math.radians(drawn.angle))
    across, down, center = width / size, height / size, (size - 1) / 2
    sign = -1.0 if drawn.mirrored else 1.0
    inverse = np.array(
        [
            [sign * across * cosine, -sign * across * sine, 0.0],
            [down * sine, down * cosine, 0.0],
        ]
    )
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    inverse[:, 2] = middle - inverse[:, :2] @ np.array([center, center])
    warped = cv2.warpAffine(
        crop, inverse, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(warped if warped.ndim == 3 else warped[..., None], dtype=np.uint8)


RENDERERS: dict[str, Callable[[Pixels, AugmentationParameters, int], Pixels]] = {
    "exact": render_exact,
    "fast": render_fast,
}


def tone(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Returns the image with its brightness moved by up to 0.2 of the range and its contrast (the spread about each
    channel's mean) scaled by 0.8 to 1.2, clipped.

    Azizi 2021, supplement A.2, prints the factor of contrast as U(-0.2, 0.2), read here as one plus that.
    """
    shift, spread = torch.empty(2).uniform_(-0.2, 0.2, generator=generator).tolist()
    values = pixels.astype(np.float32)
    mean = values.mean(axis=(0, 1))
    return np.asarray((mean + (values - mean) * (1 + spread) + 255 * shift).round().clip(0, 255).astype(np.uint8))


def flips(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Returns the image mirrored left to right, top to bottom, both or not at all."""
    down, across = (torch.rand(2, generator=generator) < 0.5).tolist()
    return np.ascontiguousarray(pixels[:: -1 if down else 1, :: -1 if across else 1])


def color() -> A.Compose:
    """Returns the color and blur augmentation of photographs, which follows the crop.

    Departs: the strengths of the photographs' augmentation are ours: the paper names its operations alone.
    """
    jitter = A.ColorJitter(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue=(-0.1, 0.1), p=0.8)
    return A.Compose([jitter, A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.5), A.VerticalFlip(p=0.5)])


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Defines a classification augmentation: crop, mirror and rotate by up to `rotation` degrees (0: none of these);
    then `finish`; then an albumentations composition.
    """

    rotation: float = MAX_ROTATION
    finish: Callable[[Pixels, torch.Generator], Pixels] | None = None
    compose: Callable[[], A.Compose] | None = None

    def render(self, how: str, pixels: Pixels, size: int, seed: int, composed: A.Compose | None) -> Pixels:
        """Returns one image augmented from a stream's seed, size x size. `composed` is the result of `compose()`, one
        for each thread.
        """
        generator = torch.Generator().manual_seed(seed)
        if self.rotation:
            pixels = RENDERERS[how](pixels, draw(pixels.shape[0], pixels.shape[1], generator, self.rotation), size)
        if self.finish is not None:
            pixels = self.finish(pixels, generator)
        if composed is not None:
            pixels = apply_composition(composed, seed, image=pixels)["image"]
        return pixels if pixels.ndim == 3 else pixels[..., None]


CLASSIFICATION: dict[str, Augmentation] = {
    "crop-flip-rotate": Augmentation(),
    "crop-flip-rotate-tone": Augmentation(rotation=20.0, finish=tone),  # Azizi 2021, supplement A.2
    "crop-flip-rotate-colour": Augmentation(rotation=20.0, compose=color),  # Azizi 2021, section 4.3
    "flips": Augmentation(rotation=0.0, finish=flips),  # Truong 2021, section 5.2: PatchCam
}


class Elastic(A.ElasticTransform):  # type: ignore[misc] # the library is not typed
    """Deforms images elastically as albumentations 0.4.3 does: by an affine map that moves three points by up to
    `affine` pixels in each direction, then by a field of noise of -1 to 1, smoothed by a Gaussian and enlarged (Simard
    et al. 2003). Both are done in one warp, where that version interpolates twice. The numbers are for 224 pixels, and
    in proportion for others.
    """

    # the first paper's code; the field's spread is about strength / smoothing, so that strength goes with the square
    STRENGTH, SMOOTHING, AFFINE, SIDE = 120.0, 6.0, 3.6, 224

    def __init__(self, size: int, affine: float = AFFINE) -> None:
        super().__init__(border_mode=cv2.BORDER_REFLECT_101, p=1)
        self.scale = size / self.SIDE
        self.affine = affine * self.scale

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Returns for each pixel the place that it is taken from."""
        del data
        height, width = params["shape"][:2]
        across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        noise = self.random_generator.uniform(-1, 1, (height, width, 2)).astype(np.float32)
        smoothing = self.SMOOTHING * self.scale
        reach = 2 * round(4 * smoothing) + 1
        field = cv2.GaussianBlur(noise, (reach, reach), smoothing, borderType=cv2.BORDER_REFLECT)
        from_x, from_y = np.moveaxis(np.stack([across, down], -1) + field * self.STRENGTH * self.scale**2, -1, 0)
        x, y, third = width // 2, height // 2, min(height, width) // 3
        points = np.array([[x + third, y + third], [x + third, y - third], [x - third, y - third]], dtype=np.float32)
        moved = points + self.random_generator.uniform(-self.affine, self.affine, (3, 2)).astype(np.float32)
        back = cv2.invertAffineTransform(cv2.getAffineTransform(points, moved)).astype(np.float32)
        return {
            "map_x": back[0, 0] * from_x + back[0, 1] * from_y + back[0, 2],
            "map_y": back[1, 0] * from_x + back[1, 1] * from_y + back[1, 2],
        }


class InverseGamma(A.RandomGamma):  # type: ignore[misc]
    """Raises gray values to the power of one over a number drawn from 0.8 to 1.2, as albumentations 0.4.3 does."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Returns the exponent."""
        return {"gamma": 1 / super().get_params_dependent_on_data(params, data)["gamma"]}


def xray_warps(size: int) -> list[A.BasicTransform]:
    """Returns what moves pixels, of which one is chosen: reflected at the borders, as albumentations 0.4.3 does by default.

    That version's optical distortion also shifts, by a whole number of pixels that the first paper's limit of 0.5 rounds
    to none.
    """
    reflected = {"border_mode": cv2.BORDER_REFLECT_101, "p": 1}
    return [
        Elastic(size),
        A.GridDistortion(normalized=False, **reflected),
        A.OpticalDistortion(distort_limit=2, **reflected),
    ]


def xray_segmentation(size: int) -> A.Compose:
    """Returns the first paper's augmentation of X-ray segmentation (appendix B; its code's numbers)."""
    crop = A.RandomSizedCrop(min_max_height=(round(size * 156 / 224), size), size=(size, size), p=0.25)
    tone = A.OneOf([A.RandomBrightnessContrast(p=1), InverseGamma(p=1)], p=0.3)
    return A.Compose([tone, A.OneOf(xray_warps(size), p=0.3), crop])


def fundus_segmentation(size: int) -> A.Compose:
    """Returns the first paper's augmentation of fundus photographs: rotation, noise, color, the three flips.

    Departs: the strengths of the fundus augmentation are ours: the paper names its operations alone.
    """
    del size  # none of these depends on it
    return A.Compose(
        [
            A.Rotate(limit=45, border_mode=cv2.BORDER_CONSTANT, p=0.5),
            A.GaussNoise(std_range=(0.01, 0.05), p=0.3),
            A.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02, p=0.3),
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Transpose(p=0.5),
        ]
    )


SEGMENTATION: dict[str, Callable[[int], A.Compose]] = {
    "xray-segmentation": xray_segmentation,
    "fundus-segmentation": fundus_segmentation,
}


def render_segmentation(
    composed: A.Compose, pixels: Pixels, masks: NDArray[np.uint8], seed: int
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Returns one image and its masks (size x size x number of masks), augmented together from a stream's seed."""
    grown = apply_composition(composed, seed, image=pixels, mask=masks)
    image, mask = grown["image"], grown["mask"]
    return image if image.ndim == 3 else image[..., None], mask if mask.ndim == 3 else mask[..., None]


def apply_composition(composed: A.Compose, seed: int, **images: Pixels) -> dict[str, Pixels]:
    """Returns the images augmented alike by a composition whose draws are all of one seed."""
    # not set_random_seed: it gives each operation a generator of its own from this one seed, so that all of them draw
    # the same number first and are applied together or not at all
    composed.set_random_state(np.random.default_rng(seed), random.Random(seed))  # noqa: S311 - nothing secret
    grown: dict[str, Pixels] = composed(**images)
    return grown
