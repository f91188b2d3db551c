"""Phantom chest radiographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.data.image_files import Mask, Pixels

Field = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Chest:
    """Holds a radiograph (uint8, size x size x 1), its lungs, and its pneumothorax where it has one."""

    pixels: Pixels
    lungs: Mask
    pneumothorax: Mask


class _Anatomy:
    """Holds one phantom chest's geometry, in units of the image's side."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        grid = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.y, self.x = np.meshgrid(grid, grid, indexing="ij")
        self.centers = [(0.30 + rng.normal(0, 0.015), 0.48 + rng.normal(0, 0.02)), (0.70 + rng.normal(0, 0.015), 0.48)]
        self.half_width, self.half_height = rng.uniform(0.13, 0.17), rng.uniform(0.28, 0.35)
        self.side = int(rng.integers(2))

    def disc(self, x: float, y: float, width: float, height: float, softness: float = 0.15) -> Field:
        """Returns an ellipse with soft edges, 1 inside, 0 outside; `softness` is a share of its radius."""
        radius = np.sqrt(((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2)
        return np.clip((1 - radius) / softness + 0.5, 0, 1).astype(np.float32)

    def lung(self, side: int, grow: float = 1.0) -> Field:
        x, y = self.centers[side]
        return self.disc(x, y, self.half_width * grow, self.half_height * grow, 0.08)

    def within(self, side: int, low: float = -0.7, high: float = 0.7) -> tuple[float, float]:
        """Returns a point inside a lung; `low` and `high` bound its height (-1 apex, 1 base)."""
        x, y = self.centers[side]
        v = self.rng.uniform(low, high)
        reach = 0.6 * np.sqrt(1 - min(v * v, 0.99))
        return x + self.half_width * self.rng.uniform(-reach, reach), y + self.half_height * v

    def texture(self, scale: float) -> Field:
        """Returns smooth noise of unit spread with grains of `scale` (a share of the side)."""
        size = len(self.x)
        cells = max(2, round(1 / scale))
        coarse = self.rng.standard_normal((cells, cells)).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def chest(rng: np.random.Generator, size: int, findings: Sequence[str], faint: float = 0.35) -> Chest:
    """Returns a phantom chest with the named findings (ChestX-ray14's fourteen, Fracture or TB). Each finding's
    contrast is drawn from `faint` to 1 of its full one, so that some are easily missed.
    """
    a = _Anatomy(rng, size)
    grow = 1.12 if "Emphysema" in findings else 1.0
    lungs = np.maximum(a.lung(0, grow), a.lung(1, grow))
    heart_width = 0.17 if "Cardiomegaly" in findings else rng.uniform(0.095, 0.12)
    body = 0.62 - 0.35 * ((a.x - 0.5) ** 2 + 0.5 * (a.y - 0.5) ** 2)
    image = body - (0.36 if "Emphysema" in findings else 0.30) * lungs
    image = np.maximum(image, (0.55 + 0.1 * a.y) * a.disc(0.54, 0.63, heart_width, 0.17, 0.3))
    image += 0.2 * np.exp(-(((a.x - 0.5) / 0.03) ** 2))
    ribs = np.sin((a.y + 0.25 * (a.x - 0.5) ** 2 * 4) * 2 * np.pi * rng.uniform(8, 10) + rng.uniform(0, 6.3))
    image += 0.05 * np.clip(ribs, 0, 1)
    image += 0.02 * a.texture(0.05) * lungs
    pneumothorax = np.zeros((size, size), dtype=bool)
    for finding in findings:
        strength = float(rng.uniform(faint, 1))
        if finding == "Pneumothorax":
            pneumothorax = _crescent(a)
            edge = cv2.dilate(pneumothorax.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~pneumothorax
            image[pneumothorax] -= 0.10 + 0.12 * strength
            image[edge & (lungs > 0.5)] += 0.15 * strength
        elif finding in _SHADOWS:
            # a hernia lies behind the heart; all others lie in the lungs
            image += strength * _SHADOWS[finding](a) * (1 if finding == "Hernia" else np.clip(lungs + 0.1, 0, 1))
    image = image * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03) + rng.normal(0, 0.025, image.shape)
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)[..., None]
    return Chest(pixels=pixels, lungs=lungs > 0.5, pneumothorax=pneumothorax)


def _crescent(a: _Anatomy) -> Mask:
    """Returns the air between a lung's wall and the collapsed lung: outside the smaller, inside the larger ellipse."""
    x, y = a.centers[a.side]
    outward = -1 if a.side == 0 else 1
    shift = a.half_width * a.rng.uniform(0.25, 0.6)
    fallen = a.disc(x - outward * shift, y + a.half_height * 0.2, a.half_width, a.half_height * 0.95, 0.01)
    return np.asarray((a.lung(a.side) > 0.5) & (fallen < 0.5) & (a.y < y + 0.3 * a.half_height))


def _patch(a: _Anatomy, size: float, contrast: float, low: float = -0.7, high: float = 0.7) -> Field:
    x, y = a.within(int(a.rng.integers(2)), low, high)
    return contrast * a.disc(x, y, size * a.rng.uniform(0.8, 1.3), size * a.rng.uniform(0.8, 1.3), 0.7)


def _lines(a: _Anatomy, contrast: float) -> Field:
    x, y = a.within(a.side, 0.0, 0.7)
    net = np.abs(np.sin(a.x * 90)) * np.abs(np.sin(a.y * 80))
    return contrast * np.asarray(net < 0.2, dtype=np.float32) * a.disc(x, y, 0.13, 0.16, 0.5)


def _wall(a: _Anatomy) -> Field:
    return np.asarray(0.4 * (a.lung(a.side) - a.lung(a.side, 0.8)).clip(0), dtype=np.float32)


def _meniscus(a: _Anatomy) -> Field:
    level = a.centers[a.side][1] + a.half_height * a.rng.uniform(0.35, 0.65)
    return np.asarray(0.3 * a.lung(a.side) / (1 + np.exp(-(a.y - level) * 60)), dtype=np.float32)


def _wedge(a: _Anatomy) -> Field:
    x, y = a.within(a.side, -0.2, 0.6)
    return np.asarray(0.3 * a.disc(x, y, 0.12, 0.025, 0.4), dtype=np.float32)


def _haze(a: _Anatomy) -> Field:
    return np.asarray(0.22 * np.exp(-((np.abs(a.x - 0.5) / 0.2) ** 2)) * (1 + 0.3 * a.texture(0.08)), dtype=np.float32)


def _ring(a: _Anatomy, low: float = -0.8, high: float = -0.2) -> Field:
    x, y = a.within(a.side, low, high)
    return 0.35 * (a.disc(x, y, 0.055, 0.055, 0.2) - a.disc(x, y, 0.03, 0.03, 0.2))


def _fracture(a: _Anatomy) -> Field:
    """Draws a rib, brighter and steeper than its neighbors, whose halves stand a step apart."""
    x, y = a.within(a.side, -0.6, 0.4)
    along = a.x - x
    across = a.y - y - a.rng.choice([-1, 1]) * 0.6 * along - 0.03 * np.sign(along)
    return np.asarray(0.6 * np.exp(-((across / 0.016) ** 2)) * (np.abs(along) < 0.09), dtype=np.float32)


_SHADOWS: dict[str, Callable[[_Anatomy], Field]] = {
    "Nodule": lambda a: _patch(a, 0.035, 0.35),
    "Mass": lambda a: _patch(a, 0.085, 0.35),
    "Infiltration": lambda a: _patch(a, 0.14, 0.16) * (1 + 0.5 * a.texture(0.04)),
    "Consolidation": lambda a: _patch(a, 0.11, 0.32),
    "Pneumonia": lambda a: _patch(a, 0.12, 0.26, 0.0, 0.7) * (1 + 0.8 * a.texture(0.025)),
    "Atelectasis": _wedge,
    "Edema": _haze,
    "Effusion": _meniscus,
    "Fracture": _fracture,
    "Fibrosis": lambda a: _lines(a, 0.2),
    "Pleural_Thickening": _wall,
    "Hernia": lambda a: 0.3 * (a.disc(0.47, 0.8, 0.09, 0.09, 0.2) - a.disc(0.47, 0.8, 0.05, 0.05, 0.2)),
    "TB": lambda a: _ring(a) + _patch(a, 0.08, 0.22, -0.8, -0.1) * (1 + 0.6 * a.texture(0.03)),
}
