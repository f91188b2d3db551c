"""`benchmark init`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Data, Project, Settings


def init(
    folder: Annotated[Path, typer.Argument(help="The study's folder, which is made; its name is the study's.")],
    *,
    models: Annotated[str, typer.Option("--models", "-m", help="Models of the study.")] = "imagenet,scratch",
    tasks: Annotated[str, typer.Option("--tasks", "-t", help="Tasks of the study.")] = "TXC",
    seeds: Annotated[str, typer.Option("--seeds", "-s", help="Seeds of the study.")] = "10",
    settings: Settings = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Make a study's folder: its suite, a README with its commands, a link to the data."""
    from benchmark.api.study import init_study

    written = init_study(
        folder, models=models, tasks=tasks, seeds=seeds, settings=settings or [], data=data, project=project
    )
    for path in written:
        typer.echo(f"{folder / path.name}")
    typer.echo(f"{folder / 'README.md'} has the commands; begin with: cd {folder} && benchmark plan study.yaml")
