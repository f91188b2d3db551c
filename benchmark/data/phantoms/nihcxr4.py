"""Writes phantoms in the layout of the adjudicated labels of ChestX-ray14; `data.readers.nihcxr4` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.nihcxr4 import SET_IDS, TABLES
from benchmark.tasks.spec import OTHER, TaskSpec

# which of the findings of `drawing.radiograph.chest` a phantom has for each of the four
FINDING_DRAWN = {
    "Fracture": "Fracture",
    "Pneumothorax": "Pneumothorax",
    "Airspace opacity": "Consolidation",
    "Nodule or mass": "Nodule",
}


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes patients of one or two images, one patient in four for the test. Each table has one more image, with two
    findings.
    """
    rng = np.random.default_rng(spec.seed)
    rows: dict[str, list[dict[str, object]]] = {split: [] for split in TABLES}
    patient = written = 0
    while written < spec.num:
        patient += 1
        split_rows = rows["test" if patient % 4 == 0 else "train"]
        sex, age = str(rng.choice(["F", "M"])), int(rng.integers(18, 90))
        for follow_up in range(min(1 + patient % 3 % 2, spec.num - written)):
            # every class in turn, none of the four twice as often
            kind = (OTHER, *FINDING_DRAWN, OTHER)[len(split_rows) % 6]
            split_rows.append(
                _write(root, rng, spec.size, (patient, follow_up, age, sex), [] if kind == OTHER else [kind])
            )
            written += 1
    for split, split_rows in rows.items():
        patient += 1
        split_rows.append(_write(root, rng, spec.size, (patient, 0, 50, "F"), ["Pneumothorax", "Nodule or mass"]))
        pd.DataFrame(split_rows).assign(**{"Set Id": SET_IDS[split]}).to_csv(root / TABLES[split], index=False)


def _write(
    root: Path, rng: np.random.Generator, size: int, patient_facts: tuple[int, int, int, str], kinds: list[str]
) -> dict[str, object]:
    """Writes one phantom image and returns its row of the table. `patient_facts`: patient, follow-up, age, sex."""
    patient, follow_up, age, sex = patient_facts
    name = f"{patient:08d}_{follow_up:03d}.png"
    write_image(root / "images" / name, chest(rng, size, [FINDING_DRAWN[kind] for kind in kinds]).pixels)
    return {
        "Image Index": name,
        "Finding Labels": "No Finding",
        "Follow-up #": follow_up,
        "Patient ID": patient,
        "Patient Age": age,
        "Patient Gender": sex,
        "View Position": "PA",
        "OriginalImage[Width": size,
        "Height]": size,
        "OriginalImagePixelSpacing[x": 0.139,
        "y]": 0.139,
        **{finding: "YES" if finding in kinds else "NO" for finding in FINDING_DRAWN},
    }
