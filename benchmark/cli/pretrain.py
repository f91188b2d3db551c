"""`benchmark pretrain …`."""

from typing import Annotated

import typer

from benchmark.cli.options import Data, Device, Offline, Project, Results, Settings, workspace_of
from benchmark.errors import BenchmarkError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """New encoders from old."""  # a callback keeps one verb a verb of a group


@app.command()
def supervised(
    *,
    start: Annotated[str, typer.Option("--from", help="The entry to start from, or scratch:ARCHITECTURE.")],
    task: Annotated[str, typer.Option("--task", help="The task to train on.")],
    name: Annotated[str, typer.Option("--name", help="The new entry's name.")],
    seed: Annotated[int, typer.Option(help="The training's seed.")] = 0,
    settings: Settings = None,
    device: Device = "auto",
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
    progress = TerminalProgress()
    with resumable():
        bring_weights(grid, offline=offline, bar=progress.download)
        entry = train_encoder(grid, indexes, name=name, title="", device=device, progress=progress)
    typer.echo(describe_encoder(entry, grid))
