"""`benchmark data verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Data, Project, workspace_of
from benchmark.cores import usable_cores

if TYPE_CHECKING:
    from benchmark.data.verify import Report

PRINTED = 20  # unreadable images named on the terminal


def verify(
    task: Annotated[str, typer.Argument(help="A task's name.")],
    data: Data = None,
    quick: Annotated[bool, typer.Option("--quick", help="Open a sample of 256 images.")] = False,  # noqa: FBT002 - typer's way to declare a flag
    threads: Annotated[
        int | None, typer.Option(min=1, help="Images decoded at once (default: the processors).", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all that was found to this file.", show_default=False)
    ] = None,
    project: Project = None,
) -> None:
    """Check a data set here: complete, readable, no leaks. Exit code 1 where a check fails."""
    import json

    from benchmark.api.progress import count_bar
    from benchmark.data.verify import verify as verify_data
    from benchmark.files import write_atomically
    from benchmark.tasks.registry import find_task

    workspace = workspace_of(data=data, project=project)
    spec = find_task(task, workspace)
    try:
        with count_bar(task) as progress:
            report = verify_data(
                spec, workspace, quick=quick, threads=threads or usable_cores().count, progress=progress
            )
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing was written, the same command begins anew", err=True)
        raise typer.Exit(130) from None
    if json_file:
        write_atomically(json_file, json.dumps(report.as_dict(), indent=1, ensure_ascii=False) + "\n")
    _show(report, json_file)
    if report.count("FAIL"):
        raise typer.Exit(1)


def _show(report: "Report", json_file: Path | None) -> None:
    from benchmark.cli.console import out, table_of

    console = out()
    table = table_of("check", "verdict", "finding", "fix", prose=["finding", "fix"])
    for check in report.checks:
        table.add_row(check.name, check.verdict, check.finding, check.fix)
    console.print(table)
    unreadable = [line for check in report.checks for line in check.details.get("unreadable", ())]
    for line in unreadable[:PRINTED]:
        console.print(line["reason"], markup=False, soft_wrap=True)
    if len(unreadable) > PRINTED:
        where = json_file or "--json FILE"
        console.print(f"and {len(unreadable) - PRINTED:,} more unreadable images: {where} names all", markup=False)
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in ("PASS", "WARN", "FAIL"))
    if num := report.count("left out"):
        counts += f", {num} left out"
    looked = f"{report.looked_at:,} of {report.images:,} images opened"
    console.print(f"{report.task} in {report.root}: {counts}; {looked}", markup=False, soft_wrap=True)
