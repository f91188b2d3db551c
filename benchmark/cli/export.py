"""`benchmark export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Models, Project, Results, Tasks, workspace_of
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import plural

FORMATS = ("csv", "parquet", "json")


def export(
    *,
    format: Annotated[str, typer.Option("--format", "-f", help="csv, parquet or json.")] = "csv",  # noqa: A002 - the option's name
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A file; - is standard output.")] = "-",
    long: Annotated[
        bool, typer.Option("--long", help="A row for each score of each label and subgroup, not for each cell.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print what the columns mean, and stop.")] = False,
    tasks: Tasks = None,
    models: Models = None,
    results: Results = None,
    project: Project = None,
) -> None:
    """The finished cells as a tidy table for other programs, by a schema that has a version."""
    from benchmark.experiment.selection import select
    from benchmark.files import write_whole
    from benchmark.report.export import (
        CELLS,
        SCORES,
        cells_frame,
        documentation,
        scores_frame,
        to_csv,
        to_json,
        to_parquet,
    )
    from benchmark.results.store import Store
    from benchmark.tasks.registry import known_tasks
    from benchmark.zoo.catalog import read_catalog

    if format not in FORMATS:
        raise BenchmarkError(f"--format {format}: {did_you_mean(format, FORMATS)}")
    columns = SCORES if long else CELLS
    if schema:
        typer.echo(documentation(columns), nl=False)
        return
    if format == "parquet" and output == "-" and sys.stdout.isatty():
        raise BenchmarkError("--format parquet is binary: name a file with --output, or pipe it")
    workspace = workspace_of(results=results, project=project)
    known = known_tasks(workspace)
    catalog = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
    families = {entry.name: entry.family for entry in catalog.values()}
    records, unread = Store(workspace.results).records()
    for line in unread:
        typer.echo(f"left out: {line}", err=True)
    frame = (scores_frame if long else cells_frame)(records, known, families)
    if frame.empty:
        raise BenchmarkError(f"no finished cell in {workspace.results}: benchmark run … first")
    kinds = {task: known[task].kind if task in known else "" for task in dict.fromkeys([*known, *frame["task"]])}
    frame = frame[frame["task"].isin(select(tasks or "all", kinds, noun="task"))]
    if models and len(frame):
        names = {name: families.get(name, "") for name in dict.fromkeys(frame["model"])}
        frame = frame[frame["model"].isin(select(models, names, noun="model with results"))]
    if frame.empty:
        raise BenchmarkError(f"no finished cell of {tasks} in {workspace.results}")
    content = (
        to_csv(frame)
        if format == "csv"
        else to_json(frame, columns)
        if format == "json"
        else to_parquet(frame, columns)
    )
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    write_whole(Path(output), content)
    typer.echo(f"{plural(len(frame), 'row')} in {output}", err=True)
