"""The answer and the verdict: what a cell's model predicted, and what that is worth. Torch-free, one file each."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic_core
from pydantic import Field, ValidationError

from benchmark.cell import Cell
from benchmark.checksums import DIGEST, write_json
from benchmark.disk import digest_of
from benchmark.fault import Fault
from benchmark.frozen import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 2  # raised with cell.KEY_FORMAT: a record's scores are those of its key's splits and initialisation
Kind = Literal["classification", "multiclass", "ordinal", "segmentation"]


class Predictions:
    """What a model said of each test example.

    `ids`: N. `groups`: name -> N values (patient, sex, site …). `columns`: what is predicted.
    Classification: `truth` N x labels (1, 0, NaN), `score` N x labels, probabilities in 0..1. Multiclass and ordinal:
    the same, where one label of an image is 1 and its probabilities sum to 1; ordinal labels stand in their order.
    Segmentation: columns are references (an observer's mask, or that mask within the field of view); `truth` N x
    references, pixels that the reference marks (NaN where an image has none); `score` N x references x 2, pixels that
    the model marks and pixels that both mark, at a threshold of one half.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        ids: "NDArray[np.str_]",
        groups: "dict[str, NDArray[np.str_]]",
        columns: tuple[str, ...],
        truth: "NDArray[np.floating[Any]]",
        score: "NDArray[np.floating[Any]]",
    ) -> None:
        wanted = (len(ids), len(columns))
        if truth.shape != wanted or score.shape[:2] != wanted:
            raise ValueError(f"predictions: wanted {wanted}, found truth {truth.shape} and score {score.shape}")
        self.kind: Kind = kind
        self.ids = ids
        self.groups = groups
        self.columns = columns
        self.truth: NDArray[np.float32] = truth.astype("float32")
        self.score: NDArray[np.float32] = score.astype("float32")

    def rows(self, which: "NDArray[np.int64]") -> "Predictions":
        """The predictions of some examples, by their places."""
        return Predictions(
            kind=self.kind,
            ids=self.ids[which],
            groups={name: values[which] for name, values in self.groups.items()},
            columns=self.columns,
            truth=self.truth[which],
            score=self.score[which],
        )

    def to_bytes(self) -> bytes:
        """A compressed .npz, without pickles."""
        import numpy as np

        groups: dict[str, Any] = {f"group:{name}": values for name, values in self.groups.items()}
        buffer = io.BytesIO()
        held: dict[str, Any] = {"kind": np.array(self.kind), "ids": self.ids, "columns": np.array(self.columns)}
        np.savez_compressed(buffer, **held, truth=self.truth, score=self.score, **groups)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> "Predictions":
        """The inverse, of what was read from `path`. Raises Fault for a damaged file."""
        import numpy as np

        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                groups = {name.removeprefix("group:"): held[name] for name in held.files if name.startswith("group:")}
                kind: Any = str(held["kind"])
                columns = tuple(held["columns"].tolist())
                return cls(
                    kind=kind, ids=held["ids"], groups=groups, columns=columns, truth=held["truth"], score=held["score"]
                )
        except Exception as error:  # NumPy and zipfile raise what their parsing of a damaged file meets
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise Fault(f"{path}: damaged predictions ({reason}): delete the cell's folder and run it again") from error


# how the images that were used relate to the data set as it was published:
# official: all of it, in the official layout; partial: fewer images than were published; own: a task or a split of the
# user's own; phantom: synthetic images
DataStatus = Literal["official", "partial", "own", "phantom"]


class SearchTrial(Frozen):
    """One candidate of a search: the recipe fields that it sets, and what it reached on the validation split.

    `score` is the task's metric, in 0..1, and `loss` the validation loss, both at the epoch whose weights are kept.
    """

    settings: dict[str, Any]
    score: float | None
    loss: float | None
    epochs_trained: int | None = None
    best_epoch: int | None = None
    chosen: bool = False
    error: str = ""


class StoredFile(Frozen):
    """What a file beside the record must be: its size in bytes and its sha256."""

    size: int
    sha256: str


class RunRecord(Frozen):
    """The verdict on one cell: `done` with scores, or `failed` with a one-line `error` (and a traceback).

    `scores` are named by `evaluate`; `per_label` has them per label, `per_group` per group and its values. Seconds are
    wall time; `images_per_second` is training's; `peak_memory_gb` is the process's (CPU) or the device's; `notes` tell
    what a reader must know. `files`: the predictions and what else the store keeps beside the record, by their names.
    """

    format: Literal[2] = 2
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    cell: Cell
    status: Literal["done", "failed"]
    attempt: int = 1
    finished: str
    scores: dict[str, float | None] = {}
    validation: dict[str, float | None] = {}
    search: list[SearchTrial] = []
    per_label: dict[str, dict[str, float | None]] = {}
    per_group: dict[str, dict[str, dict[str, float | None]]] = {}
    num_examples: dict[str, int] = {}
    data_status: DataStatus | None = None
    num_images: int | None = None
    num_published: int | None = None
    epochs_trained: int | None = None
    best_epoch: int | None = None
    stopped: str = ""
    history: list[dict[str, float]] = []
    timings: dict[str, float] = {}
    images_per_second: float | None = None
    peak_memory_gb: float | None = None
    weights_account: list[dict[str, Any]] = []
    trainable_parameters: int | None = None
    environment: dict[str, str] = {}
    notes: list[str] = []
    files: dict[str, StoredFile] = {}
    error: str = ""
    traceback: str = ""


def write_record(path: Path, record: RunRecord) -> None:
    """Write a record, with the sha256 of its content."""
    write_json(path, pydantic_core.from_json(record.model_dump_json()))


def read_record(path: Path) -> RunRecord:
    """Returns one record. Raises Fault for one that is damaged, edited, foreign, or of an earlier or newer format."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Fault(f"{path}: not a record that this version reads ({error.strerror or error})") from error
    try:
        fields = pydantic_core.from_json(content)
        digest = fields.pop(DIGEST, "") if isinstance(fields, dict) else ""
        record = RunRecord.model_validate(fields)
    except ValidationError as error:
        raise Fault(f"{path}: not a record that this version reads ({_reason(fields, error)})") from error
    except ValueError as error:
        reason = f"damaged: {error}" if content else "an empty file"
        raise Fault(f"{path}: not a record that this version reads ({reason})") from error
    if record.key != record.cell.key:
        raise Fault(
            f"{path}: its key {record.key} is not its cell's ({record.cell.key}): it was edited or is of another version"
        )
    if digest != digest_of(fields):
        raise Fault(f"{path}: its content is not what its digest says: it was edited or damaged")
    return record


def _reason(found: Any, error: ValidationError) -> str:
    written = found.get("format") if isinstance(found, dict) else None
    if isinstance(written, int) and written > FORMAT:
        return f"its format is {written}, of a newer version; this one reads {FORMAT}"
    if isinstance(written, int) and written < FORMAT:
        return f"its format is {written}, of an earlier version, whose splits and initialisation differ: run its cell again"
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
