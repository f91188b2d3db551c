"""A paper's tables as a suite describes them: heads as printed, and for each cell which runs it asks for.

A table is rows times columns; each is a partial specification (`Part`), a group of them has more below it (`of`), and a
cell is what `common`, its row and its column say together, where the later one replaces what the earlier one says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.experiment.suite import Suite, own_recipe
from benchmark.protocols.registry import find_protocol
from benchmark.reporting.frame import Changes, changes_of
from benchmark.strict import StrictModel, explain
from benchmark.tasks.spec import TaskSpec

EPOCHS, PARAMETERS = "epochs", "trainable_parameters"
READINGS = {EPOCHS: ("best epoch", "epochs trained")}  # of a metric that can mean two things: both are printed


class Part(StrictModel):
    """A row or column, or a group of them. `head`: as printed, one word or sentence per column of heads.

    `model`: a zoo entry, members joined by + in the order of their names, or one for each task; `best_of`: of these
    entries the one with the highest mean; `subset`: a name that the task gives a size, a number of images, `10%`;
    `metric`: empty for the task's own; `ran`: the task or model of ours that stands for it, where the print names none;
    `recipe`: what differs from the task's own; `baseline`: the others are measured
    by it (where no part says so, the suite's baseline is).
    """

    head: str | tuple[str, ...] = ()
    task: str = ""
    model: str | dict[str, str] = ""
    best_of: tuple[str, ...] = ()
    protocol: str = "finetune"
    subset: str = ""
    metric: str = ""
    ran: dict[Literal["task", "model"], str] = {}
    recipe: dict[str, Any] = {}
    baseline: bool = False
    of: tuple["Part", ...] = ()


class PaperTable(StrictModel):
    """A table of a paper. `stub`: heads of the columns that row heads stand in; `other_images`: tasks that the paper
    ran on a data set that is not ours, and why: its numbers stand beside ours without a test.
    """

    title: str
    stub: tuple[str, ...] = ("",)
    common: Part = Part()
    rows: tuple[Part, ...]
    columns: tuple[Part, ...]
    note: str = ""
    other_images: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class CellRequest:
    """What a cell of a table requests. `share`: the part of the training images, in the frame's words; `printed_shares`:
    what the published numbers may call it; `printed`: task and models in print; `changes`: what the recipe changes in the
    task's own.
    """

    row: int
    column: int
    task: str
    models: tuple[str, ...]
    printed: tuple[str, tuple[str, ...]]
    protocol: str
    share: str
    printed_shares: tuple[str, ...]
    metric: str
    changes: Changes
    baseline: bool

    @property
    def compared(self) -> tuple[str, str, str]:
        """What two cells must have in common to be compared."""
        return self.task, self.share, self.metric


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """A table before its numbers: paths of heads of equal length for rows and columns, and what each cell requests."""

    name: str
    suite: str
    table: PaperTable
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    cells: tuple[CellRequest, ...]


def tables_in(suite: Suite) -> dict[str, PaperTable]:
    """Returns the suite's tables by name. Raises BenchmarkError for one that is not a table."""
    tables = {}
    for name, fields in suite.tables.items():
        try:
            tables[name] = PaperTable.model_validate(fields)
        except ValidationError as error:
            raise BenchmarkError(f"suite {suite.name}: tables.{name}: {_explained(error)}") from error
    return tables


def _explained(error: ValidationError) -> str:
    location = error.errors()[0]["loc"]
    if error.errors()[0]["type"] == "extra_forbidden" and len(location) > 1:  # of a row or column, however deep
        where = ".".join(map(str, location))
        return f"unknown key {where!r}: {did_you_mean(str(location[-1]), Part.model_fields)}"
    return explain(error, PaperTable)


def tables_named(names: Iterable[str], suite: Suite) -> dict[str, PaperTable]:
    """Returns the named tables (`all`: every one) in the suite's order. Raises BenchmarkError for an unknown name."""
    tables, wanted = tables_in(suite), list(names)
    if not tables:
        raise BenchmarkError(f"--table: the suite {suite.name} describes no tables")
    for name in wanted:
        if name != "all" and name not in tables:
            raise BenchmarkError(f"--table {name}: {suite.name} has no such table: {did_you_mean(name, tables)}")
    return {name: table for name, table in tables.items() if name in wanted or "all" in wanted}


def layout_of(name: str, table: PaperTable, suite: Suite, tasks: Mapping[str, TaskSpec]) -> TableLayout:
    """Returns a table's heads and cells. Raises BenchmarkError for a cell that says too little, or names no task."""
    rows, columns = _flat(table.rows), _flat(table.columns)
    flagged = any(part.get("baseline") for _, part in (*rows, *columns))
    cells = []
    for row, (row_heads, row_part) in enumerate(rows):
        for column, (column_heads, column_part) in enumerate(columns):
            part = Part.model_validate(_fields_set(table.common) | row_part | column_part)
            place = f"suite {suite.name}: tables.{name}: {' '.join(row_heads)} × {' '.join(column_heads)}"
            cells.append(_request(part, row, column, suite, tasks, place, flagged=flagged))
    depth = max(len(heads) for heads, _ in columns)
    return TableLayout(
        name=name,
        suite=suite.name,
        table=table,
        rows=tuple((*heads, *[""] * (len(table.stub) - len(heads))) for heads, _ in rows),
        columns=tuple((*[""] * (depth - len(heads)), *heads) for heads, _ in columns),
        cells=tuple(cells),
    )


def _request(
    part: Part,
    row: int,
    column: int,
    suite: Suite,
    tasks: Mapping[str, TaskSpec],
    place: str,
    *,
    flagged: bool,
) -> CellRequest:
    name = part.ran.get("task", part.task)
    task = tasks.get(name)
    if task is None:
        raise BenchmarkError(f"{place}: no task {name!r}: {did_you_mean(name, tasks)}")
    model = part.model.get(part.task, "") if isinstance(part.model, dict) else part.model
    models = part.best_of or (model,)
    if not all(models):
        raise BenchmarkError(f"{place}: wanted a model, or best_of a list of them")
    share, printed = _shares(part.subset, task)
    own = find_protocol(part.protocol).recipe_for(task.kind)
    wanted = task.complete_recipe(own, suite.recipe, suite.recipes.get(task.name, {}), part.recipe)
    return CellRequest(
        row=row,
        column=column,
        task=name,
        models=(part.ran["model"],) if "model" in part.ran else models,
        printed=(part.task, models),
        protocol=part.protocol,
        share=share,
        printed_shares=printed,
        metric=part.metric or task.metric,
        changes=changes_of(wanted, own_recipe(task, part.protocol)),
        baseline=part.baseline if flagged else models == (suite.baseline,),
    )


def _shares(subset: str, task: TaskSpec | None) -> tuple[str, tuple[str, ...]]:
    """Returns a share in the frame's words, and in those that may stand in print, where the largest size is all there is."""
    if not subset or subset.endswith("%") or task is None:
        return subset, (subset,)
    size = task.subset_size(subset)
    largest = subset in task.subsets and subset == list(task.subsets)[-1]
    share = "" if size is None else str(size)
    return share, (share, "") if largest else (share,)


def _flat(parts: Iterable[Part]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Returns rows or columns with the path of their heads, each with what the groups above it say."""
    flat = []
    for part in parts:
        heads = (part.head,) if isinstance(part.head, str) else part.head
        if part.of:
            flat += [((*heads, *below), _fields_set(part) | inner) for below, inner in _flat(part.of)]
        else:
            flat.append((heads, _fields_set(part)))
    return flat


def _fields_set(part: Part) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.model_fields_set if name not in ("head", "of")}
