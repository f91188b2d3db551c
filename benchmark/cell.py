"""The question: these weights, this task, this protocol, this recipe, this seed; its key and its random streams.

All that changes the numbers is in the cell, nothing else is: no device, worker, path or metric. Two cells with one
key are one question, wherever they are asked. The spelling of keys is frozen by a test: a new field must be optional
with None meaning "as before", since None is left out of the key.
"""

import itertools
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from benchmark.files import digest_of
from benchmark.recipe import Recipe
from benchmark.strict import ShownName, StrictModel

KEY_FORMAT = 2
# of one cell on a CPU, on every machine and beside any number of other cells: sums are taken in as many parts as there are
# threads, so another number of them gives other last digits
THREADS = 4
NUM_FOLDS = 5  # Truong 2021, appendix A
Side = Annotated[int, Field(ge=16)]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Positions = Literal["bicubic", "bicubic-offset"]


class Weights(StrictModel):
    """The encoder's weights as a cell knows them: the file by its digest, never by its path.

    `sha256` is empty for fresh weights. `mean` and `std` are the input statistics that this cell feeds (RGB, of
    images scaled to 0..1), resolved from the recipe's `input` and the entry. `features`: what protocols that want
    vectors take of the encoder, where that is not its pooled output. `positions`: how a ViT's positions are interpolated
    to another image size, where not as timm does it (zoo.positions).
    """

    name: ShownName
    architecture: ShownName
    sha256: str = ""
    naming: ShownName
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    features: Literal["class-tokens-4"] | None = None  # the class tokens of the last four blocks, joined
    positions: Positions | None = None

    @property
    def fresh(self) -> bool:
        """Whether training starts from random weights."""
        return not self.sha256


class Shift(StrictModel):
    """The test of a trained model on another task, without further training.

    `source`: the task that it was trained on; `task`, its digests and `data`: the task whose test split it predicts;
    `labels`: pairs of a label of the source and the label of the target that means the same.
    """

    source: ShownName
    task: ShownName
    task_digest: str
    data: Literal["official", "phantom"]
    data_digest: str
    labels: tuple[tuple[str, str], ...]


class Cell(StrictModel):
    """One question. `data_digest` stands for the examples (table and a sample of the images' bytes), `fraction` for
    the share of the training part that is used, `subset` for a number of its images, balanced over the classes; with
    `fold` of `folds` (five, where None), that fold of the training and validation parts validates and the others
    train; `data` keeps phantoms apart from official images in every table. With `search`, which maps recipe fields to
    values, every combination of values is trained, the best on the validation part is chosen, and only that one predicts
    the test part; `recipe` then holds the first combination. With `shift`, the model that the cell `source` trains is
    judged on another task; `task` is then a name of its own (`shifted`), and all else is that of the source.
    """

    weights: tuple[Weights, ...]
    task: ShownName
    task_digest: str
    data: Literal["official", "phantom"]
    data_digest: str
    protocol: ShownName = "finetune"
    recipe: Recipe
    search: dict[str, tuple[int | float | str | None, ...]] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    subset: PositiveInt | None = None
    fold: NonNegativeInt | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    shift: Shift | None = None
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _share_is_told_once(self) -> "Cell":
        if self.fold is None:
            if self.folds is not None:
                raise ValueError(f"folds: {self.folds} of them and no fold named")
        elif self.fold >= (self.folds or NUM_FOLDS):
            raise ValueError(f"fold {self.fold} of {self.folds or NUM_FOLDS}: they are counted from 0")
        if self.subset is not None and self.fraction != 1:
            raise ValueError("a subset and a fraction: wanted one of them")
        return self

    @model_validator(mode="after")
    def _search_names_recipes(self) -> "Cell":
        if self.search is None:
            return self
        if not self.search or not all(self.search.values()):
            raise ValueError("search: wanted recipe fields, each with its values")
        if self.candidates()[0][1] != self.recipe:
            raise ValueError("search: wanted its first combination of values in the recipe")
        return self

    def candidates(self) -> list[tuple[dict[str, Any], Recipe]]:
        """Returns the recipes that this cell trains, each with the fields that the search sets in it: one recipe and no
        field where the cell has no search. Raises ValidationError where a recipe cannot have such a value.
        """
        search = dict(sorted((self.search or {}).items()))
        settings = [dict(zip(search, values, strict=True)) for values in itertools.product(*search.values())]
        return [(one, Recipe.model_validate({**self.recipe.model_dump(), **one})) for one in settings]

    @cached_property
    def key(self) -> str:
        """16 hex digits that name the cell in every results folder."""
        return digest_of({"format": KEY_FORMAT, **self.model_dump(mode="json", exclude_none=True)})[:16]

    @property
    def source(self) -> "Cell":
        """The cell that trains the model: itself, unless it judges another cell's model on another task."""
        if self.shift is None:
            return self
        return self.model_copy(update={"task": self.shift.source, "shift": None})

    def shifted(self, shift: Shift) -> "Cell":
        """Returns the cell that judges this cell's model on another task; `source` is the inverse."""
        return self.model_copy(update={"task": f"{self.task}-to-{shift.task}", "shift": shift})

    @property
    def model(self) -> str:
        """The name of the weights, joined by + where a protocol takes several."""
        return "+".join(w.name for w in self.weights)

    @property
    def title(self) -> str:
        """How lines of progress and lists of failures name the cell."""
        how = [self.protocol] * (self.protocol != "finetune") + [self.portion] * bool(self.portion)
        fold = [] if self.fold is None else [f"fold {self.fold}"]
        return " · ".join([self.task, self.model, *how, f"seed {self.seed}", *fold])

    @property
    def portion(self) -> str:
        """How much of the training part is used, in words; nothing for all of it."""
        if self.subset is not None:
            return f"{self.subset:,} training images"
        return f"{100 * self.fraction:g} % of the training patients" if self.fraction < 1 else ""
