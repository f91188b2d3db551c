"""Records and published numbers -> the cells of a paper's table, one row each: ours, the paper's, and their tests.

A cell takes the runs of one block: official images before phantoms, which are never mixed in one table; then the recipe
that the cell requests (the task's own, where it names none), then the recipe that most runs of the table have. A cell
that was not run says so. The tests within a table are Student's t of independent runs, as in the first paper
(Hosseinzadeh Taher 2021, section 2); the test of ours against the paper's is Welch's, from its mean, sd and n.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.experiment.suite import own_recipe
from benchmark.reporting.against_paper import compare_with_printed, printed_moments
from benchmark.reporting.data import ReportData
from benchmark.reporting.format import SIGNIFICANT, known
from benchmark.reporting.frame import Changes, cell_changes, members_of
from benchmark.reporting.metric_facts import direction
from benchmark.reporting.paper_tables import EPOCHS, PARAMETERS, READINGS, CellRequest, TableLayout
from benchmark.results.record import RunRecord
from benchmark.stats.significance import independent_t, sample_sd, t_from_moments
from benchmark.text import first_few, plural

RUN, NOT_RUN, NOT_APPLICABLE = "run", "not run", "not applicable"
PRINTED_NUMBERS = ("mean", "sd", "half_width", "ddof", "n")
Values = NDArray[np.float64]  # of a metric, one for each run
BlockRequest = tuple[str, str, str, Changes]  # task, protocol, share, changes of the recipe


@dataclass(frozen=True, kw_only=True)
class TableNumbers:
    """A table's numbers: `cells` has a row for each cell and reading; `phantom`: ours are of phantom images; `notes`."""

    layout: TableLayout
    cells: pd.DataFrame
    phantom: bool
    notes: tuple[str, ...]


def table_numbers(layout: TableLayout, data: ReportData) -> TableNumbers:
    """Returns the table's cells. Columns: the cell's row and column and what it requests; `state`; of ours `mean`, `sd`
    (ddof 1), `n`, `best`, `beats_baseline`, `p_best` (against the best), `not_different` (p_best of 0.05 and more); the
    same of the paper's with the prefix `published_`; `difference` (ours minus the paper's), `low`, `high` and `p` of the
    two, or `differs`: why they are not tested.
    """
    candidates = _candidates(layout, data)
    kinds = sorted(set(candidates["data"]))  # official before phantom
    phantom = kinds == ["phantom"]
    blocks = _chosen_blocks(layout, candidates[candidates["data"] == (kinds[0] if kinds else "")])
    runs_of = dict(list(candidates.groupby(["block", "entry"], sort=False)))
    published = _published_rows(layout, data.published)
    rows: list[dict[str, Any]] = []
    values: list[Values] = []
    for request in layout.cells:
        ours, of_readings = _ours(request, runs_of, blocks.get(_block_request(request), ""), data, phantom=phantom)
        for reading in READINGS.get(request.metric, (request.metric,)):
            row = _request_columns(request, layout) | {"reading": reading} | ours
            row |= _moments(of_readings.get(reading, np.empty(0)))
            row["state"] = NOT_RUN if row["state"] == RUN and not row["n"] else row["state"]
            rows.append(row | _printed(request, published))
            values.append(of_readings.get(reading, np.empty(0)))
    _mark(rows, "", lambda one, two: independent_t(values[one], values[two]).p)
    _mark(rows, "published_", lambda one, two: _p_of_printed(rows[one], rows[two]))
    rows = [{**row, **_against_published(row, layout, data, phantom=phantom)} for row in rows]
    cells = pd.DataFrame(rows).drop(columns="keys")
    return TableNumbers(layout=layout, cells=cells, phantom=phantom, notes=_notes(candidates, blocks))


def _request_columns(request: CellRequest, layout: TableLayout) -> dict[str, Any]:
    return {
        "suite": layout.suite,
        "table": layout.name,
        "row": " · ".join(filter(None, layout.rows[request.row])),
        "row_number": request.row,
        "column": " · ".join(filter(None, layout.columns[request.column])),
        "column_number": request.column,
        "task": request.task,
        "protocol": request.protocol,
        "subset": request.share,
        "metric": request.metric,
        "baseline": request.baseline,
        "chosen": len(request.models) > 1,
    }


def _moments(values: Values) -> dict[str, Any]:
    return {"mean": values.mean() if values.size else math.nan, "sd": sample_sd(values), "n": values.size}


def _candidates(layout: TableLayout, data: ReportData) -> pd.DataFrame:
    """Returns the frame's rows that some cell of the table could take, with `entry` and the `recipe`'s changes."""
    wanted = {(cell.task, cell.protocol, cell.share, model) for cell in layout.cells for model in cell.models}
    frame = data.frame.assign(entry=data.frame["members"].map("+".join))
    requests = zip(frame["task"], frame["protocol"], frame["share"], frame["entry"], strict=True)
    frame = frame[np.array([request in wanted for request in requests], dtype=bool)]
    cells = {block: data.records[key].cell for block, key in zip(frame["block"], frame["key"], strict=True)}
    changes = {
        block: cell_changes(cell, own_recipe(data.tasks.get(cell.task), cell.protocol)) for block, cell in cells.items()
    }
    return frame.assign(recipe=[changes[block] for block in frame["block"]])


def _block_request(request: CellRequest) -> BlockRequest:
    return request.task, request.protocol, request.share, request.changes


def _chosen_blocks(layout: TableLayout, candidates: pd.DataFrame) -> dict[BlockRequest, str]:
    """Returns the block whose runs each kind of cell takes, where one was run."""
    folded = candidates["folds"].notna()
    usual = Counter(zip(candidates["recipe"], folded, strict=True))
    num_runs = Counter(candidates["block"])
    blocks = {}
    for request in dict.fromkeys(map(_block_request, layout.cells)):
        task, protocol, share, changes = request
        fits = (candidates["task"] == task) & (candidates["protocol"] == protocol) & (candidates["share"] == share)
        options = zip(candidates["block"][fits], candidates["recipe"][fits], folded[fits], strict=True)
        ranked = sorted(
            (
                len({change.name for change in set(recipe) ^ set(changes)}),
                -usual[recipe, folds],
                -num_runs[block],
                block,
            )
            for block, recipe, folds in set(options)
        )
        if ranked:
            *_, blocks[request] = ranked[0]
    return blocks


def _ours(
    request: CellRequest, runs_of: Mapping[Any, pd.DataFrame], block: str, data: ReportData, *, phantom: bool
) -> tuple[dict[str, Any], dict[str, Values]]:
    """Returns what was run for a cell, and the values of its runs by reading; of several models, the one with the best
    mean. `runs_of`: by block and entry.
    """
    ours: dict[str, Any] = {"model": request.models[0] if len(request.models) == 1 else "", "state": NOT_RUN}
    ours |= {"note": "", "block": "", "setting": "", "data": "", "overlap": False, "keys": ()}
    ours |= {"num_images": None, "num_published": None}
    best: dict[str, Values] = {}
    for model in request.models:
        runs = runs_of.get((block, model))
        if runs is None:
            continue
        if (num_models := runs["model_id"].nunique()) > 1:
            ours["note"] = f"{model} stands for {plural(num_models, 'model')}: --models chooses one"
            continue
        values = _values(request.metric, [data.records[key] for key in runs["key"]])
        first = next(iter(values.values()))
        sign = direction(request.metric)
        if first.size and (not best or sign * first.mean() > sign * next(iter(best.values())).mean()):
            best = values
            ours |= {"model": model, "state": RUN, "overlap": bool(runs["overlap"].any()), "keys": tuple(runs["key"])}
            columns = ("block", "setting", "data", "num_images", "num_published")
            ours |= {name: runs[name].iloc[0] for name in columns}
    if ours["state"] != RUN and all(
        data.overlapping(members_of(model), request.task, phantom=phantom) for model in request.models
    ):
        ours["state"] = NOT_APPLICABLE
    return ours, best


def _values(metric: str, records: list[RunRecord]) -> dict[str, Values]:
    """Returns a metric of some runs, by its readings; without runs that have no value."""

    def array(values: Iterable[float | None]) -> Values:
        return np.array([value for value in values if value is not None], dtype=float)

    if metric == EPOCHS:
        best, trained = READINGS[EPOCHS]
        return {best: array(r.best_epoch for r in records), trained: array(r.epochs_trained for r in records)}
    if metric == PARAMETERS:
        return {metric: array(r.trainable_parameters for r in records)}
    if metric.startswith("auc:"):
        return {metric: array(r.per_label.get(metric.removeprefix("auc:"), {}).get("auc") for r in records)}
    return {metric: array(r.scores.get(metric) for r in records)}


PublishedRows = dict[tuple[str, ...], dict[str, Any]]  # by task, protocol, metric, model, subset


def _published_rows(layout: TableLayout, published: pd.DataFrame) -> PublishedRows:
    rows = published[(published["paper"] == layout.suite) & (published["table"] == layout.name)].to_dict("records")
    return {tuple(row[name] for name in ("task", "protocol", "metric", "model", "subset")): row for row in rows}


def _printed(request: CellRequest, published: PublishedRows) -> dict[str, Any]:
    """Returns the paper's number of a cell; NaN and empty texts where it prints none."""
    keys = [
        (request.printed[0], request.protocol, request.metric, model, share)
        for model in request.printed[1]
        for share in request.printed_shares
    ]
    row = next((published[key] for key in keys if key in published), {})
    numbers = {name: known(row.get(name)) for name in PRINTED_NUMBERS}
    printed: dict[str, Any] = {f"published_{name}": math.nan if n is None else n for name, n in numbers.items()}
    printed |= {f"published_{name}": row.get(name, "") for name in ("model", "title", "unit", "note")}
    return printed | {name: row.get(name, "") for name in ("printed_mean", "printed_sd")}


def _published_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[f"published_{name}"] for name in PRINTED_NUMBERS}


def _p_of_printed(one: dict[str, Any], two: dict[str, Any]) -> float:
    first, second = (printed_moments(_published_numbers(row)) for row in (one, two))
    if first is None or second is None:
        return math.nan
    return t_from_moments(first.mean, first.sd, first.n, second.mean, second.sd, second.n).p


def _mark(rows: list[dict[str, Any]], prefix: str, p_of: Callable[[int, int], float]) -> None:
    """Writes into the rows which cell is the best of its task, share and metric, which others beat the baseline (by their
    means), and which do not differ from the best. A cell alone is not compared, nor are weights that were trained on the
    task's images.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        row |= {f"{prefix}{name}": False for name in ("best", "beats_baseline", "not_different")}
        row[f"{prefix}p_best"] = math.nan
        comparable = prefix or not row["overlap"]
        if not math.isnan(row[f"{prefix}mean"]) and row["metric"] != PARAMETERS and comparable:
            groups.setdefault((row["task"], row["subset"], row["metric"], row["reading"]), []).append(number)
    for group in groups.values():
        sign = -1 if rows[group[0]]["metric"] == EPOCHS else 1  # fewer epochs are better
        merit = {number: sign * rows[number][f"{prefix}mean"] for number in group}
        first = max(group, key=merit.__getitem__)
        baseline = max((merit[number] for number in group if rows[number]["baseline"]), default=math.inf)
        for number in group if len(group) > 1 else ():
            row = rows[number]
            if merit[number] == merit[first]:
                row[f"{prefix}best"] = True
            else:
                row[f"{prefix}p_best"] = p = p_of(number, first)
                row[f"{prefix}not_different"] = p >= SIGNIFICANT
                row[f"{prefix}beats_baseline"] = merit[number] > baseline


def _against_published(row: dict[str, Any], layout: TableLayout, data: ReportData, *, phantom: bool) -> dict[str, Any]:
    """Returns ours minus the paper's, tested where both answer the same question."""
    if phantom or row["state"] != RUN or math.isnan(row["published_mean"]):
        return {**dict.fromkeys(("difference", "low", "high", "p"), math.nan), "differs": ""}
    printed = {**_published_numbers(row), "paper": layout.suite, "table": layout.name}
    comparison = compare_with_printed(row, printed, row["keys"], data)
    gap = comparison.difference
    return {
        "difference": gap.mean,
        "low": gap.low,
        "high": gap.high,
        "p": gap.p,
        "differs": "; ".join(comparison.differs),
    }


def _notes(candidates: pd.DataFrame, blocks: Mapping[BlockRequest, str]) -> tuple[str, ...]:
    """Returns which of our blocks the table takes, and which it leaves out."""
    is_used = candidates["block"].isin(set(blocks.values()))
    used = candidates[is_used].drop_duplicates("block")
    notes = []
    if len(used):
        names = [f"{r.task} {r.block} ({r.setting})" if r.setting else f"{r.task} {r.block}" for r in used.itertuples()]
        notes.append(f"Ours: blocks {', '.join(names)}.")
    if len(left_out := candidates[~is_used]):
        num_runs = left_out.groupby(["task", "block", "data", "setting"], sort=False).size()
        names = [
            f"{task} {block} ({'phantoms, ' if kind == 'phantom' else ''}{setting or 'its own recipe'}: {plural(num, 'run')})"
            for (task, block, kind, setting), num in num_runs.items()
        ]
        notes.append(f"Left out: {first_few(names, 6)}.")
    return tuple(notes)
