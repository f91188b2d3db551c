"""`benchmark report`."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmark.cli.options import Models, Project, Results, SuiteFile, SuiteName, Tasks, one_suite, workspace_of
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import first_few, plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from benchmark.experiment.suite import Suite
    from benchmark.report.data import ReportData
    from benchmark.report.table_writers import PrintedTable
    from benchmark.results.record import RunRecord
    from benchmark.results.store import Store
    from benchmark.tasks.spec import TaskSpec
    from benchmark.zoo.catalog import ZooEntry


def report(
    suite_file: SuiteFile = None,
    *,
    tasks: Tasks = None,
    models: Models = None,
    baseline: Annotated[
        str | None, typer.Option(help="Model that the others are tested against (default: imagenet, else scratch).")
    ] = None,
    suite: SuiteName = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="A table of the suite's paper by its number; all; list. May be repeated.", show_default=False
        ),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option(help="A figure of the suite by its name; all; list. May be repeated.", show_default=False),
    ] = None,
    test: Annotated[
        Literal["student", "welch", "paired", "wilcoxon"],
        typer.Option(help="Test against the baseline; paired and wilcoxon: of runs of the same seed."),
    ] = "welch",
    bootstrap: Annotated[
        Literal["patient", "image"] | None,
        typer.Option(help="Also resample the test set, 1,000 times, by patient or by image.", show_default=False),
    ] = None,
    submission: Annotated[
        bool, typer.Option("--submission", help="Also write a challenge's submission file per cell (APTOS, PatchCam).")
    ] = False,
    name: Annotated[str | None, typer.Option(help="The report's name (default: the suite or the tasks).")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder to write to (default: reports/NAME in the results folder).", show_default=False
        ),
    ] = None,
    results: Results = None,
    project: Project = None,
) -> None:
    """Page, tables and figures from the records: mean ± sd (n), tests against a baseline, epochs.

    Writes report.html, CSV, Markdown, LaTeX, PNG and SVG; with --table or --figure, those of the suite's paper alone.
    """
    from benchmark.experiment.suite import read_suite
    from benchmark.report.data import read_report_data
    from benchmark.report.frame import model_notes
    from benchmark.report.replicates import with_answers_of_one_run, with_replicates
    from benchmark.report.report_files import paper_report, printed_tables, whole_report
    from benchmark.report.tables import default_baseline, summary
    from benchmark.results.store import Store
    from benchmark.scoring.rescore import is_outdated, outdated_note

    suite = one_suite(suite_file, suite)
    workspace = workspace_of(results=results, project=project)
    folder = workspace.project / "tasks" / "suites"
    grid = read_suite(suite, folder) if suite else None
    asked = [*(table or ()), *(figure or ())]
    if asked and grid is None:
        raise BenchmarkError(f"--table and --figure are of a suite: wanted --suite as well ({_with_tables(folder)})")
    if grid and "list" in asked:
        _list(grid)
        return
    data = read_report_data(workspace, grid)
    frame = data.frame
    if grid and not asked:
        tasks = tasks or grid.tasks
        frame = frame if models else _of_suite(frame, grid, data.entries)
    if not (frame.empty and table):  # what the paper printed can be shown before anything is run
        frame = _selected(frame, tasks, models, data.tasks, workspace.results)
    run = set(frame["model"])
    if baseline and baseline not in run:
        raise BenchmarkError(f"--baseline {baseline}: no finished cell of it here: {did_you_mean(baseline, run)}")
    baseline = baseline or (grid.baseline if grid else "")
    data = replace(data, frame=frame, baseline=baseline if baseline in run else default_baseline(frame))
    store = Store(workspace.results)
    notes = model_notes([record.cell for record in data.frame_records])
    notes += [f"left out: {line}" for line in data.unread]
    if outdated := outdated_note(sum(map(is_outdated, data.frame_records))):
        notes.append(outdated)
    if grid and asked:
        made = paper_report(data, grid, table or [], figure or [])
        _print(made.tables)
        _tell([*made.not_drawn, *notes], made.files, _write(store, output, name or grid.name, made.files))
        return
    rows = summary(frame, data.baseline, test)
    if rows.empty:
        raise BenchmarkError(f"no cell of {tasks or 'these tasks'} in {workspace.results} has a score to report")
    if bootstrap:
        rows = with_replicates(rows, frame, data.predictions, data.tasks, bootstrap)
    else:
        rows = with_answers_of_one_run(rows, frame, data.predictions, data.tasks)
    if data.failed:
        failed = [record.cell.title for record in data.failed]
        notes.insert(0, f"{plural(len(failed), 'failed cell')} left out: {first_few(failed)}")
    files = whole_report(data, rows, notes, _bibtex(data))
    if submission:
        files |= _submissions(data.frame_records, store, data.tasks)
    where = _write(store, output, name or (grid.name if grid else "+".join(dict.fromkeys(frame["task"]))), files)
    _print(printed_tables(data, rows))
    _tell(notes, files, where)
    if grid and grid.tables:
        typer.echo(f"tables of the paper: benchmark report --suite {suite} --table all (or {', '.join(grid.tables)})")


def _write(store: "Store", output: Path | None, name: str, files: dict[str, bytes]) -> Path:
    """Write a report's files into `output`, or into the results folder under its name; the folder."""
    if output is None:
        return store.put_report(name, files)
    from benchmark.files import write_whole

    for file, content in files.items():
        write_whole(output / file, content)
    return output


def _selected(
    frame: "pd.DataFrame",
    tasks: str | None,
    models: str | None,
    known: "Mapping[str, TaskSpec]",
    results: "Path",
) -> "pd.DataFrame":
    """The rows that the options name. Raises BenchmarkError where there are none."""
    from benchmark.experiment.selection import select

    if frame.empty:
        raise BenchmarkError(f"no finished cell in {results}: benchmark run … first")
    kinds = {task: known[task].kind if task in known else "" for task in dict.fromkeys([*known, *frame["task"]])}
    kept = frame[frame["task"].isin(select(tasks or "all", kinds, noun="task"))]
    if models and models != "all" and len(kept):
        families = dict(zip(kept["model"], kept["family"], strict=True))
        kept = kept[kept["model"].isin(select(models, families, noun="model with results"))]
    if kept.empty:
        raise BenchmarkError(
            f"no finished cell of {tasks} in {results}; there are some of {first_few(sorted(set(frame['task'])), 8)}"
        )
    return kept


def _of_suite(frame: "pd.DataFrame", grid: "Suite", entries: "Mapping[str, ZooEntry]") -> "pd.DataFrame":
    """The rows of the suite's models: those of them that were run."""
    from benchmark.experiment.selection import select

    if grid.models == "all":
        return frame
    entry = frame["members"].map("+".join)
    families = {name: listed.family for name, listed in entries.items()}
    wanted = select(grid.models, dict.fromkeys(entry, "") | families, noun="model", coin=lambda name: name)
    return frame[entry.isin(wanted)]


def _list(grid: "Suite") -> None:
    from benchmark.report.figures.registry import figure_specs
    from benchmark.report.paper_tables import tables_in

    for name, table in tables_in(grid).items():
        typer.echo(f"table {name}: {table.title}")
    for name, spec in figure_specs(grid.figures).items():
        typer.echo(f"figure {name}: {spec.title or spec.kind}")
    if not grid.tables and not grid.figures:
        typer.echo(f"the suite {grid.name} describes neither tables nor figures")


def _with_tables(folder: "Path") -> str:
    from benchmark.experiment.suite import read_suites

    suites = read_suites(folder).values()
    return ", ".join(suite.name for suite in suites if suite.tables or suite.figures) or "none has any"


def _bibtex(data: "ReportData") -> str:
    from benchmark.cli.zoo_cite import bibliography

    models = sorted({weights.name for record in data.frame_records for weights in record.cell.weights})
    return "\n".join(bibliography(models, sorted(set(data.frame["task"])), data.entries, data.tasks))


def _print(grids: "list[PrintedTable]") -> None:
    from benchmark.cli.console import out
    from benchmark.report.table_writers import terminal_of

    console = out()
    for grid in grids:
        console.print(f"\n{grid.title}", markup=False)
        console.print(terminal_of(grid))
        for note in grid.notes:
            console.print(note, markup=False)


def _tell(lines: list[str], files: dict[str, bytes], folder: "Path") -> None:
    for line in (*lines, f"\n{first_few(files, 14)} in {folder}"):
        typer.echo(line)


def _submissions(records: "list[RunRecord]", store: "Store", tasks: "Mapping[str, TaskSpec]") -> dict[str, bytes]:
    """Returns a file for each cell that predicted images without labels; raises BenchmarkError where none did."""
    from benchmark.data.registry import submission_of

    files = {}
    for record in records:
        cell = record.cell
        predictions = store.unlabelled(cell)
        written = submission_of(tasks[cell.task]) if cell.task in tasks else None
        if predictions is not None and written is not None:
            model = re.sub(r"[^\w.+-]+", "-", cell.model)
            file = f"submission-{cell.task}-{model}-seed{cell.seed}-{cell.key[:8]}.csv"
            files[file] = written(predictions).to_csv(index=False).encode()
    if not files:
        raise BenchmarkError(
            "--submission: no cell here predicted images without labels: it is for challenges whose test has none "
            "(APTOS, PatchCam), with their test images in place when the cells were run"
        )
    return files
