"""NIH ChestX-ray14 (Wang et al. 2017), official layout:

Data_Entry_2017_v2020.csv   (or Data_Entry_2017.csv) one row per image, findings separated by |
train_val_list.txt          86,524 file names
test_list.txt               25,596 file names
images/00000001_000.png …   or images_001/images/… to images_012/images/…
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.index import ReaderResult, listing, paths_of, read_table, required
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
NO_FINDING = "No Finding"
REMEDY = "download the missing images_0NN.tar.gz from https://nihcc.app.box.com/v/ChestXray-NIHCC"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per image of the table, split by the official lists."""
    entry = next((root / name for name in TABLES if (root / name).is_file()), root / TABLES[0])
    rows = read_table(entry, ("Image Index", "Finding Labels", "Patient ID"), task.name, "it comes with the data set")
    names, blank = rows["Image Index"], pd.Series("", index=rows.index)
    findings = _findings(rows["Finding Labels"], task.labels, entry)
    table = pd.DataFrame(
        {
            "id": names,
            "image": paths_of(names, listing(root, [".png"]), task=task.name, root=root, remedy=REMEDY),
            "patient": rows["Patient ID"].str.strip(),
            "part": _splits(names, root, task.name),
            "sex": rows.get("Patient Gender", blank),
            # older tables write "058Y"
            "age": rows.get("Patient Age", blank).str.extract(r"(\d+)")[0].fillna(""),
            "view": rows.get("View Position", blank),
        }
    )
    return ReaderResult(table=pd.concat([table, findings], axis=1))


def _findings(written: pd.Series, labels: tuple[str, ...], entry: Path) -> pd.DataFrame:
    entries = written.str.split("|")
    vocabulary = {*labels, NO_FINDING}
    if unknown := {finding for row in entries for finding in row} - vocabulary:
        finding = min(unknown)
        row = next(i for i, row in enumerate(entries) if finding in row)
        raise BenchmarkError(
            f"{entry}: row {row + 2}: unknown finding {finding!r}: {did_you_mean(finding, vocabulary)}"
        )
    sets = [set(row) for row in entries]
    return pd.DataFrame({label: np.array([label in row for row in sets], dtype=float) for label in labels})


def _splits(names: pd.Series, root: Path, task: str) -> pd.Series:
    splits = pd.Series("", index=names.index)
    for split, list_name in LISTS.items():
        listed = set(required(root / list_name, task, "it comes with the data set").read_text().split())
        if duplicates := names[names.isin(listed) & (splits != "")].tolist():
            raise BenchmarkError(
                f"{task}: {len(duplicates):,} images are in both {first_few(LISTS.values())}: {first_few(duplicates)}"
            )
        splits[names.isin(listed)] = split
    if unlisted := names[splits == ""].tolist():
        raise BenchmarkError(
            f"{task}: {len(unlisted):,} images are in neither of {first_few(LISTS.values())}: {first_few(unlisted)}"
        )
    return splits
