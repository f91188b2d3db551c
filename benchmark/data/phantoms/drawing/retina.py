"""Phantom fundus photographs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.data.image_files import Mask, Pixels


@dataclass(frozen=True, kw_only=True)
class Fundus:
    """Holds a fundus photograph (uint8, height x width x 3), its vessels as two observers mark them, its field of view."""

    pixels: Pixels
    vessels: Mask
    vessels_observer2: Mask
    field_of_view: Mask


def fundus(rng: np.random.Generator, height: int, width: int) -> Fundus:
    """Returns a phantom fundus: an orange disc with a bright optic disc, from which dark vessels branch."""
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    view = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (0.47 * side) ** 2
    thick = np.zeros((height, width), np.uint8)
    thin = np.zeros((height, width), np.uint8)
    disc = (width / 2 + rng.choice([-1, 1]) * 0.25 * side, height / 2 + rng.normal(0, 0.03) * side)
    away = np.arctan2(height / 2 - disc[1], width / 2 - disc[0])
    for angle in np.linspace(-1.6, 1.6, 6):
        _grow(rng, thick, thin, disc, away + angle + rng.normal(0, 0.15), 0.016 * side, side)
    shade = 0.75 + 0.25 * np.exp(-((x - disc[0]) ** 2 + (y - disc[1]) ** 2) / (0.12 * side) ** 2)
    vessels = cv2.GaussianBlur(np.maximum(thick, thin).astype(np.float32), (0, 0), max(0.4, side / 700))
    noise = rng.normal(0, 0.02, (height, width)).astype(np.float32)
    tissue = np.stack([0.85 * shade, 0.45 * shade, 0.22 * shade], -1) * rng.uniform(0.8, 1.15)
    image = tissue * (1 - np.array([0.25, 0.45, 0.3]) * (vessels * rng.uniform(0.6, 1))[..., None]) + noise[..., None]
    pixels = ((image * view[..., None]).clip(0, 1) * 255).round().astype(np.uint8)
    both = (thick | thin).astype(bool) & view
    # the second observer stops following the finest vessels
    return Fundus(pixels=pixels, vessels=both, vessels_observer2=thick.astype(bool) & view, field_of_view=view)


def _grow(
    rng: np.random.Generator,
    thick: NDArray[np.uint8],
    thin: NDArray[np.uint8],
    start: tuple[float, float],
    angle: float,
    width: float,
    side: int,
) -> None:
    """Draws one vessel and its branches, each thinner than its parent, until they are finer than a fraction of a pixel."""
    points = [start]
    for _ in range(14):
        angle += rng.normal(0, 0.18)
        px, py = points[-1]
        points.append((px + np.cos(angle) * side * 0.028, py + np.sin(angle) * side * 0.028))
        if width > 0.006 * side and rng.random() < 0.09:
            _grow(rng, thick, thin, points[-1], angle + rng.choice([-1, 1]) * rng.uniform(0.4, 0.9), width * 0.65, side)
    canvas = thick if width > 0.006 * side else thin
    line = np.array(points, np.float32).round().astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [line], isClosed=False, color=1, thickness=max(1, round(width)))
    if width > 0.006 * side:
        _grow(rng, thick, thin, points[-1], angle, width * 0.6, side)
