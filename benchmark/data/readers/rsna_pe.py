"""RSNA STR Pulmonary Embolism Detection (Kaggle 2020; Colak et al. 2021), official layout:

train.csv                          a row per slice: StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID,
                                   pe_present_on_image, and the exam's own labels: negative_exam_for_pe …
train/<study>/<series>/<SOP>.dcm   512 x 512, one series a study; 1.8 million
test.csv, test/                    without labels: not read

The table tells no patients: a study stands for one, and two studies of one person could come into two parts.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.data.index import ReaderResult, readable, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

TABLE, FOLDER, SUFFIX = "train.csv", "train", ".dcm"
STUDY, SERIES, SLICE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
REMEDY = "unpack the competition's train folder again"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per slice of the table."""
    path = required(root / TABLE, task.name, "it comes with the competition's data")
    label = task.labels[0]
    rows = _rows(path, label)
    files = np.asarray(rows[SLICE] + SUFFIX, dtype=object)
    folders, folder_of = _folders(rows)
    _check_complete(files, folders, folder_of, task=task, root=root)
    study = _shared(rows[STUDY])
    table = pd.DataFrame(
        {
            "id": rows[SLICE],
            "image": pd.Series(folders[folder_of] + files, dtype=object),
            "patient": study,
            "part": pd.Series(np.full(len(rows), "", dtype=object), dtype=object),
            "study": study,
            "series": _shared(rows[SERIES]),
            label: (rows[label] == "1").astype(float),
        }
    )
    return ReaderResult(table=table)


def _rows(path: Path, label: str) -> pd.DataFrame:
    """Returns the table's columns that are used, as text; studies and series as categories."""
    columns = [STUDY, SERIES, SLICE, label]
    with readable(path):
        header = pd.read_csv(path, nrows=0)
        if missing := [name for name in columns if name not in header]:
            raise BenchmarkError(f"{path}: no column {first_few(missing)}; found {first_few(header.columns, 6)}")
        rows = pd.read_csv(path, usecols=columns, dtype=object, keep_default_na=False)
    if (invalid_rows := rows.index[~rows[label].isin(["0", "1"])]).size:
        raise BenchmarkError(
            f"{path}: row {invalid_rows[0] + 2}: found {rows[label].iloc[invalid_rows[0]]!r} as {label}: wanted 0 or 1"
        )
    for name in (STUDY, SERIES, SLICE):
        if (blank := rows.index[rows[name] == ""]).size:
            raise BenchmarkError(
                f"{path}: row {blank[0] + 2}: found no {name}: wanted the names of a study, a series and a slice"
            )
    return rows.astype({STUDY: "category", SERIES: "category"})


def _folders(rows: pd.DataFrame) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Returns the series' folders below the root, ending in a slash, and for each row the number of its folder."""
    studies, series = rows[STUDY].cat, rows[SERIES].cat
    pair = studies.codes.to_numpy(np.int64) * len(series.categories) + series.codes.to_numpy(np.int64)
    pairs, folder_of = np.unique(pair, return_inverse=True)
    named = [divmod(int(one), len(series.categories)) for one in pairs]
    folders = [f"{FOLDER}/{studies.categories[study]}/{series.categories[one]}/" for study, one in named]
    return np.array(folders, dtype=object), folder_of


def _check_complete(
    files: NDArray[np.object_],
    folders: NDArray[np.object_],
    folder_of: NDArray[np.int64],
    *,
    task: TaskSpec,
    root: Path,
) -> None:
    """Raises BenchmarkError where slices are missing. Lists each series' folder once instead of testing every slice's
    path.
    """
    ordered = np.argsort(folder_of, kind="stable")
    starts = np.searchsorted(folder_of[ordered], np.arange(len(folders) + 1))
    missing: list[str] = []
    for number, folder in enumerate(folders):
        wanted = files[ordered[starts[number] : starts[number + 1]]]
        try:
            present = os.listdir(root / folder)  # noqa: PTH208 - a path object a slice would double the time
        except (FileNotFoundError, NotADirectoryError):
            present = []
        if lost := set(wanted).difference(present):
            missing += [folder + name for name in sorted(lost)]
    if missing:
        raise BenchmarkError(
            f"{task.name}: {len(missing):,} of {len(files):,} images are missing under {root} "
            f"({first_few(missing)}): the copy is not complete; {REMEDY}"
        )


def _shared(names: pd.Series) -> pd.Series:
    """Returns a column of categories as text whose equal values are one object, so that a row costs a pointer, whatever
    the text's length.
    """
    return pd.Series(names.cat.categories.to_numpy(dtype=object)[names.cat.codes.to_numpy()], dtype=object)
