"""What every protocol receives and returns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.recipe import Recipe
from benchmark.results.predictions import Predictions
from benchmark.tasks.kinds import KINDS, KindName, TaskKind
from benchmark.tasks.spec import ScoringRules
from benchmark.training.loop import Fit

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]


class SplitData(Protocol):
    """One part of a task: batches of uint8 images and targets (`data.parts.Part`)."""

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    present: dict[str, NDArray[np.bool_]]

    def __len__(self) -> int: ...
    def batches(self, size: int) -> Iterator[Any]: ...
    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Any]: ...


class FeatureData(SplitData, Protocol):
    """A part as frozen encoders see it: their features side by side in place of images (`data.vectors.VectorPart`).

    `widths`: of each encoder's; `rows`: the examples' places among all of the task's; `targets`: examples x labels.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]

    @property
    def widths(self) -> tuple[int, ...]: ...
    def matrix(self, positions: NDArray[np.int64]) -> torch.Tensor: ...
    def order(self, number: int, size: int) -> list[NDArray[np.int64]]: ...


# of images, or of the features that a frozen encoder has of them
Split_co = TypeVar("Split_co", bound=SplitData, covariant=True)


@dataclass(frozen=True, kw_only=True)
class TrainingInput(Generic[Split_co]):
    """`encoders`: with the (mean, std) that each is fed; none where the parts are Vectors.
    `unlabelled`: to be predicted beside the test. `columns`: labels, or names of masks. `seed`: the cell's, from which
    all streams come. `scratch`: a folder for the training's state. `micro_batch`: images at a time on the device.
    `warn` is called with a line about a state that was damaged. `trained`: the weights of an earlier training of the same
    inputs, which are taken in place of a new one.
    """

    kind: KindName
    encoders: tuple[tuple[nn.Module, Statistics], ...]
    train: Split_co
    validation: Split_co
    test: Split_co
    unlabelled: Split_co | None = None
    columns: tuple[str, ...]
    judging: ScoringRules
    recipe: Recipe
    seed: int
    scratch: Path
    device: torch.device
    micro_batch: int
    watch: Callable[[dict[str, float]], None]
    warn: Callable[[str], None] = lambda _: None
    trained: dict[str, torch.Tensor] | None = None

    @property
    def kind_facts(self) -> TaskKind:
        """Returns what the kind of the task says of targets, losses and metrics."""
        return KINDS[self.kind]


@dataclass(frozen=True, kw_only=True)
class TestOutput:
    """What a trained model says of the test part, and of images without labels; `seconds`: how long the test took.
    `attention`: between encoders, averaged over the test part (rows attend to columns); `embedding`: of the test part,
    examples x width, where a fusion made one.
    """

    __test__ = False  # pytest: this is no test class

    predictions: Predictions
    unlabelled: Predictions | None = None
    attention: NDArray[np.float64] | None = None
    embedding: NDArray[np.float16] | None = None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A trained model. `test()` predicts the test part: it is called for the model that is judged, never for another one
    of a search. `validation`: the scores on the validation part, by the metrics' names; `trained`: how many parameters
    were; `encoder`: as it is then, where it was; `notes`: what a reader of the record must know. Of protocols that train
    on images, `model` is all that was trained, and `predict(split)` returns truth and score of any split of images that
    have the size of the recipe, N x the split's labels and N x the model's `columns`.
    """

    fit: Fit
    validation: dict[str, float | None]
    test: Callable[[], TestOutput]
    trained: int | None = None
    encoder: nn.Module | None = None
    notes: tuple[str, ...] = ()
    model: nn.Module | None = None
    columns: tuple[str, ...] = ()
    predict: Callable[[Any], tuple[NDArray[Any], NDArray[Any]]] | None = None
