"""The matrix of models and tasks: each result once, and where runs are missing."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.reporting.data import ReportData
from benchmark.reporting.format import OVERLAP, SIGNIFICANT, UNKNOWN, known, score
from benchmark.reporting.frame import frame_of
from benchmark.reporting.metric_facts import direction, directions
from benchmark.reporting.page.leaderboard import address, family_name, in_zoo_order, members_in


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """A model in a block. `state`: done, partial, failed, missing, overlap (not run: the weights were trained on the task's
    images), unscored or none; `runs`: how many are done of those requested; `verdict`: better or worse than the baseline
    at p < 0.05, or nothing; `best`: the column's best mean; `hint`: what the state or verdict means.
    """

    state: str
    text: str
    runs: str = ""
    href: str = ""
    verdict: str = ""
    best: bool = False
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class MatrixColumn:
    """A block, as the matrix's head names it; `setting`: what tells it from other blocks of its task."""

    block: str
    task: str
    title: str
    setting: str
    data: str


@dataclass(frozen=True, kw_only=True)
class ResultsMatrix:
    """Models down, blocks across; `rows`: model, its family, its cells; `num_incomplete`: cells that lack runs."""

    columns: list[MatrixColumn]
    rows: list[tuple[str, str, list[MatrixCell]]]
    num_incomplete: int


def results_matrix(data: ReportData, rows: pd.DataFrame) -> ResultsMatrix:
    """Returns every model that was run, or is requested, in every block. Without a suite, as many runs are expected of a
    model as the model with the most runs has in that block.
    """
    runs = _with_failed(data)
    columns = _columns(runs, data)
    results = {(row["block"], row["model"]): row for row in rows.to_dict("records")}
    num_runs = runs.groupby(["block", "model", "failed"]).size().to_dict()
    most_runs = runs.groupby(["block", "model"]).size().groupby("block").max().to_dict()
    best = (rows["mean"] * directions(rows["metric"])).groupby(rows["block"]).max().to_dict() if len(rows) else {}
    matrix = []
    for model in in_zoo_order([*runs["model"], *(model for _, model in data.requested_runs)], data):
        cells = []
        for column in columns:
            done, failed = (num_runs.get((column.block, model, status), 0) for status in (False, True))
            expected = 0 if data.requested_runs else most_runs.get(column.block, 0)
            requested = data.requested_runs.get((column.task, model), expected)
            result = results.get((column.block, model))
            if result is None:
                cells.append(_without_score(data, column, model, (done, failed, requested)))
            else:
                cells.append(_with_score(result, best[column.block], (done, failed, requested)))
        matrix.append((model, family_name(members_in(data, model), data.entries), cells))
    incomplete = sum(cell.state in ("partial", "failed", "missing") for *_, cells in matrix for cell in cells)
    return ResultsMatrix(columns=columns, rows=matrix, num_incomplete=incomplete)


def _with_score(row: dict[Any, Any], best: float, counts: tuple[int, int, int]) -> MatrixCell:
    done, failed, requested = counts
    p, gain = known(row["p"]), known(row["difference"])
    verdict = ""
    if p is not None and gain is not None and p < SIGNIFICANT and not row["overlap"]:
        verdict = "better" if gain * direction(row["metric"]) > 0 else "worse"
    return MatrixCell(
        state="failed" if failed else "done" if done >= requested else "partial",
        text=f"{score(row['mean'])} {OVERLAP}" if row["overlap"] else score(row["mean"]),
        runs=_runs_text(*counts),
        href=address(row["block"], row["model"]),
        verdict=verdict,
        best=row["mean"] * direction(row["metric"]) == best,
        hint=f"{verdict} than {row['baseline']}, p < {SIGNIFICANT}, not corrected" if verdict else "",
    )


def _without_score(data: ReportData, column: MatrixColumn, model: str, counts: tuple[int, int, int]) -> MatrixCell:
    done, failed, requested = counts
    runs = _runs_text(*counts)
    if done:
        hint = "no run has a score"
        return MatrixCell(state="unscored", text=UNKNOWN, runs=runs, href=address(column.block, model), hint=hint)
    if failed:
        return MatrixCell(state="failed", text="failed", runs=runs)
    if names := data.overlapping(members_in(data, model), column.task, phantom=column.data == "phantom"):
        hint = f"not run: the weights were trained on {', '.join(names)}"
        return MatrixCell(state="overlap", text=UNKNOWN, hint=hint)
    return MatrixCell(state="missing", text="", runs=runs) if requested else MatrixCell(state="none", text="")


def _runs_text(done: int, failed: int, requested: int) -> str:
    return f"{done}/{max(requested, done)}" + (f", {failed} failed" if failed else "")


def _with_failed(data: ReportData) -> pd.DataFrame:
    """Returns the frame and the failed cells as rows of it, so that each is in its block; `failed` says which they are."""
    frame = data.frame.assign(failed=False)
    if not data.failed:
        return frame
    as_done = [record.model_copy(update={"status": "done"}) for record in data.failed]
    # one done record of each weights with them, so that a name that stands for two files is told apart here too
    others = {record.cell.weights: record for record in data.frame_records}
    both = frame_of([*others.values(), *as_done], data.tasks)
    failed = both[both["key"].isin({record.key for record in data.failed})]
    return pd.concat([frame, failed.assign(failed=True)], ignore_index=True)


def _columns(runs: pd.DataFrame, data: ReportData) -> list[MatrixColumn]:
    firsts = runs.drop_duplicates("block")
    num_blocks = firsts["task"].value_counts()
    columns = []
    for row in firsts.to_dict("records"):
        setting = ", ".join(filter(None, [row["protocol"], row["setting"]])) if num_blocks[row["task"]] > 1 else ""
        columns.append(
            MatrixColumn(block=row["block"], task=row["task"], title=row["title"], setting=setting, data=row["data"])
        )
    kind = "phantom" if {column.data for column in columns} == {"phantom"} else ""
    for task in dict.fromkeys(task for task, _ in data.requested_runs if task not in num_blocks):
        title = data.tasks[task].title if task in data.tasks else task
        columns.append(MatrixColumn(block=f"none-{task}", task=task, title=title, setting="not begun", data=kind))
    return columns
