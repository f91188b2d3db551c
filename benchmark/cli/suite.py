"""`benchmark suite …`."""

from typing import Annotated

import typer

from benchmark.cli.options import Project, workspace_of
from benchmark.text import first_few, plural

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's file, or the name of a shipped suite.")],
    project: Project = None,
) -> None:
    """Check a suite's file: every name and every recipe field in it. Reads neither data nor weights."""
    from benchmark.experiment.suite_file import check_suite

    grid = check_suite(suite, workspace_of(project=project))
    counts = (
        plural(len(grid.models), "model"),
        f"{plural(len(grid.tasks), 'task')} ({first_few(task.name for task in grid.tasks)})",
        plural(len({one.protocol for one in grid.task_runs}), "protocol"),
        plural(len(grid.seeds), "seed"),
    )
    typer.echo(f"{suite} is a suite of {', '.join(counts)}; see its cells with: benchmark plan --suite {suite}")
    for note in grid.notes:
        typer.echo(note)


@app.command()
def schema() -> None:
    """Print the JSON schema of a suite's file, by which editors complete and check it."""
    from benchmark.cli.console import print_json
    from benchmark.experiment.suite_file import suite_schema

    print_json(suite_schema())
