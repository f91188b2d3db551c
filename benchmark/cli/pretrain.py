"""`benchmark pretrain …`, and the encoders that a suite makes first."""

from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Data, Device, Offline, Project, Results, Settings, workspace_of
from benchmark.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.data.index import Index
    from benchmark.experiment.grid import ResolvedGrid
    from benchmark.experiment.request import RunRequest

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
    from benchmark.cli.progress import bytes_bar
    from benchmark.experiment.request import RunRequest, bring_weights, indexes_of, refuse
    from benchmark.scheduler.device import check_device
    from benchmark.zoo.catalog import check_entry_name

    check_entry_name(name)
    check_device(device)
    workspace = workspace_of(results=results, data=data, project=project)
    grid = RunRequest.of(workspace, start, task, seeds=f"{seed},", settings=settings).grid()
    if len(grid.entries) != 1 or len(grid.tasks) != 1:
        raise BenchmarkError("--from and --task name one entry and one task each")
    faults: list[str] = []
    indexes = indexes_of(grid, faults=faults)
    refuse(faults)
    bring_weights(grid, offline=offline, bar=bytes_bar)
    _make(grid, indexes, name=name, title="", device=device)


def pretrain_first(wish: "RunRequest", *, device: str) -> None:
    """Make the encoders that the wish's suite starts from, those that are not there yet."""
    from benchmark.experiment.request import RunRequest, indexes_of, refuse

    for step in wish.suite.pretrain if wish.suite else ():
        layers = {**wish.suite.recipe, **wish.suite.recipes.get(step.task, {}), **step.recipe} if wish.suite else {}
        settings = [f"{name}={value}" for name, value in layers.items()]
        grid = RunRequest.of(wish.workspace, step.start, step.task, seeds="0,", settings=settings).grid()
        faults: list[str] = []
        indexes = indexes_of(grid, faults=faults)
        refuse(faults)
        _make(grid, indexes, name=step.name, title=step.title, device=device)


def _make(grid: "ResolvedGrid", indexes: "dict[str, Index]", *, name: str, title: str, device: str) -> None:
    """Train and register one encoder, in this process, with its progress."""
    from rich.console import Console

    from benchmark.cli.progress import GridProgress, resumable
    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    import torch

    from benchmark.cell import THREADS
    from benchmark.pretrain import supervised as train
    from benchmark.runner.runner import Runner

    torch.set_num_threads(THREADS)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    cells = grid.cells(indexes)
    (asked,) = grid.asked
    task = asked.task
    with resumable(), GridProgress(cells, {task.name: task.metric}, Console(stderr=True)) as progress:
        progress.tell({"event": "started", "key": cells[0].key})
        runner = Runner(
            workspace=grid.workspace, device=torch.device(found if device == "auto" else device), watch=progress.tell
        )
        entry = train(
            runner=runner,
            start=grid.entries[0],
            task=task,
            index=indexes[task.name],
            recipe=asked.recipe,
            seed=grid.seeds[0],
            name=name,
            title=title,
        )
    scores = (entry.made_by or {})["scores"]
    told = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.items() if ":" not in metric)
    typer.echo(f"{name}: {entry.title} (its own test: {told}); an entry of {grid.workspace.own_zoo}")
