"""PatchCamelyon as Kaggle's "Histopathologic Cancer Detection" ships it (Veeling et al. 2018), official layout:

train_labels.csv   id,label: 1 where the centre of 32 x 32 pixels holds tumour
train/<id>.tif     96 x 96, colour
test/<id>.tif      without labels: not read
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data import phantom, pixels
from benchmark.data.index import listing, paths_of, readable, required
from benchmark.fault import Fault, first_few
from benchmark.tasks import TaskSpec

TABLE = "train_labels.csv"
REMEDY = "unpack the competition's train folder again"


def read(root: Path, task: TaskSpec) -> tuple[pd.DataFrame, list[str]]:
    """One row per patch of the table; whose patch it is, the competition does not tell."""
    path = required(root / TABLE, task.name, "it comes with the competition's data")
    with readable(path):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in ("id", "label") if name not in rows]:
        raise Fault(f"{path}: no column {first_few(absent)}; found {first_few(rows.columns, 6)}")
    if (odd := rows.index[~rows["label"].isin(["0", "1"])]).size:
        raise Fault(f"{path}: row {odd[0] + 2}: found the label {rows['label'][odd[0]]!r}: wanted 0 or 1")
    files = listing(required(root / "train", task.name, REMEDY), [".tif"])
    images = paths_of(rows["id"] + ".tif", files, task=task.name, root=root, remedy=REMEDY)
    table = pd.DataFrame({"id": rows["id"], "image": "train/" + images, "patient": rows["id"], "part": ""})
    table[task.labels[0]] = rows["label"].astype(float)
    return table, []


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
