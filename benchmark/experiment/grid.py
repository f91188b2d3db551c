"""A grid that a command line asked for: models, tasks, protocols, recipes, seeds and portions -> cells."""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmark.cell import Cell
from benchmark.data.index import Index
from benchmark.errors import BenchmarkError
from benchmark.experiment.cells import Portion, TaskRun, cells_of
from benchmark.experiment.overlap import Pair, overlap, told
from benchmark.experiment.plan import Search
from benchmark.protocols.registry import incompatibility
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import located


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
            file = None if entry.is_scratch else located(entry, self.workspace.weights)
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
        return [e for e in self.entries if not e.is_scratch and located(e, self.workspace.weights) is None]


def portions_from(fractions: str | None, subsets: str | None) -> list[Portion]:
    """`--fractions 0.01,0.1,1` and `--subsets S,500,F` as shares of the training part; all of it where neither is given."""
    if fractions is not None and subsets is not None:
        raise BenchmarkError("--fractions and --subsets: wanted one of them")
    if subsets is not None:
        named = [name.strip() for name in subsets.split(",") if name.strip()]
        if not named:
            raise BenchmarkError(
                "--subsets: names no size: wanted numbers of images, or names of the task, such as S,M,F"
            )
        return [(1.0, name) for name in dict.fromkeys(named)]
    shares: list[float] = []
    for text in filter(None, (t.strip() for t in (fractions or "1").split(","))):
        try:
            share = float(text)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise BenchmarkError(f"--fractions {fractions}: wanted shares above 0, up to 1, found {text!r}")
        shares.append(share)
    return [(share, None) for share in dict.fromkeys(shares)]


def swept(sweep: Iterable[str]) -> list[tuple[str, ...]]:
    """`NAME=A,B` of each of several options -> settings, one tuple for each combination; one empty where there is none."""
    fields = []
    for text in sweep:
        name, equals, values = text.partition("=")
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or len(listed) < 2:
            raise BenchmarkError(
                f"--sweep {text}: wanted NAME=A,B,… with two values or more, such as learning_rate=1e-4,1e-3"
            )
        fields.append([f"{name.strip()}={value}" for value in listed])
    return list(itertools.product(*fields))


def searched(texts: Iterable[str]) -> Search | None:
    """Returns what `--search NAME=A,B,…` of several options asks for: each field with its values, fields in alphabetical
    order; None where there is no option. `log:LOW:HIGH:NUM` stands for NUM values from 10^LOW to 10^HIGH, evenly spaced
    in the exponent. Raises BenchmarkError.
    """
    fields: Search = {}
    for text in texts:
        # one option may name several fields: learning_rate=1e-4,1e-3,weight_decay=none,1e-4
        for part in re.split(r",(?=\s*[a-z_]+\s*=)", text):
            name, equals, listed = (piece.strip() for piece in part.partition("="))
            values = tuple(
                dict.fromkeys(value for term in listed.split(",") for value in _values_of(name, term.strip()))
            )
            if not equals or len(values) < 2:
                raise BenchmarkError(
                    f"--search {part}: wanted NAME=A,B,… with two different values or more, such as "
                    "learning_rate=1e-4,1e-3 or learning_rate=log:-4:-2:5"
                )
            if name in fields:
                raise BenchmarkError(f"--search {name}: named twice, wanted each field once")
            fields[name] = values
    return dict(sorted(fields.items())) or None


def _values_of(name: str, term: str) -> list[Any]:
    """The values that one term of `--search` stands for, as a recipe has them."""
    if not term:
        return []
    if not term.startswith("log:"):
        return [getattr(Recipe.complete(settings=[f"{name}={term}"]), name)]
    try:
        low, high, num = term.removeprefix("log:").split(":")
        exponents = [float(low) + (float(high) - float(low)) * n / (int(num) - 1) for n in range(int(num))]
    except (ValueError, ZeroDivisionError) as error:
        raise BenchmarkError(
            f"--search {name}={term}: wanted log:LOW:HIGH:NUM, exponents of ten and two values or more"
        ) from error
    # six digits: what a reader of a table can type again
    return [getattr(Recipe.complete(settings=[f"{name}={10**exponent:.6g}"]), name) for exponent in exponents]


def unfit_ones(models: list[str], tasks: list[TaskSpec], protocols: list[str]) -> list[str]:
    """Why a model or a protocol stands in no cell of the grid, one line each."""
    reasons = {(m, p, t.name): incompatibility(p, t.kind, m) for m in models for p in protocols for t in tasks}
    faults: dict[str, str] = {}
    for place, names in ((0, models), (1, protocols), (2, [task.name for task in tasks])):
        for name in names:
            its = [reason for asked, reason in reasons.items() if asked[place] == name]
            if all(its):
                faults.setdefault(its[0], f"{name}: {its[0]}")
    return list(faults.values())


def check_frozen(task: str, protocol: str, recipe: Recipe) -> None:
    """Features are computed once, of the plain image's centre. Raises BenchmarkError for what would ask for others."""
    for name, wanted in (("augmentation", "none"), ("test_crops", 1)):
        if getattr(recipe, name) != wanted:
            raise BenchmarkError(
                f"{task}: --protocol {protocol} computes each image's features once, of its centre: {name}="
                f"{getattr(recipe, name)} cannot be had, wanted {name}={wanted}"
            )


def _named(model: tuple[ZooEntry, ...]) -> str:
    return "+".join(entry.name for entry in model)
