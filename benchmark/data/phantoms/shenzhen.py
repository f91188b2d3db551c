"""Writes phantoms in the layout of the Shenzhen set; `data.readers.shenzhen` draws the folder tree."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes radiographs, of which every other one has tuberculosis."""
    rng = np.random.default_rng(spec.seed)
    for number in range(1, spec.num + 1):
        ill = number % 2
        stem = f"CHNCXR_{number:04d}_{ill}"
        image = chest(rng, spec.size, ["TB"] if ill else [])
        write_image(root / "CXR_png" / f"{stem}.png", image.pixels)
        reading = root / "ClinicalReadings" / f"{stem}.txt"
        reading.parent.mkdir(parents=True, exist_ok=True)
        reading.write_text(f"{rng.choice(['male', 'female'])} {rng.integers(18, 80)}yrs\n{'TB' if ill else 'normal'}\n")
