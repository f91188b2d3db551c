"""Kaggle's APTOS 2019 Blindness Detection, official layout:

train.csv                 3,662 rows: id_code,diagnosis: the grade of retinopathy, 0 to 4
train_images/<id_code>.png
test.csv                  1,928 rows: id_code
test_images/<id_code>.png without labels: predicted for the competition alone

Copies whose test.csv has a diagnosis too have a labeled test; there the two tables are the parts.
Source: https://www.kaggle.com/c/aptos2019-blindness-detection
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.index import ReaderResult, listing, paths_of, read_table, required
from benchmark.errors import BenchmarkError
from benchmark.results.predictions import Predictions
from benchmark.tasks.spec import TaskSpec

TEST = "test.csv"
REMEDY = "unpack the competition's {} folder again"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per photograph. The competition does not say which photographs are of one patient."""
    remedy = "it comes with the competition's data"
    train = read_table(root / "train.csv", ("id_code", "diagnosis"), task.name, remedy)
    test = read_table(root / TEST, ["id_code"], task.name, remedy) if (root / TEST).is_file() else None
    if test is not None and "diagnosis" in test:
        splits = [_labelled(train, root, "train", task), _labelled(test, root, "test", task)]
        return ReaderResult(table=pd.concat(splits, ignore_index=True))
    unlabelled, notes = _unlabelled(test, root)
    return ReaderResult(table=_labelled(train, root, "train", task).assign(part=""), unlabelled=unlabelled, notes=notes)


def _labelled(rows: pd.DataFrame, root: Path, split: str, task: TaskSpec) -> pd.DataFrame:
    path, folder = root / f"{split}.csv", f"{split}_images"
    grades = {str(grade): grade for grade in range(len(task.labels))}
    if (invalid_rows := rows.index[~rows["diagnosis"].isin(list(grades))]).size:
        raise BenchmarkError(
            f"{path}: row {invalid_rows[0] + 2}: found the diagnosis {rows['diagnosis'][invalid_rows[0]]!r}: "
            f"wanted 0 to {len(grades) - 1}"
        )
    remedy = REMEDY.format(folder)
    files = listing(required(root / folder, task.name, remedy), [".png"])
    images = paths_of(rows["id_code"] + ".png", files, task=task.name, root=root / folder, remedy=remedy)
    table = pd.DataFrame(
        {"id": rows["id_code"], "image": f"{folder}/" + images, "patient": rows["id_code"], "part": split}
    )
    classes = np.eye(len(grades))[rows["diagnosis"].map(grades).to_numpy(dtype=int)]
    return pd.concat([table, pd.DataFrame(classes, columns=list(task.labels))], axis=1)


def _unlabelled(rows: pd.DataFrame | None, root: Path) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Returns the competition's test set; or None, with a note where some of its files are there and some are not."""
    folder = root / "test_images"
    files = listing(folder, [".png"]) if folder.is_dir() else {}
    if rows is None:
        note = f"{folder.name} holds {len(files):,} images but {TEST} is missing: they are not predicted"
        return None, (note,) if files else ()
    images = (rows["id_code"] + ".png").map(files)
    if missing := int(images.isna().sum()):
        return None, (f"{missing:,} of {len(rows):,} images of {TEST} are missing: that test is not predicted",)
    return pd.DataFrame({"id": rows["id_code"], "image": f"{folder.name}/" + images.astype(str)}), ()


def submission(predictions: Predictions) -> pd.DataFrame:
    """Returns the competition's own table: id_code, and as diagnosis the most probable grade. `score` has the grades in
    order.
    """
    return pd.DataFrame({"id_code": predictions.ids, "diagnosis": predictions.score.argmax(axis=1)})
