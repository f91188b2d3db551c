"""Writes phantoms in the layout of DRIVE; `data.readers.drive` draws the folder tree."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.retina import fundus
from benchmark.data.phantoms.files import write_image, write_mask
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes half of the photographs in each split, numbered as in the original (test first)."""
    rng = np.random.default_rng(spec.seed)
    height, width = round(spec.size * 584 / 565), spec.size
    for number in range(1, spec.num + 1):
        split, name = ("test", "test") if number <= spec.num // 2 else ("training", "training")
        image = fundus(rng, height, width)
        write_image(root / split / "images" / f"{number:02d}_{name}.tif", image.pixels)
        write_mask(root / split / "1st_manual" / f"{number:02d}_manual1.gif", image.vessels)
        write_mask(root / split / "mask" / f"{number:02d}_{name}_mask.gif", image.field_of_view)
        if split == "test":
            write_mask(root / split / "2nd_manual" / f"{number:02d}_manual2.gif", image.vessels_observer2)
