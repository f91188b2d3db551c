"""Encoders that are trained here: one that a user asks for, and those that a suite starts from."""

from typing import TYPE_CHECKING

from benchmark.api.progress import Progress
from benchmark.experiment.preparation import read_indexes
from benchmark.experiment.request import RunRequest

if TYPE_CHECKING:
    from benchmark.data.index import Index
    from benchmark.experiment.grid import ResolvedGrid
    from benchmark.zoo.catalog import ZooEntry


def pretrain_first(request: RunRequest, *, device: str, progress: Progress) -> None:
    """Trains the encoders that the request's suite starts from, those that are not there yet."""
    suite = request.suite
    for step in suite.pretrain if suite else ():
        layers = {**suite.recipe, **suite.recipes.get(step.task, {}), **step.recipe} if suite else {}
        settings = [f"{name}={value}" for name, value in layers.items()]
        grid = RunRequest.of(request.workspace, step.start, step.task, seeds="0,", settings=settings).grid()
        indexes = read_indexes(grid)
        entry = train_encoder(grid, indexes, name=step.name, title=step.title, device=device, progress=progress)
        progress.say(describe_encoder(entry, grid))


def train_encoder(
    grid: "ResolvedGrid", indexes: "dict[str, Index]", *, name: str, title: str, device: str, progress: Progress
) -> "ZooEntry":
    """Trains the encoder of a grid of one cell, in this process, and returns its entry in the user's zoo."""
    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    import torch

    from benchmark.cell import THREADS
    from benchmark.pretrain.continual import supervised
    from benchmark.runner.runner import Runner

    torch.set_num_threads(THREADS)
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    cells = grid.cells(indexes)
    (asked,) = grid.asked
    task = asked.task
    with progress.cells(cells, {task.name: task.metric}) as show:
        show({"event": "started", "key": cells[0].key})
        runner = Runner(
            workspace=grid.workspace, device=torch.device(automatic if device == "auto" else device), watch=show
        )
        return supervised(
            runner=runner,
            start=grid.entries[0],
            task=task,
            index=indexes[task.name],
            recipe=asked.recipe,
            seed=grid.seeds[0],
            name=name,
            title=title,
        )


def describe_encoder(entry: "ZooEntry", grid: "ResolvedGrid") -> str:
    """Returns a line about an encoder that was trained: its scores on the test split of its own task, and where it is."""
    scores = (entry.made_by or {})["scores"]
    listed = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.items() if ":" not in metric)
    return f"{entry.name}: {entry.title} (its own test: {listed}); an entry of {grid.workspace.own_zoo}"
