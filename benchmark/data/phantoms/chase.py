"""Writes phantoms in the layout of CHASE_DB1; `data.readers.chase` draws the folder tree."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.retina import fundus
from benchmark.data.phantoms.files import write_image, write_mask
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes two eyes for each child."""
    rng = np.random.default_rng(spec.seed)
    for number in range(spec.num):
        stem = f"Image_{number // 2 + 1:02d}{'LR'[number % 2]}"
        image = fundus(rng, round(spec.size * 960 / 999), spec.size)
        write_image(root / f"{stem}.jpg", image.pixels)
        write_mask(root / f"{stem}_1stHO.png", image.vessels)
        write_mask(root / f"{stem}_2ndHO.png", image.vessels_observer2)
