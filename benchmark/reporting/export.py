"""The tidy frame for other programs: CSV, Parquet or JSON, by one documented schema with a version.

A column is never renamed, and its type, unit or meaning never changed, without a new SCHEMA_VERSION; a column may be
added at the end. Scores are in 0..1. What is not known is empty (CSV), null (JSON, Parquet), never a number. Every row
has `schema_version`; Parquet has it in the file's metadata too, JSON in its head.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from benchmark.errors import BenchmarkError, install_extra
from benchmark.files import canonical_json
from benchmark.reporting.frame import frame_of
from benchmark.results.record import RunRecord
from benchmark.tasks.spec import TaskSpec

SCHEMA = "medical-transfer-benchmark/cells"
LONG_SCHEMA = "medical-transfer-benchmark/scores"
SCHEMA_VERSION = 2
DType = Literal["string", "int64", "float64", "bool"]
# nullable, so that a missing number stays missing and a count stays whole
_PANDAS = {"string": "string", "int64": "Int64", "float64": "Float64", "bool": "boolean"}


@dataclass(frozen=True)
class Field:
    """A column: its type, unit and meaning; `nullable`: may be missing."""

    dtype: DType
    unit: str
    meaning: str
    nullable: bool = False


_VERSION = {"schema_version": Field("int64", "", "Version of this schema.")}
_CELL: dict[str, Field] = {
    "key": Field("string", "", "The cell: 16 hex digits over all that changes its numbers."),
    "block": Field("string", "", "What may stand in one table: task, data, protocol, recipe and share alike."),
    "task": Field("string", "", "The task's name."),
    "data": Field(
        "string",
        "",
        "official (all published images), partial (fewer), own (the user's task or split), phantom (synthetic).",
    ),
    "data_digest": Field("string", "", "Digest of the examples."),
    "protocol": Field("string", "", "How the weights were used (finetune, linear …)."),
    "setting": Field("string", "", "What the recipe and the share change in the task's own; empty: nothing."),
    "fraction": Field("float64", "share", "Share of the training patients that was used."),
    "subset": Field(
        "int64", "images", "Number of training images that was used; missing: no such limit.", nullable=True
    ),
    "folds": Field("int64", "folds", "Number of folds; missing: the task's own validation split.", nullable=True),
    "fold": Field("int64", "", "The fold that validated, counted from 0.", nullable=True),
    "model": Field(
        "string",
        "",
        "The shown name; name@digest where a name stands for several models: join by model_id, not by this.",
    ),
    "family": Field("string", "", "The weights' family in the zoo; empty: not known."),
    "seed": Field("int64", "", "The run's seed."),
}
_RESULT: dict[str, Field] = {
    "title": Field("string", "", "The task's title."),
    "weights_sha256": Field("string", "", "sha256 of the weights' files, joined by +; empty: fresh weights."),
    "architecture": Field("string", "", "The encoders' architectures, joined by +."),
    "recipe": Field("string", "JSON", "All hyper-parameters."),
    "metric": Field("string", "", "The task's primary metric."),
    "score": Field("float64", "0..1", "The primary metric on the test split.", nullable=True),
    "overlap": Field("bool", "", "Whether the weights were trained on the task's images: no fair comparison."),
    "epochs_trained": Field("int64", "epochs", "All epochs, the patience after the best one included.", nullable=True),
    "best_epoch": Field("int64", "epochs", "The epoch of the lowest validation loss, from 1.", nullable=True),
    "stopped": Field("string", "", "Why the training ended: early, cap; empty: not known."),
    "num_train": Field("int64", "images", "Training images.", nullable=True),
    "num_validation": Field("int64", "images", "Validation images.", nullable=True),
    "num_test": Field("int64", "images", "Test images.", nullable=True),
    "train_seconds": Field("float64", "s", "Wall time of the training's epochs.", nullable=True),
    "images_per_second": Field("float64", "1/s", "Images trained on a second.", nullable=True),
    "peak_memory_gb": Field("float64", "GB", "Peak memory: the GPU's, or the process's on a CPU.", nullable=True),
    "device": Field("string", "", "The device's name."),
    "torch": Field("string", "", "Version of torch."),
    "benchmark": Field("string", "", "Version of this program."),
    "attempt": Field("int64", "", "How often the cell was tried, this time included."),
    "finished": Field("string", "ISO 8601", "When the record was written."),
    "notes": Field("string", "", "What a reader must know, joined by ' | '."),
    "model_id": Field("string", "", "16 hex digits over all that the cell says of its weights: what is one model."),
    "num_images": Field("int64", "images", "Images of the data set that are here, all parts together.", nullable=True),
    "num_published": Field("int64", "images", "Images that the data set was published with.", nullable=True),
    "validation": Field(
        "float64", "0..1", "The primary metric on the validation split, at the kept epoch.", nullable=True
    ),
    "search": Field("string", "JSON", "Recipe fields chosen on validation, with the values tried; empty: none."),
    "chosen": Field("string", "JSON", "The values that were chosen; empty: nothing was searched."),
}
CELLS: dict[str, Field] = {**_VERSION, **_CELL, **_RESULT}
SCORES: dict[str, Field] = {
    **_VERSION,
    **_CELL,
    "scope": Field("string", "", "What is scored: all (the test split), label (one label), group (one subgroup)."),
    "label": Field("string", "", "The label; empty outside of scope label."),
    "group": Field("string", "", "The group (sex, age, site …); empty outside of scope group."),
    "group_value": Field("string", "", "The group's value."),
    "metric": Field("string", "", "The score's name, as `benchmark.scoring.evaluate` names it."),
    "is_primary": Field("bool", "", "Whether this is the task's primary metric."),
    "value": Field("float64", "0..1", "The score; kappa may be below 0; missing: not to be scored.", nullable=True),
    "num_examples": Field("int64", "images", "Examples scored: the test split's, or the subgroup's.", nullable=True),
    "num_positives": Field("int64", "images", "Positives among them, in scope label.", nullable=True),
}
_COUNTS = ("num", "positives")  # they are among the scores and have columns of their own


def cells_frame(
    records: list[RunRecord], tasks: Mapping[str, TaskSpec], families: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Returns one row for each done cell, in the columns of CELLS, ordered by task, block, model, seed and fold."""
    frame = frame_of(records, tasks, families)
    by_key = {record.key: record for record in records}
    further = [name for name in _RESULT if name not in frame]
    facts = pd.DataFrame([_facts(by_key[key]) for key in frame["key"]], index=frame.index, columns=further)
    return _typed(frame.join(facts), CELLS)


def scores_frame(
    records: list[RunRecord], tasks: Mapping[str, TaskSpec], families: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Returns one row per done cell, score, and label or subgroup, in the columns of SCORES."""
    frame = frame_of(records, tasks, families)
    by_key = {record.key: record for record in records}
    rows = [
        {**{name: cell[name] for name in _CELL}, **score, "is_primary": score["metric"] == cell["metric"]}
        for cell in frame.to_dict("records")
        for score in _scores(by_key[cell["key"]])
    ]
    return _typed(pd.DataFrame(rows, columns=[*SCORES]), SCORES)


def to_csv(frame: pd.DataFrame) -> bytes:
    """Returns CSV in UTF-8, one head line; floats in full, what is missing empty. `pandas.read_csv(…, keep_default_na=False,
    na_values={"score": [""]})` or any reader.
    """
    return frame.to_csv(index=False, lineterminator="\n").encode()


def to_json(frame: pd.DataFrame, columns: Mapping[str, Field]) -> bytes:
    """`{"schema", "version", "columns": {name: {dtype, unit, meaning}}, "rows": [{…}, …]}`; no NaN."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    head = {"schema": _name(columns), "version": SCHEMA_VERSION, "columns": _described(columns)}
    return (json.dumps({**head, "rows": rows}, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def to_parquet(frame: pd.DataFrame, columns: Mapping[str, Field]) -> bytes:
    """Returns Parquet; the schema's name, version and columns stand in the file's metadata, each column's in its own.

    Raises BenchmarkError where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise BenchmarkError(
            f"--format parquet: pyarrow is not installed: {install_extra('parquet')}, or --format csv"
        ) from error
    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    fields = [
        pa.field(name, types[f.dtype], nullable=f.nullable, metadata={"unit": f.unit, "meaning": f.meaning})
        for name, f in columns.items()
    ]
    metadata = {
        "schema": _name(columns),
        "version": str(SCHEMA_VERSION),
        "columns": canonical_json(_described(columns)),
    }
    schema = pa.schema(fields, metadata=metadata)
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def documentation(columns: Mapping[str, Field]) -> str:
    """Returns the schema as a Markdown table."""
    heads = "| column | type | unit | may be missing | meaning |\n|---|---|---|---|---|\n"
    lines = [
        f"| `{name}` | {f.dtype} | {f.unit} | {'yes' if f.nullable else ''} | {f.meaning} |"
        for name, f in columns.items()
    ]
    return f"{_name(columns)}, version {SCHEMA_VERSION}\n\n{heads}" + "\n".join(lines) + "\n"


def _name(columns: Mapping[str, Field]) -> str:
    return LONG_SCHEMA if "scope" in columns else SCHEMA


def _described(columns: Mapping[str, Field]) -> dict[str, dict[str, Any]]:
    return {name: {**vars(field)} for name, field in columns.items()}


def _facts(record: RunRecord) -> dict[str, Any]:
    """Returns the columns that the tidy frame does not have."""
    weights = record.cell.weights
    return {
        "weights_sha256": "+".join(w.sha256 for w in weights),
        "architecture": "+".join(w.architecture for w in weights),
        "recipe": canonical_json(record.cell.recipe.model_dump(mode="json")),
        "stopped": record.stopped,
        "num_validation": record.num_examples.get("validation"),
        "train_seconds": record.timings.get("train"),
        "images_per_second": record.images_per_second,
        "peak_memory_gb": record.peak_memory_gb,
        **{name: record.environment.get(name, "") for name in ("device", "torch", "benchmark")},
        "attempt": record.attempt,
        "finished": record.finished,
        "notes": " | ".join(record.notes),
        "search": canonical_json(record.cell.search) if record.cell.search else "",
        "chosen": next((canonical_json(trial.settings) for trial in record.search if trial.chosen), ""),
    }


def _scores(record: RunRecord) -> list[dict[str, Any]]:
    num_test = record.num_examples.get("test")
    empty = {"label": "", "group": "", "group_value": "", "num_examples": num_test, "num_positives": None}
    rows = [{**empty, "scope": "all", "metric": name, "value": value} for name, value in record.scores.items()]
    for label, scores in record.per_label.items():
        facts = {**empty, "scope": "label", "label": label, "num_positives": scores.get("positives")}
        rows += [{**facts, "metric": name, "value": value} for name, value in scores.items() if name not in _COUNTS]
    for group, values in record.per_group.items():
        for group_value, scores in values.items():
            facts = {**empty, "scope": "group", "group": group, "group_value": group_value}
            facts["num_examples"] = scores.get("num")
            rows += [{**facts, "metric": name, "value": value} for name, value in scores.items() if name not in _COUNTS]
    return rows


def _typed(frame: pd.DataFrame, columns: Mapping[str, Field]) -> pd.DataFrame:
    frame = frame.assign(schema_version=SCHEMA_VERSION)[[*columns]]
    known = frame.astype(object).where(frame.notna(), None)
    typed = known.astype({name: _PANDAS[field.dtype] for name, field in columns.items()})
    for name, field in columns.items():
        if not field.nullable and typed[name].isna().any():
            raise ValueError(f"column {name}: a value is missing, which the schema does not allow")
    return typed
