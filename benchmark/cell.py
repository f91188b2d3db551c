"""The question: these weights, this task, this protocol, this recipe, this seed; its key and its random streams.

All that changes the numbers is in the cell, nothing else is: no device, worker, path or metric. Two cells with one
key are one question, wherever they are asked. The spelling of keys is frozen by a test: a new field must be optional
with None meaning "as before", since None is left out of the key.
"""

import hashlib
import itertools
from collections.abc import Iterable
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from benchmark.disk import digest_of
from benchmark.fault import Fault, did_you_mean
from benchmark.frozen import Frozen, ShownName

KEY_FORMAT = 2
# of one cell on a CPU, on every machine and beside any number of other cells: sums are taken in as many parts as there are
# threads, so another number of them gives other last digits
THREADS = 4
NUM_FOLDS = 5  # Truong 2021, appendix A
Side = Annotated[int, Field(ge=16)]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Initialization = Literal["torchvision", "timm"]
Positions = Literal["bicubic", "bicubic-offset"]


class Recipe(Frozen):
    """Hyper-parameters. The defaults are the first paper's for X-ray classification (Hosseinzadeh Taher 2021,
    appendix B; what only its code tells is marked "code"); a task's own recipe changes them, `--set` changes both.

    Sizes are in pixels.
    """

    optimizer: Literal["adam", "sgd"] = "adam"  # betas 0.9 and 0.999; momentum 0.9
    weight_decay: PositiveFloat | None = None  # 0 is None: both mean no decay
    learning_rate: PositiveFloat = 2e-4
    batch_size: PositiveInt = 32  # code
    min_epochs: PositiveInt | None = None  # before these are over, nothing stops early
    max_epochs: PositiveInt = 200
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    plateau_patience: NonNegativeInt = 5  # epochs without a lower validation loss; code
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    early_stop: PositiveInt | None = 10  # epochs without a lower validation loss; code
    loss: Literal["bce", "ce", "dice"] = "bce"
    # what uncertain labels train as (data.labels); None for tasks that have none
    uncertain: Literal["lsr-ones", "lsr-zeros", "ones", "zeros", "ignore"] | None = None
    # oversample: each epoch, the images of every class are repeated until they are as many as the largest class's
    sampling: Literal["oversample"] | None = None
    # Departs: weights that start at random are drawn by the rule of the first paper's code (ResNets as torchvision draws
    # them, linear heads from N(0, 0.01) with zero bias) for the two other papers too, which name none, unless
    # initialization=timm takes timm's rule and PyTorch's.
    initialization: Initialization = "torchvision"
    image_size: Side = 224  # what the encoder sees, square
    # whole: an image is resized to image_size as it is; else to `evaluation_size`, and its centre is cut out
    framing: Literal["whole"] | None = None
    # Departs: training crops are cut from images whose short side is reduced to 512, unless train_resolution=native.
    train_resolution: Side | Literal["native"] = 512
    # Departs: crops are resized and rotated in one OpenCV warp, not by PIL in two steps, unless pixels=exact.
    pixels: Literal["fast", "exact"] = "fast"
    augmentation: Literal[
        "crop-flip-rotate",
        "crop-flip-rotate-tone",
        "crop-flip-rotate-colour",
        "flips",
        "xray-segmentation",
        "fundus-segmentation",
        "none",
    ] = "crop-flip-rotate"
    resize: Literal["nearest", "bilinear"] = "bilinear"  # images to working size, in segmentation
    test_crops: Literal[1, 10] = 10  # in classification; code
    precision: Literal["fp32", "bf16"] = "fp32"  # of forward and backward passes
    input: Literal["imagenet", "native"] = "imagenet"  # whose input statistics: the papers' control, or the entry's own

    @field_validator("weight_decay", mode="before")
    @classmethod
    def _no_decay_is_none(cls, value: Any) -> Any:
        return None if value in (0, "0", "0.0") else value

    @property
    def evaluation_size(self) -> int:
        """Side to which classification images are resized before crops: 256 for 224, in proportion for others."""
        return self.image_size if self.framing == "whole" else round(self.image_size * 256 / 224)

    @classmethod
    def complete(cls, *layers: dict[str, Any], settings: Iterable[str] = ()) -> "Recipe":
        """The defaults, changed by each layer in turn, then by `name=value` settings. Raises Fault."""
        fields: dict[str, Any] = {}
        for layer in layers:
            fields |= layer
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals:
                raise Fault(f"--set {setting}: wanted NAME=VALUE, such as --set image_size=96")
            name, value = name.strip(), value.strip()
            # augmentation=none is a word; only where nothing is allowed does none stand for it
            optional = name in cls.model_fields and type(None) in get_args(cls.model_fields[name].annotation)
            number = int(value) if value.isdecimal() else value  # pydantic reads other numbers from text, not choices
            fields[name] = None if optional and value.lower() in ("none", "null") else number
        for name in fields:
            if name not in cls.model_fields:
                raise Fault(f"recipe has no field {name!r}: {did_you_mean(name, cls.model_fields)}")
        try:
            # strings come from the command line, so "96" may stand for 96
            return cls.model_validate(fields, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            raise Fault(f"recipe field {first['loc'][0]}: found {first['input']!r}: {first['msg']}") from error


class Weights(Frozen):
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


class Cell(Frozen):
    """One question. `data_digest` stands for the examples (table and a sample of the images' bytes), `fraction` for
    the share of the training part that is used, `subset` for a number of its images, balanced over the classes; with
    `fold` of `folds` (five, where None), that fold of the training and validation parts validates and the others
    train; `data` keeps phantoms apart from official images in every table. With `search`, which maps recipe fields to
    values, every combination of values is trained, the best on the validation part is chosen, and only that one predicts
    the test part; `recipe` then holds the first combination.
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


class Purpose(str, Enum):
    """What a random stream is for. The values are part of every draw: they are frozen as keys are."""

    AUGMENTATION = "augmentation"  # of one training image in one epoch
    DROPOUT = "dropout"
    ENCODER = "encoder"  # the first weights of an encoder
    HEAD = "head"  # the first weights of what stands on an encoder
    ORDER = "order"  # of the training images in one epoch
    SUBSET = "subset"  # which training images a fraction or a subset has
    UNCERTAIN = "uncertain"  # what uncertain labels train as


def stream(seed: int, purpose: Purpose, *where: int) -> int:
    """Returns the seed (63 bits) of a named random stream: a pure function of the cell's seed, the purpose, and where in
    the run it is drawn (epoch, example).

    A draw depends on nothing drawn before it, so a resumed run, another model and another number of threads see
    the same order, crops and subset. Raises ValueError for what is no purpose.
    """
    text = "/".join([str(seed), Purpose(purpose).value, *map(str, where)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
