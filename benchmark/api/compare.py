"""`compare`: two models, or a replication against a first run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import first_few

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from benchmark.reporting.replicates import Load
    from benchmark.results.record import RunRecord
    from benchmark.tasks.spec import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two models, or two runs of a grid, differ.

    `table`: a row for each task and setting, in the columns of `compare_sides` (`benchmark.reporting.compare`): means,
    `difference` (first minus second, scores in 0..1) with its 95 % interval, p-values and a `verdict`. `sentences`: the
    answer in words, for each kind of data (official, partial, own, phantom). `unread`: a line for each record that could
    not be read.
    """

    table: "pd.DataFrame"
    sentences: dict[str, list[str]]
    unread: list[str]


def compare(
    first: PathLike,
    second: PathLike,
    *,
    tasks: Names | None = None,
    margin: float = 1.0,
    test_sets: bool = True,
    results: PathLike | None = None,
    project: PathLike | None = None,
) -> Comparison:
    """Returns which of two models is better, by how much and how sure, or how a replication agrees with a first run.

    `first` and `second` name two models, as reports name them, or two results folders. `margin`, in points (100 x the
    score), is within which results count as equivalent. `test_sets`: whether the patients of the test split are drawn
    anew 1,000 times under all runs of both. Raises BenchmarkError where there is nothing to compare.

    >>> bm.compare("swav", "imagenet", tasks="TXC").sentences  # doctest: +SKIP
    """
    from benchmark.reporting.compare_sentences import comparison_sentences, replication_sentences
    from benchmark.tasks.registry import known_tasks

    one, two = str(first), str(second)
    if not 0 < margin < 100:
        raise BenchmarkError(f"--margin {margin:g}: wanted points above 0, below 100")
    folders = _is_results(one), _is_results(two)
    if any(folders) != all(folders):
        folder, other = (one, two) if folders[0] else (two, one)
        raise BenchmarkError(f"{folder} is a results folder, {other} is none: wanted two models or two folders")
    if all(folders) and results is not None:
        raise BenchmarkError("--results: two folders are compared with each other; it is for two models")
    workspace = find_places(results, None, project)
    known, names = known_tasks(workspace), join_names(tasks)
    if all(folders):
        table, counts, unread = _compare_folders(Path(one), Path(two), known, names, margin / 100, test_sets=test_sets)
    else:
        table, unread = _compare_models(one, two, workspace.results, known, names, margin / 100, test_sets=test_sets)
        counts = {}
    if table.empty:
        raise BenchmarkError(f"no cell of {one} or {two} has a score")
    sentences = {
        str(data): replication_sentences(rows, one, two, counts.get(str(data), (0, 0)))
        if all(folders)
        else comparison_sentences(rows, one, two)
        for data, rows in table.groupby("data", sort=False)
    }
    return Comparison(table=table, sentences=sentences, unread=unread)


def _is_results(name: str) -> bool:
    return (Path(name) / "cells").is_dir()


def _compare_models(
    first: str,
    second: str,
    results: Path,
    known: "dict[str, TaskSpec]",
    tasks: str | None,
    margin: float,
    *,
    test_sets: bool,
) -> "tuple[pd.DataFrame, list[str]]":
    from benchmark.reporting.compare import compare_sides, with_test_sets
    from benchmark.reporting.frame import frame_of
    from benchmark.results.store import Store
    from benchmark.tasks.shift import with_shifts

    records, unread = Store(results).records()
    known = with_shifts(known, (record.cell for record in records))
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
    rows = compare_sides(*sides, margin=margin)
    if test_sets:
        load = _predictions(Path(results), records)
        rows = with_test_sets(rows, sides, (load, load), known)
    return rows, unread


def _predictions(folder: Path, records: "Iterable[RunRecord]") -> "Load":
    from benchmark.results.store import Store

    cells = {record.key: record.cell for record in records}
    store = Store(folder.resolve())
    return lambda key: store.predictions(cells[key])


def _compare_folders(
    first: Path,
    second: Path,
    known: "dict[str, TaskSpec]",
    tasks: str | None,
    margin: float,
    *,
    test_sets: bool,
) -> "tuple[pd.DataFrame, dict[str, tuple[int, int]], list[str]]":
    """Returns the rows; for each kind of data how many cells both folders have, and how many of these are equal; and a line
    for each record that could not be read.
    """
    import pandas as pd

    from benchmark.reporting.compare import compare_sides, same_run, with_test_sets
    from benchmark.reporting.frame import frame_of
    from benchmark.results.store import Store
    from benchmark.tasks.shift import with_shifts

    if first.resolve() == second.resolve():
        raise BenchmarkError(f"{first} with itself: wanted two results folders")
    done: list[dict[str, RunRecord]] = []
    unread: list[str] = []
    for folder in (first, second):
        records, damaged = Store(folder.resolve()).records()
        done.append({record.key: record for record in records if record.status == "done"})
        unread += damaged
        if not done[-1]:
            raise BenchmarkError(f"no finished cell in {folder}")
    one, two = done
    known = with_shifts(known, (record.cell for record in (*one.values(), *two.values())))
    # names over both: weights that were replaced between the runs are told apart
    names = dict(frame_of([*(two | one).values()], known)[["key", "model"]].to_numpy())
    frames = []
    for records_by_key in done:
        frame = frame_of([*records_by_key.values()], known)
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
    rows = compare_sides(*frames, margin=margin, by=("block", "model"), equal=equal)
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
