"""NIH/NLM Shenzhen set (Jaeger et al. 2014), official layout:

CXR_png/CHNCXR_0001_0.png …            the last digit: 1 tuberculosis, 0 normal
ClinicalReadings/CHNCXR_0001_0.txt …   "male 45yrs", then the reading; may be absent
"""

import re
from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, listing, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec

NAME = re.compile(r"CHNCXR_(\d{4})_([01])\.png")
SEX = {"m": "M", "f": "F"}


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per radiograph, one radiograph per patient."""
    folder = required(root / "CXR_png", task.name, "unpack the data set's CXR_png folder there")
    rows = []
    for name, path in sorted(listing(folder, [".png"]).items()):
        match = NAME.fullmatch(name)
        if not match:
            raise BenchmarkError(f"{task.name}: {folder / path}: wanted names like CHNCXR_0001_0.png")
        sex, age = _reading(root / "ClinicalReadings" / f"{name[:-4]}.txt")
        rows.append(
            {
                "id": name[:-4],
                "image": f"CXR_png/{path}",
                "patient": match[1],
                "part": "",
                "sex": sex,
                "age": age,
                task.labels[0]: float(match[2]),
            }
        )
    return ReaderResult(
        table=pd.DataFrame(rows, columns=["id", "image", "patient", "part", "sex", "age", task.labels[0]])
    )


def _reading(path: Path) -> tuple[str, str]:
    """Returns sex and age from a reading's first line, empty where it does not give them."""
    if not path.is_file():
        return "", ""
    first = path.read_text(encoding="utf-8", errors="replace").strip().split("\n")[0].lower()
    sex = re.search(r"\b(male|female)", first)
    age = re.search(r"(\d+)\s*y", first)
    return SEX[sex[1][0]] if sex else "", age[1] if age else ""
