"""Writes phantoms in the layout of PatchCamelyon as Kaggle ships it; `data.readers.patchcam` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.slide import tissue
from benchmark.data.phantoms.files import write_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.patchcam import TABLE
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes patches, two in five with tumour; and a few without labels in test/, as in the original."""
    rng = np.random.default_rng(spec.seed)
    rows = []
    for number in range(spec.num):
        name, tumour = rng.bytes(20).hex(), number % 5 in (1, 3)
        write_image(root / "train" / f"{name}.tif", tissue(rng, spec.size, tumour=tumour))
        rows.append({"id": name, "label": int(tumour)})
    for _ in range(4):
        patch = tissue(rng, spec.size, tumour=bool(rng.integers(2)))
        write_image(root / "test" / f"{rng.bytes(20).hex()}.tif", patch)
    pd.DataFrame(rows).to_csv(root / TABLE, index=False)
