"""Phantom patches of stained tissue."""

import numpy as np

from benchmark.data.image_files import Pixels


def tissue(rng: np.random.Generator, size: int, *, tumour: bool) -> Pixels:
    """Returns a phantom of stained tissue (uint8, size x size x 3): small nuclei all over, large dark ones in the
    center third where there is tumour.
    """
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(grid, grid, indexing="ij")
    stain = np.zeros((size, size), dtype=np.float32)
    nuclei = [(*rng.uniform(0, 1, 2), rng.uniform(0.02, 0.03), 0.6) for _ in range(int(rng.integers(20, 40)))]
    if tumour:
        nuclei += [(*rng.uniform(0.36, 0.64, 2), rng.uniform(0.045, 0.07), 1.0) for _ in range(int(rng.integers(4, 9)))]
    for px, py, radius, depth in nuclei:
        away = ((x - px) / radius) ** 2 + ((y - py) / (radius * rng.uniform(0.7, 1.3))) ** 2
        stain = np.maximum(stain, depth * (away < 1))
    ground = np.array([0.93, 0.75, 0.86]) * rng.uniform(0.9, 1.05)
    image = ground - stain[..., None] * np.array([0.50, 0.55, 0.30]) + rng.normal(0, 0.03, (size, size, 3))
    return np.asarray((image.clip(0, 1) * 255).round().astype(np.uint8))
