"""What a command line asks for -> entries, tasks, indexes and cells; all that is wrong with it, at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.cell import Cell, Recipe
from benchmark.data.index import Index
from benchmark.data.phantom import Order
from benchmark.data.readers import index_of, write_phantom
from benchmark.disk import Places
from benchmark.fault import Fault, did_you_mean, first_few
from benchmark.overlap import Pair, overlap, told
from benchmark.plan import Suite, cells_of, read_suite
from benchmark.selection import seeds_from, select
from benchmark.tasks import TaskSpec, known_tasks
from benchmark.zoo.architectures import check_architecture
from benchmark.zoo.catalog import ZooEntry, default_models, find_entry, read_catalog
from benchmark.zoo.fetch import fetch, located


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A request, resolved: entries, tasks with their recipes, seeds."""

    places: Places
    entries: list[ZooEntry]
    tasks: list[tuple[TaskSpec, Recipe]]
    seeds: list[int]
    fraction: float
    subset: str | None
    folds: int | None
    left_out: Collection[Pair] = ()

    def cells(self, indexes: dict[str, Index]) -> list[Cell]:
        """The grid's cells; an entry whose file is not here counts as fresh (`lacking` names those)."""
        models = []
        for entry in self.entries:
            file = None if entry.is_scratch else located(entry, self.places.weights)
            models.append((entry, file.sha256 if file else ""))
        tasks = [(task, indexes[task.name], recipe) for task, recipe in self.tasks]
        cells = cells_of(models, tasks, self.seeds, fraction=self.fraction, subset=self.subset, folds=self.folds)
        return [cell for cell in cells if (cell.task, cell.model) not in self.left_out]

    def overlapping(self, indexes: dict[str, Index]) -> dict[Pair, tuple[str, ...]]:
        """Tasks and models whose weights saw the task's images, and under which name."""
        pairs = [(task, entry) for task, _ in self.tasks for entry in self.entries]
        found = {(t.name, e.name): overlap(e, t, phantom=indexes[t.name].phantom) for t, e in pairs}
        return {pair: seen for pair, seen in found.items() if seen}

    def without(self, overlapping: Mapping[Pair, tuple[str, ...]]) -> "Grid":
        """The grid less these pairs; what then stands in none is not asked for. Raises Fault where nothing is left."""
        kept = {(t.name, e.name) for t, _ in self.tasks for e in self.entries} - overlapping.keys()
        if not kept:
            raise Fault(f"nothing is left to run: {told(overlapping)}")
        return replace(
            self,
            entries=[entry for entry in self.entries if any(model == entry.name for _, model in kept)],
            tasks=[(task, recipe) for task, recipe in self.tasks if any(name == task.name for name, _ in kept)],
            left_out=overlapping.keys(),
        )

    def lacking(self) -> list[ZooEntry]:
        """Entries whose files are not here."""
        return [e for e in self.entries if not e.is_scratch and located(e, self.places.weights) is None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A request as it was written, a suite's defaults filled in."""

    places: Places
    models: str
    tasks: str
    seeds: str
    settings: tuple[str, ...]
    fraction: float
    subset: str | None
    folds: int | None
    suite: Suite | None

    @classmethod
    def of(
        cls,
        places: Places,
        models: str | None,
        tasks: str | None,
        seeds: str | None,
        settings: list[str] | None,
        fraction: float,
        suite: str | None,
        subset: str | None = None,
        folds: int | None = None,
    ) -> "Wish":
        """From a verb's options. Raises Fault where they name no grid."""
        grid = read_suite(suite, places.project / "tasks" / "suites") if suite else None
        models, tasks = models or (grid.models if grid else None), tasks or (grid.tasks if grid else None)
        if models is None or tasks is None:
            raise Fault("name --models and --tasks, or a --suite (`benchmark zoo list`, `benchmark tasks list`)")
        if not 0 < fraction <= 1:
            raise Fault(f"--fraction {fraction}: wanted a share above 0, up to 1")
        if subset is not None and fraction != 1:
            raise Fault("--fraction and --subset: wanted one of them")
        seeds = seeds or (grid.seeds if grid else "10")
        return cls(
            places=places,
            models=models,
            tasks=tasks,
            seeds=seeds,
            settings=tuple(settings or ()),
            fraction=fraction,
            subset=subset,
            folds=folds,
            suite=grid,
        )

    def with_phantoms(self) -> "Wish":
        """Where the suite brings phantoms: write those that are not there, and take them as the data."""
        if not self.suite or not self.suite.phantoms:
            return self
        folder = self.places.home / "phantoms" / self.suite.name
        known = known_tasks(self.places)
        for name, order in self.suite.phantoms.items():
            if name not in known:
                raise Fault(
                    f"suite {self.suite.name}: phantoms of an unknown task {name!r}: {did_you_mean(name, known)}"
                )
            write_phantom(known[name], folder, Order(**order.model_dump()), renew=True)
        return replace(self, places=replace(self.places, data=folder))

    def grid(self) -> Grid:
        """Resolve names and recipes. Raises Fault for what names nothing, or a recipe that does not fit."""
        suite, places = self.suite, self.places
        entries = read_catalog(places.project / "model_zoo.yaml", places.own_zoo)
        if suite and (unmade := [step.name for step in suite.pretrain if step.name not in entries]):
            raise Fault(
                f"suite {suite.name} first makes {first_few(unmade)}: `benchmark run --suite {suite.name}` does"
            )
        families = {entry.name: entry.family for entry in entries.values()}
        study = default_models(places.project / "model_zoo.yaml")
        chosen = select(self.models, families, noun="model", everything=study, coin=_coined)
        known = known_tasks(places)
        named = select(self.tasks, {task.name: task.kind for task in known.values()}, noun="task")
        layers = {name: [suite.recipe, suite.recipes.get(name, {})] if suite else [] for name in named}
        return Grid(
            places=places,
            entries=_with_known_architectures([find_entry(name, entries) for name in chosen], places.home),
            tasks=[(known[n], known[n].complete_recipe(*layers[n], settings=self.settings)) for n in named],
            seeds=seeds_from(self.seeds),
            fraction=self.fraction,
            subset=self.subset,
            folds=self.folds,
        )


def indexes_of(grid: Grid, *, faults: list[str]) -> dict[str, Index]:
    """The indexes of the grid's tasks; what is wrong with them goes to `faults`, one line a task."""
    if grid.places.data is None:
        wanted = ", ".join(f"{task.root}/ for {task.name}" for task, _ in grid.tasks)
        faults.append(
            f"BENCHMARK_DATA is not set: point it at the folder that holds {wanted} (`benchmark tasks show "
            f"{grid.tasks[0][0].name}` tells where to get the data, `benchmark data phantom` writes stand-ins)"
        )
        return {}
    indexes: dict[str, Index] = {}
    for task, _ in grid.tasks:
        try:
            indexes[task.name] = index_of(task, grid.places)
        except Fault as fault:
            faults.append(str(fault))
    return indexes


def lacking_weights(grid: Grid) -> str:
    """One line about the entries whose files are not here, or nothing."""
    lacking = [entry.name for entry in grid.lacking()]
    if not lacking:
        return ""
    few = 3
    return (
        f"weights of {len(lacking)} of {len(grid.entries)} models are not here ({first_few(lacking, few)}): "
        f"`benchmark zoo fetch {','.join(lacking[:few])}{',…' * (len(lacking) > few)}` downloads them, "
        f"`benchmark zoo fetch NAME --from-file FILE` takes a file that you have"
    )


def bring_weights(grid: Grid, *, offline: bool) -> None:
    """Fetch the files that are not here. Raises one Fault for all that cannot be had."""
    from benchmark.cli.progress import bytes_bar

    lacking = grid.lacking()
    if offline and lacking:
        raise Fault(f"{lacking_weights(grid)} (--offline forbids fetching them now)")
    for entry in lacking:
        try:
            with bytes_bar(entry.name) as show:
                fetch(entry, grid.places.weights, progress=show)
        except Fault as fault:
            more = len(grid.lacking()) - 1
            raise Fault(f"{fault}{f' ({more} more models lack their weights too)' if more else ''}") from fault


def refuse(faults: list[str]) -> None:
    """Raise all faults as one."""
    if found := [fault for fault in faults if fault]:
        raise Fault("; ".join(found))


def _coined(name: str) -> str | None:
    return name if name.startswith("scratch:") else None


def _with_known_architectures(entries: list[ZooEntry], home: Path) -> list[ZooEntry]:
    for entry in entries:
        if entry.name.startswith("scratch:"):
            check_architecture(entry.architecture, home)
    return entries
