"""CheXpert-v1.0 and -v1.0-small (Irvin et al. 2019), official layout:

train.csv   223,414 rows: Path,Sex,Age,Frontal/Lateral,AP/PA and fourteen findings: 1, 0, -1 (uncertain) or blank
valid.csv   234 rows, labeled by radiologists
train/patient00001/study1/view1_frontal.jpg …   valid/…

Paths in the tables begin with the name of the data set's folder, whatever the copy's folder is called. A task's layout
may say `tables: [train.csv]`: then those tables alone are read, and the data set has no parts.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from benchmark.data.index import UNCERTAIN, ReaderResult, read_table
from benchmark.errors import BenchmarkError
from benchmark.strict import StrictModel, explain
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

# the radiologists' labels of the validation table are the test, as in the first paper: the true test set is not public
TABLES = {"train": "train.csv", "test": "valid.csv"}
GROUPS = {"sex": "Sex", "age": "Age", "view": "Frontal/Lateral", "projection": "AP/PA"}
SEX = {"Male": "M", "Female": "F"}
REMEDY = "unpack CheXpert-v1.0-small.zip again"


class Layout(StrictModel):
    """Says which tables are read as one set without splits; by default train.csv trains and valid.csv is the test."""

    tables: Annotated[tuple[Literal["train.csv", "valid.csv"], ...], Field(min_length=1)] | None = None


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per view. A finding that a report does not mention (blank) is absent."""
    try:
        wanted_tables = Layout.model_validate(task.layout or {}).tables
    except ValidationError as error:
        raise BenchmarkError(f"{task.name}: layout: {explain(error, Layout)}") from error
    wanted = (
        [(name, "") for name in wanted_tables] if wanted_tables else [(name, split) for split, name in TABLES.items()]
    )
    tables = [_table(root / name, split, task) for name, split in wanted]
    table = pd.concat(tables, ignore_index=True)
    missing = [image for image in table["image"] if not (root / image).is_file()]
    if missing:
        raise BenchmarkError(
            f"{task.name}: {len(missing):,} of {len(table):,} images are missing under {root} ({first_few(missing)}): "
            f"the copy is not complete; {REMEDY}"
        )
    return ReaderResult(table=table)


def _table(path: Path, split: str, task: TaskSpec) -> pd.DataFrame:
    rows = read_table(path, ("Path", *GROUPS.values(), *task.labels), task.name, REMEDY)
    image = rows["Path"].str.partition("/")[2]
    splits = image.str.extract(r"^(?:train|valid)/(patient\d+)/(study\d+)/[^/]+$")
    if (invalid_paths := rows["Path"][splits[0].isna()]).size:
        raise BenchmarkError(
            f"{path}: row {invalid_paths.index[0] + 2}: found the path {invalid_paths.iloc[0]!r}: "
            "wanted one like CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
        )
    table = pd.DataFrame(
        {
            "id": image.str.rpartition(".")[0],
            "image": image,
            "patient": splits[0],
            "part": split,
            "study": splits[1],
            "sex": rows["Sex"].map(SEX).fillna(""),
            **{name: rows[GROUPS[name]] for name in ("age", "view", "projection")},
        }
    )
    return pd.concat([table, _findings(rows, task.labels, path)], axis=1)


def _findings(rows: pd.DataFrame, labels: tuple[str, ...], path: Path) -> pd.DataFrame:
    entries = rows[list(labels)].replace({"": "0"})
    findings = entries.apply(pd.to_numeric, errors="coerce")
    known = findings.isin([0, 1, UNCERTAIN]).to_numpy()
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise BenchmarkError(
            f"{path}: row {row + 2}: found {entries.iloc[row, column]!r} as {labels[column]}: wanted 1, 0, -1 or blank"
        )
    return findings.astype(float)
