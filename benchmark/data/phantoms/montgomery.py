"""Writes phantoms in the layout of the Montgomery County set; `data.readers.montgomery` draws the folder tree."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import write_image, write_mask
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes patients of whom two in five have tuberculosis."""
    rng = np.random.default_rng(spec.seed)
    for number in range(1, spec.num + 1):
        ill = int(number % 5 in (1, 3))
        name = f"MCUCXR_{number:04d}_{ill}"
        image = chest(rng, spec.size, ["TB"] if ill else [])
        write_image(root / "CXR_png" / f"{name}.png", image.pixels)
        # radiographs are seen from the front: the patient's left lung is on the right
        in_left = np.arange(spec.size) >= spec.size // 2
        write_mask(root / "ManualMask" / "leftMask" / f"{name}.png", image.lungs & in_left)
        write_mask(root / "ManualMask" / "rightMask" / f"{name}.png", image.lungs & ~in_left)
        reading = root / "ClinicalReadings" / f"{name}.txt"
        reading.parent.mkdir(parents=True, exist_ok=True)
        sex, age = rng.choice(["M", "F"]), rng.integers(4, 90)
        reading.write_text(f"Patient's Sex: {sex}\nPatient's Age: {age:03d}Y\n{'TB' if ill else 'normal'}\n")
