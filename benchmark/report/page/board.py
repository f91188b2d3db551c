"""The leaderboard and the grid: every model in every table, and where runs are missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from benchmark.experiment.overlap import overlap
from benchmark.report.format import OVERLAP, SIGNIFICANT, UNKNOWN, difference, known, mean_sd, rounded, score, starred_p
from benchmark.report.frame import frame_of
from benchmark.report.page.contents import Contents
from benchmark.zoo.catalog import ZooEntry


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the leaderboard: what is written, and the numbers that it is sorted by. `p`: by correction."""

    model: str
    title: str
    href: str
    family: str
    task: str
    protocol: str
    setting: str
    data: str
    metric: str
    overlap: bool
    is_baseline: bool
    mean: float | None
    score: str
    n: int
    difference: float | None
    difference_text: str
    p: dict[str, float | None]
    p_text: str
    best_epoch: float | None
    best_epoch_text: str
    epochs: float | None
    epochs_text: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cell of the grid. `state`: done, partial, failed, missing, seen (not run: the weights saw the images) or
    unscored; `verdict`: better or worse than the baseline at p < 0.05, or nothing; `best`: the column's highest mean.
    """

    state: str
    text: str
    told: str = ""
    href: str = ""
    verdict: str = ""
    best: bool = False
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A table of results, as the grid's head names it."""

    block: str
    task: str
    title: str
    told: str
    data: str


@dataclass(frozen=True, kw_only=True)
class ModelMatrix:
    """Models down, tables across; `rows`: model, its family, its places."""

    columns: list[Column]
    rows: list[tuple[str, str, list[Place]]]
    holes: int


def board(contents: Contents) -> list[Line]:
    """One line per block and model, best mean first within each block. Corrections are over a block's tests against
    the baseline.
    """
    lines = []
    for _, block in contents.rows.groupby("block", sort=False):
        for row in block.sort_values("mean", ascending=False, kind="stable").to_dict("records"):
            own_p = {"none": rounded(row["p"]), "holm": rounded(row["p_holm"]), "bh": rounded(row["p_bh"])}
            lines.append(_line(row, own_p, contents))
    return lines


def grid(contents: Contents) -> ModelMatrix:
    """Every model that was run, or is wanted, in every table."""
    runs = _with_failed(contents)
    columns = _columns(runs, contents)
    models = in_zoo_order([*runs["model"], *(model for _, model in contents.wanted)], contents)
    results = {(row["block"], row["model"]): row for row in contents.rows.to_dict("records")}
    counts = runs.groupby(["block", "model", "failed"]).size().to_dict()
    most = runs.groupby(["block", "model"]).size().groupby("block").max().to_dict()
    highest: dict[Any, float] = (
        {block: rows["mean"].max() for block, rows in contents.rows.groupby("block")} if results else {}
    )
    rows, holes = [], 0
    for model in models:
        positions = []
        for column in columns:
            done, failed = counts.get((column.block, model, False), 0), counts.get((column.block, model, True), 0)
            wanted = contents.wanted.get((column.task, model), 0 if contents.wanted else most.get(column.block, 0))
            place = _place(column, model, results.get((column.block, model)), (done, failed, wanted), contents, highest)
            holes += place.state in ("partial", "failed", "missing")
            positions.append(place)
        rows.append((model, family_of(_members(model, contents), contents.entries), positions))
    return ModelMatrix(columns=columns, rows=rows, holes=holes)


def in_zoo_order(models: Iterable[str], contents: Contents) -> list[str]:
    """Each once, as the zoo lists them; those of no entry last."""
    order = {name: place for place, name in enumerate(contents.entries)}
    return sorted(dict.fromkeys(models), key=lambda model: (order.get(_members(model, contents)[0], len(order)), model))


def _line(row: dict[Any, Any], own_p: dict[str, float | None], contents: Contents) -> Line:
    number_of = {name: known(value) for name, value in row.items() if isinstance(value, int | float)}
    mean, sd = number_of["mean"], number_of["sd"]
    model, is_baseline = str(row["model"]), bool(row["is_baseline"])
    entry = contents.entries.get(_members(model, contents)[0])
    text = difference(number_of["difference"], number_of["low"], number_of["high"])
    return Line(
        model=model,
        title=entry.title if entry else "",
        href=address(str(row["block"]), model),
        family=family_of(_members(model, contents), contents.entries),
        task=str(row["task"]),
        protocol=str(row["protocol"]),
        setting=str(row["setting"]),
        data=str(row["data"]),
        metric=str(row["metric"]),
        overlap=bool(row["overlap"]),
        is_baseline=is_baseline,
        mean=mean,
        score=score(mean, sd),
        n=int(number_of["n"] or 0),
        difference=number_of["difference"],
        difference_text="baseline" if is_baseline else text,
        p=own_p,
        p_text=starred_p(own_p["none"]),
        best_epoch=number_of["best_epoch"],
        best_epoch_text=mean_sd(number_of["best_epoch"], number_of["best_epoch_sd"], 1),
        epochs=number_of["epochs_trained"],
        epochs_text=mean_sd(number_of["epochs_trained"], number_of["epochs_trained_sd"], 1),
    )


def _place(
    column: Column,
    model: str,
    row: dict[Any, Any] | None,
    counted: tuple[int, int, int],
    contents: Contents,
    highest: dict[Any, float],
) -> Place:
    done, failed, wanted = counted
    told = f"{done}/{max(wanted, done)}" + (f", {failed} failed" if failed else "")
    if row is not None:
        mean, p, gain = (known(row[name]) for name in ("mean", "p", "difference"))
        seen = bool(row["overlap"])
        sure = p is not None and p < SIGNIFICANT and gain is not None and not seen
        verdict = ("better" if (gain or 0) > 0 else "worse") if sure else ""
        hint = f"{verdict} than {row['baseline']}, p < {SIGNIFICANT}, not corrected" if verdict else ""
        return Place(
            state="failed" if failed else "done" if done >= wanted else "partial",
            text=f"{score(mean)} {OVERLAP}" if seen else score(mean),
            told=told,
            href=address(column.block, model),
            verdict=verdict,
            best=mean == highest[column.block],
            hint=hint,
        )
    if done:
        return Place(
            state="unscored", text=UNKNOWN, told=told, href=address(column.block, model), hint="no run has a score"
        )
    if failed:
        return Place(state="failed", text="failed", told=told)
    if seen_by := _saw(model, column, contents):
        return Place(state="seen", text=UNKNOWN, hint=f"not run: the weights were trained on {', '.join(seen_by)}")
    return Place(state="missing", text="", told=f"0/{wanted}") if wanted else Place(state="none", text="")


def _saw(model: str, column: Column, contents: Contents) -> tuple[str, ...]:
    task = contents.tasks.get(column.task)
    entries = [contents.entries[name] for name in _members(model, contents) if name in contents.entries]
    if task is None:
        return ()
    return tuple(name for entry in entries for name in overlap(entry, task, phantom=column.data == "phantom"))


def _with_failed(contents: Contents) -> pd.DataFrame:
    """The frame, and the failed cells as rows of it, so that each finds its table; `failed` tells them apart."""
    frame = contents.frame.assign(failed=False)
    if not contents.failed:
        return frame
    as_done = [record.model_copy(update={"status": "done"}) for record in contents.failed]
    # one done record of each weights beside them, by which names that stand for two files are told apart
    others = {record.cell.weights: record for record in contents.records}
    both = frame_of([*others.values(), *as_done], contents.tasks)
    failed = both[both["key"].isin({record.key for record in contents.failed})]
    return pd.concat([frame, failed.assign(failed=True)], ignore_index=True)


def _columns(runs: pd.DataFrame, contents: Contents) -> list[Column]:
    firsts = runs.drop_duplicates("block")
    alone = {task for task, num in firsts["task"].value_counts().items() if num == 1}
    columns = []
    for row in firsts.to_dict("records"):
        told = "" if row["task"] in alone else ", ".join(filter(None, [row["protocol"], row["setting"]]))
        columns.append(Column(block=row["block"], task=row["task"], title=row["title"], told=told, data=row["data"]))
    there = {column.task for column in columns}
    data = "phantom" if {column.data for column in columns} == {"phantom"} else ""
    for task in dict.fromkeys(task for task, _ in contents.wanted):
        if task not in there:
            title = contents.tasks[task].title if task in contents.tasks else task
            columns.append(Column(block=f"none-{task}", task=task, title=title, told="not begun", data=data))
    return columns


def _members(model: str, contents: Contents) -> tuple[str, ...]:
    # a failed cell's model may have no done one to be told apart from, and so another name than any in the frame
    return contents.members.get(model, (model,))


def address(block: str, model: str) -> str:
    """Returns the part of the page's address that opens a cell of the matrix."""
    return f"#cell/{quote(block, safe='')}/{quote(model, safe='')}"


def family_of(members: Iterable[str], entries: Mapping[str, ZooEntry]) -> str:
    """Returns the family of a model's zoo entries; `scratch` for fresh weights, joined by + where members differ."""
    told = [
        entries[name].family if name in entries else "scratch" if name.startswith("scratch") else "not in the zoo"
        for name in members
    ]
    return " + ".join(dict.fromkeys(told))
