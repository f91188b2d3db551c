"""Writes phantoms in the layout of CheXpert; `data.readers.chexpert` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.chexpert import SEX, TABLES
from benchmark.tasks.spec import TaskSpec

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)


# which of the findings of `drawing.radiograph.chest` a phantom has, for those of the fourteen that can be drawn
FINDING_DRAWN = {
    **{same: same for same in ("Cardiomegaly", "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax")},
    "Pleural Effusion": "Effusion",
    "Lung Lesion": "Nodule",
    "Lung Opacity": "Infiltration",
    "Pleural Other": "Pleural_Thickening",
}


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
    """Writes one or two views a patient, one patient in four for the test; one positive training label in five is
    uncertain.
    """
    rng = np.random.default_rng(spec.seed)
    rows: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
    patient = 0
    while (written := sum(map(len, rows.values()))) < spec.num:
        patient += 1
        split, folder = ("test", "valid") if patient % 4 == 0 else ("train", "train")
        sex, age = rng.choice(list(SEX)), int(rng.integers(18, 90))
        for view in range(min(int(rng.integers(1, 3)), spec.num - written)):
            count = int(rng.integers(1, 4)) if rng.random() < 0.6 else 0
            kinds = [str(kind) for kind in rng.choice(list(FINDING_DRAWN), count, replace=False)]
            name = f"{folder}/patient{patient:05d}/study1/view{view + 1}_frontal.jpg"
            image = chest(rng, spec.size, [FINDING_DRAWN[kind] for kind in kinds])
            write_image(root / name, image.pixels)
            entries = {label: rng.choice(["", "0.0"]) if split == "train" else "0.0" for label in FINDINGS}
            entries |= {kind: "-1.0" if split == "train" and rng.random() < 0.2 else "1.0" for kind in kinds}
            entries |= {"No Finding": "0.0" if kinds else "1.0"}
            about = {"Path": f"{task.root}/{name}", "Sex": sex, "Age": age, "Frontal/Lateral": "Frontal", "AP/PA": "PA"}
            rows[split].append({**about, **entries})
    for split, name in TABLES.items():
        pd.DataFrame(rows[split]).to_csv(root / name, index=False)
