"""Writes phantoms in the layout of ChestX-ray14; `data.readers.chestxray14` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.chestxray14 import LISTS, NO_FINDING, TABLES
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
    """Writes patients of one to three images; one image in two has one to three kinds of findings."""
    rng = np.random.default_rng(spec.seed)
    rows: list[dict[str, object]] = []
    patient = 0
    while len(rows) < spec.num:
        patient += 1
        sex, age = rng.choice(["F", "M"]), int(rng.integers(18, 90))
        for follow_up in range(min(int(rng.integers(1, 4)), spec.num - len(rows))):
            count = int(rng.integers(1, 4)) if rng.random() < 0.5 else 0
            kinds = [str(kind) for kind in rng.choice(task.labels, count, replace=False)]
            rows.append(
                {
                    "Image Index": f"{patient:08d}_{follow_up:03d}.png",
                    "Finding Labels": "|".join(kinds) or NO_FINDING,
                    "Follow-up #": follow_up,
                    "Patient ID": patient,
                    "Patient Age": age,
                    "Patient Gender": sex,
                    "View Position": rng.choice(["PA", "AP"]),
                    "OriginalImage[Width": spec.size,
                    "Height]": spec.size,
                    "OriginalImagePixelSpacing[x": 0.139,
                    "y]": 0.139,
                }
            )
            image = chest(rng, spec.size, kinds)
            write_image(root / "images" / f"{patient:08d}_{follow_up:03d}.png", image.pixels)
    table = pd.DataFrame(rows)
    table.to_csv(root / TABLES[0], index=False)
    in_test = table["Patient ID"] > 0.75 * table["Patient ID"].max()
    for split, list_name in LISTS.items():
        chosen = table["Image Index"][in_test if split == "test" else ~in_test]
        (root / list_name).write_text("\n".join(chosen) + "\n")
