"""`benchmark judge`: records of older metrics are scored anew from their predictions, and nothing else changes."""

import pytest
from made_up import made_up_cell, made_up_predictions, made_up_record

from benchmark.cli.main import app
from benchmark.errors import BenchmarkError
from benchmark.results.store import Store
from benchmark.scoring.evaluate import scores_of
from benchmark.scoring.metrics.registry import JUDGING
from benchmark.scoring.rescore import is_outdated, rescore


@pytest.fixture
def stored(tmp_path, tasks):
    """A store with the record of an older version, whose scores are not those of its predictions."""
    store = Store(tmp_path / "results")
    cell = made_up_cell(task="TXC", task_digest=tasks["TXC"].digest)
    predictions = made_up_predictions(12)
    predictions.validation = made_up_predictions(8)
    return store, store.put(made_up_record(cell, 0.123), predictions)


def test_a_record_is_scored_anew_and_keeps_all_else(stored, tasks):
    store, record = stored

    rescored = rescore(record, store, tasks["TXC"])

    overall, per_label = scores_of(store.predictions(record.cell), tasks["TXC"].judging)
    assert is_outdated(record)
    assert not is_outdated(rescored)
    assert store.get(record.cell) == rescored
    assert (rescored.scores, rescored.per_label) == (overall, per_label)
    assert rescored.scores["f1"] is not None
    judged = ("scores", "per_label", "per_group", "judging")
    assert rescored.model_dump(exclude=set(judged)) == record.model_dump(exclude=set(judged))


def test_predictions_of_a_task_that_has_changed_are_not_scored_by_it(stored, tasks):
    store, record = stored
    changed = tasks["TXC"].model_copy(update={"scored": ("TB",)})
    changed.__dict__.pop("digest", None)

    with pytest.raises(BenchmarkError, match="has changed"):
        rescore(record, store, changed)

    assert store.get(record.cell) == record


def test_the_verb_scores_what_is_outdated_and_status_names_it_until_then(stored, capsys):
    store, record = stored
    failed = made_up_record(made_up_cell(seed=1), status="failed", error="x", scores={})
    store.put(failed, None)

    def run(*arguments):
        app([*arguments, "--results", str(store.root)], standalone_mode=False)
        return capsys.readouterr().out

    before = run("status")
    judged = run("judge")
    again, after = run("judge"), run("status")

    assert "1 record scored by other metrics than today's: `benchmark judge`" in " ".join(before.split())
    assert "1 record scored anew" in judged
    assert "0 records scored anew" in again
    assert "benchmark judge" not in after
    assert store.get(record.cell).judging == JUDGING


def test_a_kill_between_writing_and_replacing_leaves_the_old_record(stored, tasks, monkeypatch):
    store, record = stored

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", killed)
    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        rescore(record, store, tasks["TXC"])
    monkeypatch.undo()

    assert store.get(record.cell) == record
    assert not is_outdated(rescore(record, store, tasks["TXC"]))
