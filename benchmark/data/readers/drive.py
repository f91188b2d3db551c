"""DRIVE (Staal et al. 2004), official layout; some copies name the parts training/ and testing/:

training/images/21_training.tif …   training/1st_manual/21_manual1.gif …   training/mask/21_training_mask.gif …
test/images/01_test.tif …           test/1st_manual/… test/2nd_manual/01_manual2.gif … test/mask/01_test_mask.gif …
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data import image_files as pixels
from benchmark.data.index import ReaderResult, required
from benchmark.data.phantoms import folder as phantom
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec

FOLDERS = {"train": ("training",), "test": ("test", "testing")}


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """One row per photograph; the second observer where its folder is there (test part)."""
    rows = []
    for part, names in FOLDERS.items():
        folder = next((root / name for name in names if (root / name).is_dir()), root / names[0])
        required(folder / "images", task.name, "unpack the data set there, its folders as they are")
        for image in sorted((folder / "images").glob("*.tif")):
            number = image.stem.split("_")[0]
            vessels = _one(folder / "1st_manual", f"{number}_manual1.*", root, task.name)
            view = _one(folder / "mask", f"{number}_*mask.*", root, task.name)
            second = next((folder / "2nd_manual").glob(f"{number}_manual2.*"), None)
            rows.append(
                {
                    "id": image.stem,
                    "image": str(image.relative_to(root)),
                    "patient": number,
                    "part": part,
                    "mask": vessels,
                    "mask_observer2": str(second.relative_to(root)) if second else "",
                    "field_of_view": view,
                }
            )
    return ReaderResult(table=pd.DataFrame(rows))


def _one(folder: Path, pattern: str, root: Path, task: str) -> str:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BenchmarkError(
            f"{task}: wanted one file {pattern} in {folder}, found {len(found)}: the copy is not complete"
        )
    return str(found[0].relative_to(root))


def write_phantom(root: Path, task: TaskSpec, order: phantom.Order) -> None:  # noqa: ARG001 - a reader's signature
    """Half of the photographs in each part, numbered as in the original (test first)."""
    rng = np.random.default_rng(order.seed)
    height, width = round(order.size * 584 / 565), order.size
    for number in range(1, order.num + 1):
        part, name = ("test", "test") if number <= order.num // 2 else ("training", "training")
        image = phantom.fundus(rng, height, width)
        pixels.write_image(root / part / "images" / f"{number:02d}_{name}.tif", image.pixels)
        pixels.write_mask(root / part / "1st_manual" / f"{number:02d}_manual1.gif", image.vessels)
        pixels.write_mask(root / part / "mask" / f"{number:02d}_{name}_mask.gif", image.field_of_view)
        if part == "test":
            pixels.write_mask(root / part / "2nd_manual" / f"{number:02d}_manual2.gif", image.vessels_observer2)
