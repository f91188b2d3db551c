"""`benchmark pretrain …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Data, Device, Log, Offline, Project, Results, Settings, workspace_of
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.contrastive_recipe import Method

From = Annotated[str, typer.Option("--from", help="The entry to start from, or scratch:ARCHITECTURE.")]
Name = Annotated[str, typer.Option("--name", help="The new entry's name.")]
Seed = Annotated[int, typer.Option(help="The training's seed.")]
Task = Annotated[
    str | None, typer.Option("--task", help="The task whose training images are used, without their labels.")
]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="A folder; all images in it and below are used (PNG, JPEG, TIFF, DICOM)."),
]
ContrastiveSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Hyper-parameter, NAME=VALUE: steps, batch_size, learning_rate, scaling, warmup, weight_decay, temperature, "
        "views, image_size, train_resolution, precision. May be repeated.",
    ),
]
app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """New encoders from old."""  # a callback keeps one verb a verb of a group


@app.command()
def supervised(
    *,
    start: From,
    task: Annotated[str, typer.Option("--task", help="The task to train on.")],
    name: Name,
    seed: Seed = 0,
    settings: Settings = None,
    device: Device = "auto",
    log: Log = None,
    offline: Offline = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Train an encoder on a task and register it as a zoo entry.

    From `imagenet` on DXC14, it makes a domain-adapted one.
    """
    from benchmark.api.encoders import describe_encoder, train_encoder
    from benchmark.api.progress import TerminalProgress
    from benchmark.cli.console import resumable
    from benchmark.experiment.preparation import bring_weights, read_indexes
    from benchmark.experiment.request import RunRequest
    from benchmark.scheduler.device import check_device
    from benchmark.zoo.catalog import check_entry_name

    check_entry_name(name)
    check_device(device)
    workspace = workspace_of(results=results, data=data, project=project)
    grid = RunRequest.of(workspace, start, task, seeds=f"{seed},", settings=settings).grid()
    if len(grid.entries) != 1 or len(grid.tasks) != 1:
        raise BenchmarkError("--from and --task name one entry and one task each")
    indexes = read_indexes(grid)
    progress = TerminalProgress(log)
    with resumable():
        bring_weights(grid, offline=offline, bar=progress.download)
        entry = train_encoder(grid, indexes, name=name, title="", device=device, progress=progress)
    typer.echo(describe_encoder(entry, grid.workspace))


@app.command()
def simclr(
    *,
    start: From,
    task: Task = None,
    images: Images = None,
    name: Name,
    seed: Seed = 0,
    settings: ContrastiveSettings = None,
    device: Device = "auto",
    log: Log = None,
    offline: Offline = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Train an encoder without labels: two augmented views of an image are told from those of all others."""
    workspace = workspace_of(results=results, data=data, project=project)
    _contrastive("simclr", workspace, start, task, images, None, name, seed, settings, device, log, offline=offline)


@app.command()
def micle(
    *,
    start: From,
    task: Task = None,
    images: Images = None,
    bags: Annotated[
        str,
        typer.Option(
            "--bags", help="Column whose values are the bags, such as case or patient; folder, with --images."
        ),
    ],
    name: Name,
    seed: Seed = 0,
    settings: ContrastiveSettings = None,
    device: Device = "auto",
    log: Log = None,
    offline: Offline = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Train an encoder without labels: views of two images of one case are told from those of all others.

    A case of one image gives two views of it.
    """
    workspace = workspace_of(results=results, data=data, project=project)
    _contrastive("micle", workspace, start, task, images, bags, name, seed, settings, device, log, offline=offline)


def _contrastive(
    method: "Method",
    workspace: Workspace,
    start: str,
    task: str | None,
    images: Path | None,
    bags: str | None,
    name: str,
    seed: int,
    settings: list[str] | None,
    device: str,
    log: Path | None,
    *,
    offline: bool,
) -> None:
    from benchmark.api.encoders import describe_encoder, train_contrastive_encoder
    from benchmark.api.progress import TerminalProgress
    from benchmark.cli.console import resumable
    from benchmark.contrastive_recipe import ContrastiveRecipe
    from benchmark.scheduler.device import check_device

    check_device(device)
    with resumable():
        entry = train_contrastive_encoder(
            workspace,
            method,
            start,
            task=task,
            folder=images,
            bags=bags,
            recipe=ContrastiveRecipe.complete(method, settings=settings or ()),
            seed=seed,
            name=name,
            device=device,
            offline=offline,
            progress=TerminalProgress(log),
        )
    typer.echo(describe_encoder(entry, workspace))
