"""What a model said of each test example, and its file. Torch-free."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchmarkError
from benchmark.tasks.kinds import PredictionKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Predictions:
    """What a model said of each test example.

    `ids`: N. `groups`: name -> N values (patient, sex, site …). `columns`: what is predicted.
    Classification: `truth` N x labels (1, 0, NaN), `score` N x labels, probabilities in 0..1. Multiclass and ordinal:
    the same, where one label of an image is 1 and its probabilities sum to 1; ordinal labels stand in their order.
    Segmentation: columns are references (an observer's mask, or that mask within the field of view); `truth` N x
    references, pixels that the reference marks (NaN where an image has none); `score` N x references x 2, pixels that
    the model marks and pixels that both mark, at a threshold of one half.
    `validation`: the same model's predictions on the validation split, which have a file of their own; None where they
    were not stored. Thresholds are chosen there.
    """

    def __init__(
        self,
        *,
        kind: PredictionKind,
        ids: "NDArray[np.str_]",
        groups: "dict[str, NDArray[np.str_]]",
        columns: tuple[str, ...],
        truth: "NDArray[np.floating[Any]]",
        score: "NDArray[np.floating[Any]]",
        validation: "Predictions | None" = None,
    ) -> None:
        wanted = (len(ids), len(columns))
        if truth.shape != wanted or score.shape[:2] != wanted:
            raise ValueError(f"predictions: wanted {wanted}, found truth {truth.shape} and score {score.shape}")
        self.kind: PredictionKind = kind
        self.ids = ids
        self.groups = groups
        self.columns = columns
        self.truth: NDArray[np.float32] = truth.astype("float32")
        self.score: NDArray[np.float32] = score.astype("float32")
        self.validation = validation

    @property
    def has_masks(self) -> bool:
        """Returns whether masks were predicted, not labels."""
        return self.kind == "segmentation"

    def rows(self, which: "NDArray[np.int64]") -> "Predictions":
        """The predictions of some examples, by their places."""
        return Predictions(
            kind=self.kind,
            ids=self.ids[which],
            groups={name: values[which] for name, values in self.groups.items()},
            columns=self.columns,
            truth=self.truth[which],
            score=self.score[which],
            validation=self.validation,
        )

    def to_bytes(self) -> bytes:
        """A compressed .npz, without pickles."""
        import numpy as np

        groups: dict[str, Any] = {f"group:{name}": values for name, values in self.groups.items()}
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {"kind": np.array(self.kind), "ids": self.ids, "columns": np.array(self.columns)}
        np.savez_compressed(buffer, **arrays, truth=self.truth, score=self.score, **groups)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> "Predictions":
        """The inverse, of what was read from `path`. Raises BenchmarkError for a damaged file."""
        import numpy as np

        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                groups = {
                    name.removeprefix("group:"): arrays[name] for name in arrays.files if name.startswith("group:")
                }
                kind: Any = str(arrays["kind"])
                columns = tuple(arrays["columns"].tolist())
                return cls(
                    kind=kind,
                    ids=arrays["ids"],
                    groups=groups,
                    columns=columns,
                    truth=arrays["truth"],
                    score=arrays["score"],
                )
        except Exception as error:  # NumPy and zipfile raise what their parsing of a damaged file meets
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise BenchmarkError(
                f"{path}: damaged predictions ({reason}): delete the cell's folder and run it again"
            ) from error
