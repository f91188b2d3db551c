"""Writes phantoms in the layout that a sheet describes to the reader `pairs`."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.retina import fundus
from benchmark.data.phantoms.files import write_mask
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.phantoms.user_data import PHANTOM_SPLITS, phantom_names, write_photograph
from benchmark.data.readers.pairs import KINDS, MASKS, Layout, _within
from benchmark.data.user_layouts import joined, layout_of
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
    """Writes fundus photographs with their vessels, two a patient, in the splits' folders where the sheet names them."""
    layout = layout_of(task, Layout, KINDS)
    rng = np.random.default_rng(spec.seed)
    called = joined(layout.images, layout.image)
    naming = phantom_names(layout.patient, lambda stem: _written(layout.image, ".", stem), task)
    for number in range(spec.num):
        patient = number // 2
        split = PHANTOM_SPLITS[patient % len(PHANTOM_SPLITS)]
        folder = layout.parts.get(split, layout.parts["train"]) if layout.parts else "."
        stem = naming.format(p=patient + 1, n=number % 2 + 1)
        image = fundus(rng, spec.size, spec.size)
        write_photograph(root / _written(called, folder, stem), image.pixels, task, number)
        drawn = {"mask": image.vessels, "mask_observer2": image.vessels_observer2, "field_of_view": image.field_of_view}
        for column, pattern in layout.mask_patterns.items():
            write_mask(root / _written(pattern, folder, stem), drawn[column])


def _written(pattern: str, folder: str, stem: str) -> str:
    """Returns the path of a phantom's file by the pattern, a PNG where the pattern names no type."""
    named = _within(pattern, folder).replace("{stem}", stem)
    return named if named.lower().endswith(MASKS) else f"{named}.png"
