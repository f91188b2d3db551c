"""The readers: one module of `data.readers` for each official layout, and three for layouts that a task's sheet describes
(`table`, `folders`, `pairs`). The module of the same name in `data.phantoms` writes phantoms in that layout.

A reader opens tables and lists folders, never images: a full-size index takes seconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path, PurePath
from pkgutil import iter_modules
from typing import Any, Protocol

import pandas as pd

from benchmark.data import readers
from benchmark.data.index import Index, ReaderResult, check_index
from benchmark.data.phantom_mark import is_phantom
from benchmark.data.phantoms import folder as phantom_folder
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.split_file import apply_split_file
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import digest_of, temporary_error_of
from benchmark.results.predictions import Predictions
from benchmark.results.record import DataStatus
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace

ENTRY_POINTS = "benchmark.readers"
READERS_PACKAGE, PHANTOMS_PACKAGE = "benchmark.data.readers", "benchmark.data.phantoms"


class Reader(Protocol):
    """Declares what a reader's module offers."""

    def read(self, root: Path, task: TaskSpec) -> ReaderResult:
        """Returns the table that `data.index` describes, and notes on what was left out.

        Raises BenchmarkError with file, row, value and remedy.
        """


class PhantomWriter(Protocol):
    """Declares what the module of a reader's phantoms offers."""

    def write_phantom(self, root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
        """Writes synthetic images in the reader's layout under `root`."""


# found by their files: a new reader is listed nowhere
READERS = tuple(sorted(module.name for module in iter_modules(readers.__path__)))


def reader_of(task: TaskSpec) -> Reader:
    """Returns the task's reader. Raises BenchmarkError for an unknown one, with the nearest name."""
    reader: Reader = _module_of(task, READERS_PACKAGE)
    return reader


def phantom_writer_of(task: TaskSpec) -> PhantomWriter:
    """Returns what writes phantoms for the task's reader. Raises BenchmarkError for an unknown reader."""
    writer: PhantomWriter = _module_of(task, PHANTOMS_PACKAGE)
    return writer


def submission_of(task: TaskSpec) -> Callable[[Predictions], pd.DataFrame] | None:
    """Returns what makes a challenge's submission table from the predictions on its unlabelled test; None without one."""
    return getattr(reader_of(task), "submission", None)


def _module_of(task: TaskSpec, package: str) -> Any:
    """Returns the module that is called as the task's reader, in one of our packages; or what another installed package
    offers under that name as an entry point of the group "benchmark.readers": an object with `read` and `write_phantom`.
    """
    if task.reader in READERS:
        return import_module(f"{package}.{task.reader}")
    others = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if task.reader not in others:
        raise BenchmarkError(
            f"{task.name}: no reader {task.reader!r}: {did_you_mean(task.reader, [*READERS, *others])}"
        )
    try:
        return others[task.reader].load()
    except Exception as error:  # another package's import may raise whatever it likes
        raise BenchmarkError(
            f"{task.name}: the reader {task.reader!r} of {others[task.reader].value} does not load: {error}"
        ) from error


def read_index(task: TaskSpec, data: Path | None) -> Index:
    """Returns the checked index of a task's folder under the data folder `data`. Raises BenchmarkError."""
    if data is None and not Path(task.root).is_absolute():
        raise BenchmarkError(
            f"{task.name}: BENCHMARK_DATA does not say where data lies: set it to the folder with {task.root}/ in it"
        )
    root = (data or Path()) / task.root
    try:
        if not root.is_dir() and data is not None and data.resolve().name == Path(task.root).name:
            raise BenchmarkError(
                f"{task.name}: {data} is the data set's own folder: give its parent folder, {data.resolve().parent}"
            )
        if not root.is_dir():
            raise BenchmarkError(
                f"{task.name}: no folder {task.root}/ in {data}: {task.get or 'the fact sheet names another root'}"
            )
        phantom = is_phantom(root)
        result = reader_of(task).read(root, task)
    except OSError as error:
        raise temporary_error_of(error) from error
    notes, num = result.notes, len(result.table)
    published = task.counts.get("images", 0)
    if num < published and not phantom:
        notes = (*notes, f"{num:,} of the published {published:,} images are here")
    index = Index(
        task=task.name,
        root=root,
        table=result.table.sort_values("id", kind="stable", ignore_index=True),
        labels=task.labels or result.labels or (),
        phantom=phantom,
        notes=notes,
        unlabelled=result.unlabelled,
        num_listed=len(result.table) if result.num_listed is None else result.num_listed,
    )
    return check_index(
        index,
        segmentation=task.has_masks,
        uncertain="uncertain" in task.recipe,
        exclusive=task.is_exclusive,
        case=task.case,
    )


def index_of(task: TaskSpec, workspace: Workspace) -> Index:
    """Returns the task's index, with the user's own splits where `data split --use` stored a split file."""
    index = read_index(task, workspace.data)
    own = workspace.own_splits / f"{task.name}.csv"
    return apply_split_file(index, own) if own.is_file() else index


def status_of(index: Index, task: TaskSpec, workspace: Workspace) -> DataStatus:
    """Returns how the images of an index relate to the data set as it was published (`record.DataStatus`)."""
    if index.phantom:
        return "phantom"
    if index.own_split or (workspace.own_tasks / f"{task.name}.yaml").is_file():
        return "own"
    is_complete = task.num_published is None or (index.num_listed or 0) >= task.num_published
    return "official" if is_complete else "partial"


def _layout_title(task: TaskSpec) -> str:
    """Returns what a folder of phantoms is marked with: tasks that read one official layout share one folder of them."""
    if not getattr(reader_of(task), "LAYOUT_FROM_SHEET", False):
        return task.reader
    return f"{task.reader} {digest_of([task.layout, task.kind, task.labels])[:8]}"


def _texts(value: Any) -> Iterator[str]:
    """Yields all texts of nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def write_phantom(task: TaskSpec, data: Path, spec: PhantomSpec, *, renew: bool = False) -> Path:
    """Writes a phantom of the task's data set under `data` and returns its folder; one of the same spec is left as it is.

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
    root, layout = data / task.root, _layout_title(task)
    if phantom_folder.is_written(root, layout, spec):
        return root
    if renew:
        phantom_folder.clear(root)
    with phantom_folder.marked(root, layout, spec):
        phantom_writer_of(task).write_phantom(root, task, spec)
    return root
