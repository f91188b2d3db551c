"""Supervised continual pre-training: an encoder is trained on a task and becomes an entry of the user's zoo."""

from benchmark.cell import Cell
from benchmark.data.index import Index
from benchmark.experiment.grid import TaskRun, cells_of
from benchmark.experiment.overlap import data_set_name
from benchmark.pretrain.entry import data_sets_of, entry_made_before, family_of, licence_of, register
from benchmark.recipe import Recipe
from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.scoring.evaluate import scores_of
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo import fetch
from benchmark.zoo.catalog import ZooEntry, check_entry_name


def supervised(
    *,
    runner: Runner,
    start: ZooEntry,
    task: TaskSpec,
    index: Index,
    recipe: Recipe,
    seed: int,
    name: str,
    title: str = "",
) -> ZooEntry:
    """Trains `start`'s encoder on a task, by the fine-tuning protocol, and adds it to the user's zoo as `name`.

    It is a cell like any other, so an interrupted training continues; its test score is kept in the entry. The encoder
    has seen the training and validation parts of the task's data set. Raises BenchmarkError where the name is taken,
    or is none.
    """
    check_entry_name(name)  # before hours of training
    workspace = runner.workspace
    sha256 = "" if start.is_scratch else fetch.fetch(start, workspace.weights, offline=True).sha256
    (cell,) = cells_of([[(start, sha256)]], [TaskRun(task=task, recipe=recipe)], {task.name: index}, [seed])
    if (made_before := entry_made_before(name, cell.key, workspace)) is not None:
        return made_before
    scratch = Store(workspace.results).encoder_scratch(cell.key)
    result, _ = runner.result(cell, scratch)
    assert result.encoder is not None  # noqa: S101 - fine-tuning hands its encoder on
    scores, _ = scores_of(result.test().predictions, task.judging)
    entry = _entry(name, title, start, task, cell, {k: v for k, v in scores.items() if v is not None})
    entry = register(entry, start, result.encoder, None, scratch, workspace)
    Store(workspace.results).remove_encoder_scratch(cell.key)
    return entry


def _entry(name: str, title: str, start: ZooEntry, task: TaskSpec, cell: Cell, scores: dict[str, float]) -> ZooEntry:
    return ZooEntry(
        name=name,
        title=title or f"{start.name}, then supervised on {task.name}",
        family=family_of(start),
        method="supervised",
        architecture=start.architecture,
        pretrained_on=data_sets_of(start, data_set_name(task.root, phantom=cell.data == "phantom")),
        source=f"file:{name}.safetensors",
        container="safetensors",
        naming="timm",
        positions=start.positions,
        licence=licence_of(start, task.name, task.licence),
        cite=f"made by `benchmark pretrain supervised` from {start.name} on {task.name}",
        made_by={
            "from": start.name,
            "from_sha256": cell.weights[0].sha256,
            "task": task.name,
            "data": cell.data,
            "data_digest": cell.data_digest,
            "seed": cell.seed,
            "key": cell.key,
            "recipe": cell.recipe.model_dump(mode="json"),
            "scores": scores,
        },
    )
