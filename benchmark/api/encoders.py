"""Encoders that are trained here: one that a user asks for, and those that a suite starts from."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api.progress import Progress
from benchmark.contrastive_recipe import ContrastiveRecipe, Method
from benchmark.errors import BenchmarkError
from benchmark.experiment.preparation import read_indexes
from benchmark.experiment.request import RunRequest
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.data.index import Index
    from benchmark.experiment.grid import ResolvedGrid
    from benchmark.zoo.catalog import ZooEntry


def pretrain_first(request: RunRequest, *, device: str, progress: Progress) -> None:
    """Trains the encoders that the request's suite starts from, those that are not there yet."""
    suite = request.suite
    for step in suite.pretrain if suite else ():
        if step.method != "supervised":
            entry = train_contrastive_encoder(
                request.workspace,
                step.method,
                step.start,
                task=step.task,
                bags=step.bags or None,
                recipe=ContrastiveRecipe.complete(step.method, step.recipe),
                name=step.name,
                title=step.title,
                device=device,
                progress=progress,
            )
            progress.say(describe_encoder(entry, request.workspace))
            continue
        layers = {**suite.recipe, **suite.recipes.get(step.task, {}), **step.recipe} if suite else {}
        settings = [f"{name}={value}" for name, value in layers.items()]
        grid = RunRequest.of(request.workspace, step.start, step.task, seeds="0,", settings=settings).grid()
        indexes = read_indexes(grid)
        entry = train_encoder(grid, indexes, name=step.name, title=step.title, device=device, progress=progress)
        progress.say(describe_encoder(entry, grid.workspace))


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
    (task_run,) = grid.task_runs
    task = task_run.task
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
            recipe=task_run.recipe,
            seed=grid.seeds[0],
            name=name,
            title=title,
        )


def train_contrastive_encoder(
    workspace: Workspace,
    method: Method,
    start: str,
    *,
    task: str | None = None,
    folder: Path | None = None,
    bags: str | None = None,
    recipe: ContrastiveRecipe,
    seed: int = 0,
    name: str,
    title: str = "",
    device: str = "auto",
    offline: bool = False,
    progress: Progress,
) -> "ZooEntry":
    """Trains an encoder by SimCLR or MICLe on the training images of a task, or on all images of a folder, and returns its
    entry in the user's zoo. Raises BenchmarkError.
    """
    from benchmark.torch_setup import prepare_for_torch
    from benchmark.zoo.catalog import check_entry_name, find_entry, read_catalog
    from benchmark.zoo.fetch import fetch, find_weight_file

    check_entry_name(name)
    if (task is None) == (folder is None):
        raise BenchmarkError("--task or --images: wanted one of them, a task's training images or a folder's")
    entry = find_entry(start, read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo))
    prepare_for_torch()
    import torch

    from benchmark.cell import THREADS
    from benchmark.data.registry import index_of
    from benchmark.pretrain.contrastive import ContrastiveTraining, Watching
    from benchmark.pretrain.images import images_of_folder, images_of_task
    from benchmark.tasks.registry import find_task

    torch.set_num_threads(THREADS)
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    if folder is not None:
        images = images_of_folder(folder)
    else:
        spec = find_task(str(task), workspace)
        images = images_of_task(index_of(spec, workspace), spec)
    if not entry.is_scratch and find_weight_file(entry, workspace.weights) is None:
        with progress.download(entry.name) as bytes_done:
            fetch(entry, workspace.weights, offline=offline, progress=bytes_done)
    with progress.steps(name, recipe.steps) as show:
        return ContrastiveTraining(
            method=method,
            start=entry,
            images=images,
            bags=bags,
            recipe=recipe,
            seed=seed,
            name=name,
            title=title,
            workspace=workspace,
            device=torch.device(automatic if device == "auto" else device),
            watching=Watching(step=show, notify=progress.say),
        ).run()


def describe_encoder(entry: "ZooEntry", workspace: Workspace) -> str:
    """Returns a line about an encoder that was trained: its scores and where it is."""
    facts = entry.made_by or {}
    listed = ", ".join(f"{metric} {value:.4f}" for metric, value in facts["scores"].items() if ":" not in metric)
    scored_on = "validation" if "method" in facts else "its own test"
    return f"{entry.name}: {entry.title} ({scored_on}: {listed}); an entry of {workspace.own_zoo}"
