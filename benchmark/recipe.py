"""Hyper-parameters of a training: the papers' defaults, a task's and a protocol's own, what the command line sets."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, field_validator

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.strict import StrictModel

Initialization = Literal["torchvision", "timm"]
Side = Annotated[int, Field(ge=16)]


class Recipe(StrictModel):
    """Hyper-parameters. The defaults are the first paper's for X-ray classification (Hosseinzadeh Taher 2021,
    appendix B; what only its code tells is marked "code"); a task's own recipe changes them, `--set` changes both.

    Sizes are in pixels.
    """

    optimizer: Literal["adam", "sgd", "lars"] = "adam"  # betas 0.9 and 0.999; momentum 0.9; momentum 0.9, trust 0.001
    weight_decay: PositiveFloat | None = None  # 0 is None: both mean no decay
    learning_rate: PositiveFloat = 2e-4
    batch_size: PositiveInt = 32  # code
    min_epochs: PositiveInt | None = None  # before these are over, nothing stops early
    max_epochs: PositiveInt = 200
    # the length in optimizer steps, in place of epochs: each hundredth of it is then called an epoch, and is validated
    max_steps: PositiveInt | None = None
    warmup: PositiveInt | None = None  # steps in which the learning rate rises from 0, linearly
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
    def steps_of_epoch(self) -> int | None:
        """The optimizer steps after which a training of `max_steps` is validated: a hundredth; None where an epoch is a pass
        over the training images.
        """
        return None if self.max_steps is None else -(-self.max_steps // 100)

    @property
    def most_epochs(self) -> int:
        """The number of epochs after which a training ends at the latest."""
        return self.max_epochs if self.max_steps is None else -(-self.max_steps // (self.steps_of_epoch or 1))

    def images_of_epoch(self, num_train: float) -> float:
        """Returns how many images an epoch trains on, with so many in the training split."""
        return num_train if self.steps_of_epoch is None else float(self.steps_of_epoch * self.batch_size)

    @property
    def evaluation_size(self) -> int:
        """Side to which classification images are resized before crops: 256 for 224, in proportion for others."""
        return self.image_size if self.framing == "whole" else round(self.image_size * 256 / 224)

    @classmethod
    def complete(cls, *layers: dict[str, Any], settings: Iterable[str] = ()) -> "Recipe":
        """The defaults, changed by each layer in turn, then by `name=value` settings. Raises BenchmarkError."""
        fields: dict[str, Any] = {}
        for layer in layers:
            fields |= layer
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals:
                raise BenchmarkError(f"--set {setting}: wanted NAME=VALUE, such as --set image_size=96")
            name, value = name.strip(), value.strip()
            # augmentation=none is a word; only where nothing is allowed does none stand for it
            optional = name in cls.model_fields and type(None) in get_args(cls.model_fields[name].annotation)
            number = int(value) if value.isdecimal() else value  # pydantic reads other numbers from text, not choices
            fields[name] = None if optional and value.lower() in ("none", "null") else number
        for name in fields:
            if name not in cls.model_fields:
                raise BenchmarkError(f"recipe has no field {name!r}: {did_you_mean(name, cls.model_fields)}")
        try:
            # strings come from the command line, so "96" may stand for 96
            return cls.model_validate(fields, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            raise BenchmarkError(f"recipe field {first['loc'][0]}: found {first['input']!r}: {first['msg']}") from error
