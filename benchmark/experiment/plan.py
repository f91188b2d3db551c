"""What a run would do: the grid's rows with what is done, failed and pending, and an estimate of time. Torch-free."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.cell import NUM_FOLDS, Cell
from benchmark.data.index import Index
from benchmark.data.splitting import assign_splits
from benchmark.experiment.estimate import seconds_of
from benchmark.results.store import Store
from benchmark.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from benchmark.recipe import Recipe


@dataclass(kw_only=True)
class PlanRow:
    """One task, model, protocol and share of a plan (`how`: the last two), with all its `cells`. `images`: in the parts
    (train, validation, test); `hours` of what is pending, None while nothing alike was measured. `overlap`: the weights
    saw the task's images, so that nothing of it is pending.
    """

    task: str
    model: str
    how: str
    images: tuple[int, int, int]
    done: int = 0
    failed: int = 0
    running: int = 0
    cells: list[Cell] = field(default_factory=list)
    pending: list[Cell] = field(default_factory=list)
    hours: float | None = None
    overlap: bool = False


def plan_rows(
    cells: list[Cell],
    indexes: dict[str, Index],
    tasks: dict[str, TaskSpec],
    store: Store,
    overlapping: Collection[tuple[str, str]] = (),
) -> list[PlanRow]:
    """The grid by task, model, protocol, share and recipe, with what is done and an estimate from the records of like cells.

    `overlapping`: pairs of task and model that are not to be run.
    """
    measured, _ = store.records(hashed=False)
    sizes: dict[str, tuple[int, int, int]] = {}
    rows: dict[tuple[str, str, str, Recipe], PlanRow] = {}
    for cell in cells:
        if cell.task not in sizes:
            fold = None if cell.fold is None else (0, cell.folds or NUM_FOLDS)
            parts = assign_splits(indexes[cell.task], tasks[cell.task].split, fold).value_counts()
            sizes[cell.task] = (int(parts["train"]), int(parts["validation"]), int(parts["test"]))
        train, validation, test = sizes[cell.task]
        row = PlanRow(
            task=cell.task,
            model=cell.model,
            how=", ".join(filter(None, [cell.protocol, cell.portion])),
            images=(cell.subset or train, validation, test),
            overlap=(cell.task, cell.model) in overlapping,
        )
        row = rows.setdefault((cell.task, cell.model, row.how, cell.recipe), row)
        row.cells.append(cell)
        record = store.get(cell)
        if record is not None:
            row.done += record.status == "done"
            row.failed += record.status == "failed"
        elif not row.overlap:
            row.running += store.is_claimed(cell)
            row.pending.append(cell)
    for row in rows.values():
        if row.pending:
            seconds = seconds_of(row.pending[0], row.images, measured)
            row.hours = None if seconds is None else seconds * len(row.pending) / 3600
    return list(rows.values())
