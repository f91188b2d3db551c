"""`benchmark run --track`: what a run logs is read back from each tracker's own local store; a failing one harms nothing."""

import importlib
import json
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import in_new_process
from made_up import IMAGENET, SCRATCH, made_up_cell

from benchmark.results.store import Store
from benchmark.tracking.facts import facts_of
from benchmark.tracking.trackers import TRACKERS, check_trackers, tracked

TINY = ("--set", "image_size=32", "--set", "train_resolution=64", "--set", "max_epochs=2")
GOOD, BAD = made_up_cell(IMAGENET, 3), made_up_cell(SCRATCH, 1, fold=2, folds=3)
LOSSES = {1: 0.75, 2: 0.5, 3: 0.625}


def epoch(cell, number):
    line = {"train_loss": 2 * LOSSES[number], "learning_rate": 1e-3, "validation_loss": LOSSES[number]}
    return {"event": "epoch", "key": cell.key, "epoch": number, **line}


def done(cell):
    return {"event": "done", "key": cell.key, "reason": "", "scores": {"auc": 0.875, "mean_auc": None}}


# a run that is interrupted after two epochs, and the one that continues it: two cells at once, one of which fails
FIRST = [
    {"event": "workers", "count": 2, "device": "cpu"},
    {"event": "started", "key": GOOD.key},
    {"event": "started", "key": BAD.key},
    {"event": "cache", "key": GOOD.key, "task": "TXC", "done": 1, "total": 2},
    epoch(GOOD, 1),
    epoch(BAD, 1),
    epoch(GOOD, 2),
    {"event": "failed", "key": BAD.key, "reason": "out of memory"},
]
SECOND = [
    {"event": "started", "key": GOOD.key},
    {"event": "elsewhere", "key": GOOD.key},
    {"event": "requeued", "key": GOOD.key, "reason": "its worker ended"},
    epoch(GOOD, 3),
    done(GOOD),
]


def logged(wanted, *rounds):
    """Tell events as a scheduler would, each round a run of its own; what was warned of."""
    warned = []
    for events in rounds:
        with tracked([wanted], [GOOD, BAD], warned.append) as tell:
            for event in events:
                tell(event)
    return warned


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    assert logged(f"tensorboard:{tmp_path / 'runs'}", FIRST, SECOND) == []

    folder = tmp_path / "runs" / "TXC" / "imagenet" / f"seed-3-{GOOD.key}"
    assert len(list(folder.iterdir())) == 2, "a resumed cell continues in its own folder"
    read = EventAccumulator(str(folder)).Reload()
    losses = {event.step: event.value for event in read.Scalars("validation_loss")}
    assert losses == LOSSES
    assert [(event.step, event.value) for event in read.Scalars("test_auc")] == [(3, 0.875)]
    assert "test_mean_auc" not in read.Tags()["scalars"]
    told = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    facts = metadata.parse_session_start_info_plugin_data(told).hparams
    assert facts["recipe.learning_rate"].number_value == GOOD.recipe.learning_rate
    assert facts["data"].string_value == "phantom"
    failed = EventAccumulator(str(next((tmp_path / "runs").glob(f"*/*/*fold-2-{BAD.key}")))).Reload()
    ended = failed.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    assert metadata.parse_session_end_info_plugin_data(ended).status == 2, "STATUS_FAILURE"


def test_mlflow_reads_back_what_was_logged(tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    code = (
        f"import sys, json; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1] / 'support')]!r}\n"
        "from test_tracking import FIRST, SECOND, GOOD, BAD, logged\n"
        f"print(logged('mlflow:{tmp_path}', FIRST, SECOND))\n"
        "from mlflow.tracking import MlflowClient\n"
        f"client = MlflowClient(tracking_uri='sqlite:///{tmp_path}/mlflow.db')\n"
        "experiment = client.get_experiment_by_name('medical-transfer-benchmark').experiment_id\n"
        "runs = {run.data.tags['benchmark.key']: run for run in client.search_runs([experiment])}\n"
        "assert len(runs) == 2 == len(client.search_runs([experiment])), 'a resumed cell continues its run'\n"
        "good, bad = runs[GOOD.key], runs[BAD.key]\n"
        "losses = client.get_metric_history(good.info.run_id, 'validation_loss')\n"
        "print(json.dumps([{m.step: m.value for m in losses}, good.data.metrics['test_auc'], good.info.status,\n"
        "  good.data.params['recipe.learning_rate'], good.data.tags['data'], good.info.run_name,\n"
        "  bad.info.status, bad.data.tags['failure']]))"
    )
    # in a process of its own: its import warns, and sets up logging for the whole process
    ran = in_new_process(code)

    assert ran.returncode == 0, ran.stderr
    warned, told = ran.stdout.splitlines()[-2:]
    losses, score, status, rate, data, name, ended, reason = json.loads(told)
    assert warned == "[]"
    assert {int(step): loss for step, loss in losses.items()} == LOSSES
    assert (score, status, float(rate), data) == (0.875, "FINISHED", GOOD.recipe.learning_rate, "phantom")
    assert name == "TXC · imagenet · seed 3 · phantom images"
    assert (ended, reason) == ("FAILED", "out of memory")


def test_wandb_keeps_offline_what_was_logged(tmp_path):
    pytest.importorskip("wandb")
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1] / 'support')]!r}\n"
        "from test_tracking import FIRST, SECOND, logged\n"
        f"print(logged('wandb:{tmp_path}', FIRST, SECOND))"
    )
    ran = in_new_process(code, WANDB_MODE="offline")

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
    records = [record for path in tmp_path.glob("wandb/offline-run-*/*.wandb") for record in wandb_records(path)]
    runs = {record.run.run_id: record.run for record in records if record.WhichOneof("record_type") == "run"}
    assert set(runs) == {GOOD.key, BAD.key}
    config = {item.key: json.loads(item.value_json) for item in runs[GOOD.key].config.update}
    assert config["recipe.learning_rate"] == GOOD.recipe.learning_rate
    assert (runs[GOOD.key].project, set(runs[GOOD.key].tags)) == ("medical-transfer-benchmark", {"phantom", "TXC"})
    of_good = [r for path in tmp_path.glob(f"wandb/offline-run-*/*{GOOD.key}.wandb") for r in wandb_records(path)]
    lines = [{"".join(i.nested_key) or i.key: json.loads(i.value_json) for i in r.history.item} for r in of_good]
    assert {line["epoch"]: line["validation_loss"] for line in lines if "epoch" in line} == LOSSES
    summary = {"".join(i.nested_key) or i.key: i.value_json for r in of_good for i in r.summary.update}
    assert summary["test_auc"] == "0.875"
    ends = [r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit"]
    assert sorted(ends) == [0, 1, 255], "done, failed, and interrupted"


def wandb_records(path):
    """The records of a run's file: LevelDB's log format (blocks of 32 KiB) behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # a block's tail, too short for a head
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if kind == 0:
            break
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(parts)
            parts = b""


class Recorder:
    """A tracker of ours, to see in which order it is asked what, and to fail or hang at will."""

    def __init__(self, fails_at="", hangs_at="", until=None):
        self.asked, self.fails_at, self.hangs_at, self.until = [], fails_at, hangs_at, until

    def __getattr__(self, name):
        def asked(*told):
            self.asked.append((name, *told))
            if name == self.hangs_at:
                self.until.wait(60)
            if name == self.fails_at:
                raise OSError("the server\nis away")

        return asked


@pytest.fixture
def recorder(monkeypatch):
    """Puts a Recorder where a tracker's module would be."""

    def put(**told):
        made = Recorder(**told)
        module = type(sys)("recorder_of_a_test")
        module.open_tracker = lambda _: made
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(TRACKERS, "recorder", module.__name__)
        return made

    return put


def test_a_run_begins_with_its_first_epoch_and_ends_once(recorder):
    made = recorder()

    logged("recorder", FIRST, SECOND)

    names = [(name, told[0] if isinstance(told[0], str) else told[0].key) for name, *told in made.asked if told]
    assert names == [
        ("begin", GOOD.key),
        ("epoch", GOOD.key),
        ("begin", BAD.key),
        ("epoch", BAD.key),
        ("epoch", GOOD.key),
        ("end", BAD.key),
        ("begin", GOOD.key),
        ("epoch", GOOD.key),
        ("end", GOOD.key),
    ]


@pytest.mark.parametrize("where", ["begin", "epoch", "end", "close"])
def test_a_tracker_that_fails_is_warned_of_once_and_then_off(recorder, where):
    made = recorder(fails_at=where)

    warned = logged("recorder", [*FIRST, *SECOND])

    assert warned == ["--track recorder is off from here on: the server is away"]
    assert made.asked[-1][0] == where


def test_a_tracker_that_hangs_delays_nothing(recorder, monkeypatch):
    monkeypatch.setattr(importlib.import_module("benchmark.tracking.trackers"), "LAST_SECONDS", 0.2)
    until = threading.Event()
    recorder(hangs_at="epoch", until=until)
    started = time.monotonic()

    warned = logged("recorder", FIRST)
    until.set()

    assert time.monotonic() - started < 10
    assert warned == ["--track recorder does not keep up: 4 events not logged"]


def test_an_unusable_place_is_one_warning(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")

    (warned,) = logged(f"tensorboard:{tmp_path / 'file' / 'runs'}", FIRST)

    assert warned.startswith("--track tensorboard is off from here on: ")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [(["tensorbord"], "did you mean tensorboard"), (["wandb", "wandb:x"], "wanted each once")],
)
def test_a_wrong_tracker_is_a_fault_before_anything_runs(cli, workspace, wanted, told):
    options = [option for name in wanted for option in ("--track", name)]

    ran = cli("run", "--models", "scratch", "--tasks", "TXC", *options)

    assert ran.code == 2
    assert told in ran.text or "not installed" in ran.text
    assert not workspace.results.exists()


def test_a_tracker_that_is_not_installed_is_told_how_to_be(monkeypatch):
    monkeypatch.setitem(TRACKERS, "no_such_package", "nowhere")

    with pytest.raises(Exception, match="install the extra `track` of medical-transfer-benchmark"):
        check_trackers(["no_such_package:x"])


def test_facts_are_flat_and_complete():
    facts = facts_of(BAD)

    assert (facts["fold"], facts["seed"], facts["weights.0.name"]) == (2, 1, SCRATCH.name)
    assert facts["weights.0.mean"] == str(list(SCRATCH.mean))
    assert all(isinstance(value, str | int | float | bool) for value in facts.values())


@pytest.mark.slow
def test_a_real_run_is_logged_with_the_records_numbers(cli, workspace, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command = ("run", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "1", *TINY)
    ran = cli(*command, "--track", f"tensorboard:{tmp_path / 'runs'}")

    assert ran.code == 0, ran.err
    (record,) = Store(workspace.results).records()[0]
    (folder,) = (tmp_path / "runs").glob(f"*/*/*{record.key}")
    read = EventAccumulator(str(folder)).Reload()
    for name in ("train_loss", "validation_loss", "learning_rate"):
        logged_values = {event.step: event.value for event in read.Scalars(name)}
        assert logged_values == {line["epoch"]: pytest.approx(line[name], rel=1e-6) for line in record.history}
    assert read.Scalars("test_auc")[0].value == pytest.approx(record.scores["auc"], rel=1e-6)


@pytest.mark.slow
def test_a_run_without_trackers_imports_none():
    ran = in_new_process("import benchmark.cli.run, benchmark.tracking.trackers, sys\nprint(*sys.modules)")

    assert not {"tensorboard", "mlflow", "wandb", "numpy", "torch"} & set(ran.stdout.split())
