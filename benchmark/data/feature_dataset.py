"""A split as features of frozen encoders: what protocols over frozen encoders train on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data.batches import Batch, Rows, cut
from benchmark.data.datasets import oversampled
from benchmark.random_streams import Purpose, stream


@dataclass(frozen=True, kw_only=True)
class FeatureSplit:
    """Gives one split of a task as features.

    `features`: one matrix for each encoder, all of the task's images x width, float16 (memory maps); `rows`: the
    split's rows in them; `targets`: examples x labels, float32. Otherwise as `data.datasets.ImageSplit`; the `images`
    of its batches are examples x all widths, float32.
    """

    ids: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    features: tuple[NDArray[np.float16], ...]
    rows: Rows
    targets: NDArray[np.float32]
    classes: NDArray[np.int64] | None = None
    seed: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def widths(self) -> tuple[int, ...]:
        """Returns the number of features of each encoder."""
        return tuple(matrix.shape[1] for matrix in self.features)

    def matrix(self, positions: Rows) -> torch.Tensor:
        """Returns the features of some examples, by their positions in the split, those of all encoders side by side."""
        rows = self.rows[positions]
        gathered = np.concatenate([np.asarray(matrix[rows], dtype=np.float32) for matrix in self.features], axis=1)
        return torch.from_numpy(np.nan_to_num(gathered, copy=False)).to(self.device)  # NaN: not decoded, not labeled

    def order(self, number: int, size: int) -> list[Rows]:
        """Returns the batches of that epoch as positions in the split: shuffled, rare classes repeated."""
        rng = np.random.default_rng(stream(self.seed, Purpose.ORDER, number))
        order = rng.permutation(len(self)) if self.classes is None else oversampled(self.classes, rng) % len(self)
        return cut(order, size)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all examples in their order."""
        return (self._batch(np.arange(start, min(start + size, len(self)))) for start in range(0, len(self), size))

    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Batch]:
        """Yields all examples in that epoch's order, from batch `first` on."""
        return (self._batch(rows) for rows in self.order(number, size)[first:])

    def _batch(self, positions: Rows) -> Batch:
        targets = torch.from_numpy(self.targets[positions]).to(self.device)
        return Batch(images=self.matrix(positions), targets=targets, rows=positions)
