"""`report` and `figure`: the page, tables and figures of the finished cells."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.api.options import Names, PathLike, find_places, join_names
from benchmark.api.results import TestName
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import first_few, plural

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.experiment.suite import Suite
    from benchmark.reporting.data import ReportData
    from benchmark.reporting.figures.style import Plot
    from benchmark.reporting.table_writers import PrintedTable
    from benchmark.results.record import RunRecord
    from benchmark.results.store import Store
    from benchmark.tasks.spec import TaskSpec
    from benchmark.workspace import Workspace
    from benchmark.zoo.catalog import ZooEntry


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was written to `folder`.

    `files`: their names; `answers`: a sentence for each task and setting; `tables`: what the terminal shows; `rows`: the
    numbers of the table, in the columns of `summary` (None for a paper's tables and figures); `notes`: lines that must
    stand below the table; `suite`: what was reported, if it was a suite.
    """

    folder: Path
    files: list[str]
    tables: "list[PrintedTable]"
    answers: list[str] = field(default_factory=list)
    rows: "pd.DataFrame | None" = None
    notes: list[str] = field(default_factory=list)
    suite: "Suite | None" = None


def report(
    *,
    tasks: Names | None = None,
    models: Names | None = None,
    baseline: str | None = None,
    suite: PathLike | None = None,
    table: Sequence[str] = (),
    figure: Sequence[str] = (),
    test: TestName = "welch",
    bootstrap: Literal["patient", "image"] | None = None,
    submission: bool = False,
    name: str | None = None,
    output: PathLike | None = None,
    results: PathLike | None = None,
    project: PathLike | None = None,
) -> Report:
    """Writes the page, tables and figures of the finished cells, and returns where they are and what the tables say.

    `baseline`: the model that the others are tested against (`imagenet` where it was run, else fresh weights). `suite`:
    report the cells of this suite; with `table` or `figure` (names, or `all`), the tables and figures of its paper alone.
    `bootstrap`: also draw the test set anew, 1,000 times, by patient or by image. `submission`: also write a challenge's
    submission files. `output`: the folder (reports/NAME in the results folder). Raises BenchmarkError where there is
    nothing to report, and for unknown names.

    >>> bm.report(tasks="TXC", baseline="imagenet").folder  # doctest: +SKIP
    """
    from benchmark.reporting.bibliography import bibliography
    from benchmark.reporting.frame import model_notes
    from benchmark.reporting.replicates import with_replicates, with_replicates_of_single_runs
    from benchmark.reporting.report_files import paper_report, printed_tables, report_answers, whole_report
    from benchmark.reporting.tables import summary
    from benchmark.results.store import Store
    from benchmark.scoring.rescore import is_outdated, outdated_note

    workspace = find_places(results, None, project)
    plan = None if suite is None else _read_suite(str(suite), workspace)
    of_paper = bool(table or figure)
    if of_paper and plan is None:
        listed = _suites_with_tables(workspace)
        raise BenchmarkError(f"--table and --figure are of a suite: wanted --suite as well ({listed})")
    data = select_data(
        workspace, join_names(tasks), join_names(models), baseline, plan, of_paper=of_paper, may_be_empty=bool(table)
    )
    store = Store(workspace.results)
    notes = model_notes([record.cell for record in data.frame_records])
    notes += [f"left out: {line}" for line in data.unread]
    if outdated := outdated_note(sum(map(is_outdated, data.frame_records))):
        notes.append(outdated)
    if plan and of_paper:
        paper = paper_report(data, plan, list(table), list(figure))
        folder = _write(store, output, name or plan.name, paper.files)
        return Report(
            folder=folder, files=[*paper.files], tables=paper.tables, notes=[*paper.not_drawn, *notes], suite=plan
        )
    rows = summary(data.frame, data.baseline, test)
    if rows.empty:
        named = join_names(tasks) or (plan.tasks if plan else "these tasks")
        raise BenchmarkError(f"no cell of {named} in {workspace.results} has a score to report")
    if bootstrap:
        rows = with_replicates(rows, data.frame, data.predictions, data.tasks, bootstrap)
    else:
        rows = with_replicates_of_single_runs(rows, data.frame, data.predictions, data.tasks)
    if data.failed:
        failed = [record.cell.title for record in data.failed]
        notes.insert(0, f"{plural(len(failed), 'failed cell')} left out: {first_few(failed)}")
    reported = sorted({weights.name for record in data.frame_records for weights in record.cell.weights})
    bibtex = "\n".join(bibliography(reported, sorted(set(data.frame["task"])), data.entries, data.tasks))
    files = whole_report(data, rows, notes, bibtex)
    if submission:
        files |= _submissions(data.frame_records, store, data.tasks)
    title = name or (plan.name if plan else "+".join(dict.fromkeys(data.frame["task"])))
    return Report(
        folder=_write(store, output, title, files),
        files=[*files],
        tables=printed_tables(data, rows),
        answers=report_answers(data, rows),
        rows=rows,
        notes=notes,
        suite=plan,
    )


def figure(
    kind: str,
    *,
    tasks: Names | None = None,
    models: Names | None = None,
    baseline: str | None = None,
    results: PathLike | None = None,
    project: PathLike | None = None,
    **fields: Any,
) -> "Plot":
    """Returns a figure of the finished cells: `figure` (matplotlib), `table`, every number that is drawn, and `caption`.

    `kind` is one of the figures that suites describe (seeds, forest, convergence, ranks …), `fields` what such a figure
    takes. Raises BenchmarkError for an unknown kind or field, and where there is no data for it.

    >>> bm.figure("seeds", tasks="TXC").figure.savefig("seeds.pdf")  # doctest: +SKIP
    """
    from benchmark.reporting.figures.registry import figure_specs, plot

    spec = figure_specs({kind: {"kind": kind, **fields}})[kind]
    workspace = find_places(results, None, project)
    return plot(select_data(workspace, join_names(tasks), join_names(models), baseline), spec)


def select_data(
    workspace: "Workspace",
    tasks: str | None,
    models: str | None,
    baseline: str | None,
    suite: "Suite | None" = None,
    *,
    of_paper: bool = False,
    may_be_empty: bool = False,
) -> "ReportData":
    """Returns the results folder with the cells that the options name, and a baseline among them. Raises BenchmarkError.

    `of_paper`: a paper's tables take all cells; `may_be_empty`: what a paper printed can be shown before anything is run.
    """
    from benchmark.reporting.data import read_report_data
    from benchmark.reporting.tables import default_baseline

    data = read_report_data(workspace, suite)
    frame = data.frame
    if suite and not of_paper:
        tasks = tasks or suite.tasks
        frame = frame if models else _cells_of_suite(frame, suite, data.entries)
    if not (frame.empty and may_be_empty):
        frame = _select_cells(frame, tasks, models, data.tasks, workspace.results)
    run = set(frame["model"])
    if baseline and baseline not in run:
        raise BenchmarkError(f"--baseline {baseline}: no finished cell of it here: {did_you_mean(baseline, run)}")
    baseline = baseline or (suite.baseline if suite else "")
    return replace(data, frame=frame, baseline=baseline if baseline in run else default_baseline(frame))


def list_paper_parts(suite: PathLike, project: PathLike | None = None) -> tuple["Suite", list[str]]:
    """Returns a suite and a line for each table and figure of its paper."""
    from benchmark.reporting.figures.registry import figure_specs
    from benchmark.reporting.paper_tables import tables_in

    plan = _read_suite(str(suite), find_places(None, None, project))
    lines = [f"table {name}: {table.title}" for name, table in tables_in(plan).items()]
    return plan, lines + [
        f"figure {name}: {spec.title or spec.kind}" for name, spec in figure_specs(plan.figures).items()
    ]


def _read_suite(name: str, workspace: "Workspace") -> "Suite":
    from benchmark.experiment.suite import read_suite

    return read_suite(name, workspace.project / "tasks" / "suites")


def _suites_with_tables(workspace: "Workspace") -> str:
    from benchmark.experiment.suite import read_suites

    suites = read_suites(workspace.project / "tasks" / "suites").values()
    return ", ".join(suite.name for suite in suites if suite.tables or suite.figures) or "none has any"


def _write(store: "Store", output: PathLike | None, name: str, files: dict[str, bytes]) -> Path:
    """Writes a report's files into `output`, or into the results folder under its name; returns the folder."""
    if output is None:
        return store.put_report(name, files)
    from benchmark.files import write_atomically

    folder = Path(output).expanduser()
    for file, content in files.items():
        write_atomically(folder / file, content)
    return folder


def _select_cells(
    frame: "pd.DataFrame", tasks: str | None, models: str | None, known: "Mapping[str, TaskSpec]", results: Path
) -> "pd.DataFrame":
    """Returns the rows that the options name. Raises BenchmarkError where there are none."""
    from benchmark.experiment.selection import select

    if frame.empty:
        raise BenchmarkError(f"no finished cell in {results}: benchmark run … first")
    kinds = {task: known[task].kind if task in known else "" for task in dict.fromkeys([*known, *frame["task"]])}
    chosen = frame[frame["task"].isin(select(tasks or "all", kinds, noun="task"))]
    if models and models != "all" and len(chosen):
        families = dict(zip(chosen["model"], chosen["family"], strict=True))
        chosen = chosen[chosen["model"].isin(select(models, families, noun="model with results"))]
    if chosen.empty:
        raise BenchmarkError(
            f"no finished cell of {tasks} in {results}; there are some of {first_few(sorted(set(frame['task'])), 8)}"
        )
    return chosen


def _cells_of_suite(frame: "pd.DataFrame", suite: "Suite", entries: "Mapping[str, ZooEntry]") -> "pd.DataFrame":
    """Returns the rows of the suite's models that were run."""
    from benchmark.experiment.selection import select

    if suite.models == "all":
        return frame
    entry = frame["members"].map("+".join)
    families = {name: listed.family for name, listed in entries.items()}
    wanted = select(suite.models, dict.fromkeys(entry, "") | families, noun="model", coin=lambda name: name)
    return frame[entry.isin(wanted)]


def _submissions(records: "list[RunRecord]", store: "Store", tasks: "Mapping[str, TaskSpec]") -> dict[str, bytes]:
    """Returns a file for each cell that predicted images without labels; raises BenchmarkError where none did."""
    from benchmark.data.registry import submission_of

    files = {}
    for record in records:
        cell = record.cell
        predictions = store.unlabelled(cell)
        write = submission_of(tasks[cell.task]) if cell.task in tasks else None
        if predictions is not None and write is not None:
            model = re.sub(r"[^\w.+-]+", "-", cell.model)
            file = f"submission-{cell.task}-{model}-seed{cell.seed}-{cell.key[:8]}.csv"
            files[file] = write(predictions).to_csv(index=False).encode()
    if not files:
        raise BenchmarkError(
            "--submission: no cell here predicted images without labels: it is for challenges whose test has none "
            "(APTOS, PatchCam), with their test images in place when the cells were run"
        )
    return files
