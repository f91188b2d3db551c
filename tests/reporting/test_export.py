"""`benchmark export`: the columns are frozen; each format comes back as it went, through readers that are not ours."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import in_new_process
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_record

from benchmark.reporting.export import CELLS, SCHEMA, SCHEMA_VERSION, SCORES, documentation, to_json
from benchmark.results.store import Store

# what readers of version 1 rely on: a change here needs a new SCHEMA_VERSION, an addition goes to the end
QUESTION = (
    "schema_version:int64 key:string block:string task:string data:string data_digest:string protocol:string "
    "setting:string fraction:float64 subset:int64? folds:int64? fold:int64? model:string family:string seed:int64"
)
FROZEN_CELLS = (
    f"{QUESTION} title:string weights_sha256:string architecture:string recipe:string metric:string score:float64? "
    "overlap:bool epochs_trained:int64? best_epoch:int64? stopped:string num_train:int64? num_validation:int64? "
    "num_test:int64? train_seconds:float64? images_per_second:float64? peak_memory_gb:float64? device:string "
    "torch:string benchmark:string attempt:int64 finished:string notes:string model_id:string num_images:int64? "
    "num_published:int64? validation:float64? search:string chosen:string"
)
FROZEN_SCORES = (
    f"{QUESTION} scope:string label:string group:string group_value:string metric:string is_primary:bool "
    "value:float64? num_examples:int64? num_positives:int64?"
)
SCORE = 0.1 + 0.2  # 0.30000000000000004: comes back to the last bit, or not at all


@pytest.fixture
def filled(workspace):
    """Three cells of two tasks, one without a score, one with labels and subgroups; a failed one; a damaged one."""
    store = Store(workspace.results)
    store.put(
        made_up_record(
            made_up_cell(IMAGENET),
            SCORE,
            per_label={"TB": {"auc": SCORE, "positives": 12.0}},
            per_group={"sex": {"F": {"auc": None, "num": 20.0}, "M": {"auc": 0.5, "num": 30.0}}},
            environment={"torch": "2.9", "device": "CPU", "benchmark": "0"},
            notes=["overlap: imagenet was trained on the images of this task (x)", 'a, "quoted"\nnote'],
        ),
        None,
    )
    store.put(made_up_record(made_up_cell(SCRATCH, 1, fold=2, folds=3, subset=50), None), None)
    store.put(made_up_record(made_up_cell(SCRATCH, 0, "PXS"), 0.5, images_per_second=12.5), None)
    store.put(made_up_record(made_up_cell(SCRATCH, 9), status="failed", error="no"), None)
    store.put(made_up_record(made_up_cell(SCRATCH, 8)), None)
    damaged = store.folder(made_up_cell(SCRATCH, 8)) / "record.json"
    damaged.write_text("{")
    return damaged


@pytest.mark.parametrize(("columns", "frozen"), [(CELLS, FROZEN_CELLS), (SCORES, FROZEN_SCORES)])
def test_the_columns_of_version_2_are_frozen(columns, frozen):
    assert SCHEMA_VERSION == 2
    assert [f"{name}:{f.dtype}{'?' * f.nullable}" for name, f in columns.items()] == frozen.split()


def test_csv_is_read_by_the_standard_library(cli, filled, tmp_path):
    ran = cli("export", "--output", str(tmp_path / "cells.csv"))

    assert ran.code == 0, ran.err
    assert f"left out: {filled}" in ran.err
    with (tmp_path / "cells.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CELLS)
    by_model = {(row["task"], row["model"]): row for row in rows}
    assert len(rows) == 3
    row = by_model["TXC", "imagenet"]
    assert (float(row["score"]), row["overlap"], row["subset"], row["fold"]) == (SCORE, "True", "", "")
    assert row["notes"].endswith('a, "quoted"\nnote')
    assert (row["weights_sha256"], row["torch"], row["data"]) == (IMAGENET.sha256, "2.9", "phantom")
    assert json.loads(row["recipe"])["learning_rate"] == 2e-4
    other = by_model["TXC", SCRATCH.name]
    assert (other["score"], other["subset"], other["fold"], other["folds"]) == ("", "50", "2", "3")


@pytest.mark.usefixtures("filled")
def test_pandas_reads_the_csv_without_being_told_anything(cli):
    frame = pd.read_csv(io.StringIO(cli("export").out))

    assert frame["schema_version"].tolist() == [SCHEMA_VERSION] * 3
    assert np.isnan(frame.loc[(frame["task"] == "TXC") & (frame["model"] == SCRATCH.name), "score"]).all()
    assert frame["overlap"].dtype == bool


@pytest.mark.usefixtures("filled")
def test_json_tells_its_schema_and_has_no_nan(cli):
    def refused(word):
        raise AssertionError(word)

    told = json.loads(cli("export", "--format", "json").out, parse_constant=refused)

    assert (told["schema"], told["version"]) == (SCHEMA, SCHEMA_VERSION)
    assert told["columns"]["score"] == {**vars(CELLS["score"])}
    assert [list(row) for row in told["rows"]] == [list(CELLS)] * 3
    by_model = {(row["task"], row["model"]): row for row in told["rows"]}
    assert by_model["TXC", "imagenet"]["score"] == SCORE
    assert by_model["TXC", SCRATCH.name]["score"] is None
    assert by_model["TXC", SCRATCH.name]["subset"] == 50
    assert by_model["PXS", SCRATCH.name]["images_per_second"] == 12.5


@pytest.mark.usefixtures("filled")
def test_parquet_has_types_nulls_and_metadata(cli, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")

    ran = cli("export", "--format", "parquet", "-o", str(tmp_path / "cells.parquet"))

    assert ran.code == 0, ran.err
    table = pq.read_table(tmp_path / "cells.parquet")
    arrow = {"string": "string", "int64": "int64", "float64": "double", "bool": "bool"}
    assert {field.name: str(field.type) for field in table.schema} == {n: arrow[f.dtype] for n, f in CELLS.items()}
    metadata = table.schema.metadata
    assert (metadata[b"schema"].decode(), metadata[b"version"].decode()) == (SCHEMA, str(SCHEMA_VERSION))
    assert table.schema.field("score").metadata[b"unit"] == b"0..1"
    assert not table.schema.field("key").nullable
    rows = {(row["task"], row["model"]): row for row in table.to_pylist()}
    assert rows["TXC", "imagenet"]["score"] == SCORE
    assert rows["TXC", SCRATCH.name]["score"] is None
    assert rows["TXC", SCRATCH.name]["fold"] == 2
    assert len(pd.read_parquet(tmp_path / "cells.parquet")) == 3


@pytest.mark.usefixtures("filled")
def test_the_three_formats_say_the_same(cli, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    for name in ("csv", "json", "parquet"):
        cli("export", "--long", "--format", name, "--output", str(tmp_path / f"x.{name}"))

    of_json = json.loads((tmp_path / "x.json").read_text())["rows"]
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        of_csv = list(csv.DictReader(file))
    assert of_json == pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [["" if v is None else str(v) for v in row.values()] for row in of_json] == [
        list(r.values()) for r in of_csv
    ]


@pytest.mark.usefixtures("filled")
def test_long_has_a_row_per_score_label_and_subgroup(cli):
    frame = pd.read_csv(io.StringIO(cli("export", "--long", "--models", "imagenet").out), keep_default_na=False)

    told = frame[
        ["scope", "label", "group", "group_value", "metric", "is_primary", "value", "num_examples", "num_positives"]
    ]
    assert list(frame.columns) == list(SCORES)
    assert told.to_numpy().tolist() == [
        ["all", "", "", "", "auc", True, str(SCORE), 50, ""],
        ["label", "TB", "", "", "auc", True, str(SCORE), 50, "12"],
        ["group", "", "sex", "F", "auc", True, "", 20, ""],
        ["group", "", "sex", "M", "auc", True, "0.5", 30, ""],
    ]


@pytest.mark.parametrize("long", [[], ["--long"]])
def test_the_schema_documents_every_column(cli, long):
    ran = cli("export", "--schema", *long)

    columns = SCORES if long else CELLS
    assert ran.out == documentation(columns)
    assert all(f"| `{name}` | {f.dtype} |" in ran.out for name, f in columns.items())
    assert all(f.meaning.endswith(".") for f in columns.values())


@pytest.mark.usefixtures("filled")
def test_tasks_and_models_are_chosen(cli):
    frame = pd.read_csv(io.StringIO(cli("export", "--tasks", "TXC", "--models", "!imagenet").out))

    assert frame[["task", "model"]].to_numpy().tolist() == [["TXC", SCRATCH.name]]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--format", "cvs"), "did you mean csv"),
        (("--tasks", "VFS"), "no finished cell of VFS"),
        (("--models", "swaw"), "no model with results 'swaw'"),
    ],
)
def test_a_wrong_request_is_one_line(cli, arguments, told):
    ran = cli("export", *arguments)

    assert ran.code == 2
    assert told in ran.text
    assert ran.out == ""


def test_nothing_to_export_is_one_line(cli):
    ran = cli("export")

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "no finished cell" in ran.err


@pytest.mark.usefixtures("filled")
def test_without_pyarrow_parquet_is_refused_in_one_line(workspace, tmp_path):
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from benchmark.cli.main import main\n"
        f"main(['export', '--format', 'parquet', '--output', {str(tmp_path / 'x.parquet')!r}, '--results', "
        f"{str(workspace.results)!r}, '--project', {str(workspace.project)!r}])"
    )
    ran = in_new_process(code)

    assert ran.returncode == 2
    assert "pyarrow is not installed: install the extra `parquet` of medical-transfer-benchmark" in ran.stderr
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.usefixtures("filled")
def test_a_pipe_takes_parquet(workspace):
    pq = pytest.importorskip("pyarrow.parquet")
    command = [sys.executable, "-m", "benchmark", "export", "--format", "parquet", "--results", str(workspace.results)]

    ran = subprocess.run(command, capture_output=True, check=True, cwd=workspace.project)

    assert pq.read_table(io.BytesIO(ran.stdout)).num_rows == 3


def test_a_number_that_is_none_is_never_written(tasks):
    from benchmark.reporting.export import cells_frame

    frame = cells_frame([made_up_record(made_up_cell(), float("nan"))], tasks)

    assert json.loads(to_json(frame, CELLS))["rows"][0]["score"] is None
