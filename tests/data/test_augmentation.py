"""The classification augmentations beside the first paper's: tone, colour, flips. Their crop, mirror and rotation are
torchvision's draws, held in test_transforms.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pytest
import torch

from benchmark.data.augmentation import CLASSIFICATION, SEGMENTATION, flips, render_fast, tone
from benchmark.data.augmentation import draw as drawn
from benchmark.data.phantoms.drawing.lesion import skin
from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.recipe import Recipe

GREY = chest(np.random.default_rng(3), 96, ["Mass"]).pixels
COLOUR = skin(np.random.default_rng(3), 96, 2, 0.4)


def rendered(name, pixels, seed, size=48):
    look = CLASSIFICATION[name]
    return look.render("fast", pixels, size, seed, look.compose() if look.compose else None)


def test_every_augmentation_of_the_recipe_is_one_of_these():
    named = set(get_args(Recipe.model_fields["augmentation"].annotation))

    assert named == {"none", *CLASSIFICATION, *SEGMENTATION}


@pytest.mark.parametrize("name", [*CLASSIFICATION])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_look_depends_on_its_seed_alone_and_leaves_what_it_is_given(name, pixels):
    before = pixels.copy()
    first, again = rendered(name, pixels, 5), rendered(name, pixels, 5)
    others = [rendered(name, pixels, seed) for seed in range(6, 14)]

    assert (first == again).all()
    assert any((first != other).any() for other in others)
    assert first.dtype == np.uint8
    assert first.shape[2] == pixels.shape[2]
    assert (pixels == before).all()


@pytest.mark.parametrize("name", [*CLASSIFICATION])
def test_a_look_is_the_same_from_many_threads_at_once(name):
    alone = [rendered(name, COLOUR, seed) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: rendered(name, COLOUR, seed), range(24)))

    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_tone_moves_brightness_and_spread_within_a_fifth():
    """Values from 100 to 155 are never clipped: mean and spread are then those that were drawn."""
    pixels = np.random.default_rng(0).integers(100, 156, (64, 64, 1), dtype=np.uint8)
    shifts, spreads = [], []
    for seed in range(200):
        toned = tone(pixels, torch.Generator().manual_seed(seed)).astype(float)
        shifts.append((toned.mean() - pixels.mean()) / 255)
        spreads.append(toned.std() / pixels.std())

    assert -0.2 - 0.002 <= min(shifts) < -0.17
    assert 0.17 < max(shifts) <= 0.2 + 0.002
    assert 0.8 - 0.01 <= min(spreads) < 0.83
    assert 1.17 < max(spreads) <= 1.2 + 0.01
    assert abs(np.corrcoef(shifts, spreads)[0, 1]) < 0.2, "they are drawn apart"


def test_tone_clips_and_does_not_wrap():
    white = np.full((8, 8, 1), 250, np.uint8)
    toned = [tone(white, torch.Generator().manual_seed(seed)) for seed in range(40)]

    assert all(image.min() >= 250 - 52 for image in toned)


def test_flips_are_the_four_of_a_patch_each_as_often():
    patch = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    scanned = [flips(patch, torch.Generator().manual_seed(seed)).tobytes() for seed in range(400)]
    four = {image.tobytes() for image in (patch, patch[::-1], patch[:, ::-1], patch[::-1, ::-1])}

    assert set(scanned) == four
    assert all(70 <= scanned.count(image) <= 130 for image in four)


def test_the_first_papers_look_is_its_draw_rendered():
    seed = 11
    expected = render_fast(GREY, drawn(96, 96, torch.Generator().manual_seed(seed)), 48)

    assert (rendered("crop-flip-rotate", GREY, seed) == expected).all()


def test_colours_change_and_grey_stays_grey():
    assert any((rendered("crop-flip-rotate-colour", COLOUR, seed)[..., 0] != 0).any() for seed in range(3))
    assert rendered("crop-flip-rotate-colour", GREY, 1).shape == (48, 48, 1)
