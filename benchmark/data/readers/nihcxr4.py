"""Four findings in radiographs of ChestX-ray14 as radiologists adjudicated them (Majkowska et al. 2020):

validation_labels.csv   2,414 rows (the release's own page counts 2,412 images): trains
test_labels.csv         1,962 rows
images/…  or  images_001/images/… to images_012/images/…  or none: then those of ../ChestX-ray14

Both tables have the columns of ChestX-ray14's Data_Entry, then YES or NO as Fracture, Pneumothorax, Airspace opacity and
Nodule or mass, then Set Id. The headings OriginalImage[Width,Height] and OriginalImagePixelSpacing[x,y] stand there
unquoted, each a heading of two columns; some programs quote them when they write the table again.
Source: https://cloud.google.com/healthcare-api/docs/resources/public-datasets/nih-chest (four_findings_expert_labels)
"""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.index import ReaderResult, listing, paths_of, readable, required
from benchmark.data.phantom_mark import is_phantom
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import OTHER, TaskSpec
from benchmark.text import first_few

TABLES = {"train": "validation_labels.csv", "test": "test_labels.csv"}
SET_IDS = {"train": "val", "test": "test"}
SIBLING = "../ChestX-ray14/"
REMEDY = "get the images of ChestX-ray14 from https://nihcc.app.box.com/v/ChestXray-NIHCC"
FINDINGS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per image of one finding or none. Images of several findings are left out, as in Truong et al.
    2021.
    """
    phantom, notes, tables, num_listed = is_phantom(root), [], [], 0
    for split, name in TABLES.items():
        path = required(root / name, task.name, "it comes with the adjudicated labels")
        rows, repeat_notes = _once(_rows(path), path)
        notes += repeat_notes
        if not phantom and len(rows) != (published := task.counts.get(split, len(rows))):
            notes.append(f"{name} has {len(rows):,} images where {published:,} were published")
        num_listed += len(rows)
        has = _findings(rows, path)
        several = has.sum(axis=1) > 1
        if several.any():
            notes.append(f"{name}: {several.sum():,} of {len(rows):,} images have several findings and are left out")
        tables.append(_table(rows, has, split)[~several])
    table = pd.concat(tables, ignore_index=True)
    if unknown := [label for label in task.labels if label not in table]:
        raise BenchmarkError(f"{task.name}: no class {first_few(unknown)} here: wanted {', '.join((*FINDINGS, OTHER))}")
    table["image"] = _images(table["id"], root, task)
    return ReaderResult(table=table, notes=tuple(notes), num_listed=num_listed)


def _rows(path: Path) -> pd.DataFrame:
    """Returns the table by its columns' names; a heading that contains a comma may be quoted or split in two."""
    with readable(path):
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            names = next(reader, [])
            width = len(next(reader, names))
        if len(names) != width:
            names = ",".join(names).split(",")
        if len(names) != width:
            raise BenchmarkError(
                f"{path}: row 2 has {width} values under {len(names)} headings: copy it again from its source"
            )
        # names given, so that a heading one short cannot make row names of the first column
        rows = pd.read_csv(path, dtype=str, names=names, header=None, skiprows=1, keep_default_na=False).fillna("")
    if missing := [name for name in ("Image Index", "Patient ID", *FINDINGS) if name not in rows]:
        raise BenchmarkError(f"{path}: no column {first_few(missing)}; found {first_few(rows.columns, 6)}")
    return rows


def _once(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Returns each image once. Raises BenchmarkError where an image's rows do not agree."""
    repeated = rows["Image Index"].duplicated()
    if not repeated.any():
        return rows, []
    agreeing = rows.duplicated(["Image Index", *FINDINGS])
    if (invalid_rows := rows.index[repeated & ~agreeing]).size:
        raise BenchmarkError(
            f"{path}: row {invalid_rows[0] + 2}: {rows['Image Index'][invalid_rows[0]]} is listed twice, with other findings"
        )
    return rows[~repeated], [f"{path.name}: {repeated.sum():,} rows repeat an image and are left out"]


def _findings(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Returns which of the four findings each image has."""
    entries = rows[list(FINDINGS)].apply(lambda column: column.str.strip().str.upper())
    known = entries.isin(["YES", "NO"]).to_numpy()
    if not known.all():
        row, column = np.argwhere(~known)[0]
        value, finding = rows[list(FINDINGS)].iloc[row, column], list(FINDINGS)[column]
        raise BenchmarkError(f"{path}: row {rows.index[row] + 2}: found {value!r} as {finding}: wanted YES or NO")
    return entries == "YES"


def _table(rows: pd.DataFrame, has: pd.DataFrame, split: str) -> pd.DataFrame:
    nothing = pd.Series("", index=rows.index)
    table = pd.DataFrame(
        {
            "id": rows["Image Index"],
            "image": "",
            "patient": rows["Patient ID"].str.strip(),
            "part": split,
            "sex": rows.get("Patient Gender", nothing),
            # older tables write "058Y"
            "age": rows.get("Patient Age", nothing).str.extract(r"(\d+)")[0].fillna(""),
            "view": rows.get("View Position", nothing),
        }
    )
    return pd.concat([table, has.astype(float), (~has.any(axis=1)).astype(float).rename(OTHER)], axis=1)


def _images(names: pd.Series, root: Path, task: TaskSpec) -> pd.Series:
    """Returns the images' paths below the root, or in the folder of ChestX-ray14 next to it."""
    for below in ("", SIBLING):
        folder = root / below
        if any(inner.is_dir() for inner in folder.glob("images*")):
            return below + paths_of(names, listing(folder, [".png"]), task=task.name, root=folder, remedy=REMEDY)
    raise BenchmarkError(f"{task.name}: no images*/ folder in {root} and none in {root / SIBLING}: {REMEDY}")
