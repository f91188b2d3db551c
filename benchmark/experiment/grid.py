"""A grid of cells: models, tasks, protocols, recipes, shares of the training data, folds and seeds, crossed."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD, Cell, Weights
from benchmark.data.index import Index
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import Pair, overlap, told
from benchmark.experiment.selection import ALL_IMAGES, Portion, Search
from benchmark.protocols.registry import find_protocol, incompatibility
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import find_weight_file


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
    portions: Sequence[Portion] = (ALL_IMAGES,),
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
    headed = not asked.task.has_masks and not find_protocol(asked.protocol).deterministic
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


@dataclass(frozen=True, kw_only=True)
class ResolvedGrid:
    """A request, resolved. `asked`: each task with a protocol and a recipe; `models`: each the entries of its encoders;
    `notes`: what the request names and nothing uses.
    """

    workspace: Workspace
    models: list[tuple[ZooEntry, ...]]
    asked: list[TaskRun]
    seeds: list[int]
    portions: list[Portion]
    folds: int | None
    left_out: Collection[Pair] = ()
    notes: Collection[str] = ()

    @property
    def tasks(self) -> list[TaskSpec]:
        """The tasks, each once."""
        return list({one.task.name: one.task for one in self.asked}.values())

    @property
    def entries(self) -> list[ZooEntry]:
        """The entries of all models, each once."""
        return list({entry.name: entry for model in self.models for entry in model}.values())

    def cells(self, indexes: dict[str, Index]) -> list[Cell]:
        """The grid's cells; an entry whose file is not here counts as fresh (`lacking` names those)."""
        digests = {}
        for entry in self.entries:
            file = None if entry.is_scratch else find_weight_file(entry, self.workspace.weights)
            digests[entry.name] = file.sha256 if file else ""
        models = [[(entry, digests[entry.name]) for entry in model] for model in self.models]
        cells = cells_of(models, self.asked, indexes, self.seeds, portions=self.portions, folds=self.folds)
        return [cell for cell in cells if (cell.task, cell.model) not in self.left_out]

    def overlapping(self, indexes: dict[str, Index]) -> dict[Pair, tuple[str, ...]]:
        """Tasks and models whose weights saw the task's images, and under which name."""
        found = {
            (task.name, _named(model)): tuple(
                name for entry in model for name in overlap(entry, task, phantom=indexes[task.name].phantom)
            )
            for task in self.tasks
            for model in self.models
        }
        return {pair: seen for pair, seen in found.items() if seen}

    def without(self, overlapping: Mapping[Pair, tuple[str, ...]]) -> "ResolvedGrid":
        """The grid less these pairs; what then stands in none is not asked for. Raises BenchmarkError where nothing is left."""
        kept = {(task.name, _named(model)) for task in self.tasks for model in self.models} - overlapping.keys()
        if not kept:
            raise BenchmarkError(f"nothing is left to run: {told(overlapping)}")
        return replace(
            self,
            models=[model for model in self.models if any(name == _named(model) for _, name in kept)],
            asked=[asked for asked in self.asked if any(name == asked.task.name for name, _ in kept)],
            left_out=overlapping.keys(),
        )

    def lacking(self) -> list[ZooEntry]:
        """Entries whose files are not here."""
        return [e for e in self.entries if not e.is_scratch and find_weight_file(e, self.workspace.weights) is None]


def _named(model: tuple[ZooEntry, ...]) -> str:
    return "+".join(entry.name for entry in model)
