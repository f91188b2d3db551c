"""`status`: how far a grid is."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.cell import Cell
    from benchmark.locks import Holder
    from benchmark.results.store import Store

SILENT_HEARTBEATS = 3  # so many renewals of a lease that did not come
STATES = ("done", "running", "interrupted", "failed")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a grid is. `counts`: rows of task, model, protocol and the numbers of cells in each state; `failures`: a line
    for each failed cell; `unread`: a line for each record that could not be read;
    `outdated`: how many records were scored by other metrics than today's; `is_empty`: nothing was run yet.

    `workers`: rows of cell, host, pid, silent_seconds and is_silent, one for each cell that a process works on; a process
    that is silent did not renew its lease in time, and others take its cell. `num_planned` and `num_left`: cells of all runs
    that were started in this folder, and those of them without a record; `per_hour`: records of the last hour.
    """

    results: Path
    counts: list[dict[str, Any]]
    failures: list[str]
    unread: list[str]
    outdated: int
    is_empty: bool
    workers: list[dict[str, Any]]
    num_planned: int
    num_left: int
    per_hour: int

    @property
    def hours_left(self) -> float | None:
        """The hours until all cells have a record at the rate of the last hour; None where nothing ended in it."""
        return self.num_left / self.per_hour if self.per_hour else None


def status(
    *,
    tasks: Names | None = None,
    models: Names | None = None,
    results: PathLike | None = None,
    project: PathLike | None = None,
) -> Status:
    """Returns how many cells of each task, model and protocol are done, running, interrupted and failed, and why.

    >>> bm.status(tasks="TXC").counts  # doctest: +SKIP
    """
    from benchmark.results.plans import planned_cells
    from benchmark.results.store import Store

    workspace = find_places(results, None, project)
    store = Store(workspace.results)
    found = _cells_of(store)
    cells, failed, unread, outdated = found.cells, found.failed, found.unread, found.outdated
    wanted = _is_wanted([cell for cell, _ in cells], workspace, join_names(tasks), join_names(models))
    planned = planned_cells(store.root)
    recorded = {f"{cell.task}/{cell.key}" for cell, state in cells if state in ("done", "failed")}
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for cell, state in cells:
        if wanted(cell):
            counts.setdefault((cell.task, cell.model, cell.protocol), Counter())[state] += 1
    return Status(
        results=workspace.results,
        counts=[
            {"task": task, "model": model, "protocol": protocol, **{state: count[state] for state in STATES}}
            for (task, model, protocol), count in sorted(counts.items())
        ],
        failures=[line for cell, line in failed if wanted(cell)],
        unread=unread,
        outdated=sum(wanted(cell) for cell in outdated),
        is_empty=not cells,
        workers=[
            _describe(cell, holder, store)
            for cell, state in cells
            if state == "running" and wanted(cell) and (holder := store.holder(cell))
        ],
        num_planned=len(planned),
        num_left=len(planned - recorded),
        per_hour=found.num_last_hour,
    )


def _describe(cell: "Cell", holder: "Holder", store: "Store") -> dict[str, Any]:
    seconds = round(holder.silent_seconds, 1)
    is_silent = seconds > SILENT_HEARTBEATS * store.terms.heartbeat_seconds
    return {
        "cell": cell.title,
        "host": holder.host,
        "pid": holder.pid,
        "silent_seconds": seconds,
        "is_silent": is_silent,
    }


@dataclass(kw_only=True)
class _Cells:
    """All cells with their state, the failed ones with a line about each, a line for each unreadable record, the cells that
    were scored by other metrics than today's, and how many records are of the last hour.
    """

    cells: "list[tuple[Cell, str]]" = field(default_factory=list)
    failed: "list[tuple[Cell, str]]" = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    outdated: "list[Cell]" = field(default_factory=list)
    num_last_hour: int = 0


def _cells_of(store: "Store") -> _Cells:
    from benchmark.scoring.rescore import is_outdated

    found = _Cells()
    hour_ago = (dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1)).isoformat(timespec="seconds")
    for record in store.each():
        if isinstance(record, str):
            found.unread.append(record)
            continue
        found.cells.append((record.cell, record.status))
        found.num_last_hour += record.finished >= hour_ago
        if is_outdated(record):
            found.outdated.append(record.cell)
        if record.status == "failed":
            line = f"{record.cell.title} (attempt {record.attempt}): {record.error}"
            found.failed.append((record.cell, "; ".join([line, *record.notes])))
    begun, damaged = store.unfinished()
    found.cells += [(cell, "running" if is_running else "interrupted") for cell, is_running in begun]
    found.unread += damaged
    return found


def _is_wanted(
    cells: "list[Cell]", workspace: Workspace, tasks: str | None, models: str | None
) -> "Callable[[Cell], bool]":
    """Returns a function that says whether `--tasks` and `--models` name a cell."""
    from benchmark.experiment.selection import select
    from benchmark.tasks.registry import known_tasks
    from benchmark.zoo.catalog import read_catalog

    named_tasks, named_models = {cell.task for cell in cells}, {cell.model for cell in cells}
    if cells and tasks:
        kinds = dict.fromkeys(named_tasks, "") | {task.name: task.kind for task in known_tasks(workspace).values()}
        named_tasks = set(select(tasks, kinds, noun="task"))
    if cells and models:
        catalog = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
        families = dict.fromkeys(named_models, "") | {entry.name: entry.family for entry in catalog.values()}
        named_models = set(select(models, families, noun="model"))
    return lambda cell: cell.task in named_tasks and cell.model in named_models
