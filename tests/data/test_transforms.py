"""Augmentation against torchvision on PIL images (exact, bit for bit; fast, within argued bounds), evaluation crops
against torchvision's, and segmentation's geometry against itself.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as tv

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD
from benchmark.data.augmentation import (
    SEGMENTATION,
    AugmentationParameters,
    draw,
    render_exact,
    render_fast,
    render_segmentation,
)
from benchmark.data.decoding import StoredSize
from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.drawing.retina import fundus
from benchmark.models.normalization import Normalization, center_crop, ten_crop

# what the first paper's code applies in training (its ToTensor and Normalize are the intake's)
THEIRS = tv.Compose([tv.RandomResizedCrop(224), tv.RandomHorizontalFlip(), tv.RandomRotation(7)])
SHAPES = {
    "square": (300, 300),
    "wide": (180, 420),
    "tall": (500, 260),
    "small": (40, 57),
    "panorama": (20, 400),  # no crop within the aspect ratios fits for most draws: the central fall-back
    "column": (400, 20),
    "pixel": (1, 1),
}


def noise(height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), dtype=np.uint8)


def rgb(pixels: np.ndarray) -> Image.Image:
    """As the papers' code opens it: three channels whatever the file has."""
    return Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)


def a_chest(side: int = 512) -> np.ndarray:
    return chest(np.random.default_rng(8), side, ["Mass", "Effusion"]).pixels


def a_fundus(side: int) -> np.ndarray:
    return fundus(np.random.default_rng(1), side, side).pixels


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(ours.astype(float) - theirs).mean())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_exact_pixels_are_those_of_torchvision_bit_for_bit(shape, channels):
    pixels = noise(*shape, channels)
    image = rgb(pixels)

    for seed in range(25):
        torch.manual_seed(seed)  # theirs draws from the global generator
        theirs = np.asarray(THEIRS(image))
        ours = render_exact(pixels, draw(*shape, torch.Generator().manual_seed(seed)), 224)

        assert ours.shape == (224, 224, channels)
        assert np.array_equal(np.broadcast_to(ours, theirs.shape), theirs)


def test_exact_pixels_draw_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    render_exact(noise(50, 60, 1), draw(50, 60, torch.Generator().manual_seed(3)), 32)

    assert torch.equal(before, torch.get_rng_state())


def test_a_thousand_draws_are_torchvisions():
    """Crop, mirror and angle, over image shapes of every kind; the streams end in the same state too."""
    shapes = list(SHAPES.values())
    for seed in range(1000):
        height, width = shapes[seed % len(shapes)]
        generator = torch.Generator().manual_seed(seed)
        ours = draw(height, width, generator)
        torch.manual_seed(seed)
        crop = tv.RandomResizedCrop.get_params(torch.empty(1, height, width), [0.08, 1.0], [3 / 4, 4 / 3])
        mirrored = bool(torch.rand(1) < 0.5)
        angle = tv.RandomRotation.get_params([-7.0, 7.0])

        assert AugmentationParameters(*crop, mirrored, angle) == ours
        assert torch.equal(torch.get_rng_state(), generator.get_state())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(256, 256), (301, 280), (90, 400)])
def test_evaluation_crops_are_those_of_torchvision_bit_for_bit(shape, channels):
    """The 256 cache, the crops on the batch and the intake: Resize, CenterCrop or TenCrop, ToTensor, Normalize."""
    pixels = noise(*shape, channels)
    resized = tv.Resize((256, 256))(rgb(pixels))
    to_tensor = tv.Compose([tv.ToTensor(), tv.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    intake = Normalization(IMAGENET_MEAN, IMAGENET_STD)
    cached = StoredSize(shape="square", size=256).image(pixels)
    batch = torch.from_numpy(cached.copy())[None].permute(0, 3, 1, 2)

    assert torch.equal(to_tensor(tv.CenterCrop(224)(resized)), intake(center_crop(batch, 224))[0])
    assert torch.equal(
        torch.stack([to_tensor(crop) for crop in tv.TenCrop(224)(resized)]),
        torch.stack([intake(crop)[0] for crop in ten_crop(batch, 224)]),
    )


@pytest.mark.parametrize("side", [63, 64, 65])
def test_odd_margins_are_cut_as_torchvision_cuts_them(side):
    """Half a pixel goes to the even side."""
    batch = torch.arange(2 * 1 * side * side).reshape(2, 1, side, side)

    for size in (32, 33):
        assert torch.equal(tv.CenterCrop(size)(batch), center_crop(batch, size))
        assert torch.equal(torch.stack(tv.TenCrop(size)(batch)), ten_crop(batch, size))


@pytest.mark.parametrize(
    ("pixels", "bound"),
    [(a_chest(512), 3.6), (a_chest(1024), 3.6), (a_chest(128), 3.6), (a_fundus(512), 2.9)],
    ids=["512", "1024", "128", "colour"],
)
def test_fast_pixels_stay_close_to_exact_ones(pixels, bound):
    """Over the draws of 40 seeds, away from the rim that bilinear sampling blends with the black outside.

    What differs: exact turns by nearest neighbour on the finished image (half a pixel of displacement at most), fast
    interpolates once; and a crop of twice the size and more is averaged over blocks, not over a triangle. The phantoms'
    noise has a spread of 6.4 grey levels (colour: 5.1) from pixel to pixel, so neighbouring pixels differ by 1.13 times
    that. Bound: half of it, half a pixel's worth (found: 1.1 to 2.5; colour 2.0).
    """
    found = []
    for seed in range(40):
        drawn = draw(*pixels.shape[:2], torch.Generator().manual_seed(seed))
        exact, fast = render_exact(pixels, drawn, 224), render_fast(pixels, drawn, 224)
        found.append(difference(fast[16:-16, 16:-16], exact[16:-16, 16:-16]))

    assert np.mean(found) < bound


@pytest.mark.parametrize("side", [448, 900, 1500])
def test_fast_pixels_do_not_alias_a_crop_of_twice_the_size_and_more(side):
    """Fine noise is averaged away as much as its crop is reduced, as exact's antialiasing does; a plain bilinear warp
    would keep more than half of its spread whatever the reduction.
    """
    pixels, drawn = noise(side, side, 1), AugmentationParameters(0, 0, side, side, mirrored=False, angle=3.0)
    spread = pixels.std()
    exact, fast = (render(pixels, drawn, 224)[16:-16, 16:-16].std() / spread for render in (render_exact, render_fast))

    assert exact < 224 / side
    assert fast < 224 / side


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [-7.0, 7.0])
def test_fast_pixels_are_mirrored_and_turned_the_same_way_as_exact_ones(mirrored, angle):
    """On an image without symmetry, the right way is far nearer than each wrong one."""
    y, x = np.mgrid[:300, :400]
    pixels = (127 + 60 * np.sin(x / 31 + 1) + 60 * np.cos(y / 23 + x / 90)).astype(np.uint8)[..., None]
    drawn = AugmentationParameters(20, 50, 230, 300, mirrored, angle)
    inner = (slice(16, -16), slice(16, -16))
    exact = render_exact(pixels, drawn, 224)[inner]
    wrong = [
        AugmentationParameters(20, 50, 230, 300, not mirrored, angle),
        AugmentationParameters(20, 50, 230, 300, mirrored, -angle),
    ]
    wrong += [
        AugmentationParameters(50, 20, 230, 300, mirrored, angle),
        AugmentationParameters(20, 50, 300, 230, mirrored, angle),
    ]

    right = difference(render_fast(pixels, drawn, 224)[inner], exact)

    # half a pixel at slopes of up to 3 grey levels a pixel
    assert right < 1.5
    assert all(difference(render_fast(pixels, other, 224)[inner], exact) > 8 * right for other in wrong)


@pytest.mark.parametrize("shape", [(100, 130), (512, 512), (1024, 700)])
def test_a_constant_image_stays_constant_in_the_middle_and_is_black_outside(shape):
    pixels = np.full((*shape, 1), 173, dtype=np.uint8)

    for seed in range(10):
        drawn = draw(*shape, torch.Generator().manual_seed(seed))
        fast = render_fast(pixels, drawn, 224)

        # seven degrees take 224 / 2 x tan 7° = 14 pixels from the edges' ends
        assert (fast[16:-16, 16:-16] == 173).all()
        assert fast.max() == 173
    turned = render_fast(pixels, AugmentationParameters(0, 0, *shape, mirrored=False, angle=7.0), 224)
    assert turned[0, 0, 0] == turned[-1, -1, 0] == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_fast_pixels_have_the_size_and_channels_asked_for(shape, channels):
    fast = render_fast(noise(*shape, channels), draw(*shape, torch.Generator().manual_seed(1)), 96)

    assert (fast.shape, fast.dtype) == ((96, 96, channels), np.uint8)


def blobs(size: int = 96, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """An image of two greys (60 and 200) without symmetry, and as masks: where it is bright, and that again."""
    y, x = np.mgrid[:size, :size] / size
    bright = (np.hypot(x - 0.3, y - 0.35) < 0.2) | ((abs(x - 0.7) < 0.1) & (abs(y - 0.6) < 0.25))
    image = np.where(bright, 200, 60).astype(np.uint8)[..., None].repeat(channels, axis=2)
    return image, np.stack([bright, bright], axis=-1).astype(np.uint8)


def halved(image: np.ndarray) -> np.ndarray:
    """Bright or not, at half of the image's own range: blind to brightness, contrast, gamma and noise."""
    grey = image.astype(float).mean(axis=2)
    return grey > (grey.min() + grey.max()) / 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SEGMENTATION)
def test_image_and_masks_move_together(name, channels):
    """A mask that a threshold would make from the image agrees with the image after every draw."""
    image, masks = blobs(channels=channels)
    composed = SEGMENTATION[name](96)
    moved = 0

    for seed in range(60):
        new_image, new_masks = render_segmentation(composed, image, masks, seed)
        moved += not np.array_equal(new_masks, masks)

        assert (new_image.shape, new_masks.shape) == (image.shape, masks.shape)
        assert (new_image.dtype, new_masks.dtype) == (np.uint8, np.uint8)
        assert {0, 1} >= set(np.unique(new_masks))
        assert np.array_equal(new_masks[..., 0], new_masks[..., 1])
        # they may differ along the outline, where the image is interpolated and the mask takes the nearest; two
        # operations in turn, the second of which enlarges by up to 224 / 156, shift it by 1.2 pixels at most
        away = cv2.morphologyEx(new_masks[..., 0], cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) == 0
        assert np.array_equal(halved(new_image)[away], new_masks[away, 0])
    assert moved > 15  # X-ray masks move in two of five draws, at the least


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_augmentation_depends_on_the_seed_alone(name):
    """Not on what the composition rendered before, nor on the composition."""
    image, masks = blobs()
    first, second = SEGMENTATION[name](96), SEGMENTATION[name](96)
    seeds = [5, 2**62 + 11, 0, 123_456_789_012]

    there = [render_segmentation(first, image, masks, seed) for seed in seeds]
    back = [render_segmentation(second, image, masks, seed) for seed in reversed(seeds)][::-1]

    for (image_1, masks_1), (image_2, masks_2) in zip(there, back, strict=True):
        assert np.array_equal(image_1, image_2)
        assert np.array_equal(masks_1, masks_2)


@pytest.mark.parametrize("name", SEGMENTATION)
def test_another_seed_is_another_segmentation_augmentation(name):
    image, masks = blobs()
    composed = SEGMENTATION[name](96)

    different = {render_segmentation(composed, image, masks, seed)[0].tobytes() for seed in range(60)}

    # X-ray: 0.7 x 0.7 x 0.75, so 22 of 60, are expected to be left as they are; fundus: 2 of 60
    assert len(different) > 25


@pytest.mark.parametrize(
    ("name", "untouched"),
    [("xray-segmentation", 0.7 * 0.7 * 0.75), ("fundus-segmentation", 0.5 * 0.7 * 0.7 * 0.5**3)],
)
def test_each_operation_is_applied_or_not_on_its_own(name, untouched):
    """So the share of images that no operation touches is the product of their own shares, not the least of these.

    Of 400 draws the share has a standard error of 0.024 at most; one crop in 30 and one gamma in 41 change nothing,
    which adds 0.01. Applied together or not at all, the shares would be 0.7 and 0.5.
    """
    image = noise(96, 96, 3)
    masks = np.zeros((96, 96, 1), np.uint8)
    composed = SEGMENTATION[name](96)
    same = [np.array_equal(render_segmentation(composed, image, masks, seed)[0], image) for seed in range(400)]

    assert abs(np.mean(same) - untouched) < 4 * 0.024


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_augmentation_is_the_same_from_many_threads_at_once(name):
    """One composition a thread, as `parts` has them, all working at the same time."""
    image, masks = blobs()
    alone = SEGMENTATION[name](96)
    expected = [render_segmentation(alone, image, masks, seed)[0].tobytes() for seed in range(48)]

    def render(start: int) -> list[bytes]:
        own = SEGMENTATION[name](96)
        return [render_segmentation(own, image, masks, seed)[0].tobytes() for seed in range(start, 48, 4)]

    with ThreadPoolExecutor(4) as pool:
        by_thread = list(pool.map(render, range(4)))

    for start, rendered in enumerate(by_thread):
        assert expected[start::4] == rendered


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_augmentation_leaves_what_it_is_given_alone(name):
    """Images of a cache are read-only: nothing may be done in place."""
    image, masks = blobs()
    image.flags.writeable = masks.flags.writeable = False
    composed = SEGMENTATION[name](96)

    for seed in range(40):
        render_segmentation(composed, image, masks, seed)


@pytest.mark.parametrize("size", [16, 32, 64, 224])
@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_augmentation_works_at_every_image_size_that_a_recipe_allows(name, size):
    image, masks = blobs(size)
    composed = SEGMENTATION[name](size)

    for seed in range(12):
        rendered, _ = render_segmentation(composed, image, masks, seed)
        assert rendered.shape == image.shape
