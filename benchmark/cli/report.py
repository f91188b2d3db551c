"""`benchmark report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmark.cli.options import Models, Project, Results, SuiteFile, SuiteName, Tasks, one_suite
from benchmark.text import first_few, printable

if TYPE_CHECKING:
    from benchmark.cli.console import PlainTable
    from benchmark.reporting.table_writers import PrintedTable


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
    """Write page, tables and figures from the records: mean ± sd (n), tests against a baseline, epochs.

    Writes report.html, CSV, Markdown, LaTeX, PNG and SVG; with --table or --figure, those of the suite's paper alone.
    """
    from benchmark.api.report import list_paper_parts
    from benchmark.api.report import report as write_report
    from benchmark.cli.console import out

    suite = one_suite(suite_file, suite)
    if suite and "list" in (*(table or ()), *(figure or ())):
        plan, lines = list_paper_parts(suite, project)
        for line in lines or [f"the suite {plan.name} describes neither tables nor figures"]:
            typer.echo(line)
        return
    made = write_report(
        tasks=tasks,
        models=models,
        baseline=baseline,
        suite=suite,
        table=table or (),
        figure=figure or (),
        test=test,
        bootstrap=bootstrap,
        submission=submission,
        name=name,
        output=output,
        results=results,
        project=project,
    )
    for answer in made.answers:
        typer.echo(answer)
    console = out()
    for printed in made.tables:
        console.print(f"\n{printed.title}", markup=False)
        console.print(terminal_of(printed))
        for note in printed.notes:
            console.print(note, markup=False)
    for line in (*made.notes, f"\n{first_few(made.files, 14)} in {made.folder}"):
        typer.echo(line)
    if made.suite and made.suite.tables and made.rows is not None:
        names = ", ".join(made.suite.tables)
        typer.echo(f"tables of the paper: benchmark report --suite {suite} --table all (or {names})")


def terminal_of(printed: "PrintedTable") -> "PlainTable":
    """Returns a table for the terminal; heads have as many lines as there are levels."""
    from rich.style import Style
    from rich.text import Text

    from benchmark.cli.console import table_of

    heads = ["\n".join(dict.fromkeys(filter(None, path))) for path in printed.columns]
    table = table_of(*printed.stub, *heads)
    for line in printed.lines:
        cells = [
            Text.assemble(*((printable(s.text), Style(bold=s.bold, underline=s.underlined)) for s in spans))
            for spans in line.cells
        ]
        table.add_row(*line.heads, *cells)
    return table
