"""One official layout a file, and three that a fact sheet describes (`table`, `folders`, `pairs`, with `own` and
`own_table`). Each reader is a module with `read` (folder -> table) and `write_phantom` (its inverse).

A reader opens tables and lists folders, never images: a full-size index takes seconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path, PurePath
from typing import Any, Protocol

import pandas as pd

from benchmark.data.index import Index, ReaderResult, checked
from benchmark.data.phantoms import folder as phantom
from benchmark.data.readers import (
    aptos,
    chase,
    chestxray14,
    chexpert,
    drive,
    folders,
    kermany,
    montgomery,
    nihcxr4,
    pairs,
    patchcam,
    patchcam_h5,
    rsna_pe,
    shenzhen,
    siim,
    table,
)
from benchmark.data.split_file import parted_by
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import digest_of, temporary_error_of
from benchmark.results.predictions import Predictions
from benchmark.results.record import DataStatus
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace

ENTRY_POINTS = "benchmark.readers"


class Reader(Protocol):
    """What a reader module offers."""

    def read(self, root: Path, task: TaskSpec) -> ReaderResult:
        """The table of `data.index`, and notes on what was left out. Raises BenchmarkError: file, row, value, remedy."""

    def write_phantom(self, root: Path, task: TaskSpec, order: phantom.Order) -> None:
        """Write synthetic images in this layout under `root`."""


READERS: dict[str, Reader] = {
    "aptos": aptos,
    "chase": chase,
    "chestxray14": chestxray14,
    "chexpert": chexpert,
    "drive": drive,
    "folders": folders,
    "kermany": kermany,
    "montgomery": montgomery,
    "nihcxr4": nihcxr4,
    "pairs": pairs,
    "patchcam": patchcam,
    "patchcam_h5": patchcam_h5,
    "rsna_pe": rsna_pe,
    "shenzhen": shenzhen,
    "siim": siim,
    "table": table,
}

# readers of whatever layout a sheet describes, for a user's own tasks
DESCRIBED = {"folders", "pairs", "table"}
# a challenge's submission file, of the predictions on its images without labels
SUBMISSIONS: dict[str, Callable[[Predictions], pd.DataFrame]] = {
    "aptos": aptos.submission,
    "patchcam": patchcam.submission,
}


def reader_of(task: TaskSpec) -> Reader:
    """The task's reader: one of ours, or of another installed package by an entry point of the group "benchmark.readers"
    (a module, or any object, with the functions of Reader). Raises BenchmarkError with "did you mean".
    """
    if task.reader in READERS:
        return READERS[task.reader]
    others = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if task.reader not in others:
        raise BenchmarkError(
            f"{task.name}: no reader {task.reader!r}: {did_you_mean(task.reader, [*READERS, *others])}"
        )
    try:
        loaded: Reader = others[task.reader].load()
    except Exception as error:  # another package's import may raise whatever it likes
        raise BenchmarkError(
            f"{task.name}: the reader {task.reader!r} of {others[task.reader].value} does not load: {error}"
        ) from error
    return loaded


def read_index(task: TaskSpec, data: Path | None) -> Index:
    """The checked index of a task's folder under the data folder `data`."""
    if data is None and not Path(task.root).is_absolute():
        raise BenchmarkError(
            f"{task.name}: BENCHMARK_DATA does not say where data lies: set it to the folder with {task.root}/ in it"
        )
    root = (data or Path()) / task.root
    try:
        if not root.is_dir():
            raise BenchmarkError(
                f"{task.name}: no folder {task.root}/ in {data}: {task.get or 'the fact sheet names another root'}"
            )
        made = phantom.marker(root)
        found = reader_of(task).read(root, task)
    except OSError as error:
        raise temporary_error_of(error) from error
    notes, num = found.notes, len(found.table)
    published = task.counts.get("images", 0)
    if num < published and not made:
        notes = (*notes, f"{num:,} of the published {published:,} images are here")
    index = Index(
        task=task.name,
        root=root,
        table=found.table.sort_values("id", kind="stable", ignore_index=True),
        labels=task.labels or found.labels or (),
        phantom=made,
        notes=notes,
        unlabelled=found.unlabelled,
        num_listed=len(found.table) if found.num_listed is None else found.num_listed,
    )
    return checked(
        index,
        segmentation=task.kind == "segmentation",
        uncertain="uncertain" in task.recipe,
        exclusive=task.is_exclusive,
        case=task.case,
    )


def index_of(task: TaskSpec, workspace: Workspace) -> Index:
    """The task's index, parted by the user's own manifest where `data split --use` keeps one."""
    index = read_index(task, workspace.data)
    own = workspace.own_splits / f"{task.name}.csv"
    return parted_by(index, own) if own.is_file() else index


def status_of(index: Index, task: TaskSpec, workspace: Workspace) -> DataStatus:
    """Returns how the images of an index relate to the data set as it was published (`record.DataStatus`)."""
    if index.phantom:
        return "phantom"
    if index.own_split or (workspace.own_tasks / f"{task.name}.yaml").is_file():
        return "own"
    whole = task.num_published is None or (index.num_listed or 0) >= task.num_published
    return "official" if whole else "partial"


def _layout_named(task: TaskSpec) -> str:
    """What a folder of phantoms is marked with: tasks that read one official layout share one folder of them."""
    if task.reader not in DESCRIBED:
        return task.reader
    return f"{task.reader} {digest_of([task.layout, task.kind, task.labels])[:8]}"


def _texts(value: Any) -> Iterator[str]:
    """Yields all texts of nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def write_phantom(task: TaskSpec, data: Path, order: phantom.Order, *, renew: bool = False) -> Path:
    """Write a phantom of the task's data set under `data`; the folder. One already there, of the same order, is kept.

    Raises BenchmarkError where other files lie there; other phantoms are replaced with `renew` alone.
    """
    if Path(task.root).is_absolute():
        raise BenchmarkError(
            f"{task.name}: its root is the folder {task.root}: phantoms are written where root is a name alone"
        )
    for text in _texts([task.root, task.layout]):
        if ".." in PurePath(text).parts or PurePath(text).is_absolute():
            raise BenchmarkError(
                f"{task.name}: {text!r} leads out of the data set's folder: phantoms are written in it alone"
            )
    root = data / task.root
    if phantom.is_written(root, _layout_named(task), order):
        return root
    if renew:
        phantom.clear(root)
    with phantom.marked(root, _layout_named(task), order):
        reader_of(task).write_phantom(root, task, order)
    return root
