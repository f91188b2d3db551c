"""Suites: grids in files, a paper's experiment or a user's own."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from benchmark.contrastive_recipe import ContrastiveRecipe
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import from_yaml
from benchmark.protocols.registry import PROTOCOLS, find_protocol, unused_fields
from benchmark.recipe import Recipe
from benchmark.strict import Name, StrictModel, explain, is_name
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry, find_entry


class SuitePart(StrictModel):
    """A part of a suite's file. The docstring of each field is its description in the JSON schema and in the documentation."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class PhantomSpec(SuitePart):
    """Phantoms that a suite brings along."""

    num: Annotated[int, Field(ge=1)]
    """Number of images."""
    size: Annotated[int, Field(ge=16)]
    """Side of the images in pixels."""
    seed: int = 0
    """Another seed gives other images."""


class Pretraining(SuitePart):
    """An encoder that a suite trains before its grid."""

    name: Name
    """The name under which the encoder stands in `models`."""
    start: str
    """The model whose weights the training starts from; it may be an encoder that an earlier step makes."""
    task: str
    """The task that the encoder is trained on."""
    method: Literal["supervised", "simclr", "micle"] = "supervised"
    """How it is trained: with the task's labels, or without them on its training images."""
    bags: str = ""
    """For micle: the column whose values are the bags of images."""
    title: str = ""
    """The title of the encoder in the zoo."""
    recipe: dict[str, Any] = {}
    """Recipe fields of this training; of simclr and micle, those of `benchmark.contrastive_recipe`."""

    def describe(self) -> str:
        """Returns the step in a line."""
        if self.method == "supervised":
            return f"{self.name}, supervised on {self.task} from {self.start}"
        recipe = ContrastiveRecipe.complete(self.method, self.recipe)
        return (
            f"{self.name}, by {self.method} on {self.task} from {self.start}: {recipe.steps:,} steps of "
            f"{recipe.batch_size:,} pairs of {recipe.image_size} pixels"
        )

    def check(self, suite: "Suite") -> None:
        """Raises BenchmarkError for a recipe that the method does not know, and for bags that it does not take."""
        if (self.method == "micle") != bool(self.bags):
            raise BenchmarkError(
                "bags names the column of MICLe's bags: wanted with method: micle alone, and always there"
            )
        if self.method == "supervised":
            Recipe.complete(suite.recipe, suite.recipes.get(self.task, {}), self.recipe)
        else:
            ContrastiveRecipe.complete(self.method, self.recipe)


class Override(SuitePart):
    """What some models change in a protocol's recipe."""

    models: tuple[str, ...]
    """The models that it concerns, each as the grid names it."""
    protocol: str
    """The protocol that it concerns."""
    recipe: dict[str, Any]
    """Recipe fields that are changed."""


class Differs(SuitePart):
    """What the project's own tasks and models have otherwise than a paper, by name, in a few words each."""

    tasks: dict[str, str] = {}
    """Task -> what differs."""
    models: dict[str, str] = {}
    """Model -> what differs."""


class Suite(SuitePart):
    """A grid in a file, which `benchmark run SUITE` runs."""

    name: Name
    """The name of the suite and of its reports."""
    title: str
    """The question that the suite asks."""
    about: str = ""
    """A paragraph for those who read the file."""
    models: str
    """Models, as `--models` takes them."""
    tasks: str
    """Tasks, as `--tasks` takes them."""
    seeds: str = "10"
    """Seeds, as `--seeds` takes them: "10" is seeds 0 to 9."""
    protocol: str = "finetune"
    """One or several protocols, as `--protocol` takes them."""
    subsets: str = ""
    """Numbers of training images, as `--subsets` takes them."""
    fractions: str = ""
    """Shares of the training patients, as `--fractions` takes them."""
    search: str = ""
    """A recipe field and the values that validation chooses from, as `--search` takes them."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Number of folds of cross-validation."""
    baseline: str = ""
    """The model that reports test the others against."""
    recipe: dict[str, Any] = {}
    """Recipe fields that are changed for every task."""
    recipes: dict[str, dict[str, Any]] = {}
    """Task -> recipe fields that are changed for it."""
    overrides: tuple[Override, ...] = ()
    """Recipe fields that are changed for some models."""
    phantoms: dict[str, PhantomSpec] = {}
    """Task -> the synthetic images that the suite writes and runs on, in place of the data folder."""
    pretrain: tuple[Pretraining, ...] = ()
    """Encoders that are trained first, in this order."""
    differs: Differs = Differs()
    """What of a paper is otherwise here."""
    tables: dict[Name, dict[str, Any]] = {}
    """A paper's tables by name, which `benchmark report --table` makes again (`benchmark/reporting/paper_tables.py`)."""
    figures: dict[Name, dict[str, Any]] = {}
    """A paper's figures by name, which `benchmark report --figure` makes again (`benchmark/reporting/figures`)."""


def own_recipe(task: TaskSpec | None, protocol: str) -> Recipe:
    """Returns the recipe of a task under a protocol where nothing else is asked for; the defaults where no task is known."""
    if task is None:
        return Recipe()
    return task.complete_recipe(PROTOCOLS[protocol].recipe_for(task.kind) if protocol in PROTOCOLS else {})


def without_unused(recipe: Recipe, task: TaskSpec, protocol: str) -> Recipe:
    """Returns the recipe with the fields that change nothing under the protocol set back to the task's own values, so that
    recipes that give the same numbers are the same recipe.
    """
    own = own_recipe(task, protocol)
    return recipe.model_copy(update={name: getattr(own, name) for name in unused_fields(protocol, task.kind, recipe)})


def suite_recipe(suite: Suite, task: TaskSpec, protocol: str, model: str) -> Recipe:
    """Returns the recipe by which a suite runs a model on a task under a protocol."""
    overrides = [one.recipe for one in suite.overrides if one.protocol == protocol and model in one.models]
    own = find_protocol(protocol).recipe_for(task.kind)
    recipe = task.complete_recipe(own, suite.recipe, suite.recipes.get(task.name, {}), *overrides)
    return without_unused(recipe, task, protocol)


def promised_entries(suite: Suite, entries: dict[str, ZooEntry]) -> list[ZooEntry]:
    """Returns entries in place of those that the suite's pre-trainings have yet to make, in their order. Raises
    BenchmarkError where a step starts from a model that neither the zoo (`entries`) nor an earlier step has.
    """
    promised: dict[str, ZooEntry] = {}
    for step in suite.pretrain:
        if step.name not in entries:
            start = find_entry(step.start, promised | entries)
            changed = {"name": step.name, "title": step.title, "family": "pretrained here", "container": "safetensors"}
            promised[step.name] = start.model_copy(update=changed | {"naming": "timm", "sha256": "", "source": ""})
    return list(promised.values())


def read_suite(name: str, folder: Path) -> Suite:
    """The suite of that name, or at that path. Raises BenchmarkError."""
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not (name.endswith(".yaml") or is_name(name)) or not path.is_file():
        known = [file.stem for file in folder.glob("*.yaml")]
        raise BenchmarkError(f"no suite {name!r}: {did_you_mean(name, known)}")
    try:
        return Suite.model_validate(from_yaml(path))
    except ValidationError as error:
        raise BenchmarkError(f"{path}: {explain(error, Suite)}") from error


def read_suites(folder: Path) -> dict[str, Suite]:
    """Returns all suites of a folder, by name. Raises BenchmarkError."""
    suites = (read_suite(str(path), folder) for path in sorted(folder.glob("*.yaml")))
    return {suite.name: suite for suite in suites}
