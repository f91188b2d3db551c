"""CheXpert-v1.0 and -v1.0-small (Irvin et al. 2019), official layout:

train.csv   223,414 rows: Path,Sex,Age,Frontal/Lateral,AP/PA and fourteen findings: 1, 0, -1 (uncertain) or blank
valid.csv   234 rows, labelled by radiologists
train/patient00001/study1/view1_frontal.jpg …   valid/…

Paths in the tables begin with the name of the data set's folder, whatever the copy's folder is called. A task's layout
may say `tables: [train.csv]`: then those tables alone are read, and the data set has no parts.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from benchmark.data import image_files as pixels
from benchmark.data.index import UNCERTAIN, ReaderResult, readable, required
from benchmark.data.phantoms import folder as phantom
from benchmark.errors import BenchmarkError
from benchmark.strict import StrictModel, explain
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

# the radiologists' labels of the validation table are the test, as in the first paper: the true test set is not public
TABLES = {"train": "train.csv", "test": "valid.csv"}
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
GROUPS = {"sex": "Sex", "age": "Age", "view": "Frontal/Lateral", "projection": "AP/PA"}
SEX = {"Male": "M", "Female": "F"}
REMEDY = "unpack CheXpert-v1.0-small.zip again"
# what a phantom can show of the fourteen, by its name in `phantom.chest`
SHOWN = {
    **{same: same for same in ("Cardiomegaly", "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax")},
    "Pleural Effusion": "Effusion",
    "Lung Lesion": "Nodule",
    "Lung Opacity": "Infiltration",
    "Pleural Other": "Pleural_Thickening",
}


class Layout(StrictModel):
    """`tables`: those to be read, as one set without parts; else train.csv trains and valid.csv is the test."""

    tables: Annotated[tuple[Literal["train.csv", "valid.csv"], ...], Field(min_length=1)] | None = None


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """One row per view. A finding that a report does not mention (blank) is absent."""
    try:
        asked = Layout.model_validate(task.layout or {}).tables
    except ValidationError as error:
        raise BenchmarkError(f"{task.name}: layout: {explain(error, Layout)}") from error
    named = [(name, "") for name in asked] if asked else [(name, part) for part, name in TABLES.items()]
    tables = [_table(root / name, part, task) for name, part in named]
    table = pd.concat(tables, ignore_index=True)
    gone = [image for image in table["image"] if not (root / image).is_file()]
    if gone:
        raise BenchmarkError(
            f"{task.name}: {len(gone):,} of {len(table):,} images are missing under {root} ({first_few(gone)}): "
            f"the copy is not complete; {REMEDY}"
        )
    return ReaderResult(table=table)


def _table(path: Path, part: str, task: TaskSpec) -> pd.DataFrame:
    required(path, task.name, REMEDY)
    with readable(path):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in ("Path", *GROUPS.values(), *task.labels) if name not in rows]:
        raise BenchmarkError(f"{path}: no column {first_few(absent)}; found {first_few(rows.columns, 6)}")
    image = rows["Path"].str.partition("/")[2]
    parts = image.str.extract(r"^(?:train|valid)/(patient\d+)/(study\d+)/[^/]+$")
    if (odd := rows["Path"][parts[0].isna()]).size:
        raise BenchmarkError(
            f"{path}: row {odd.index[0] + 2}: found the path {odd.iloc[0]!r}: "
            "wanted one like CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
        )
    table = pd.DataFrame(
        {
            "id": image.str.rpartition(".")[0],
            "image": image,
            "patient": parts[0],
            "part": part,
            "study": parts[1],
            "sex": rows["Sex"].map(SEX).fillna(""),
            **{name: rows[GROUPS[name]] for name in ("age", "view", "projection")},
        }
    )
    return pd.concat([table, _findings(rows, task.labels, path)], axis=1)


def _findings(rows: pd.DataFrame, labels: tuple[str, ...], path: Path) -> pd.DataFrame:
    said = rows[list(labels)].replace({"": "0"})
    findings = said.apply(pd.to_numeric, errors="coerce")
    known = findings.isin([0, 1, UNCERTAIN]).to_numpy()
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise BenchmarkError(
            f"{path}: row {row + 2}: found {said.iloc[row, column]!r} as {labels[column]}: wanted 1, 0, -1 or blank"
        )
    return findings.astype(float)


def write_phantom(root: Path, task: TaskSpec, order: phantom.Order) -> None:
    """One or two views a patient, one in four for the test; one positive training label in five is uncertain."""
    rng = np.random.default_rng(order.seed)
    rows: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
    patient = 0
    while (written := sum(map(len, rows.values()))) < order.num:
        patient += 1
        part, folder = ("test", "valid") if patient % 4 == 0 else ("train", "train")
        sex, age = rng.choice(list(SEX)), int(rng.integers(18, 90))
        for view in range(min(int(rng.integers(1, 3)), order.num - written)):
            count = int(rng.integers(1, 4)) if rng.random() < 0.6 else 0
            kinds = [str(kind) for kind in rng.choice(list(SHOWN), count, replace=False)]
            name = f"{folder}/patient{patient:05d}/study1/view{view + 1}_frontal.jpg"
            image = phantom.chest(rng, order.size, [SHOWN[kind] for kind in kinds])
            pixels.write_image(root / name, image.pixels)
            said = {label: rng.choice(["", "0.0"]) if part == "train" else "0.0" for label in FINDINGS}
            said |= {kind: "-1.0" if part == "train" and rng.random() < 0.2 else "1.0" for kind in kinds}
            said |= {"No Finding": "0.0" if kinds else "1.0"}
            told = {"Path": f"{task.root}/{name}", "Sex": sex, "Age": age, "Frontal/Lateral": "Frontal", "AP/PA": "PA"}
            rows[part].append({**told, **said})
    for part, name in TABLES.items():
        pd.DataFrame(rows[part]).to_csv(root / name, index=False)
