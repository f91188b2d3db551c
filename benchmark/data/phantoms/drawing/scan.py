"""Phantom slices of contrast-enhanced computed tomography of the chest."""

import numpy as np
from numpy.typing import NDArray

# Hounsfield units
AIR, FAT, SOFT_TISSUE, LUNG, BONE, THROMBUS = -1000, -90, 45, -850, 700, 40


def ct(rng: np.random.Generator, size: int, *, embolism: bool) -> NDArray[np.int16]:
    """Returns a phantom slice (int16, size x size, in Hounsfield units, -1024 to 3071): body, lungs, spine, and vessels
    bright with contrast; with `embolism`, one of the two main arteries has a dark spot inside.
    """
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(grid, grid, indexing="ij")

    def within(px: float, py: float, width: float, height: float | None = None) -> NDArray[np.bool_]:
        return np.asarray(((x - px) / width) ** 2 + ((y - py) / (height or width)) ** 2 < 1)

    image = np.full((size, size), AIR, dtype=np.float32)
    image[within(0.5, 0.5, 0.47, 0.36)] = FAT
    image[within(0.5, 0.5, 0.44, 0.33)] = SOFT_TISSUE
    half_width, half_height = rng.uniform(0.15, 0.18), rng.uniform(0.22, 0.26)
    lungs = within(0.27, 0.48, half_width, half_height) | within(0.73, 0.48, half_width, half_height)
    image[lungs] = LUNG
    image[within(0.5, 0.76, 0.05)] = BONE
    contrast = rng.uniform(250, 400)
    for _ in range(int(rng.integers(10, 25))):  # vessels of the lungs, too small to show what is in them
        vessel = within(rng.uniform(0.12, 0.88), rng.uniform(0.25, 0.7), rng.uniform(0.006, 0.016))
        image[vessel & lungs] = contrast
    image[within(0.5 + rng.normal(0, 0.01), 0.34, 0.06)] = contrast + rng.normal(0, 30)  # the aorta
    arteries = [(0.5 + side * rng.uniform(0.12, 0.15), rng.uniform(0.5, 0.56)) for side in (-1, 1)]
    for px, py in arteries:
        image[within(px, py, 0.095, 0.08)] = contrast
    if embolism:
        px, py = arteries[int(rng.integers(2))]
        px, py = px + rng.uniform(-0.02, 0.02), py + rng.uniform(-0.015, 0.015)
        image[within(px, py, rng.uniform(0.045, 0.06))] = THROMBUS
    image += rng.normal(0, 15, (size, size)).astype(np.float32)
    return np.asarray(image.round().clip(-1024, 3071), dtype=np.int16)
