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
    """One split of a task: batches of uint8 images and targets (`data.datasets.ImageSplit`)."""

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    present: dict[str, NDArray[np.bool_]]

    def __len__(self) -> int: ...
    def batches(self, size: int) -> Iterator[Any]: ...
    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Any]: ...


class FeatureData(SplitData, Protocol):
    """A split whose batches hold joined features of frozen encoders, not images (`data.feature_dataset.FeatureSplit`).

    `widths` has one number of features for each encoder; `rows` are the row numbers of the examples among all of the task;
    `targets` is examples x labels. `matrix` and `order` count positions within the split.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]

    @property
    def widths(self) -> tuple[int, ...]: ...
    def matrix(self, positions: NDArray[np.int64]) -> torch.Tensor: ...
    def order(self, number: int, size: int) -> list[NDArray[np.int64]]: ...


# of images, or of their features by frozen encoders
Split_co = TypeVar("Split_co", bound=SplitData, covariant=True)


@dataclass(frozen=True, kw_only=True)
class TrainingInput(Generic[Split_co]):
    """Everything that one training needs.

    `encoders` are modules, each with the (mean, std) by which its images are normalized; there are none where the splits
    hold features. `unlabelled` images are predicted too, without scores. `columns` are labels, or names of masks. All random
    streams derive from `seed`, the cell's. `scratch` is a folder for the state of the training, `micro_batch` the number of
    images that are on the device at a time. `watch` is called with the history's line of each epoch, `warn` with a line
    about a damaged state. `trained` are weights of an earlier training of the same inputs, which replace a new training.
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
        """Returns the facts about targets, losses and metrics that follow from the kind of the task."""
        return KINDS[self.kind]


@dataclass(frozen=True, kw_only=True)
class TestOutput:
    """The predictions of a trained model on the test split and on images without labels.

    `seconds` is how long the test split took. A fusion also returns `attention` between encoders, averaged over the test
    split (rows attend to columns), and the `embedding` of the test split, examples x width.
    """

    __test__ = False  # pytest: this is no test class

    predictions: Predictions
    unlabelled: Predictions | None = None
    attention: NDArray[np.float64] | None = None
    embedding: NDArray[np.float16] | None = None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A trained model.

    `test()` predicts the test split; of a search, only the chosen model's is called. `validation` holds the scores on the
    validation split by the names of the metrics, `trained` is the number of trained parameters, `encoder` the encoder
    after fine-tuning (None for other protocols), `notes` are sentences for the reader of the record. Protocols that train
    on images also return the whole `model`, and `predict(split)`, which returns truth, N x the split's labels, and score,
    N x the model's `columns`, of any split of images that have the size of the recipe.
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
