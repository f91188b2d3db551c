"""Records and published numbers -> the cells of a paper's table, one row each: ours, the paper's, and their tests.

A cell takes the runs of one block: official images before phantoms, which never stand in one table; then the recipe
that the cell asks for (the task's own, where it says nothing), then the recipe that most runs of the table have. What
is not run is told, never filled in. The tests within a table are Student's t of independent runs, as in the first paper
(Hosseinzadeh Taher 2021, section 2); that of ours against the paper's is Welch's, from its mean, sd and n.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cell import Cell
from benchmark.experiment.suite import own_recipe
from benchmark.report.against_paper import compare_with_printed
from benchmark.report.data import ReportData
from benchmark.report.format import SIGNIFICANT
from benchmark.report.frame import Changes, cell_changes, members_of
from benchmark.report.paper_tables import EPOCHS, PARAMETERS, READINGS, CellRequest, TableLayout
from benchmark.results.record import RunRecord
from benchmark.stats.significance import independent_t, sample_sd, t_from_moments
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

RUN, NOT_RUN, NOT_APPLICABLE = "run", "not run", "not applicable"


@dataclass(frozen=True, kw_only=True)
class TableNumbers:
    """A table's numbers: `cells` tidy, a row for each cell and reading; `phantom`: ours are of phantoms; `notes`."""

    layout: TableLayout
    cells: pd.DataFrame
    phantom: bool
    notes: tuple[str, ...]


def table_numbers(layout: TableLayout, data: ReportData) -> TableNumbers:
    """The table's cells. Columns: where a cell stands and what it asks for; `state`; of ours `mean`, `sd` (ddof 1), `n`,
    `best`, `beats_baseline`, `p_best` (against the best), `not_different` (p_best of 0.05 and more); the same of the
    paper's with `published_` before; `difference` (ours minus the paper's), `low`, `high` and `p` of the two, or `differs`:
    why they are not tested.
    """
    wanted = _candidates(layout, data)
    kinds = sorted(set(wanted["data"]))
    phantom = kinds == ["phantom"]
    blocks = _blocks(layout, wanted[wanted["data"] == (kinds[0] if kinds else "")])
    in_print = _of_table(layout, data.published)
    ran = dict(list(wanted.groupby(["block", "entry"], sort=False)))
    rows: list[dict[str, Any]] = []
    runs = []
    for asked in layout.cells:
        printed = _printed(asked, in_print)
        told, values = _ours(asked, ran, blocks.get(_place(asked), ""), data, phantom=phantom)
        for reading in READINGS.get(asked.metric, (asked.metric,)):
            place = {"row": " · ".join(filter(None, layout.rows[asked.row])), "row_number": asked.row}
            place |= {"column": " · ".join(filter(None, layout.columns[asked.column])), "column_number": asked.column}
            asks = {"task": asked.task, "protocol": asked.protocol, "subset": asked.share, "metric": asked.metric}
            found = values.get(reading, np.empty(0))
            ours = {**told, "mean": found.mean() if found.size else math.nan, "sd": sample_sd(found), "n": found.size}
            ours["state"] = NOT_RUN if ours["state"] == RUN and not found.size else ours["state"]
            row = {"suite": layout.suite, "table": layout.name, **place, **asks, "reading": reading, **ours, **printed}
            rows.append({**row, "baseline": asked.baseline, "chosen": len(asked.models) > 1})
            runs.append(found)
    _mark(rows, "", lambda one, two: independent_t(runs[one], runs[two]).p)
    _mark(rows, "published_", lambda one, two: _p_of_moments(rows[one], rows[two]))
    rows = [{**row, **_against_published(row, layout, data, phantom=phantom)} for row in rows]
    cells = pd.DataFrame(rows).drop(columns="keys")
    return TableNumbers(layout=layout, cells=cells, phantom=phantom, notes=_notes(wanted, blocks))


def _candidates(layout: TableLayout, data: ReportData) -> pd.DataFrame:
    """The frame's rows that some cell of the table could take."""
    pairs = {(a.task, a.protocol, a.share, model) for a in layout.cells for model in a.models}
    frame = data.frame.assign(entry=data.frame["members"].map("+".join))
    keys = zip(frame["task"], frame["protocol"], frame["share"], frame["entry"], strict=True)
    kept = frame[np.array([key in pairs for key in keys], dtype=bool)]
    recipes = {
        block: _setting(data.records[key].cell, data.tasks.get(task))
        for block, task, key in zip(kept["block"], kept["task"], kept["key"], strict=True)
    }
    return kept.assign(recipe=[recipes[block] for block in kept["block"]])


def _setting(cell: Cell, task: TaskSpec | None) -> Changes:
    return cell_changes(cell, own_recipe(task, cell.protocol))


Place = tuple[str, str, str, Changes]  # task, protocol, share, recipe asked for


def _place(asked: CellRequest) -> Place:
    return asked.task, asked.protocol, asked.share, asked.changes


def _blocks(layout: TableLayout, wanted: pd.DataFrame) -> dict[Place, str]:
    """The block of each kind of cell, where one was run."""
    usual = Counter(zip(wanted["recipe"], wanted["folds"].notna(), strict=True))
    sizes = Counter(wanted["block"])
    chosen = {}
    for place in dict.fromkeys(map(_place, layout.cells)):
        task, protocol, share, setting = place
        fits = wanted[(wanted["task"] == task) & (wanted["protocol"] == protocol) & (wanted["share"] == share)]
        ranked = sorted(
            (_unlike(recipe, setting), -usual[recipe, folded], -sizes[block], block)
            for block, recipe, folded in set(zip(fits["block"], fits["recipe"], fits["folds"].notna(), strict=True))
        )
        if ranked:
            chosen[place] = ranked[0][-1]
    return chosen


def _unlike(one: Changes, other: Changes) -> int:
    """In how many fields two recipes differ."""
    return len({change.name for change in set(one) ^ set(other)})


def _ours(
    asked: CellRequest, ran: Mapping[Any, pd.DataFrame], block: str, data: ReportData, *, phantom: bool
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """What was run for a cell, in words, and the values of its runs by reading. `ran`: by block and entry."""
    told: dict[str, Any] = {"model": asked.models[0] if len(asked.models) == 1 else "", "state": NOT_RUN, "note": ""}
    told |= {"block": "", "setting": "", "data": "", "overlap": False, "keys": ()}
    told |= {"num_images": None, "num_published": None}
    best: dict[str, NDArray[np.float64]] = {}
    for model in asked.models:
        runs = ran.get((block, model))
        if runs is None:
            continue
        if (models := runs["model_id"].nunique()) > 1:
            told["note"] = f"{model} stands for {plural(models, 'model')}: --models chooses one"
            continue
        values = _values(asked.metric, [data.records[key] for key in runs["key"]])
        first = next(iter(values.values()))
        if first.size and (not best or first.mean() > next(iter(best.values())).mean()):
            best = values
            told |= {"model": model, "state": RUN, "block": block, "setting": runs["setting"].iloc[0]}
            told |= {"data": runs["data"].iloc[0], "overlap": bool(runs["overlap"].any()), "keys": tuple(runs["key"])}
            told |= {name: runs[name].iloc[0] for name in ("num_images", "num_published")}
    if (
        told["state"] != RUN
        and asked.task
        and all(_seen(model, asked.task, data, phantom=phantom) for model in asked.models)
    ):
        told["state"] = NOT_APPLICABLE
    return told, best


def _values(metric: str, records: list[RunRecord]) -> dict[str, NDArray[np.float64]]:
    """A metric of some runs, by its readings; runs without a value are left out."""

    def known(values: Iterable[float | None]) -> NDArray[np.float64]:
        return np.array([value for value in values if value is not None], dtype=float)

    if metric == EPOCHS:
        best, trained = READINGS[EPOCHS]
        return {best: known(r.best_epoch for r in records), trained: known(r.epochs_trained for r in records)}
    if metric == PARAMETERS:
        return {metric: known(r.trainable_parameters for r in records)}
    if metric.startswith("auc:"):
        return {metric: known(r.per_label.get(metric.removeprefix("auc:"), {}).get("auc") for r in records)}
    return {metric: known(r.scores.get(metric) for r in records)}


def _seen(model: str, task: str, data: ReportData, *, phantom: bool) -> bool:
    """Whether the weights, or some of those that are joined, were trained on the task's images."""
    return bool(data.overlapping(members_of(model), task, phantom=phantom))


Printed = dict[tuple[str, ...], dict[str, Any]]  # task, protocol, metric, model, subset -> the published row


def _of_table(layout: TableLayout, published: pd.DataFrame) -> Printed:
    rows = published[(published["paper"] == layout.suite) & (published["table"] == layout.name)].to_dict("records")
    return {tuple(row[name] for name in ("task", "protocol", "metric", "model", "subset")): row for row in rows}


def _printed(asked: CellRequest, printed: Printed) -> dict[str, Any]:
    """The paper's number of a cell; NaN and empty words where it prints none."""
    keys = [
        (asked.printed[0], asked.protocol, asked.metric, model, share)
        for model in asked.printed[1]
        for share in asked.printed_shares
    ]
    row = next((printed[key] for key in keys if key in printed), {})
    numbers = {name: row.get(name) for name in ("mean", "sd", "half_width", "ddof", "n")}
    told = {f"published_{name}": math.nan if pd.isna(value) else float(value) for name, value in numbers.items()}
    told |= {f"published_{name}": row.get(name, "") for name in ("model", "title", "unit", "note")}
    return told | {name: row.get(name, "") for name in ("printed_mean", "printed_sd")}


def _p_of_moments(one: dict[str, Any], two: dict[str, Any]) -> float:
    ours, theirs = _moments(one), _moments(two)
    return math.nan if ours is None or theirs is None else t_from_moments(*ours, *theirs).p


def _moments(row: dict[str, Any]) -> tuple[float, float, int] | None:
    """A published mean, its sd over n - 1 (one of unknown divisor is taken for that), and n; None where one is missing."""
    mean, sd, n = row["published_mean"], row["published_sd"], row["published_n"]
    if math.isnan(mean) or math.isnan(sd) or math.isnan(n):
        return None
    return mean, sd * math.sqrt(n / (n - 1)) if row["published_ddof"] == 0 else sd, int(n)


def _mark(rows: list[dict[str, Any]], of: str, p_of: Callable[[int, int], float]) -> None:
    """Write which cell is the best of those it may be compared with, which others beat the baseline (by their means),
    and which do not differ from the best. Cells alone, and weights that saw the images, are not compared.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        row |= {f"{of}best": False, f"{of}beats_baseline": False, f"{of}not_different": False, f"{of}p_best": math.nan}
        if not math.isnan(row[f"{of}mean"]) and row["metric"] != PARAMETERS and (of or not row["overlap"]):
            groups.setdefault((row["task"], row["subset"], row["metric"], row["reading"]), []).append(place)
    for group in groups.values():
        sign = -1 if rows[group[0]]["metric"] == EPOCHS else 1
        merit = {place: sign * rows[place][f"{of}mean"] for place in group}
        first = max(group, key=merit.__getitem__)
        bar = max((merit[place] for place in group if rows[place]["baseline"]), default=math.inf)
        for place in group if len(group) > 1 else ():
            rows[place][f"{of}best"] = best = merit[place] == merit[first]
            if not best:
                rows[place][f"{of}p_best"] = p = p_of(place, first)
                rows[place][f"{of}not_different"] = p >= SIGNIFICANT
                rows[place][f"{of}beats_baseline"] = merit[place] > bar


def _against_published(row: dict[str, Any], layout: TableLayout, data: ReportData, *, phantom: bool) -> dict[str, Any]:
    """Ours minus the paper's, tested where both are of one question."""
    nothing = {**dict.fromkeys(("difference", "low", "high", "p"), math.nan), "differs": ""}
    if phantom or row["state"] != RUN or math.isnan(row["published_mean"]):
        return nothing
    printed = {name: row[f"published_{name}"] for name in ("mean", "sd", "ddof", "n")}
    found = compare_with_printed(row, {**printed, "paper": layout.suite, "table": layout.name}, row["keys"], data)
    values = {name: getattr(found.difference, name) for name in ("low", "high", "p")}
    return {"difference": found.difference.mean, **values, "differs": "; ".join(found.differs)}


def _notes(wanted: pd.DataFrame, blocks: Mapping[Place, str]) -> tuple[str, ...]:
    """Which of our blocks the table takes, and which it leaves out."""
    taken = wanted[wanted["block"].isin(set(blocks.values()))]
    notes = []
    if len(taken):
        told = taken.drop_duplicates("block")
        named = [f"{r.task} {r.block}" + f" ({r.setting})" * bool(r.setting) for r in told.itertuples()]
        notes.append(f"Ours: blocks {', '.join(named)}.")
    left = wanted[~wanted["block"].isin(set(blocks.values()))]
    if len(left):
        counts = left.groupby(["task", "block", "data", "setting"], sort=False).size()
        named = [
            f"{task} {block} ({'phantoms, ' * (data == 'phantom')}{setting or 'its own recipe'}: {plural(size, 'run')})"
            for (task, block, data, setting), size in counts.items()
        ]
        notes.append(f"Left out: {first_few(named, 6)}.")
    return tuple(notes)
