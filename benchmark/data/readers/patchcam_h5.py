"""PatchCamelyon as first published (Veeling et al. 2018), official layout, for each of train, valid and test:

camelyonpatch_level_2_split_train_x.h5      dataset "x": 262,144 x 96 x 96 x 3 (valid and test: 32,768), uint8
camelyonpatch_level_2_split_train_y.h5      dataset "y": N x 1 x 1 x 1; 1 where the center of 32 x 32 pixels holds tumour
camelyonpatch_level_2_split_train_meta.csv  a row per patch, in the same order; `wsi`: the slide that it was cut from

With the three tables of slides, the patches of a slide count as one patient's; without them, each as its own.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.data import hdf5
from benchmark.data.index import ReaderResult, read_table, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

NAME = "camelyonpatch_level_2_split_"
SPLITS = {"train": "train", "valid": "validation", "test": "test"}
LABELS, SLIDE = "y", "wsi"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per patch; opens the labels' files and the tables of slides, not the images."""
    tables = [root / f"{NAME}{file_split}_meta.csv" for file_split in SPLITS]
    missing = [path.name for path in tables if not path.is_file()]
    split_tables = [_split_table(root, file_split, task, with_slides=not missing) for file_split in SPLITS]
    note = f"without {first_few(missing)} nobody knows a patch's slide: each counts as a patient of its own"
    return ReaderResult(table=pd.concat(split_tables, ignore_index=True), notes=(note,) if missing else ())


def _split_table(root: Path, file_split: str, task: TaskSpec, *, with_slides: bool) -> pd.DataFrame:
    for kind in ("x", LABELS):
        name = f"{NAME}{file_split}_{kind}.h5"
        required(root / name, task.name, f"get {name}.gz and unpack it there (gunzip {name}.gz)")
    labels = _labels(root / f"{NAME}{file_split}_{LABELS}.h5")
    rows = pd.Series(np.arange(len(labels)).astype(str))
    names = f"{file_split}-" + rows.str.zfill(6)
    table = pd.DataFrame(
        {
            "id": names,
            "image": f"{NAME}{file_split}_x.h5#" + rows,
            "patient": _slides(root / f"{NAME}{file_split}_meta.csv", len(labels), task.name) if with_slides else names,
            "part": SPLITS[file_split],
        }
    )
    table[task.labels[0]] = labels.astype(float)
    return table


def _labels(path: Path) -> NDArray[np.uint8]:
    values = hdf5.read_dataset(path, LABELS)
    if values.size != len(values):
        raise BenchmarkError(
            f'{path}: dataset "{LABELS}" is {" x ".join(map(str, values.shape))}: wanted one label a patch'
        )
    labels = values.reshape(-1)
    if (invalid_rows := np.flatnonzero(~np.isin(labels, (0, 1)))).size:
        raise BenchmarkError(
            f'{path}: row {invalid_rows[0]} of "{LABELS}": found the label {labels[invalid_rows[0]]}: wanted 0 or 1'
        )
    return labels


def _slides(path: Path, num: int, task: str) -> pd.Series:
    rows = read_table(path, [SLIDE], task, "get the table of slides again")
    if len(rows) != num:
        raise BenchmarkError(
            f"{path}: {len(rows):,} rows for {num:,} labels: they are not of one copy; get the table again"
        )
    if (blank := rows.index[rows[SLIDE] == ""]).size:
        raise BenchmarkError(f"{path}: row {blank[0] + 2}: found no {SLIDE}: wanted the slide's name")
    return rows[SLIDE]
