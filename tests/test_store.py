"""The results folder: whole records, claims of processes, predictions kept; damaged files are named, never fatal."""

import json

import numpy as np
import pytest
from made_up import IMAGENET, made_up_cell, made_up_predictions, made_up_record

from benchmark.evaluate import scores_of
from benchmark.fault import Fault
from benchmark.record import Predictions, read_record
from benchmark.store import Claimed, Store


def test_a_record_and_its_predictions_come_back_as_they_went(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    record = made_up_record(cell, scores={"auc": 0.75, "mean_auc": None})
    predictions = made_up_predictions()

    with store.claim(cell) as scratch:
        (scratch / "state.pt").write_bytes(b"state")
        store.put(record, predictions)

    assert store.get(cell) == record
    found = store.predictions(cell)
    assert np.array_equal(found.score, predictions.score)
    assert (found.columns, list(found.ids), list(found.groups)) == (
        predictions.columns,
        list(predictions.ids),
        ["patient"],
    )
    assert not scratch.exists()


def test_predictions_can_be_judged_again(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    predictions = made_up_predictions(40)
    store.put(made_up_record(cell), predictions)

    assert scores_of(store.predictions(cell)) == scores_of(predictions)


def test_a_claimed_cell_is_nobody_elses(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()

    with store.claim(cell):
        assert store.is_claimed(cell)
        with pytest.raises(Claimed), store.claim(cell):
            pass
    assert not store.is_claimed(cell)


def test_scratch_outlives_a_failure(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()

    with pytest.raises(KeyboardInterrupt), store.claim(cell) as scratch:
        (scratch / "state.pt").write_bytes(b"state")
        raise KeyboardInterrupt

    with store.claim(cell) as scratch:
        assert (scratch / "state.pt").read_bytes() == b"state"


def test_unfinished_cells_tell_whether_a_process_works_on_them(tmp_path):
    store = Store(tmp_path)
    running, interrupted, done = made_up_cell(seed=0), made_up_cell(seed=1), made_up_cell(seed=2)
    with store.claim(interrupted):
        pass
    with store.claim(done):
        store.put(made_up_record(done), None)

    with store.claim(running):
        unfinished = {cell.seed: held for cell, held in store.unfinished()}

    assert unfinished == {0: True, 1: False}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: '{"hello": "world"}',
        lambda text: text.replace('"format":1', '"format":2'),
        lambda text: text.replace('"seed":0', '"seed":9'),
    ],
    ids=["cut off", "empty", "foreign", "newer", "edited"],
)
def test_damaged_records_are_named_and_left_out(tmp_path, damage):
    store, good, bad = Store(tmp_path), made_up_cell(seed=1), made_up_cell(seed=0)
    for cell in (good, bad):
        store.put(made_up_record(cell), None)
    path = store.folder(bad) / "record.json"
    text = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    path.write_text(damage(text))

    records, unread = store.records()

    assert [record.key for record in records] == [good.key]
    assert len(unread) == 1
    assert str(path) in unread[0]


def test_a_record_of_another_cell_is_told(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell), None)
    path = store.folder(cell) / "record.json"
    path.write_text(path.read_text().replace(cell.key, "0" * 16))

    with pytest.raises(Fault, match="its key 0000000000000000 is not its cell's"):
        read_record(path)


def test_damaged_predictions_are_told(tmp_path):
    (tmp_path / "predictions.npz").write_bytes(b"PK not really")

    with pytest.raises(Fault, match="damaged predictions"):
        Predictions.from_file(tmp_path / "predictions.npz")


def test_predictions_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="wanted"):
        Predictions(
            kind="classification",
            ids=np.array(["a"]),
            groups={},
            columns=("x", "y"),
            truth=np.ones((1, 2)),
            score=np.ones((1, 1)),
        )


def test_same_name_other_file_is_another_cell():
    assert made_up_cell(IMAGENET).key != made_up_cell(IMAGENET.model_copy(update={"sha256": "cd" * 32})).key
