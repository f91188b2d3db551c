"""`status`: how far a grid is."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.cell import Cell
    from benchmark.locks import Holder
    from benchmark.results.store import Store
    from benchmark.results.summaries import CellSummary

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
    from benchmark.results.summaries import summaries
    from benchmark.scoring.metrics.registry import JUDGING

    workspace = find_places(results, None, project)
    store = Store(workspace.results)
    records, unread = [], []
    for summary in summaries(store, workspace.status):
        if isinstance(summary, str):
            unread.append(summary)
        else:
            records.append(summary)
    begun, damaged = store.unfinished()
    all_records = records
    all_cells: list[CellSummary | Cell] = [*records, *(cell for cell, _ in begun)]
    wanted = _is_wanted(all_cells, workspace, join_names(tasks), join_names(models))
    records, begun = [record for record in records if wanted(record)], [pair for pair in begun if wanted(pair[0])]
    planned = planned_cells(store.root)
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for record in records:
        counts.setdefault((record.task, record.model, record.protocol), Counter())[record.status] += 1
    for cell, is_running in begun:
        state = "running" if is_running else "interrupted"
        counts.setdefault((cell.task, cell.model, cell.protocol), Counter())[state] += 1
    hour_ago = (dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1)).isoformat(timespec="seconds")
    return Status(
        results=workspace.results,
        counts=[
            {"task": task, "model": model, "protocol": protocol, **{state: count[state] for state in STATES}}
            for (task, model, protocol), count in sorted(counts.items())
        ],
        failures=[_describe_failure(record) for record in records if record.status == "failed"],
        unread=[*unread, *damaged],
        outdated=sum(record.status == "done" and record.judging != JUDGING for record in records),
        is_empty=not all_cells,
        workers=[
            _describe_worker(cell, holder, store)
            for cell, is_running in begun
            if is_running and (holder := store.holder(cell))
        ],
        num_planned=len(planned),
        num_left=len(planned - {f"{record.task}/{record.key}" for record in all_records}),
        per_hour=sum(record.finished >= hour_ago for record in records),
    )


def _describe_failure(record: "CellSummary") -> str:
    return "; ".join([f"{record.title} (attempt {record.attempt}): {record.error}", *record.notes])


def _describe_worker(cell: "Cell", holder: "Holder", store: "Store") -> dict[str, Any]:
    seconds = round(holder.silent_seconds, 1)
    is_silent = seconds > SILENT_HEARTBEATS * store.terms.heartbeat_seconds
    return {
        "cell": cell.title,
        "host": holder.host,
        "pid": holder.pid,
        "silent_seconds": seconds,
        "is_silent": is_silent,
    }


def _is_wanted(
    cells: "list[CellSummary | Cell]", workspace: Workspace, tasks: str | None, models: str | None
) -> "Callable[[CellSummary | Cell], bool]":
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
