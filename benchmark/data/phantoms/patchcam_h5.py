"""Writes phantoms in the layout of PatchCamelyon as HDF5 files; `data.readers.patchcam_h5` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data import hdf5
from benchmark.data.phantoms.drawing.slide import tissue
from benchmark.data.phantoms.files import write_dataset
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.patchcam_h5 import LABELS, NAME, SPLITS
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes three patches in five for training, one each for validation and test; half with tumour, four for each
    slide.
    """
    rng = np.random.default_rng(spec.seed)
    split_of = [("train", "train", "train", "valid", "test")[number % 5] for number in range(spec.num)]
    for file_split in SPLITS:
        count = split_of.count(file_split)
        labels = np.arange(count, dtype=np.uint8) % 2
        patches = [tissue(rng, spec.size, tumour=bool(label)) for label in labels]
        images = np.stack(patches) if patches else np.empty((0, spec.size, spec.size, 3), np.uint8)
        write_dataset(root / f"{NAME}{file_split}_x.h5", hdf5.IMAGES, images)
        write_dataset(root / f"{NAME}{file_split}_{LABELS}.h5", LABELS, labels.reshape(-1, 1, 1, 1))
        slides = [f"phantom_{file_split}_{row // 4 + 1:03d}" for row in range(count)]
        meta = pd.DataFrame({"coord_y": 0, "coord_x": 0, "tumor_patch": labels > 0, "center_tumor_patch": labels > 0})
        meta.assign(wsi=slides).to_csv(root / f"{NAME}{file_split}_meta.csv")
