"""The record of a cell: its scores, and all that a reader of them must know. Torch-free."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import Field, ValidationError

from benchmark.cell import Cell
from benchmark.checksums import DIGEST, write_json
from benchmark.errors import BenchmarkError
from benchmark.files import digest_of
from benchmark.strict import StrictModel

FORMAT = 2  # raised with cell.KEY_FORMAT: a record's scores are those of its key's splits and initialisation


# how the images that were used relate to the data set as it was published:
# official: all of it, in the official layout; partial: fewer images than were published; own: a task or a split of the
# user's own; phantom: synthetic images
DataStatus = Literal["official", "partial", "own", "phantom"]


class SearchTrial(StrictModel):
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


class StoredFile(StrictModel):
    """What a file beside the record must be: its size in bytes and its sha256."""

    size: int
    sha256: str


class RunRecord(StrictModel):
    """The result of one cell: `done` with scores, or `failed` with a one-line `error` (and a traceback).

    `scores` are named by `evaluate`; `per_label` has them per label, `per_group` per group and its values. Seconds are
    wall time; `images_per_second` is training's; `peak_memory_gb` is the process's (CPU) or the device's; `notes` tell
    what a reader must know. `judging`: the digest of the metrics that gave the scores (empty in older records). `files`:
    the predictions and what else the store keeps beside the record, by their names.
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
    judging: str = ""
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
    """Writes a record, with the sha256 of its content."""
    write_json(path, pydantic_core.from_json(record.model_dump_json()))


def read_record(path: Path) -> RunRecord:
    """Returns one record. Raises BenchmarkError for one that is damaged, edited, foreign, or of an earlier or newer format."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"{path}: not a record that this version reads ({error.strerror or error})") from error
    try:
        fields = pydantic_core.from_json(content)
        digest = fields.pop(DIGEST, "") if isinstance(fields, dict) else ""
        record = RunRecord.model_validate(fields)
    except ValidationError as error:
        raise BenchmarkError(f"{path}: not a record that this version reads ({_reason(fields, error)})") from error
    except ValueError as error:
        reason = f"damaged: {error}" if content else "an empty file"
        raise BenchmarkError(f"{path}: not a record that this version reads ({reason})") from error
    if record.key != record.cell.key:
        raise BenchmarkError(
            f"{path}: its key {record.key} is not its cell's ({record.cell.key}): it was edited or is of another version"
        )
    if digest != digest_of(fields):
        raise BenchmarkError(f"{path}: its content is not what its digest says: it was edited or damaged")
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
