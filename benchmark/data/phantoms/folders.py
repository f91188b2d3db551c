"""Writes phantoms in the layout that a sheet describes to the reader `folders`."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.lesion import skin
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.phantoms.user_data import PHANTOM_SPLITS, made_up_classes, phantom_names, write_photograph
from benchmark.data.readers.folders import KINDS, Layout
from benchmark.data.user_layouts import layout_of
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
    """Writes two images a patient, in the splits' folders where the sheet names them; of six made-up classes where it
    lists none.
    """
    layout = layout_of(task, Layout, KINDS)
    rng = np.random.default_rng(spec.seed)
    classes = made_up_classes(task)
    if task.is_binary:
        positive = layout.positive or task.labels[0]
        classes = (f"not {positive}", positive)
    naming = phantom_names(layout.patient, lambda stem: f"{stem}.png", task)
    for number in range(spec.num):
        patient = number // 2
        kind, split = patient % len(classes), PHANTOM_SPLITS[patient // len(classes) % len(PHANTOM_SPLITS)]
        folder = Path(layout.images, layout.parts.get(split, layout.parts["train"]) if layout.parts else ".")
        image = skin(rng, spec.size, kind, float(rng.random()))
        name = f"{naming.format(p=patient + 1, n=number % 2 + 1)}.png"
        write_photograph(root / folder / classes[kind] / name, image, task, number)
