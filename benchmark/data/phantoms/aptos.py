"""Writes phantoms in the layout of APTOS 2019; `data.readers.aptos` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.retinopathy import retinopathy
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.aptos import TEST
from benchmark.tasks.spec import TaskSpec

NUM_UNLABELLED = 4  # of a phantom


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes photographs of which grade 0 is the commonest, as in the original; and a few without labels for the test."""
    rng = np.random.default_rng(spec.seed)
    height, width = spec.size, round(spec.size * 4 / 3)
    rows: list[dict[str, object]] = []
    test: list[dict[str, object]] = []
    for number in range(spec.num + NUM_UNLABELLED):
        grade = (0, 2, 0, 1, 4, 0, 2, 3)[number % 8]
        name, split_rows, folder = rng.bytes(6).hex(), rows, "train_images"
        if number >= spec.num:
            split_rows, folder = test, "test_images"
        write_image(root / folder / f"{name}.png", retinopathy(rng, height, width, grade))
        split_rows.append({"id_code": name, "diagnosis": grade})
    pd.DataFrame(rows).to_csv(root / "train.csv", index=False)
    pd.DataFrame(test)[["id_code"]].to_csv(root / TEST, index=False)
