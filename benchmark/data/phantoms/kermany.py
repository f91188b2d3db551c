"""Writes phantoms in the layout of Kermany's chest radiographs of children; `data.readers.kermany` draws the folder tree."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.kermany import CLASSES, SPLITS
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes four images in five for training, two for each patient; three in four have pneumonia, as in the original."""
    rng = np.random.default_rng(spec.seed)
    for number in range(spec.num):
        folder = "test" if number % 5 == 4 else "val" if number % 40 == 8 else "train"
        ill = number % 4 != 0
        image = chest(rng, spec.size, ["Pneumonia"] if ill else [])
        patient, cause = number // 2 + 1, "bacteria" if rng.random() < 0.6 else "virus"
        name = f"person{patient}_{cause}_{number}" if ill else f"IM-{patient:04d}-{number:04d}"
        write_image(root / folder / ("PNEUMONIA" if ill else "NORMAL") / f"{name}.jpeg", image.pixels)
    for folder in SPLITS:
        for name in CLASSES:
            (root / folder / name).mkdir(parents=True, exist_ok=True)
