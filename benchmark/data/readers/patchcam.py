"""PatchCamelyon as Kaggle's "Histopathologic Cancer Detection" ships it (Veeling et al. 2018), official layout:

train_labels.csv   id,label: 1 where the center of 32 x 32 pixels holds tumour
train/<id>.tif     96 x 96, color
test/<id>.tif      57,458 without labels: predicted for the competition alone

Source: https://www.kaggle.com/c/histopathologic-cancer-detection
"""

from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, listing, paths_of, read_table, required
from benchmark.errors import BenchmarkError
from benchmark.results.predictions import Predictions
from benchmark.tasks.spec import TaskSpec

TABLE = "train_labels.csv"
REMEDY = "unpack the competition's train folder again"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per patch of the table. The competition does not say which patches are of one patient."""
    path = root / TABLE
    rows = read_table(path, ("id", "label"), task.name, "it comes with the competition's data")
    if (invalid_rows := rows.index[~rows["label"].isin(["0", "1"])]).size:
        raise BenchmarkError(
            f"{path}: row {invalid_rows[0] + 2}: found the label {rows['label'][invalid_rows[0]]!r}: wanted 0 or 1"
        )
    files = listing(required(root / "train", task.name, REMEDY), [".tif"])
    images = paths_of(rows["id"] + ".tif", files, task=task.name, root=root, remedy=REMEDY)
    table = pd.DataFrame({"id": rows["id"], "image": "train/" + images, "patient": rows["id"], "part": ""})
    table[task.labels[0]] = rows["label"].astype(float)
    return ReaderResult(table=table, unlabelled=_unlabelled(root / "test"))


def _unlabelled(folder: Path) -> pd.DataFrame | None:
    names = sorted(listing(folder, [".tif"]).items()) if folder.is_dir() else []
    if not names:
        return None
    table = pd.DataFrame(names, columns=["name", "image"])
    return pd.DataFrame({"id": table["name"].str.rpartition(".")[0], "image": f"{folder.name}/" + table["image"]})


def submission(predictions: Predictions) -> pd.DataFrame:
    """Returns the competition's own table: id, and as label the probability of tumour."""
    return pd.DataFrame({"id": predictions.ids, "label": predictions.score[:, 0]})
