"""`status`: how far a grid is."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.cell import Cell
    from benchmark.results.store import Store

STATES = ("done", "running", "interrupted", "failed")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a grid is. `counts`: rows of task, model, protocol and the numbers of cells in each state; `failures`: a line
    for each failed cell; `unread`: a line for each record that could not be read;
    `outdated`: how many records were scored by other metrics than today's; `is_empty`: nothing was run yet.
    """

    results: Path
    counts: list[dict[str, Any]]
    failures: list[str]
    unread: list[str]
    outdated: int
    is_empty: bool


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
    from benchmark.results.store import Store

    workspace = find_places(results, None, project)
    store = Store(workspace.results)
    cells, failed, unread, outdated = _cells_of(store)
    wanted = _is_wanted([cell for cell, _ in cells], workspace, join_names(tasks), join_names(models))
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
    )


def _cells_of(store: "Store") -> "tuple[list[tuple[Cell, str]], list[tuple[Cell, str]], list[str], list[Cell]]":
    """Returns all cells with their state, the failed ones with a line about each, a line for each unreadable record, and the
    cells that were scored by other metrics than today's.
    """
    from benchmark.scoring.rescore import is_outdated

    outdated: list[Cell] = []
    cells: list[tuple[Cell, str]] = []
    failed: list[tuple[Cell, str]] = []
    unread: list[str] = []
    for record in store.each():
        if isinstance(record, str):
            unread.append(record)
            continue
        cells.append((record.cell, record.status))
        if is_outdated(record):
            outdated.append(record.cell)
        if record.status == "failed":
            failed.append((record.cell, f"{record.cell.title} (attempt {record.attempt}): {record.error}"))
    begun, damaged = store.unfinished()
    cells += [(cell, "running" if running else "interrupted") for cell, running in begun]
    return cells, failed, [*unread, *damaged], outdated


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
