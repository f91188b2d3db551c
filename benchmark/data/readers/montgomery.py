"""NIH/NLM Montgomery County set (Jaeger et al. 2014), official layout:

CXR_png/MCUCXR_0001_0.png …                     the last digit: 1 tuberculosis, 0 normal
ManualMask/leftMask/MCUCXR_0001_0.png …         the patient's left lung; rightMask/ likewise
ClinicalReadings/MCUCXR_0001_0.txt …            "Patient's Sex: F", "Patient's Age: 027Y", the reading; may be absent
"""

import re
from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, listing, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec

NAME = re.compile(r"MCUCXR_(\d{4})_([01])\.png")
SIDES = ("leftMask", "rightMask")
COLUMNS = ["id", "image", "patient", "part", "sex", "age", "tuberculosis", "mask"]


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per radiograph, one radiograph per patient; the mask is the union of both lungs'."""
    folder = required(root / "CXR_png", task.name, "unpack the data set's CXR_png folder there")
    masks = {
        side: listing(
            required(root / "ManualMask" / side, task.name, "unpack the data set's ManualMask folder"), [".png"]
        )
        for side in SIDES
    }
    rows = []
    for name, path in sorted(listing(folder, [".png"]).items()):
        match = NAME.fullmatch(name)
        if not match:
            raise BenchmarkError(f"{task.name}: {folder / path}: wanted names like MCUCXR_0001_0.png")
        for side in SIDES:
            if name not in masks[side]:
                raise BenchmarkError(
                    f"{task.name}: {root / 'ManualMask' / side / name} is missing: the copy is not complete"
                )
        sex, age = _reading(root / "ClinicalReadings" / f"{name[:-4]}.txt")
        rows.append(
            {
                "id": name[:-4],
                "image": f"CXR_png/{path}",
                "patient": match[1],
                "part": "",
                "sex": sex,
                "age": age,
                "tuberculosis": match[2],
                "mask": "|".join(f"ManualMask/{side}/{masks[side][name]}" for side in SIDES),
            }
        )
    return ReaderResult(table=pd.DataFrame(rows, columns=COLUMNS))


def _reading(path: Path) -> tuple[str, str]:
    """Returns sex and age, empty where the reading does not give them."""
    if not path.is_file():
        return "", ""
    text = path.read_text(encoding="utf-8", errors="replace")
    sex = re.search(r"Sex:\s*([MF])", text, re.IGNORECASE)
    age = re.search(r"Age:\s*0*(\d+)", text, re.IGNORECASE)
    return sex[1].upper() if sex else "", age[1] if age else ""
