"""`benchmark compare`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import Project, Results, Tasks, workspace_of
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import first_few

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from benchmark.report.replicates import Load
    from benchmark.results.record import RunRecord
    from benchmark.tasks.spec import TaskSpec


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A model, as reports name it; or a results folder.")],
    second: Annotated[
        str, typer.Argument(metavar="B", help="What A is compared with: a model, or a first run's folder.")
    ],
    *,
    tasks: Tasks = None,
    margin: Annotated[
        float, typer.Option("--margin", help="Points (of 100) within which results count as equivalent.")
    ] = 1.0,
    test_sets: Annotated[
        bool,
        typer.Option("--test-sets/--no-test-sets", help="Resample the test part by patient under all runs of both."),
    ] = True,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write the table here.", show_default=False)] = None,
    results: Results = None,
    project: Project = None,
) -> None:
    """Which is better, by how much, how sure, on which tasks: two models, or a replication against a first run.

    Differences are A - B, in points (100 x the score).
    """
    from benchmark.files import write_whole
    from benchmark.report.compare import answer, answer_of_replication
    from benchmark.report.table_writers import frame_csv
    from benchmark.tasks.registry import known_tasks

    if not 0 < margin < 100:
        raise BenchmarkError(f"--margin {margin:g}: wanted points above 0, below 100")
    folders = _is_results(first), _is_results(second)
    if any(folders) != all(folders):
        one, other = (first, second) if folders[0] else (second, first)
        raise BenchmarkError(f"{one} is a results folder, {other} is none: wanted two models or two folders")
    if all(folders) and results is not None:
        raise BenchmarkError("--results: two folders are compared with each other; it is for two models")
    workspace = workspace_of(results=results, project=project)
    known = known_tasks(workspace)
    if all(folders):
        rows, cells, unread = _of_folders(Path(first), Path(second), known, tasks, margin / 100, test_sets=test_sets)
    else:
        rows, unread = _of_models(first, second, workspace.results, known, tasks, margin / 100, test_sets=test_sets)
        cells = {}
    if rows.empty:
        raise BenchmarkError(f"no cell of {first} or {second} has a score")
    for data, of_data in rows.groupby("data", sort=False):
        said = (
            answer_of_replication(of_data, first, second, cells.get(str(data), (0, 0)))
            if all(folders)
            else answer(of_data, first, second)
        )
        _show(of_data, said, margin, first, second)
    if csv is not None:
        write_whole(csv, frame_csv(rows))
        typer.echo(f"{len(rows)} rows in {csv}")
    for line in unread:
        typer.echo(f"left out: {line}")


def _is_results(name: str) -> bool:
    return (Path(name) / "cells").is_dir()


def _of_models(
    first: str,
    second: str,
    results: Path,
    known: "dict[str, TaskSpec]",
    tasks: str | None,
    margin: float,
    *,
    test_sets: bool,
) -> "tuple[pd.DataFrame, list[str]]":
    from benchmark.report.compare import sides_of, with_test_sets
    from benchmark.report.frame import frame_of
    from benchmark.results.store import Store

    records, unread = Store(results).records()
    frame = frame_of(records, known)
    if frame.empty:
        raise BenchmarkError(f"no finished cell in {results}: benchmark run … first")
    for name in (first, second):
        if name not in set(frame["model"]):
            folder = f" ({name} is a folder without cells/)" if Path(name).is_dir() else ""
            raise BenchmarkError(
                f"no finished cell of {name!r} in {results}{folder}: {did_you_mean(name, set(frame['model']))}"
            )
    if first == second:
        raise BenchmarkError(f"{first} with itself: wanted two models, or two results folders")
    frame = _only(frame, tasks, known)
    sides = frame[frame["model"] == first], frame[frame["model"] == second]
    rows = sides_of(*sides, margin=margin)
    if test_sets:
        load = _predictions(Path(results), records)
        rows = with_test_sets(rows, sides, (load, load), known)
    return rows, unread


def _predictions(folder: Path, records: "Iterable[RunRecord]") -> "Load":
    from benchmark.results.store import Store

    cells = {record.key: record.cell for record in records}
    store = Store(folder.resolve())
    return lambda key: store.predictions(cells[key])


def _of_folders(
    first: Path,
    second: Path,
    known: "dict[str, TaskSpec]",
    tasks: str | None,
    margin: float,
    *,
    test_sets: bool,
) -> "tuple[pd.DataFrame, dict[str, tuple[int, int]], list[str]]":
    """The rows; for each kind of data how many cells both have, and how many are equal; what could not be read."""
    import pandas as pd

    from benchmark.report.compare import same_run, sides_of, with_test_sets
    from benchmark.report.frame import frame_of
    from benchmark.results.store import Store

    if first.resolve() == second.resolve():
        raise BenchmarkError(f"{first} with itself: wanted two results folders")
    held: list[dict[str, RunRecord]] = []
    unread: list[str] = []
    for folder in (first, second):
        records, damaged = Store(folder.resolve()).records()
        held.append({record.key: record for record in records if record.status == "done"})
        unread += damaged
        if not held[-1]:
            raise BenchmarkError(f"no finished cell in {folder}")
    one, two = held
    # names over both: weights that were replaced between the runs are told apart
    names = dict(frame_of([*(two | one).values()], known)[["key", "model"]].to_numpy())
    frames = []
    for its in held:
        frame = frame_of([*its.values()], known)
        frame["model"] = frame["key"].map(names)
        frames.append(_only(frame, tasks, known, none_is_fault=False))
    if frames[0].empty and frames[1].empty:
        raise BenchmarkError(f"no finished cell of {tasks} in {first} or {second}")
    shared = set(frames[0]["key"]) & set(frames[1]["key"])
    equal = {key for key in shared if same_run(one[key], two[key])}
    kinds = pd.concat(frames).drop_duplicates("key").set_index("key")["data"]
    cells = {
        data: (sum(kinds[key] == data for key in shared), sum(kinds[key] == data for key in equal))
        for data in set(kinds)
    }
    rows = sides_of(*frames, margin=margin, by=("block", "model"), equal=equal)
    if test_sets:
        loads = _predictions(first, one.values()), _predictions(second, two.values())
        rows = with_test_sets(rows, (frames[0], frames[1]), loads, known, by=("block", "model"))
    return rows, cells, unread


def _only(
    frame: "pd.DataFrame", tasks: str | None, known: "dict[str, TaskSpec]", *, none_is_fault: bool = True
) -> "pd.DataFrame":
    from benchmark.experiment.selection import select

    kinds = {task: known[task].kind if task in known else "" for task in dict.fromkeys([*known, *frame["task"]])}
    chosen = frame[frame["task"].isin(select(tasks or "all", kinds, noun="task"))]
    if chosen.empty and none_is_fault:
        raise BenchmarkError(
            f"no finished cell of {tasks}; there are some of {first_few(sorted(set(frame['task'])), 8)}"
        )
    return chosen


def _show(rows: "pd.DataFrame", said: list[str], margin: float, first: str, second: str) -> None:
    from benchmark.cli.console import out, table_of
    from benchmark.report.compare import place_of
    from benchmark.report.format import OVERLAP, UNKNOWN, difference, p_value, score, signed

    def side(row: "pd.Series[Any]", which: str) -> str:
        if not row[f"n_{which}"]:
            return UNKNOWN
        mark = f" {OVERLAP}" if row[f"overlap_{which}"] else ""
        return f"{score(row[f'mean_{which}'], row[f'sd_{which}'])} ({row[f'n_{which}']}){mark}"

    by_model = ["model"] * ("model" in rows)
    heads = (*by_model, "mean ± sd (n): A", "B", "A - B [95 % CI]", "p", "p (Holm)", "g")
    beside = ("paired [95 % CI]", "p (pairs)", f"p (within ± {margin:g})", "other test sets [95 %]", "A is")
    table = table_of("task", *heads, *beside)
    for _, row in rows.iterrows():
        paired = not math.isnan(row["paired_mean"])
        table.add_row(
            place_of(row),
            *(str(row[name]) for name in by_model),
            side(row, "first"),
            side(row, "second"),
            difference(row["difference"], row["low"], row["high"]),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            signed(row["g"]),
            difference(row["paired_mean"], row["paired_low"], row["paired_high"]),
            f"{p_value(row['paired_p'])} ({row['n_pairs']})" if paired else UNKNOWN,
            p_value(row["p_equivalent"]),
            difference(*(row.get(f"test_{name}") for name in ("difference", "low", "high"))),
            row["verdict"],
        )
    for line in said:
        typer.echo(line)
    typer.echo(f"\nA: {first}; B: {second}. 100 × {first_few(dict.fromkeys(rows['metric']), 5)}; sd with n - 1.")
    out().print(table)
