"""Hyper-parameters of SimCLR and MICLe."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.recipe import Initialization, Recipe, Side
from benchmark.strict import StrictModel

Method = Literal["simclr", "micle"]
ViewKind = Literal["photographs", "radiographs", "crops"]
TITLES: dict[Method, str] = {"simclr": "SimCLR", "micle": "MICLe"}
# Azizi 2021, supplement: MICLe trains with batches of 128 at a rate of 0.1
DEFAULTS: dict[Method, dict[str, Any]] = {"simclr": {}, "micle": {"batch_size": 128, "learning_rate": 0.1}}
WARMUP_PASSES, WARMUP_SHARE = 10, 10  # passes over the data (SimCLR's code), at most that part of the steps


class ContrastiveRecipe(StrictModel):
    """Hyper-parameters of contrastive training. Where Azizi 2021 name no number, it is that of SimCLR's code."""

    steps: PositiveInt = 20_000
    batch_size: Annotated[int, Field(ge=2)] = 256  # pairs of views
    learning_rate: PositiveFloat = 0.3  # of 256 pairs, or of one, by the scaling
    scaling: Literal["linear", "sqrt"] = "linear"  # rate x batch / 256, or rate x root of the batch
    warmup: PositiveInt | None = None  # steps; None: 10 passes over the data, at most a tenth of the steps
    weight_decay: PositiveFloat | None = 1e-6  # 0 is None: both mean no decay
    temperature: PositiveFloat = 0.1
    optimizer: Literal["lars", "sgd", "adam"] = "lars"
    views: ViewKind | None = None  # None: radiographs where all images are gray, else photographs
    image_size: Side = 224
    train_resolution: Side = 512  # short side of the stored images that crops are cut from
    precision: Literal["fp32", "bf16"] = "fp32"
    initialization: Initialization = "torchvision"  # of an encoder that starts at random

    @field_validator("weight_decay", mode="before")
    @classmethod
    def _no_decay_is_none(cls, value: Any) -> Any:
        return None if value in (0, "0", "0.0") else value

    @classmethod
    def complete(cls, method: Method, *layers: dict[str, Any], settings: Iterable[str] = ()) -> "ContrastiveRecipe":
        """Returns the method's defaults, changed by each layer in turn, then by `name=value` settings. Raises
        BenchmarkError.
        """
        fields: dict[str, Any] = dict(DEFAULTS[method])
        for layer in layers:
            fields |= layer
        for setting in settings:
            name, equals, value = (part.strip() for part in setting.partition("="))
            if not equals:
                raise BenchmarkError(f"--set {setting}: wanted NAME=VALUE, such as --set batch_size=256")
            fields[name] = None if value.lower() in ("none", "null") else value
        for name in fields:
            if name not in cls.model_fields:
                raise BenchmarkError(f"a {method} recipe has no field {name!r}: {did_you_mean(name, cls.model_fields)}")
        try:
            return cls.model_validate(fields, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            raise BenchmarkError(f"recipe field {first['loc'][0]}: found {first['input']!r}: {first['msg']}") from error

    def training_recipe(self, num_bags: int) -> Recipe:
        """Returns what the training loop follows, for so many bags of images."""
        scale = self.batch_size / 256 if self.scaling == "linear" else self.batch_size**0.5
        steps_of_pass = num_bags // self.batch_size
        warmup = self.warmup or min(WARMUP_PASSES * steps_of_pass, self.steps // WARMUP_SHARE) or None
        return Recipe(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate * scale,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_steps=self.steps,
            warmup=warmup,
            schedule="cosine",
            early_stop=None,
            image_size=self.image_size,
            train_resolution=self.train_resolution,
            precision=self.precision,
            initialization=self.initialization,
            input="native",
        )
