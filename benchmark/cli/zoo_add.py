"""`benchmark zoo add`."""

import sys
from typing import Annotated

import typer

from benchmark.cli.options import Offline, Project
from benchmark.errors import BenchmarkError


def add(
    *,
    file: Annotated[
        str, typer.Argument(help="A checkpoint file, its URL, hf:OWNER/REPO/FILE[@REVISION], or timm:NAME.")
    ],
    name: Annotated[str, typer.Option("--name", help="The new entry's name.")],
    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture",
            help="timm's name of it, or package.module:function (default: proposed).",
            show_default=False,
        ),
    ] = None,
    naming: Annotated[
        str | None,
        typer.Option("--naming", help="How the file names its tensors (default: proposed).", show_default=False),
    ] = None,
    container: Annotated[
        str | None, typer.Option("--container", help="How the file is read (default: proposed).", show_default=False)
    ] = None,
    member: Annotated[
        str, typer.Option("--member", help="The file's path, where it lies in a zip or tar.", show_default=False)
    ] = "",
    mean: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--mean", help="What it was trained on: per RGB channel, of images in 0..1.", show_default=False),
    ] = None,
    std: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--std", help="As --mean (default: ImageNet's, both).", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take what is proposed without asking.")] = False,
    title: Annotated[str, typer.Option(help="What a table's reader should know.")] = "",
    family: Annotated[str, typer.Option(help="Groups entries for family:NAME.")] = "own",
    pretrained_on: Annotated[
        list[str] | None, typer.Option(help="Data sets that the weights have seen. May be repeated.")
    ] = None,
    licence: Annotated[str, typer.Option("--license", "--licence", help="Of the weights.")] = "not told",
    cite: Annotated[str, typer.Option(help="What to cite.")] = "not told",
    offline: Offline = False,
    project: Project = None,
) -> None:
    """Register a checkpoint of yours, after a report on every tensor of the file and of the encoder.

    Architecture, naming and container are proposed by that report, if they are not given, and confirmed by you.
    """
    from benchmark.api.checkpoints import add_checkpoint
    from benchmark.api.progress import TerminalProgress

    added = add_checkpoint(
        file,
        name=name,
        architecture=architecture,
        naming=naming,
        container=container,
        member=member,
        mean=mean,
        std=std,
        title=title,
        family=family,
        pretrained_on=pretrained_on or (),
        licence=licence,
        cite=cite,
        offline=offline,
        project=project,
        progress=TerminalProgress(),
        confirm=None if yes else _ask,
    )
    typer.echo(f"{name}: sha256 {added.entry.sha256[:16]}…; an entry of {added.zoo}")
    if not pretrained_on:
        typer.echo("--pretrained-on was not given: tasks whose images the weights have seen cannot be left out")


def _ask(question: str, otherwise: str) -> None:
    """Asks on a terminal. Raises BenchmarkError for a no, and where there is no terminal."""
    if not sys.stdin.isatty():
        raise BenchmarkError(otherwise)
    if not typer.confirm(question):
        raise BenchmarkError(f"nothing was added: {otherwise}")
