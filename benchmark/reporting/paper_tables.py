"""A paper's tables as a suite describes them: heads as printed, and for each cell which runs it asks for.

A table is rows times columns; each is a partial specification (`Part`), a group of them has more below it (`of`), and a
cell is what `common`, its row and its column say together, the later over the earlier.
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
    """What a cell of a table asks for. `share`: the part of the training images, in the frame's words; `printed_shares`:
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
    """A table laid out: paths of heads of equal length for rows and columns, and what each cell asks for."""

    name: str
    suite: str
    table: PaperTable
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    cells: tuple[CellRequest, ...]


def tables_in(suite: Suite) -> dict[str, PaperTable]:
    """The suite's tables by name. Raises BenchmarkError for one that is no table."""
    tables = {}
    for name, fields in suite.tables.items():
        try:
            tables[name] = PaperTable.model_validate(fields)
        except ValidationError as error:
            raise BenchmarkError(f"suite {suite.name}: tables.{name}: {_explained(error)}") from error
    return tables


def _explained(error: ValidationError) -> str:
    place = error.errors()[0]["loc"]
    if error.errors()[0]["type"] == "extra_forbidden" and len(place) > 1:  # of a row or column, however deep
        where = ".".join(map(str, place))
        return f"unknown key {where!r}: {did_you_mean(str(place[-1]), Part.model_fields)}"
    return explain(error, PaperTable)


def tables_named(asked: Iterable[str], suite: Suite) -> dict[str, PaperTable]:
    """The tables that `--table` names (`all`: every one), in the suite's order. Raises BenchmarkError with "did you mean"."""
    tables, wanted = tables_in(suite), list(asked)
    if not tables:
        raise BenchmarkError(f"--table: the suite {suite.name} describes no tables")
    for name in wanted:
        if name != "all" and name not in tables:
            raise BenchmarkError(f"--table {name}: {suite.name} has no such table: {did_you_mean(name, tables)}")
    return {name: table for name, table in tables.items() if name in wanted or "all" in wanted}


def layout_of(name: str, table: PaperTable, suite: Suite, tasks: Mapping[str, TaskSpec]) -> TableLayout:
    """The cells of a table. Raises BenchmarkError for one that says too little, or names no task."""
    rows, columns = _flat(table.rows), _flat(table.columns)
    flagged = any(part.get("baseline") for _, part in (*rows, *columns))
    cells = []
    for row, (row_heads, row_part) in enumerate(rows):
        for column, (column_heads, column_part) in enumerate(columns):
            said = Part.model_validate(_said(table.common) | row_part | column_part)
            place = f"suite {suite.name}: tables.{name}: {' '.join(row_heads)} × {' '.join(column_heads)}"
            cells.append(_asked(said, row, column, suite, tasks, place, flagged=flagged))
    depth = max(len(heads) for heads, _ in columns)
    return TableLayout(
        name=name,
        suite=suite.name,
        table=table,
        rows=tuple((*heads, *[""] * (len(table.stub) - len(heads))) for heads, _ in rows),
        columns=tuple((*[""] * (depth - len(heads)), *heads) for heads, _ in columns),
        cells=tuple(cells),
    )


def _asked(
    said: Part,
    row: int,
    column: int,
    suite: Suite,
    tasks: Mapping[str, TaskSpec],
    place: str,
    *,
    flagged: bool,
) -> CellRequest:
    name = said.ran.get("task", said.task)
    task = tasks.get(name)
    if task is None:
        raise BenchmarkError(f"{place}: no task {name!r}: {did_you_mean(name, tasks)}")
    model = said.model.get(said.task, "") if isinstance(said.model, dict) else said.model
    models = said.best_of or (model,)
    if not all(models):
        raise BenchmarkError(f"{place}: wanted a model, or best_of a list of them")
    share, printed = _shares(said.subset, task)
    own = find_protocol(said.protocol).recipe_for(task.kind)
    wanted = task.complete_recipe(own, suite.recipe, suite.recipes.get(task.name, {}), said.recipe)
    return CellRequest(
        row=row,
        column=column,
        task=name,
        models=(said.ran["model"],) if "model" in said.ran else models,
        printed=(said.task, models),
        protocol=said.protocol,
        share=share,
        printed_shares=printed,
        metric=said.metric or task.metric,
        changes=changes_of(wanted, own_recipe(task, said.protocol)),
        baseline=said.baseline if flagged else models == (suite.baseline,),
    )


def _shares(subset: str, task: TaskSpec | None) -> tuple[str, tuple[str, ...]]:
    """A share in the frame's words, and those that it may have in print: there the largest size is all there is."""
    if not subset or subset.endswith("%") or task is None:
        return subset, (subset,)
    size = task.subset_size(subset)
    largest = subset in task.subsets and subset == list(task.subsets)[-1]
    share = "" if size is None else str(size)
    return share, (share, "") if largest else (share,)


def _flat(parts: Iterable[Part]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Rows or columns with the path of their heads, groups opened, each with all that stands above it."""
    flat = []
    for part in parts:
        heads = (part.head,) if isinstance(part.head, str) else part.head
        if part.of:
            flat += [((*heads, *below), _said(part) | inner) for below, inner in _flat(part.of)]
        else:
            flat.append((heads, _said(part)))
    return flat


def _said(part: Part) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.model_fields_set if name not in ("head", "of")}
