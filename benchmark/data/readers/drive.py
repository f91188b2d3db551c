"""DRIVE (Staal et al. 2004), official layout; some copies name the parts training/ and testing/:

training/images/21_training.tif …   training/1st_manual/21_manual1.gif …   training/mask/21_training_mask.gif …
test/images/01_test.tif …           test/1st_manual/… test/2nd_manual/01_manual2.gif … test/mask/01_test_mask.gif …
"""

from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec

FOLDERS = {"train": ("training",), "test": ("test", "testing")}


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per photograph, with the second observer's mask where its folder exists (test split)."""
    rows = []
    for split, names in FOLDERS.items():
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
                    "part": split,
                    "mask": vessels,
                    "mask_observer2": str(second.relative_to(root)) if second else "",
                    "field_of_view": view,
                }
            )
    return ReaderResult(table=pd.DataFrame(rows))


def _one(folder: Path, pattern: str, root: Path, task: str) -> str:
    matches = sorted(folder.glob(pattern))
    if len(matches) != 1:
        raise BenchmarkError(
            f"{task}: wanted one file {pattern} in {folder}, found {len(matches)}: the copy is not complete"
        )
    return str(matches[0].relative_to(root))
