"""X-ray segmentation is augmented as the first paper's code does, with albumentations 0.4.3: how far, and what comes in at
the borders.
"""

import random
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from benchmark.data.augmentation import Elastic, InverseGamma, xray_warps
from benchmark.data.datasets import stored_sizes
from benchmark.data.index import Index


def displacement(transform, size: int, seeds: int) -> float:
    """The mean distance, in pixels, between a pixel and where it is taken from."""
    image, found = np.zeros((size, size, 1), np.uint8), []
    y, x = np.mgrid[:size, :size]
    for seed in range(seeds):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        maps = transform.get_params_dependent_on_data({"shape": image.shape}, {"image": image})
        found.append(np.hypot(maps["map_x"] - x, maps["map_y"] - y).mean())
    return float(np.mean(found))


def theirs(size: int, seeds: int, affine: float) -> float:
    """The same of albumentations 0.4.3, which the first paper's code uses with alpha=120, sigma=6 on 224 pixels: noise of
    -1 to 1 smoothed by a Gaussian, after an affine map that moves three points by up to `affine` pixels each.
    """
    y, x = np.mgrid[:size, :size]
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(1000 + seed)
        dx, dy = (gaussian_filter(rng.uniform(-1, 1, (size, size)), 6) * 120 for _ in range(2))
        centre, third = size // 2, size // 3
        points = np.float32([[centre + third, centre + third], [centre + third, centre - third], [centre - third] * 2])
        moved = points + rng.uniform(-affine, affine, (3, 2)).astype(np.float32)
        back = cv2.invertAffineTransform(cv2.getAffineTransform(points, moved))
        from_x = back[0, 0] * (x + dx) + back[0, 1] * (y + dy) + back[0, 2]
        from_y = back[1, 0] * (x + dx) + back[1, 1] * (y + dy) + back[1, 2]
        found.append(np.hypot(from_x - x, from_y - y).mean())
    return float(np.mean(found))


def test_elastic_deformation_moves_pixels_as_far_as_the_first_papers():
    """Thirty draws each; the mean of thirty has a standard error of 2 %."""
    assert displacement(Elastic(224), 224, 30) == pytest.approx(theirs(224, 30, affine=3.6), rel=0.08)


def test_elastic_deformation_without_its_affine_part_is_the_smoothed_noise():
    """In the middle the smoothed noise has a spread of 120 / (sqrt 3 x 2 sqrt pi x 6) = 3.26 pixels in each direction, so
    that pixels move by 4.08 on the average; a little more at the borders.
    """
    assert displacement(Elastic(224, affine=0), 224, 30) == pytest.approx(theirs(224, 30, affine=0), rel=0.03)
    assert 4.0 < displacement(Elastic(224, affine=0), 224, 30) < 4.5


def test_elastic_deformation_is_in_proportion_to_the_size():
    assert displacement(Elastic(448), 448, 10) == pytest.approx(2 * displacement(Elastic(224), 224, 10), rel=0.15)


def test_xray_images_and_masks_are_reflected_at_their_borders():
    """As albumentations 0.4.3 does by default: nothing black comes in, whatever is drawn."""
    image, masks = np.full((96, 96, 1), 173, np.uint8), np.ones((96, 96, 1), np.uint8)
    warps = xray_warps(96)

    for warp in warps:
        for seed in range(20):
            warp.set_random_state(np.random.default_rng(seed), random.Random(seed))
            moved = warp(image=image, mask=masks)
            assert (moved["image"] == 173).all()
            assert (moved["mask"] == 1).all()
    assert [type(warp).__name__ for warp in warps] == ["Elastic", "GridDistortion", "OpticalDistortion"]


def test_a_distorted_grid_may_leave_the_image():
    """Five cells of 44 pixels, each stretched by up to 0.3: where they end has a spread of 44 x 0.3 / sqrt 3 x sqrt 5 = 17
    pixels in albumentations 0.4.3; normalised, as version 2 has it, they would always end at the border.
    """
    _, grid, _ = xray_warps(224)
    ends = []
    for seed in range(200):
        grid.set_random_state(np.random.default_rng(seed), random.Random(seed))
        ends.append(grid.get_params_dependent_on_data({"shape": (224, 224, 1)}, {})["map_x"][0, 219])

    assert np.mean(ends) == pytest.approx(219, abs=5)
    assert np.std(ends) == pytest.approx(17, rel=0.2)


def test_a_warp_reflects_at_the_border_pixel_itself():
    """reflect_101: the pixel at the border is the mirror and is not repeated."""
    ramp = np.tile(np.arange(96, dtype=np.uint8)[None, :, None], (96, 1, 1))
    for warp in xray_warps(96):
        x = np.tile(np.arange(-10, 86, dtype=np.float32), (96, 1))
        y = np.tile(np.arange(96, dtype=np.float32)[:, None], (1, 96))
        shifted = warp.apply(ramp, map_x=x, map_y=y)
        assert shifted[0, :12].ravel().tolist() == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1]


def test_gamma_is_one_over_what_is_drawn():
    """Grey values are raised to 1/0.8 at most and 1/1.2 at least."""
    gamma = InverseGamma(p=1)
    gamma.set_random_state(np.random.default_rng(0), random.Random(0))

    exponents = [gamma.get_params_dependent_on_data({}, {})["gamma"] for _ in range(500)]

    assert 1 / 1.2 <= min(exponents) < 0.84
    assert 1.24 < max(exponents) <= 1 / 0.8
    assert np.mean(exponents) == pytest.approx(np.log(1.5) / 0.4, rel=0.02)


@pytest.mark.parametrize("task", ["LXS", "PXS"])
def test_xray_images_and_masks_are_resized_by_nearest_neighbour(tasks, task):
    """As the first paper's code does; interpolated masks of LXS differ from its by a Dice of 0.987."""
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (300, 310, 1), dtype=np.uint8), rng.integers(0, 2, (300, 310)) > 0
    kept, _ = stored_sizes(
        Index(task=task, root=Path(), table=pd.DataFrame({"mask": ["m.png"]}), labels=("m",), phantom=True),
        tasks[task],
        tasks[task].complete_recipe(),
    )

    theirs = cv2.resize(mask.astype(np.uint8) * 255, (224, 224), interpolation=cv2.INTER_NEAREST) > 0
    assert np.array_equal(kept.mask(mask), theirs)
    assert np.array_equal(kept.image(image)[..., 0], cv2.resize(image, (224, 224), interpolation=cv2.INTER_NEAREST))
