"""Phantom photographs of skin."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.data.image_files import Pixels

Field = NDArray[np.float32]
# what a lesion leaves of the skin's red, green and blue
COLORS = ((0.55, 0.40, 0.32), (0.95, 0.45, 0.45), (0.25, 0.22, 0.24), (0.95, 0.75, 0.45), (0.55, 0.60, 0.85))
PALE, DARK = np.array([0.93, 0.76, 0.68]), np.array([0.45, 0.30, 0.22])


def skin(rng: np.random.Generator, size: int, kind: int | Sequence[int], tone: float) -> Pixels:
    """Returns a phantom photograph of a skin lesion (uint8, size x size x 3), of several next to each other, or of bare
    skin.

    `kind`: a lesion's color, border and inner pattern follow from it; thirty kinds differ. `tone`: of the skin, from 0
    (pale) to 1 (dark).
    """
    kinds = list(kind) if isinstance(kind, Sequence) else [kind]
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = (axis.astype(np.float32) for axis in np.meshgrid(grid, grid, indexing="ij"))
    ground = (PALE + (DARK - PALE) * tone) * (1 + 0.04 * _texture(rng, size, 10)[..., None])
    image = ground * rng.uniform(0.9, 1.08)
    columns = max(1, int(np.ceil(np.sqrt(len(kinds)))))
    for place, one in enumerate(kinds):
        center = ((place % columns + 0.5) / columns, (place // columns + 0.5) / columns)
        inside, left = _lesion(rng, x, y, one, center, 1 / columns)
        image = image * (1 - inside[..., None] * (1 - left))
    image = image + rng.normal(0, 0.02, image.shape)
    return np.asarray((image.clip(0, 1) * 255).round().astype(np.uint8))


def _lesion(
    rng: np.random.Generator, x: Field, y: Field, kind: int, center: tuple[float, float], side: float
) -> tuple[Field, NDArray[np.float64]]:
    """Returns where a lesion is (0 to 1), and what it leaves of the skin's color there.

    A kind's remainders by 5, 2 and 3 choose one of five colors, two borders and three patterns: no two of thirty kinds
    agree in all, and neighbors differ in each.
    """
    px, py = (c + side * rng.normal(0, 0.05) for c in center)
    radius, angle = np.hypot(x - px, y - py), np.arctan2(y - py, x - px)
    reach = side * rng.uniform(0.22, 0.32)
    if kind % 2:
        jagged = sum(rng.uniform(0.06, 0.14) * np.sin(waves * angle + rng.uniform(0, 6.3)) for waves in (3, 5, 8))
        inside = np.clip((1 + jagged - radius / reach) / 0.05 + 0.5, 0, 1)
    else:
        inside = np.clip((1 - radius / reach) / 0.25 + 0.5, 0, 1)
    pattern = kind % 3
    if pattern == 1:  # a pale center
        inside = inside * (1 - 0.7 * np.clip((0.5 - radius / reach) / 0.1 + 0.5, 0, 1))
    elif pattern == 2:  # clods
        inside = inside * (0.65 + 0.35 * np.sign(np.sin(x * 45 / side**0.5) * np.sin(y * 45 / side**0.5)))
    left = np.array(COLORS[kind % len(COLORS)]) * rng.uniform(0.9, 1.1)
    return inside.astype(np.float32), left


def _texture(rng: np.random.Generator, size: int, cells: int) -> Field:
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
