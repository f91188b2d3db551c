"""`list_models` and `list_tasks`: what the zoo and the task registry hold."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from benchmark.api.options import PathLike, find_places
from benchmark.errors import BenchmarkError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.tasks.spec import TaskSpec
    from benchmark.zoo.catalog import ZooEntry


@dataclass(frozen=True, kw_only=True)
class ListedModel:
    """An entry of the zoo, and whether its file is on this machine (`file`: here, not here, damaged, fresh weights)."""

    entry: "ZooEntry"
    file: str


def list_models(
    *,
    family: str | None = None,
    license: str | None = None,  # noqa: A002 - the option's name
    max_parameters: float | None = None,
    project: PathLike | None = None,
) -> list[ListedModel]:
    """Returns the entries of the zoo: those of a family, those whose license holds a text (in any case), and those of at most
    so many million parameters, where these are given. Raises BenchmarkError for an unknown family.

    >>> [model.entry.name for model in bm.list_models(family="ssl", license="mit")]  # doctest: +SKIP
    """
    from benchmark.zoo.catalog import read_catalog

    workspace = find_places(None, None, project)
    entries = list(read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo).values())
    _check(family, [entry.family for entry in entries], "family of models")
    return [
        ListedModel(entry=entry, file=_file_state(entry, workspace.weights))
        for entry in entries
        if family in (None, entry.family)
        and _holds(entry.licence, license)
        and (max_parameters is None or num_parameters(entry.architecture) <= 1e6 * max_parameters)
    ]


def list_tasks(
    *,
    kind: str | None = None,
    license: str | None = None,  # noqa: A002 - the option's name
    max_images: int | None = None,
    project: PathLike | None = None,
) -> "list[TaskSpec]":
    """Returns the tasks, shipped ones and your own: those of a kind, those whose license holds a text (in any case), and those
    with at most so many published images, where these are given. Raises BenchmarkError for an unknown kind.

    >>> [task.name for task in bm.list_tasks(kind="segmentation", max_images=1000)]  # doctest: +SKIP
    """
    from benchmark.tasks.registry import known_tasks

    tasks = list(known_tasks(find_places(None, None, project)).values())
    _check(kind, [task.kind for task in tasks], "kind of tasks")
    return [
        task
        for task in tasks
        if kind in (None, task.kind)
        and _holds(task.licence, license)
        and (max_images is None or 0 < _num_images(task) <= max_images)
    ]


def _check(name: str | None, known: list[str], noun: str) -> None:
    if name is not None and name not in known:
        raise BenchmarkError(f"no {noun} {name!r}: {did_you_mean(name, sorted(set(known)))}")


def _holds(text: str, part: str | None) -> bool:
    return part is None or part.lower() in text.lower()


def _num_images(task: "TaskSpec") -> int:
    """Returns how many images were published, or 0 where the fact sheet names no number."""
    counts = task.counts
    return counts.get("images") or sum(counts.get(split, 0) for split in ("train", "validation", "test"))


@cache
def num_parameters(architecture: str) -> float:
    """Returns the number of an encoder's parameters, or infinity where it cannot be built."""
    import torch

    from benchmark.zoo.forms import build_encoder

    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in build_encoder(architecture, "pooled", 0).parameters())
    except BenchmarkError:
        return float("inf")


def _file_state(entry: "ZooEntry", weights: "Path") -> str:
    from benchmark.zoo.fetch import find_weight_file

    if entry.is_scratch:
        return "fresh weights"
    try:
        return "here" if find_weight_file(entry, weights) else "not here"
    except BenchmarkError:
        return "damaged"  # `zoo verify` says how
