"""`cache_contents` and `clean`: what lies in the caches and in the results folder, and the removal of what nobody needs.

A done cell is never removed. A cell that a process works on, and the caches of its task, are left alone.
"""

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.cell import Cell
    from benchmark.results.record import RunRecord
    from benchmark.results.store import Store

CELLS = ("failed", "interrupted")
CACHES = ("pixels", "features", "phantoms", "weights")
KINDS = (*CELLS, *CACHES)
DAY = 24 * 3600.0
# a pre-training writes its state more often than once a day, so one that stood still for longer was interrupted
PRETRAINING_DAYS = 1.0
REMOVED = ".removed"  # ends the name of a folder whose removal was begun


@dataclass(frozen=True, kw_only=True)
class Item:
    """A folder that can be removed.

    `kind`: one of KINDS; `tasks`: the tasks that it belongs to; `num_bytes`: the space that it takes on the disk; `days`:
    since one of its files was last written, or read as far as the file system records that; `reason`: why it is removed
    only when that is confirmed, empty where it can be made or downloaded again.
    """

    kind: str
    name: str
    path: Path
    tasks: tuple[str, ...] = ()
    num_bytes: int
    days: float
    reason: str = ""
    cell: "Cell | None" = None


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What `clean` chose: `removed` (in a dry run: what would be), and `left`, which was not confirmed or is in use."""

    removed: list[Item]
    left: list[Item]

    @property
    def num_bytes(self) -> int:
        """The space on the disk of what was removed."""
        return sum(item.num_bytes for item in self.removed)


def cache_contents(*, results: PathLike | None = None, project: PathLike | None = None) -> list[Item]:
    """Returns what lies in the caches of `BENCHMARK_HOME`: decoded pixels, features, phantoms, weights.

    The tasks of weights are those of the records in the results folder.

    >>> sum(item.num_bytes for item in bm.cache_contents())  # doctest: +SKIP
    """
    return list(_Survey(find_places(results, None, project)).caches())


def clean(
    what: Names = "failed,interrupted",
    *,
    tasks: Names | None = None,
    older_than_days: float = 0.0,
    keep_bytes: int | None = None,
    dry_run: bool = True,
    confirm: Callable[[Item], bool] = lambda _: False,
    results: PathLike | None = None,
    project: PathLike | None = None,
) -> Cleaning:
    """Removes failed and interrupted cells, or caches; in a dry run (the default) says only what it would remove.

    `what` names one or several of failed, interrupted, pixels, features, phantoms, weights. `older_than_days` spares what was
    used since; `keep_bytes` removes what was not used for longest, until what is left takes at most this space. Weights that
    a record in the results folder names, or that cannot be downloaded again, are removed only where `confirm` returns True.

    Raises BenchmarkError for an unknown name.

    >>> bm.clean("pixels,features", older_than_days=30).num_bytes  # doctest: +SKIP
    """
    from benchmark.experiment.selection import select

    kinds = select(join_names(what) or "", dict.fromkeys(KINDS, ""), noun="kind of folder")
    survey = _Survey(find_places(results, None, project))
    items = [item for item in survey.items() if item.kind in kinds]
    if tasks is not None:
        wanted = set(select(join_names(tasks) or "", dict.fromkeys(survey.tasks(), ""), noun="task"))
        items = [item for item in items if wanted & set(item.tasks)]
    items.sort(key=lambda item: -item.days)
    excess = None if keep_bytes is None else sum(item.num_bytes for item in items) - keep_bytes
    chosen: list[Item] = []
    for item in items:
        if item.days >= older_than_days and (excess is None or excess > 0):
            chosen.append(item)
            excess = None if excess is None else excess - item.num_bytes
    cleaning = Cleaning(removed=[], left=[])
    for item in chosen:
        is_removable = (dry_run or not item.reason or confirm(item)) and not survey.is_in_use(item)
        if is_removable and not dry_run:
            is_removable = survey.remove(item)
        (cleaning.removed if is_removable else cleaning.left).append(item)
    return cleaning


def parse_size(text: str) -> int:
    """Returns a size such as 500MB, 50GB or 1.5 TB in bytes (1 GB = 10^9 bytes). Raises BenchmarkError."""
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    number, unit = text[:-2].strip(), text[-2:].upper()
    try:
        if unit in units and float(number) >= 0:
            return int(float(number) * units[unit])
    except (ValueError, OverflowError):
        pass
    raise BenchmarkError(f"{text!r} is not a size: wanted a number with KB, MB, GB or TB, such as 50GB")


@dataclass(frozen=True)
class _Survey:
    """Reads what lies in a workspace."""

    workspace: Workspace

    @cached_property
    def store(self) -> "Store":
        from benchmark.results.store import Store

        return Store(self.workspace.results)

    @cached_property
    def begun(self) -> "list[tuple[Cell, bool]]":
        """Cells without a record, and whether a process works on each."""
        return self.store.unfinished()[0]

    @cached_property
    def busy_tasks(self) -> set[str]:
        """The tasks of the cells that a process works on."""
        failed = (cell for cell in self.failed if self.store.is_claimed(cell))  # taken again by --retry-failed
        return {cell.task for cell, is_running in self.begun if is_running} | {cell.task for cell in failed}

    @cached_property
    def failed(self) -> "list[Cell]":
        """The cells that failed."""
        return [record.cell for record in self._records if record.status == "failed"]

    @cached_property
    def _records(self) -> "list[RunRecord]":
        return [record for record in self.store.each() if not isinstance(record, str)]

    def tasks(self) -> set[str]:
        """Returns the tasks of everything."""
        return {task for item in self.items() for task in item.tasks}

    def items(self) -> Iterator[Item]:
        """Yields everything that can be removed."""
        yield from self.cells()
        yield from self.caches()

    def cells(self) -> Iterator[Item]:
        """Yields failed and interrupted cells, and interrupted pre-trainings."""
        begun = [("interrupted", cell) for cell, is_running in self.begun if not is_running]
        for kind, cell in [*(("failed", cell) for cell in self.failed), *begun]:
            yield _item(kind, cell.title, self.store.folder(cell), tasks=(cell.task,), cell=cell)
        for folder in _folders(self.workspace.results / "encoders"):
            item = _item("interrupted", f"pre-training {folder.name}", folder)
            if item.days >= PRETRAINING_DAYS:
                yield item

    def caches(self) -> Iterator[Item]:
        """Yields the contents of the caches."""
        for folder in _folders(self.workspace.pixels):
            task = folder.name.lstrip(".").rsplit("-", 2)[0]  # data.cache: TASK-SIZE-DIGEST
            yield _item("pixels", folder.name, folder, tasks=(task,))
        for task_folder in _folders(self.workspace.features):
            for folder in _folders(task_folder):
                yield _item("features", f"{task_folder.name}/{folder.name}", folder, tasks=(task_folder.name,))
        for folder in _folders(self.workspace.home / "phantoms"):
            yield _item("phantoms", f"of the suite {folder.name}", folder)
        yield from self._weights()

    def _weights(self) -> Iterator[Item]:
        from benchmark.zoo.catalog import read_catalog
        from benchmark.zoo.fetch import REMOTE

        folders = _folders(self.workspace.weights)
        if not folders:
            return
        entries = read_catalog(self.workspace.project / "model_zoo.yaml", self.workspace.own_zoo)
        remote = {entry.name.replace(":", "_") for entry in entries.values() if entry.source.startswith(REMOTE)}
        used = defaultdict(list)
        for record in self._records:
            for weights in record.cell.weights:
                used[weights.sha256].append(record.cell.task)
        for folder in folders:
            tasks = [task for digest in _digests(folder) for task in used[digest]]
            reason = f"named by {len(tasks):,} records" if tasks else ""
            if folder.name not in remote:
                reason = "cannot be downloaded again"
            yield _item("weights", folder.name, folder, tasks=tuple(dict.fromkeys(tasks)), reason=reason)

    def is_in_use(self, item: Item) -> bool:
        """Returns whether a process works on a cell that may need this folder."""
        from benchmark.locks import is_locked

        if item.cell is not None:
            return self.store.is_claimed(item.cell)
        locks = (item.path / ".lock", item.path.with_name(f"{item.path.name}.lock"))
        is_shared = item.kind in ("phantoms", "weights") and bool(self.busy_tasks)
        return is_shared or bool(self.busy_tasks & set(item.tasks)) or any(map(is_locked, locks))

    def remove(self, item: Item) -> bool:
        """Removes a folder; returns whether it is gone."""
        if item.cell is not None:
            return self.store.discard(item.cell)
        with suppress(OSError):  # renamed first: a cache that was removed in part must not look like a damaged one
            renamed = item.path.with_name(f".{item.path.name.strip('.').removesuffix(REMOVED)}{REMOVED}")
            item.path.rename(renamed)
            shutil.rmtree(renamed)
        item.path.with_name(f"{item.path.name}.lock").unlink(missing_ok=True)
        return not item.path.exists()


def _item(
    kind: str,
    name: str,
    path: Path,
    *,
    tasks: tuple[str, ...] = (),
    reason: str = "",
    cell: "Cell | None" = None,
) -> Item:
    files = list(_files(path))
    last_used = max((max(file.st_atime, file.st_mtime) for file in files), default=path.stat().st_mtime)
    return Item(
        kind=kind,
        name=name,
        path=path,
        tasks=tasks,
        num_bytes=sum(512 * file.st_blocks for file in files),  # POSIX counts in 512 bytes; files may have holes
        days=max(0.0, (time.time() - last_used) / DAY),
        reason=reason,
        cell=cell,
    )


def _files(folder: Path) -> Iterator[os.stat_result]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                else:
                    yield entry.stat(follow_symlinks=False)


def _folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder; links are not among them, since what they lead to may be another's."""
    if not folder.is_dir():
        return []
    folders = (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(path for path in folders if not path.name.startswith(".") or path.name.endswith(REMOVED))


def _digests(folder: Path) -> Iterable[str]:
    """Yields the digests under which the files of an entry are pinned."""
    for pin in folder.glob("*.pin.json"):
        with suppress(OSError, ValueError, KeyError):
            yield json.loads(pin.read_bytes())["sha256"]
