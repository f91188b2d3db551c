"""The task registry: one fact sheet (YAML) per task, read, checked and digested. Facts here, code in data/readers."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from benchmark.cell import Recipe
from benchmark.disk import digest_of
from benchmark.fault import Fault
from benchmark.frozen import Frozen, explain

# fields that a table shows but that change no number: correcting them leaves every cell's key alone
_FACTS_ONLY = {"title", "about", "counts", "licence", "cite", "get", "root", "groups"}


class Split(Frozen):
    """How examples are parted. `official` follows the data set's own lists; `random` parts the patients by `seed`.

    `test` is a share of the patients; `validation` is a share of the training patients.
    """

    method: Literal["official", "random"]
    test: Annotated[float, Field(gt=0, lt=1)] | None = None
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    seed: int = 0

    @model_validator(mode="after")
    def _test_where_random(self) -> "Split":
        if (self.method == "random") != (self.test is not None):
            raise ValueError("a random split needs `test` (a share of the patients), an official one has none")
        return self


class TaskSpec(Frozen):
    """One task: what is predicted from which data set, how it is parted, trained and scored.

    `root` is the data set's folder under the data folder; `scored` are the labels that the score is a mean over,
    where not all; `metric` is the primary score's name in `benchmark.evaluate`; `recipe` is what departs from
    Recipe's defaults; `groups` are the columns carried to the predictions for subgroup scores; `counts` are the
    published ones.
    """

    name: str
    version: int
    title: str
    about: str = ""
    reader: str
    root: str
    kind: Literal["binary", "multilabel", "segmentation"]
    labels: tuple[str, ...]
    scored: tuple[str, ...] | None = None
    split: Split
    metric: str
    recipe: dict[str, Any] = {}
    groups: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    licence: str
    cite: str
    get: str

    @model_validator(mode="after")
    def _labels_fit_the_kind(self) -> "TaskSpec":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label is listed twice")
        if unknown := sorted({*(self.scored or ())} - {*self.labels}):
            raise ValueError(f"scored {unknown[0]!r} is not among the labels")
        if self.kind != "multilabel" and len(self.labels) != 1:
            raise ValueError(f"a {self.kind} task has one label, {len(self.labels)} are listed")
        return self

    @cached_property
    def digest(self) -> str:
        """16 hex digits over all that changes the numbers."""
        return digest_of(self.model_dump(mode="json", exclude=_FACTS_ONLY, exclude_none=True))[:16]

    def complete_recipe(self, *layers: dict[str, Any], settings: tuple[str, ...] = ()) -> Recipe:
        """This task's recipe, changed by a suite's layers and by `--set`. Raises Fault where it does not fit the kind."""
        recipe = Recipe.complete(self.recipe, *layers, settings=settings)
        segmentation = self.kind == "segmentation"
        for_segmentation = recipe.augmentation.endswith("-segmentation")
        unfit = ""
        if recipe.augmentation != "none" and segmentation != for_segmentation:
            unfit = (
                f"augmentation={recipe.augmentation} is for {'segmentation' if for_segmentation else 'classification'}"
            )
        elif segmentation and recipe.pixels == "exact":
            unfit = "pixels=exact is for classification: segmentation is augmented by albumentations"
        elif recipe.loss == "dice" and not segmentation:
            unfit = "loss=dice is for segmentation"
        elif recipe.loss == "ce" and self.kind != "binary":
            unfit = "loss=ce is for tasks with one answer out of two"
        elif (recipe.uncertain is None) == ("uncertain" in self.recipe):
            unfit = (
                "it has uncertain labels: uncertain must say what they train as"
                if recipe.uncertain is None
                else f"uncertain={recipe.uncertain} is for tasks that have uncertain labels"
            )
        if unfit:
            raise Fault(f"{self.name} is a {self.kind} task: {unfit}")
        return recipe


def read_task(path: Path) -> TaskSpec:
    """Read one fact sheet. Raises Fault naming the file, the key, what was found and what was wanted."""
    try:
        sheet = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise Fault(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(sheet, dict):
        raise Fault(f"{path}: wanted the keys of a task, found {type(sheet).__name__}")
    try:
        task = TaskSpec.model_validate(sheet)
        task.complete_recipe()
    except ValidationError as error:
        raise Fault(f"{path}: {explain(error, TaskSpec)}") from error
    except Fault as fault:
        raise Fault(f"{path}: {fault}") from fault
    if task.name != path.stem:
        raise Fault(f"{path}: names the task {task.name!r}; the file of that task is {task.name}.yaml")
    return task


def read_tasks(folder: Path) -> dict[str, TaskSpec]:
    """All tasks of a folder, by name."""
    return {path.stem: read_task(path) for path in sorted(folder.glob("*.yaml"))}
