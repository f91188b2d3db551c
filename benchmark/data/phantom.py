"""Phantoms: synthetic images with learnable findings, marked so that they never pass for real ones.

They stand for a layout, not for medicine: a chest is two dark ellipses with ribs and a heart, a fundus is a disc with
branching curves. A folder of phantoms carries PHANTOM.json, written before the first image; each image file carries a
mark of its own (`pixels.PHANTOM_MARK`).
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.data.pixels import Mask, Pixels
from benchmark.disk import write_whole
from benchmark.fault import Fault

MARKER = "PHANTOM.json"
Field = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Order:
    """How many images, of what side in pixels, from which seed."""

    num: int
    size: int
    seed: int = 0


def marker(root: Path) -> bool:
    """Whether the folder holds phantoms. Raises Fault for a folder that a killed `data phantom` left incomplete."""
    path = root / MARKER
    if not path.is_file():
        return False
    if not json.loads(path.read_text())["complete"]:
        raise Fault(f"{root}: writing these phantoms was interrupted: delete the folder and write them again")
    return True


@contextmanager
def marked(root: Path, task: str, order: Order) -> Iterator[None]:
    """Mark a new folder as phantoms, incomplete until the block ends well. Raises Fault where anything lies in it."""
    if root.exists() and any(root.iterdir()):
        what = "other phantoms, or some half-written" if (root / MARKER).is_file() else "files that are no phantoms"
        raise Fault(f"{root} holds {what}: delete the folder, or give another one to --out")
    write_whole(root / MARKER, _told(task, order, complete=False))
    yield
    write_whole(root / MARKER, _told(task, order, complete=True))


def is_written(root: Path, task: str, order: Order) -> bool:
    """Whether just these phantoms lie there, whole."""
    path = root / MARKER
    return path.is_file() and path.read_text() == _told(task, order, complete=True)


def clear(root: Path) -> None:
    """Delete a folder of phantoms; a folder without their mark is left alone."""
    if (root / MARKER).is_file():
        shutil.rmtree(root)


def _told(task: str, order: Order, *, complete: bool) -> str:
    note = "synthetic images; they stand for a file layout and make no clinical claim"
    return json.dumps({"task": task, **asdict(order), "note": note, "complete": complete}, indent=1)


@dataclass(frozen=True, kw_only=True)
class Chest:
    """A radiograph (uint8, size x size x 1), its lungs, and its pneumothorax where it has one."""

    pixels: Pixels
    lungs: Mask
    pneumothorax: Mask


class _Anatomy:
    """One phantom chest's geometry, in units of the image's side."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        grid = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.y, self.x = np.meshgrid(grid, grid, indexing="ij")
        self.centres = [(0.30 + rng.normal(0, 0.015), 0.48 + rng.normal(0, 0.02)), (0.70 + rng.normal(0, 0.015), 0.48)]
        self.half_width, self.half_height = rng.uniform(0.13, 0.17), rng.uniform(0.28, 0.35)
        self.side = int(rng.integers(2))

    def disc(self, x: float, y: float, width: float, height: float, softness: float = 0.15) -> Field:
        """An ellipse with soft edges, 1 inside, 0 outside; `softness` in parts of its radius."""
        radius = np.sqrt(((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2)
        return np.clip((1 - radius) / softness + 0.5, 0, 1).astype(np.float32)

    def lung(self, side: int, grow: float = 1.0) -> Field:
        x, y = self.centres[side]
        return self.disc(x, y, self.half_width * grow, self.half_height * grow, 0.08)

    def within(self, side: int, low: float = -0.7, high: float = 0.7) -> tuple[float, float]:
        """A place inside a lung; `low` and `high` bound its height (-1 apex, 1 base)."""
        x, y = self.centres[side]
        v = self.rng.uniform(low, high)
        reach = 0.6 * np.sqrt(1 - min(v * v, 0.99))
        return x + self.half_width * self.rng.uniform(-reach, reach), y + self.half_height * v

    def texture(self, scale: float) -> Field:
        """Smooth noise of unit spread with grains of `scale` (part of the side)."""
        size = len(self.x)
        cells = max(2, round(1 / scale))
        coarse = self.rng.standard_normal((cells, cells)).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def chest(rng: np.random.Generator, size: int, findings: Sequence[str], faint: float = 0.35) -> Chest:
    """A phantom chest with the named findings (ChestX-ray14's fourteen, or TB). Each finding's contrast is drawn from
    `faint` to 1 of its full one, so that some are easily missed.
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
    """Air between a lung's wall and the lung that fell away from it: outside the smaller, inside the larger ellipse."""
    x, y = a.centres[a.side]
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
    level = a.centres[a.side][1] + a.half_height * a.rng.uniform(0.35, 0.65)
    return np.asarray(0.3 * a.lung(a.side) / (1 + np.exp(-(a.y - level) * 60)), dtype=np.float32)


def _wedge(a: _Anatomy) -> Field:
    x, y = a.within(a.side, -0.2, 0.6)
    return np.asarray(0.3 * a.disc(x, y, 0.12, 0.025, 0.4), dtype=np.float32)


def _haze(a: _Anatomy) -> Field:
    return np.asarray(0.22 * np.exp(-((np.abs(a.x - 0.5) / 0.2) ** 2)) * (1 + 0.3 * a.texture(0.08)), dtype=np.float32)


def _ring(a: _Anatomy, low: float = -0.8, high: float = -0.2) -> Field:
    x, y = a.within(a.side, low, high)
    return 0.35 * (a.disc(x, y, 0.055, 0.055, 0.2) - a.disc(x, y, 0.03, 0.03, 0.2))


_SHADOWS: dict[str, Callable[[_Anatomy], Field]] = {
    "Nodule": lambda a: _patch(a, 0.035, 0.35),
    "Mass": lambda a: _patch(a, 0.085, 0.35),
    "Infiltration": lambda a: _patch(a, 0.14, 0.16) * (1 + 0.5 * a.texture(0.04)),
    "Consolidation": lambda a: _patch(a, 0.11, 0.32),
    "Pneumonia": lambda a: _patch(a, 0.12, 0.26, 0.0, 0.7) * (1 + 0.8 * a.texture(0.025)),
    "Atelectasis": _wedge,
    "Edema": _haze,
    "Effusion": _meniscus,
    "Fibrosis": lambda a: _lines(a, 0.2),
    "Pleural_Thickening": _wall,
    "Hernia": lambda a: 0.3 * (a.disc(0.47, 0.8, 0.09, 0.09, 0.2) - a.disc(0.47, 0.8, 0.05, 0.05, 0.2)),
    "TB": lambda a: _ring(a) + _patch(a, 0.08, 0.22, -0.8, -0.1) * (1 + 0.6 * a.texture(0.03)),
}


@dataclass(frozen=True, kw_only=True)
class Fundus:
    """A fundus photograph (uint8, height x width x 3), its vessels as two observers see them, its field of view."""

    pixels: Pixels
    vessels: Mask
    vessels_observer2: Mask
    field_of_view: Mask


def fundus(rng: np.random.Generator, height: int, width: int) -> Fundus:
    """A phantom fundus: an orange disc with a bright optic disc, from which dark vessels branch."""
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
    """Draw one vessel and its branches, each thinner than its parent, until finer than a pixel's part."""
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


def tissue(rng: np.random.Generator, size: int, *, tumour: bool) -> Pixels:
    """A phantom of stained tissue (uint8, size x size x 3): small nuclei all over, large dark ones in the centre third
    where there is tumour.
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
