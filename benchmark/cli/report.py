"""`benchmark report`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmark.cli.options import Models, Project, Results, SuiteName, Tasks, workspace_of
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import first_few, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from benchmark.cell import Cell
    from benchmark.experiment.suite import Suite
    from benchmark.report.table_writers import PrintedTable
    from benchmark.results.record import RunRecord
    from benchmark.results.store import Store
    from benchmark.tasks.spec import TaskSpec
    from benchmark.zoo.catalog import ZooEntry


def report(
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
    from benchmark.experiment.suite import read_suite, read_suites
    from benchmark.report.frame import frame_of, model_notes
    from benchmark.report.tables import default_baseline, summary
    from benchmark.results.store import Store
    from benchmark.tasks.registry import known_tasks
    from benchmark.zoo.catalog import default_models, read_catalog

    workspace = workspace_of(results=results, project=project)
    folder = workspace.project / "tasks" / "suites"
    grid = read_suite(suite, folder) if suite else None
    asked = [*(table or ()), *(figure or ())]
    if asked and grid is None:
        raise BenchmarkError(f"--table and --figure are of a suite: wanted --suite as well ({_with_tables(folder)})")
    if grid and "list" in asked:
        _list(grid)
        return
    known, zoo = known_tasks(workspace), workspace.project / "model_zoo.yaml"
    entries = read_catalog(zoo, workspace.own_zoo)
    store = Store(workspace.results)
    records, unread = store.records()
    families = {entry.name: entry.family for entry in entries.values()}
    frame = frame_of(records, known, families)
    if grid and not asked:
        tasks = tasks or grid.tasks
        frame = frame if models else _of_suite(frame, grid, families)
    if not (frame.empty and table):  # what the paper printed can be shown before anything is run
        frame = _selected(frame, tasks, models, known, workspace.results)
    run = set(frame["model"])
    if baseline and baseline not in run:
        raise BenchmarkError(f"--baseline {baseline}: no finished cell of it here: {did_you_mean(baseline, run)}")
    baseline = baseline or (grid.baseline if grid else "")
    baseline = baseline if baseline in run else default_baseline(frame)

    from benchmark.report.artifacts import attention_of, features_of
    from benchmark.report.files import ReportData, of_paper, printed_grids, whole_report
    from benchmark.report.published import read_published

    by_key = {record.key: record for record in records}
    cells = {record.key: record.cell for record in records}
    held = ReportData(
        frame=frame,
        records=by_key,
        unread=unread,
        tasks=known,
        entries=entries,
        everything=default_models(zoo) if grid else None,
        published=read_published(workspace.project / "results" / "published"),
        suites=read_suites(folder),
        answer=lambda key: store.predictions(cells[key]),
        features=lambda key: features_of(by_key[key], store, workspace.features),
        attention=lambda key: attention_of(by_key[key], store),
        suite=grid,
    )
    shown = set(frame["key"])
    beside = model_notes([cell for key, cell in cells.items() if key in shown])
    beside += [f"left out: {line}" for line in unread]
    if grid and asked:
        made = of_paper(held, grid, table or [], figure or [], baseline)
        _print(made.grids)
        _tell([*made.untold, *beside], made.files, _write(store, output, name or grid.name, made.files))
        return
    rows = summary(frame, baseline, test)
    if rows.empty:
        raise BenchmarkError(f"no cell of {tasks or 'these tasks'} in {workspace.results} has a score to report")
    from benchmark.report.replicates import with_answers_of_one_run, with_replicates

    if bootstrap:
        rows = with_replicates(rows, frame, held.answer, known, bootstrap)
    else:
        rows = with_answers_of_one_run(rows, frame, held.answer, known)
    failed = [r.cell.title for r in records if r.status == "failed" and r.cell.task in set(frame["task"])]
    if failed:
        beside.insert(0, f"{plural(len(failed), 'failed cell')} left out: {first_few(failed)}")
    files = whole_report(held, rows, beside, _bibtex(frame, cells.values(), held.entries, known))
    if submission:
        files |= _submissions(frame, records, store, known)
    where = _write(store, output, name or (grid.name if grid else "+".join(dict.fromkeys(frame["task"]))), files)
    _print(printed_grids(held, rows))
    _tell(beside, files, where)
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


def _of_suite(frame: "pd.DataFrame", grid: "Suite", families: dict[str, str]) -> "pd.DataFrame":
    """The rows of the suite's models: those of them that were run."""
    from benchmark.experiment.selection import select

    if grid.models == "all":
        return frame
    entry = frame["members"].map("+".join)
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


def _bibtex(
    frame: "pd.DataFrame", cells: "Iterable[Cell]", entries: "Mapping[str, ZooEntry]", known: "Mapping[str, TaskSpec]"
) -> str:
    from benchmark.cli.zoo_cite import bibliography

    shown = set(frame["key"])
    models = sorted({weights.name for cell in cells if cell.key in shown for weights in cell.weights})
    return "\n".join(bibliography(models, sorted(set(frame["task"])), entries, known))


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


def _submissions(
    frame: "pd.DataFrame", records: "list[RunRecord]", store: "Store", tasks: "dict[str, TaskSpec]"
) -> dict[str, bytes]:
    """A file for each cell that predicted images without labels; Raises BenchmarkError where none did."""
    from benchmark.data.registry import submission_of

    cells = {record.key: record.cell for record in records}
    files = {}
    for key in frame["key"]:
        cell = cells[key]
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
