"""One official layout a file. Each reader is a module with `read` (folder -> table) and `write_phantom` (its inverse).

A reader opens tables and lists folders, never images: a full-size index takes seconds.
"""

from pathlib import Path
from typing import Protocol

import pandas as pd

from benchmark.data import phantom
from benchmark.data.index import Index, checked
from benchmark.data.readers import chase, chestxray14, chexpert, drive, kermany, montgomery, patchcam, shenzhen, siim
from benchmark.fault import Fault, did_you_mean
from benchmark.tasks import TaskSpec


class Reader(Protocol):
    """What a reader module offers."""

    def read(self, root: Path, task: TaskSpec) -> tuple[pd.DataFrame, list[str]]:
        """The table of `data.index`, and notes on what was left out. Raises Fault: file, row, value, remedy."""

    def write_phantom(self, root: Path, task: TaskSpec, order: phantom.Order) -> None:
        """Write synthetic images in this layout under `root`."""


READERS: dict[str, Reader] = {
    "chase": chase,
    "chestxray14": chestxray14,
    "chexpert": chexpert,
    "drive": drive,
    "kermany": kermany,
    "montgomery": montgomery,
    "patchcam": patchcam,
    "shenzhen": shenzhen,
    "siim": siim,
}


def reader_of(task: TaskSpec) -> Reader:
    """The task's reader. Raises Fault with "did you mean"."""
    if task.reader not in READERS:
        raise Fault(f"{task.name}: no reader {task.reader!r}: {did_you_mean(task.reader, READERS)}")
    return READERS[task.reader]


def read_index(task: TaskSpec, data: Path | None) -> Index:
    """The checked index of a task's folder under the data folder `data`."""
    if data is None:
        raise Fault(
            f"{task.name}: BENCHMARK_DATA does not say where data lies: set it to the folder with {task.root}/ in it"
        )
    root = data / task.root
    if not root.is_dir():
        raise Fault(f"{task.name}: no folder {task.root}/ in {data}: {task.get}")
    made = phantom.marker(root)
    table, notes = reader_of(task).read(root, task)
    published = task.counts.get("images", 0)
    if len(table) < published and not made:
        notes = [*notes, f"{len(table):,} of the published {published:,} images are here"]
    index = Index(
        task=task.name,
        root=root,
        table=table.sort_values("id", kind="stable").reset_index(drop=True),
        labels=task.labels,
        phantom=made,
        notes=tuple(notes),
    )
    return checked(index, segmentation=task.kind == "segmentation", uncertain="uncertain" in task.recipe)


def write_phantom(task: TaskSpec, data: Path, order: phantom.Order, *, renew: bool = False) -> Path:
    """Write a phantom of the task's data set under `data`; the folder. One already there, of the same order, is kept.

    Raises Fault where other files lie there; other phantoms are replaced with `renew` alone.
    """
    root = data / task.root
    if phantom.is_written(root, task.name, order):
        return root
    if renew:
        phantom.clear(root)
    with phantom.marked(root, task.name, order):
        reader_of(task).write_phantom(root, task, order)
    return root
