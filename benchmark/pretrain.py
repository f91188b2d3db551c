"""New encoders from old: train one on a task and register it as an entry of the user's zoo, with its provenance."""

import torch
from safetensors.torch import save
from torch import nn

from benchmark.cell import Cell
from benchmark.data.index import Index
from benchmark.errors import BenchmarkError
from benchmark.experiment.grid import TaskRun, cells_of
from benchmark.files import write_whole
from benchmark.recipe import Recipe
from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.scoring.evaluate import scores_of
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo import fetch, forms, matching
from benchmark.zoo.catalog import ZooEntry, add_entry, check_entry_name, read_catalog

NO_LICENCE = "not told"


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
    """Train `start`'s encoder on a task, by the fine-tuning protocol, and add it to the user's zoo as `name`.

    It is a cell like any other, so an interrupted training continues; its test score is kept in the entry. The encoder
    has seen the training and validation parts of the task's data set. Raises BenchmarkError where the name is taken,
    or is none.
    """
    check_entry_name(name)  # before hours of training
    workspace = runner.workspace
    sha256 = "" if start.is_scratch else fetch.fetch(start, workspace.weights, offline=True).sha256
    (cell,) = cells_of([[(start, sha256)]], [TaskRun(task=task, recipe=recipe)], {task.name: index}, [seed])
    taken = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo).get(name)
    if taken is not None:
        if taken.made_by and taken.made_by["key"] == cell.key and fetch.find_weight_file(taken, workspace.weights):
            return taken
        raise BenchmarkError(
            f"the zoo has an entry {name!r} already, made otherwise: choose another name, or `benchmark zoo remove {name}`"
        )
    scratch = Store(workspace.results).encoder_scratch(cell.key)
    result, _ = runner.result(cell, scratch)
    assert result.encoder is not None  # noqa: S101 - fine-tuning hands its encoder on
    scores, _ = scores_of(result.test().predictions, task.judging)
    tensors, fresh = encoder_in_full(result.encoder, start.architecture)
    made = _entry(name, title, start, task, cell, fresh, {k: v for k, v in scores.items() if v is not None})
    file = scratch / "encoder.safetensors"
    write_whole(file, save(tensors, metadata={"format": "pt"}))
    kept = fetch.import_weight_file(made, file, workspace.weights)
    entry = made.model_copy(update={"sha256": kept.sha256})
    matching.read_encoder_tensors(entry, kept.path)  # what was written loads, to the last tensor
    add_entry(workspace.own_zoo, entry)
    Store(workspace.results).remove_encoder_scratch(cell.key)
    return entry


def _entry(
    name: str, title: str, start: ZooEntry, task: TaskSpec, cell: Cell, fresh: list[str], scores: dict[str, float]
) -> ZooEntry:
    seen = f"{task.root} (phantom)" if cell.data == "phantom" else task.root
    return ZooEntry(
        name=name,
        title=title or f"{start.name}, then supervised on {task.name}",
        family=_family(start),
        method="supervised",
        architecture=start.architecture,
        pretrained_on=(*start.pretrained_on, seen),
        source=f"file:{name}.safetensors",
        container="safetensors",
        naming="timm",
        positions=start.positions,
        licence=_licence(start, task),
        cite=f"made by `benchmark pretrain supervised` from {start.name} on {task.name}",
        fresh=tuple(fresh),
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


def _family(start: ZooEntry) -> str:
    """Returns `in-domain` for an encoder that saw medical images alone, else `domain-adapted`."""
    return "in-domain" if start.is_scratch or start.family == "in-domain" else "domain-adapted"


def _licence(start: ZooEntry, task: TaskSpec) -> str:
    """Returns the terms of both parents: the start's weights, and the task's images."""
    images = f"{task.name}'s images: {task.licence or NO_LICENCE}"
    if start.is_scratch:
        return images
    return start.licence if images in start.licence else f"{start.licence or NO_LICENCE}; {images}"


def encoder_in_full(encoder: nn.Module, architecture: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """A trained encoder, of either form, under timm's names for the whole model; and the tensors that a pyramid has
    not (the final convolution of a MobileNet), which stay untrained.
    """
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with torch.device("meta"):
        whole = list(forms.build_encoder(architecture, "pooled", 0).state_dict())
    if set(own) == set(whole):
        return own, []
    workspace = forms.pyramid_names(own, whole)
    untrained = [name for name in whole if name not in workspace and not name.endswith(forms.COUNTER)]
    return {name: own[place] for name, place in workspace.items()}, untrained
