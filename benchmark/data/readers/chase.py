"""CHASE_DB1 (Owen et al. 2009, Fraz et al. 2012), official layout, one flat folder:

Image_01L.jpg   Image_01L_1stHO.png   Image_01L_2ndHO.png   Image_01R.jpg …   (children 01 to 14, both eyes)
"""

import re
from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec

NAME = re.compile(r"Image_(\d{2})([LR])\.jpg")
REMEDY = "the copy is not complete: unpack CHASEDB1.zip again"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per eye; the patient is the child."""
    rows = []
    for image in sorted(root.glob("Image_*.jpg")):
        match = NAME.fullmatch(image.name)
        if not match:
            raise BenchmarkError(f"{task.name}: {image}: wanted names like Image_01L.jpg")
        observers = [f"{image.stem}_{which}HO.png" for which in ("1st", "2nd")]
        for name in observers:
            required(root / name, task.name, REMEDY)
        rows.append(
            {
                "id": image.stem,
                "image": image.name,
                "patient": match[1],
                "part": "",
                "eye": match[2],
                "mask": observers[0],
                "mask_observer2": observers[1],
            }
        )
    return ReaderResult(
        table=pd.DataFrame(rows, columns=["id", "image", "patient", "part", "eye", "mask", "mask_observer2"])
    )
