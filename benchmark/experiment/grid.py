"""A grid of cells: models, tasks, protocols, recipes, shares of the training data, folds and seeds, crossed."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD, Cell, Weights
from benchmark.data.index import Index
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import Pair, contamination, describe_overlap
from benchmark.experiment.selection import ALL_IMAGES, Portion, Search
from benchmark.protocols.registry import find_protocol, incompatibility
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import find_weight_file


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A task, the protocol and the recipe by which it is run; with `only` these models, or with all `but` these. `search`:
    the recipe fields that are chosen on validation.
    """

    task: TaskSpec
    protocol: str = "finetune"
    recipe: Recipe
    search: Search | None = None
    only: tuple[str, ...] | None = None
    but: tuple[str, ...] = ()

    def takes(self, model: str) -> bool:
        """Returns whether a model is run so."""
        listed = model not in self.but if self.only is None else model in self.only
        return listed and not incompatibility(self.protocol, self.task.kind, model)


Model = Sequence[tuple[ZooEntry, str]]  # its encoders' entries, with the digests of their files (empty: fresh weights)


def weights_of(entry: ZooEntry, sha256: str, recipe: Recipe, *, vectors: bool = False) -> Weights:
    """Returns an entry as a cell has it: with its file's digest and the input statistics that the recipe names; `vectors`:
    its features are computed, in the form that the entry names.
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
    task_runs: Iterable[TaskRun],
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
    models, task_runs = list(models), list(task_runs)
    cells = []
    for seed, (fraction, subset), fold, one, model in itertools.product(
        seeds, portions, range(folds) if folds else [None], task_runs, models
    ):
        if not one.takes(name_of(model)):
            continue
        vectors = _takes_features(one)
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


def _recipe_for(task_run: TaskRun, model: Model) -> Recipe:
    """Returns the recipe of a model's cells; without the rule that draws random weights where no weights are drawn by it."""
    drawn = any(entry.is_scratch for entry, _ in model)
    has_linear_head = not task_run.task.has_masks and not find_protocol(task_run.protocol).deterministic
    if drawn or has_linear_head:
        return task_run.recipe
    return task_run.recipe.model_copy(update={"initialization": Recipe().initialization})


def seed_matters(cell: Cell) -> bool:
    """Returns whether another seed could change the cell's numbers: through training, fresh weights, the images that a subset
    draws, or the values drawn for uncertain labels.
    """
    draws_images = cell.subset is not None or cell.fraction < 1
    draws_labels = (cell.recipe.uncertain or "").startswith("lsr")
    fresh = any(weights.fresh for weights in cell.weights)
    return not find_protocol(cell.protocol).deterministic or fresh or draws_images or draws_labels


def name_of(model: Model) -> str:
    """Returns a model's name in tables: its entries' names, joined by +."""
    return "+".join(entry.name for entry, _ in model)


def _takes_features(task_run: TaskRun) -> bool:
    protocol = find_protocol(task_run.protocol)
    return protocol.uses_features(task_run.task.kind) or protocol.fuses


@dataclass(frozen=True, kw_only=True)
class ResolvedGrid:
    """A request whose names were found. `task_runs`: each task with a protocol and a recipe; `models`: the entries of each;
    `notes`: what the request names and nothing uses.
    """

    workspace: Workspace
    models: list[tuple[ZooEntry, ...]]
    task_runs: list[TaskRun]
    seeds: list[int]
    portions: list[Portion]
    folds: int | None
    left_out: Collection[Pair] = ()
    notes: Collection[str] = ()

    @property
    def tasks(self) -> list[TaskSpec]:
        """The tasks, each once."""
        return list({one.task.name: one.task for one in self.task_runs}.values())

    @property
    def entries(self) -> list[ZooEntry]:
        """The entries of all models, each once."""
        return list({entry.name: entry for model in self.models for entry in model}.values())

    def cells(self, indexes: dict[str, Index]) -> list[Cell]:
        """Returns the grid's cells; an entry whose file is not here counts as random weights (`lacking` returns those)."""
        digests = {}
        for entry in self.entries:
            file = None if entry.is_scratch else find_weight_file(entry, self.workspace.weights)
            digests[entry.name] = file.sha256 if file else ""
        models = [[(entry, digests[entry.name]) for entry in model] for model in self.models]
        cells = cells_of(models, self.task_runs, indexes, self.seeds, portions=self.portions, folds=self.folds)
        return [cell for cell in cells if (cell.task, cell.model) not in self.left_out]

    def overlapping(self, indexes: dict[str, Index]) -> dict[Pair, tuple[str, ...]]:
        """Returns each pair of task and model whose weights were trained on the task's images, with the data sets' names."""
        names = {
            (task.name, _named(model)): tuple(
                name
                for entry in model
                for name in contamination(entry, task, indexes[task.name], self.workspace.weights)
            )
            for task in self.tasks
            for model in self.models
        }
        return {pair: data_sets for pair, data_sets in names.items() if data_sets}

    def without(self, overlapping: Mapping[Pair, tuple[str, ...]]) -> "ResolvedGrid":
        """Returns the grid without these pairs, and without models and tasks that are in no other pair. Raises BenchmarkError
        where nothing is left.
        """
        left = {(task.name, _named(model)) for task in self.tasks for model in self.models} - overlapping.keys()
        if not left:
            raise BenchmarkError(f"nothing is left to run: {describe_overlap(overlapping)}")
        return replace(
            self,
            models=[model for model in self.models if any(name == _named(model) for _, name in left)],
            task_runs=[run for run in self.task_runs if any(name == run.task.name for name, _ in left)],
            left_out=overlapping.keys(),
        )

    def lacking(self) -> list[ZooEntry]:
        """Returns the entries whose files are not here."""
        return [e for e in self.entries if not e.is_scratch and find_weight_file(e, self.workspace.weights) is None]


def _named(model: tuple[ZooEntry, ...]) -> str:
    return "+".join(entry.name for entry in model)
