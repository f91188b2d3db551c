"""PatchCamelyon as Kaggle's "Histopathologic Cancer Detection" ships it (Veeling et al. 2018), official layout:

train_labels.csv   id,label: 1 where the centre of 32 x 32 pixels holds tumour
train/<id>.tif     96 x 96, colour
test/<id>.tif      57,458 without labels: predicted for the competition alone

Source: https://www.kaggle.com/c/histopathologic-cancer-detection
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data import image_files as pixels
from benchmark.data.index import ReaderResult, listing, paths_of, readable, required
from benchmark.data.phantoms import folder as phantom
from benchmark.errors import BenchmarkError
from benchmark.results.predictions import Predictions
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

TABLE = "train_labels.csv"
REMEDY = "unpack the competition's train folder again"


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """One row per patch of the table; whose patch it is, the competition does not tell."""
    path = required(root / TABLE, task.name, "it comes with the competition's data")
    with readable(path):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in ("id", "label") if name not in rows]:
        raise BenchmarkError(f"{path}: no column {first_few(absent)}; found {first_few(rows.columns, 6)}")
    if (odd := rows.index[~rows["label"].isin(["0", "1"])]).size:
        raise BenchmarkError(f"{path}: row {odd[0] + 2}: found the label {rows['label'][odd[0]]!r}: wanted 0 or 1")
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
    """The competition's own table: id, and as label the probability of tumour."""
    return pd.DataFrame({"id": predictions.ids, "label": predictions.score[:, 0]})


def write_phantom(root: Path, task: TaskSpec, order: phantom.Order) -> None:  # noqa: ARG001 - a reader's signature
    """Two patches in five with tumour; a few without labels in test/, as in the original."""
    rng = np.random.default_rng(order.seed)
    rows = []
    for number in range(order.num):
        name, tumour = rng.bytes(20).hex(), number % 5 in (1, 3)
        pixels.write_image(root / "train" / f"{name}.tif", phantom.tissue(rng, order.size, tumour=tumour))
        rows.append({"id": name, "label": int(tumour)})
    for _ in range(4):
        patch = phantom.tissue(rng, order.size, tumour=bool(rng.integers(2)))
        pixels.write_image(root / "test" / f"{rng.bytes(20).hex()}.tif", patch)
    pd.DataFrame(rows).to_csv(root / TABLE, index=False)
