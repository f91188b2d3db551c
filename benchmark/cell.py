"""The question: these weights, this task, this protocol, this recipe, this seed; its key and its random streams.

All that changes the numbers is in the cell, nothing else is: no device, worker, path or metric. Two cells with one
key are one question, wherever they are asked. The spelling of keys is frozen by a test: a new field must be optional
with None meaning "as before", since None is left out of the key.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchmark.disk import digest_of
from benchmark.fault import Fault, did_you_mean
from benchmark.frozen import Frozen

KEY_FORMAT = 1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Recipe(Frozen):
    """Hyper-parameters. The defaults are the first paper's for X-ray classification (Hosseinzadeh Taher 2021,
    appendix B; what only its code tells is marked "code"); a task's own recipe changes them, `--set` changes both.

    Sizes are in pixels, `validation` is a share of the training patients.
    """

    optimizer: Literal["adam"] = Field("adam", description="Adam with betas 0.9 and 0.999")
    learning_rate: Annotated[float, Field(gt=0, description="initial learning rate")] = 2e-4
    batch_size: Annotated[int, Field(ge=1, description="images per step (32: code)")] = 32
    max_epochs: Annotated[int, Field(ge=1, description="cap on training epochs")] = 200
    schedule: Literal["plateau", "cosine", "constant"] = Field("plateau", description="learning rate schedule")
    plateau_patience: Annotated[int, Field(ge=0, description="epochs without a lower validation loss (5: code)")] = 5
    plateau_factor: Annotated[float, Field(gt=0, lt=1, description="what a plateau multiplies the rate by")] = 0.5
    early_stop: (
        Annotated[int, Field(ge=1, description="stop after this many epochs without gain (10: code)")] | None
    ) = 10
    loss: Literal["bce", "ce", "dice"] = Field("bce", description="training and validation loss")
    image_size: Annotated[int, Field(ge=16, description="side of the square that the encoder sees")] = 224
    train_resolution: (
        Annotated[int, Field(ge=16, description="short side kept for training crops")] | Literal["native"]
    ) = 512
    pixels: Literal["fast", "exact"] = Field(
        "fast", description="training augmentation: OpenCV on the cache, or PIL bit for bit"
    )
    augmentation: Literal["crop-flip-rotate", "xray-segmentation", "fundus-segmentation", "none"] = "crop-flip-rotate"
    resize: Literal["nearest", "bilinear"] = Field("bilinear", description="to working size, segmentation only")
    test_crops: Literal[1, 10] = Field(10, description="ten-crop or centre crop at test, classification only")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="arithmetic of forward and backward passes")
    input: Literal["imagenet", "native"] = Field("imagenet", description="whose input statistics the images get")

    @property
    def evaluation_size(self) -> int:
        """Side to which classification images are resized before crops: 256 for 224, in proportion for others."""
        return round(self.image_size * 256 / 224)

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
            none = value.lower() in ("none", "null")
            fields[name.strip()] = None if none else value.strip()
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
    images scaled to 0..1), resolved from the recipe's `input` and the entry.
    """

    name: str
    architecture: str
    sha256: str = ""
    naming: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def fresh(self) -> bool:
        """Whether training starts from random weights."""
        return not self.sha256


class Cell(Frozen):
    """One question. `data_digest` stands for the examples (table and a sample of the images' bytes), `fraction` for
    the share of the training part that is used; `data` keeps phantoms apart from official images in every table.
    """

    weights: tuple[Weights, ...]
    task: str
    task_digest: str
    data: Literal["official", "phantom"]
    data_digest: str
    protocol: str = "finetune"
    recipe: Recipe
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    fold: int | None = None
    seed: Annotated[int, Field(ge=0)]

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
        return f"{self.task} · {self.model} · seed {self.seed}"


def stream(seed: int, purpose: str, *where: int) -> int:
    """The seed (63 bits) of a named random stream: a pure function of the cell's seed, a purpose such as "head",
    "order" or "augmentation", and where in the run it is drawn (epoch, example).

    A draw depends on nothing drawn before it, so a resumed run, another model and another number of threads see
    the same order, crops and subset.
    """
    text = "/".join([str(seed), purpose, *map(str, where)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
