"""CHASE_DB1 (Owen et al. 2009, Fraz et al. 2012), official layout, one flat folder:

Image_01L.jpg   Image_01L_1stHO.png   Image_01L_2ndHO.png   Image_01R.jpg …   (children 01 to 14, both eyes)
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data import image_files as pixels
from benchmark.data.index import ReaderResult, required
from benchmark.data.phantoms import folder as phantom
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec

NAME = re.compile(r"Image_(\d{2})([LR])\.jpg")
REMEDY = "the copy is not complete: unpack CHASEDB1.zip again"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """One row per eye; the patient is the child."""
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


def write_phantom(root: Path, task: TaskSpec, order: phantom.Order) -> None:  # noqa: ARG001 - a reader's signature
    """Two eyes a child."""
    rng = np.random.default_rng(order.seed)
    for number in range(order.num):
        stem = f"Image_{number // 2 + 1:02d}{'LR'[number % 2]}"
        image = phantom.fundus(rng, round(order.size * 960 / 999), order.size)
        pixels.write_image(root / f"{stem}.jpg", image.pixels)
        pixels.write_mask(root / f"{stem}_1stHO.png", image.vessels)
        pixels.write_mask(root / f"{stem}_2ndHO.png", image.vessels_observer2)
