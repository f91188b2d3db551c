"""Cells that are trained at once, with those that judge their models elsewhere: what the scheduler hands to a worker."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmark.cell import Cell
from benchmark.protocols.registry import find_protocol
from benchmark.tasks.spec import TaskSpec

MAX_GROUP = 100  # cells claimed at once, each by an open file


def group_cells(cells: Iterable[Cell], tasks: Mapping[str, TaskSpec]) -> list[list[Cell]]:
    """The cells, those put together that are trained at once: of one protocol that does so, one encoder, task and
    recipe but for the learning rate.
    """
    found: dict[str, list[list[Cell]]] = {}
    for cell in cells:
        protocol = find_protocol(cell.protocol)
        alike = cell.key
        if protocol.train_together and protocol.uses_features(tasks[cell.task].kind):
            recipe = cell.recipe.model_copy(update={"learning_rate": 1.0})
            seed = cell.seed if any(weights.fresh for weights in cell.weights) else 0  # its weights are the seed's
            free: dict[str, Any] = {"recipe": recipe, "seed": seed, "subset": None, "fraction": 1.0}
            alike = cell.model_copy(update={**free, "fold": None, "folds": None}).key
        of_kind = found.setdefault(alike, [[]])
        if len(of_kind[-1]) == MAX_GROUP:
            of_kind.append([])
        of_kind[-1].append(cell)
    return [bundle for of_kind in found.values() for bundle in of_kind]


def with_shifted(groups: list[list[Cell]], shifted: Mapping[str, list[Cell]]) -> list[list[Cell]]:
    """Returns the groups, each followed by the cells that judge its models on other tasks (`shifted`: by the source's key);
    those of sources that are in no group, since they are done, are groups of their own.
    """
    trained = {cell.key for group in groups for cell in group}
    joined = [[*group, *(other for cell in group for other in shifted.get(cell.key, []))] for group in groups]
    return joined + [others for key, others in shifted.items() if key not in trained]
