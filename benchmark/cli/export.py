"""`benchmark export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Models, Project, Results, Tasks
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
    """Write the finished cells as a tidy table for other programs, by a schema that has a version."""
    from benchmark.api.results import load_results
    from benchmark.files import write_atomically
    from benchmark.reporting.export import CELLS, SCORES, documentation, to_csv, to_json, to_parquet

    if format not in FORMATS:
        raise BenchmarkError(f"--format {format}: {did_you_mean(format, FORMATS)}")
    columns = SCORES if long else CELLS
    if schema:
        typer.echo(documentation(columns), nl=False)
        return
    if format == "parquet" and output == "-" and sys.stdout.isatty():
        raise BenchmarkError("--format parquet is binary: name a file with --output, or pipe it")
    frame = load_results(results, tasks=tasks, models=models, long=long, project=project)
    for line in frame.attrs["unread"]:
        typer.echo(f"left out: {line}", err=True)
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
    write_atomically(Path(output), content)
    typer.echo(f"{plural(len(frame), 'row')} in {output}", err=True)
