"""A grid's cells: models, tasks, protocols, recipes, shares of the training data, folds and seeds, crossed."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD, Cell, Weights
from benchmark.data.index import Index
from benchmark.experiment.plan import Search
from benchmark.protocols.registry import find_protocol, incompatibility
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A task, how it is asked, and by which recipe; `only` these models, or all `but` these. `search`: the recipe fields
    that are chosen on validation.
    """

    task: TaskSpec
    protocol: str = "finetune"
    recipe: Recipe
    search: Search | None = None
    only: tuple[str, ...] | None = None
    but: tuple[str, ...] = ()

    def takes(self, model: str) -> bool:
        """Whether a model is asked so."""
        listed = model not in self.but if self.only is None else model in self.only
        return listed and not incompatibility(self.protocol, self.task.kind, model)


Model = Sequence[tuple[ZooEntry, str]]  # its encoders' entries, with the digests of their files (empty: fresh weights)
Portion = tuple[float, str | None]  # a share of the training patients, or a number (or a task's name) of its images
WHOLE: Portion = (1.0, None)


def weights_of(entry: ZooEntry, sha256: str, recipe: Recipe, *, vectors: bool = False) -> Weights:
    """An entry as a cell knows it: its file's digest, and the input statistics that the recipe asks for; `vectors`: it
    is asked for features, in the form that the entry says.
    """
    native = recipe.input == "native"
    return Weights(
        name=entry.name,
        architecture=entry.architecture,
        sha256=sha256,
        naming=entry.naming,
        mean=entry.input.mean if native else IMAGENET_MEAN,
        std=entry.input.std if native else IMAGENET_STD,
        features=entry.features if vectors else None,
        positions=entry.positions,
    )


def cells_of(
    models: Iterable[Model],
    asked: Iterable[TaskRun],
    indexes: Mapping[str, Index],
    seeds: Iterable[int],
    *,
    portions: Sequence[Portion] = (WHOLE,),
    folds: int | None = None,
) -> list[Cell]:
    """Returns the grid's cells, seed by seed, so that an unfinished grid has as many seeds of each model as of the others.

    `folds`: each seed is run once for each fold. A model that a protocol does not take makes no cell of it. Seeds that
    change nothing make one cell, of seed 0 (`seed_matters`).
    """
    models, asked = list(models), list(asked)
    cells = []
    for seed, (fraction, subset), fold, one, model in itertools.product(
        seeds, portions, range(folds) if folds else [None], asked, models
    ):
        if not one.takes(name_of(model)):
            continue
        vectors = _takes_vectors(one)
        cell = Cell(
            weights=tuple(weights_of(entry, sha256, one.recipe, vectors=vectors) for entry, sha256 in model),
            task=one.task.name,
            task_digest=one.task.digest,
            data="phantom" if indexes[one.task.name].phantom else "official",
            data_digest=indexes[one.task.name].digest,
            protocol=one.protocol,
            recipe=_recipe_for(one, model),
            search=one.search,
            fraction=fraction,
            subset=None if subset is None else one.task.subset_size(subset),
            fold=fold,
            folds=folds,
            seed=seed,
        )
        cells.append(cell if seed_matters(cell) else cell.model_copy(update={"seed": 0}))
    return list({cell.key: cell for cell in cells}.values())  # two names may stand for one size


def _recipe_for(asked: TaskRun, model: Model) -> Recipe:
    """The recipe of a model's cells: how first weights are drawn is no question where none are drawn by that rule."""
    drawn = any(entry.is_scratch for entry, _ in model)
    headed = asked.task.kind != "segmentation" and not find_protocol(asked.protocol).deterministic
    if drawn or headed:
        return asked.recipe
    return asked.recipe.model_copy(update={"initialization": Recipe().initialization})


def seed_matters(cell: Cell) -> bool:
    """Whether another seed could give the cell another answer: through training, fresh weights, the images that a subset
    draws, or the values drawn for uncertain labels.
    """
    draws_images = cell.subset is not None or cell.fraction < 1
    draws_labels = (cell.recipe.uncertain or "").startswith("lsr")
    fresh = any(weights.fresh for weights in cell.weights)
    return not find_protocol(cell.protocol).deterministic or fresh or draws_images or draws_labels


def name_of(model: Model) -> str:
    """A model's name in tables: its entries' names, joined by +."""
    return "+".join(entry.name for entry, _ in model)


def _takes_vectors(asked: TaskRun) -> bool:
    protocol = find_protocol(asked.protocol)
    return protocol.uses_features(asked.task.kind) or protocol.fuses
