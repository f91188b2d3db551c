"""What a user asks to run -> the grid of entries, tasks, protocols and recipes; everything that is wrong with it, at once."""

import itertools
import re
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import write_phantom
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.experiment.grid import ResolvedGrid, TaskRun
from benchmark.experiment.selection import Search, read_portions, read_search, read_seeds, read_sweep, select
from benchmark.experiment.suite import Suite, promised_entries, read_suite, without_unused
from benchmark.protocols.registry import PROTOCOLS, find_protocol, incompatibility, unused_fields
from benchmark.recipe import Recipe
from benchmark.tasks.registry import known_tasks
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few
from benchmark.workspace import Workspace
from benchmark.zoo.architectures import check_architecture
from benchmark.zoo.catalog import ZooEntry, default_models, find_entry, read_catalog

WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".npz", ".pkl", ".tar")


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a user asks to run, with a suite's defaults filled in. Each field holds the text of the option of its name."""

    workspace: Workspace
    models: str
    tasks: str
    seeds: str
    protocol: str = "finetune"
    settings: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    fractions: str | None = None
    subsets: str | None = None
    folds: int | None = None
    suite: Suite | None = None

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        models: str | None,
        tasks: str | None,
        *,
        seeds: str | None = None,
        protocol: str | None = None,
        settings: list[str] | None = None,
        sweep: list[str] | None = None,
        search: list[str] | None = None,
        fractions: str | None = None,
        subsets: str | None = None,
        folds: int | None = None,
        suite: str | None = None,
    ) -> "RunRequest":
        """Returns the request that options make. Raises BenchmarkError where they name no grid."""
        grid = read_suite(suite, workspace.project / "tasks" / "suites") if suite else None
        models, tasks = models or (grid.models if grid else None), tasks or (grid.tasks if grid else None)
        if models is None or tasks is None:
            raise BenchmarkError(
                "name --models and --tasks, or a --suite (`benchmark zoo list`, `benchmark tasks list`)"
            )
        shared = fractions is None and subsets is None and grid is not None
        return cls(
            workspace=workspace,
            models=models,
            tasks=tasks,
            seeds=seeds or (grid.seeds if grid else "10"),
            protocol=protocol or (grid.protocol if grid else "finetune"),
            settings=tuple(settings or ()),
            sweep=tuple(sweep or ()),
            search=tuple(search or ([grid.search] if grid and grid.search else [])),
            fractions=(grid.fractions or None) if grid and shared else fractions,
            subsets=(grid.subsets or None) if grid and shared else subsets,
            folds=folds or (grid.folds if grid else None),
            suite=grid,
        )

    def with_phantoms(self) -> "RunRequest":
        """Writes the suite's phantoms, where they are not there yet, and returns the request with them as its data."""
        if not self.suite or not self.suite.phantoms:
            return self
        folder = self.workspace.home / "phantoms" / self.suite.name
        known = known_tasks(self.workspace)
        for name, order in self.suite.phantoms.items():
            if name not in known:
                raise BenchmarkError(
                    f"suite {self.suite.name}: phantoms of an unknown task {name!r}: {did_you_mean(name, known)}"
                )
            write_phantom(known[name], folder, PhantomSpec(**order.model_dump()), renew=True)
        return replace(self, workspace=replace(self.workspace, data=folder))

    def promised(self) -> list[ZooEntry]:
        """Returns entries in place of those that the suite's pre-trainings have yet to make."""
        entries = read_catalog(self.workspace.project / "model_zoo.yaml", self.workspace.own_zoo)
        return promised_entries(self.suite, entries) if self.suite else []

    def grid(self, *, promised: Iterable[ZooEntry] = ()) -> ResolvedGrid:
        """Resolves names and recipes; `promised` are entries that a pre-training has yet to make. Raises BenchmarkError for
        what names nothing, or a recipe that does not fit.
        """
        suite, workspace = self.suite, self.workspace
        entries = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
        entries = {entry.name: entry for entry in promised} | entries
        if suite and (unmade := [step.name for step in suite.pretrain if step.name not in entries]):
            raise BenchmarkError(
                f"suite {suite.name} first makes {first_few(unmade)}: `benchmark run --suite {suite.name}` does"
            )
        families = {entry.name: entry.family for entry in entries.values()}
        study = default_models(workspace.project / "model_zoo.yaml")
        known = known_tasks(workspace)
        kinds = {task.name: task.kind for task in known.values()}
        hint = partial(_hint_for_model, home=workspace.home)
        faults: list[str] = []
        chosen = _collect(
            faults, select, self.models, families, noun="model", everything=study, coin=_coined, hint=hint
        )
        models = _collect(faults, _find_members, chosen, entries)
        named = _collect(faults, select, self.tasks, kinds, noun="task")
        protocols = _collect(faults, select, self.protocol, dict.fromkeys(PROTOCOLS, ""), noun="protocol")
        if faults:
            raise BenchmarkError("; ".join(faults))
        if faults := unfit_ones(chosen, [known[name] for name in named], protocols):
            raise BenchmarkError("; ".join(faults))
        search = read_search(self.search)
        notes: dict[str, None] = {}
        task_runs = [
            one
            for name in named
            for protocol in protocols
            for settings in read_sweep(self.sweep)
            for one in self._task_runs(known[name], protocol, settings, search, notes)
        ]
        grid = ResolvedGrid(
            workspace=workspace,
            models=models,
            task_runs=task_runs,
            seeds=read_seeds(self.seeds),
            portions=read_portions(self.fractions, self.subsets),
            folds=self.folds,
            notes=list(notes),
        )
        _check_architectures(grid.entries, workspace.home)
        return grid

    def _task_runs(
        self,
        task: TaskSpec,
        protocol: str,
        settings: tuple[str, ...],
        search: Search | None,
        notes: dict[str, None],
    ) -> list[TaskRun]:
        """Returns a task under a protocol: most models by one recipe, those that the suite overrides by theirs. Fields that the
        request names and the protocol does not use are added to `notes`.
        """
        suite = self.suite
        layers = [suite.recipe, suite.recipes.get(task.name, {})] if suite else []
        overrides = [one for one in (suite.overrides if suite else ()) if one.protocol == protocol]
        own = PROTOCOLS[protocol].recipe_for(task.kind)

        def recipe_of(more: dict[str, Any], values: dict[str, Any]) -> Recipe:
            # a searched value comes last: nothing else may decide over it
            requested = task.complete_recipe(own, *layers, more, settings=(*self.settings, *settings))
            recipe = task.complete_recipe(requested.model_dump(), values)
            if PROTOCOLS[protocol].uses_features(task.kind):
                check_frozen(task.name, protocol, recipe)
            return without_unused(recipe, task, protocol)

        def recipe_and_search(more: dict[str, Any]) -> tuple[Recipe, Search | None]:
            unused = unused_fields(protocol, task.kind, recipe_of(more, {}))
            used = {name: values for name, values in (search or {}).items() if name not in unused}
            fields = {text.partition("=")[0].strip() for text in (*self.settings, *settings)}
            if ignored := sorted({*fields, *(search or {})} & unused):
                notes[f"{protocol} does not use {first_few(ignored, 8)}: no other cells for it"] = None
            candidates = [
                recipe_of(more, dict(zip(used, values, strict=True))) for values in itertools.product(*used.values())
            ]
            return candidates[0], used or None

        named = tuple(model for one in overrides for model in one.models)
        recipes = [
            (recipe_and_search({}), {"but": named}),
            *((recipe_and_search(one.recipe), {"only": one.models}) for one in overrides),
        ]
        return [
            TaskRun(task=task, protocol=protocol, recipe=recipe, search=used, **whom)
            for (recipe, used), whom in recipes
        ]


def unfit_ones(models: list[str], tasks: list[TaskSpec], protocols: list[str]) -> list[str]:
    """Returns a line for each model, protocol and task that is in no cell of the grid, with the reason."""
    reasons = {(m, p, t.name): incompatibility(p, t.kind, m) for m in models for p in protocols for t in tasks}
    faults: dict[str, str] = {}
    for place, names in ((0, models), (1, protocols), (2, [task.name for task in tasks])):
        for name in names:
            of_name = [reason for combination, reason in reasons.items() if combination[place] == name]
            if all(of_name):
                faults.setdefault(of_name[0], f"{name}: {of_name[0]}")
    return list(faults.values())


def check_frozen(task: str, protocol: str, recipe: Recipe) -> None:
    """Raises BenchmarkError for a recipe that a protocol over frozen features cannot follow: features are computed once, of
    the plain image's center.
    """
    for name, wanted in (("augmentation", "none"), ("test_crops", 1)):
        if getattr(recipe, name) != wanted:
            raise BenchmarkError(
                f"{task}: --protocol {protocol} computes each image's features once, of its center: {name}="
                f"{getattr(recipe, name)} cannot be had, wanted {name}={wanted}"
            )
    for name, allowed in find_protocol(protocol).allowed.items():
        if (found := getattr(recipe, name)) not in allowed:
            wanted = " or ".join(str(value).lower() for value in allowed)
            raise BenchmarkError(f"{task}: --protocol {protocol} takes {name}={wanted}, not {found}")


def _collect(faults: list[str], function: Callable[..., list[Any]], *arguments: Any, **options: Any) -> list[Any]:
    """Returns what the function returns; where it raises BenchmarkError, adds that to `faults` and returns nothing."""
    try:
        return function(*arguments, **options)
    except BenchmarkError as fault:
        faults.append(str(fault))
        return []


def _find_members(models: list[str], entries: dict[str, ZooEntry]) -> list[tuple[ZooEntry, ...]]:
    return [tuple(find_entry(name, entries) for name in model.split("+")) for model in models]


def _hint_for_model(name: str, home: Path) -> str:
    """Returns what a name that no model has probably means: a file of weights, or an architecture; nothing otherwise."""
    if Path(name).suffix in WEIGHT_SUFFIXES:
        return f"a file of weights becomes a model by `benchmark zoo add {shlex.quote(name)} --name NAME`"
    if re.fullmatch(r"[\w.]+", name):
        with suppress(BenchmarkError):
            check_architecture(name, home)
            return f"an architecture with random weights is scratch:{name}"
    return ""


def _coined(name: str) -> str | None:
    """Returns a name that no file lists: random weights of an architecture, or a fusion with its encoders in alphabetical
    order; None for any other name.
    """
    if "+" in name:
        members = sorted({member.strip() for member in name.split("+") if member.strip()})
        if len(members) < 2:
            raise BenchmarkError(f"{name}: a fusion is of two different encoders or more, joined by +")
        return "+".join(members)
    return name if name.startswith("scratch:") else None


def _check_architectures(entries: list[ZooEntry], home: Path) -> None:
    for entry in entries:
        if entry.name.startswith("scratch:"):
            check_architecture(entry.architecture, home)
