"""The results folder: whole records, claims of processes, predictions kept; damaged files are named, never fatal."""

import contextlib
import json
import random
import re
import shutil

import numpy as np
import pytest
from conftest import in_new_process
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_predictions, made_up_record

from benchmark.errors import BenchmarkError
from benchmark.files import TemporaryError
from benchmark.results.claims import ClaimedElsewhere
from benchmark.results.predictions import Predictions
from benchmark.results.record import read_record
from benchmark.results.store import Store
from benchmark.scoring.evaluate import scores_of


def test_a_record_and_its_predictions_come_back_as_they_went(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    record = made_up_record(cell, scores={"auc": 0.75, "mean_auc": None})
    predictions = made_up_predictions()

    with store.claim(cell) as scratch:
        (scratch / "state.pt").write_bytes(b"state")
        stored = store.put(record, predictions)

    assert store.get(cell) == stored
    assert stored.model_copy(update={"files": {}}) == record
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
        with pytest.raises(ClaimedElsewhere), store.claim(cell):
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
        unfinished = {cell.seed: held for cell, held in store.unfinished()[0]}

    assert unfinished == {0: True, 1: False}


DAMAGES = {
    "cut off": (lambda text: text[: len(text) // 2].encode(), "damaged: "),
    "empty": (lambda _: b"", "an empty file"),
    "binary": (lambda _: bytes(range(256)), "damaged: "),
    "a list": (lambda _: b"[1, 2]", "not a record"),
    "foreign": (lambda _: b'{"hello": "world"}', "Field required"),
    "newer": (lambda text: text.replace('"format":2', '"format":3').encode(), "its format is 3, of a newer version"),
    "earlier": (
        lambda text: text.replace('"format":2', '"format":1').encode(),
        "its format is 1, of an earlier version, whose splits and initialisation differ: run its cell again",
    ),
    "newer field": (lambda text: text.replace('"format":2', '"format":2,"new":1').encode(), "new: Extra inputs"),
    "edited": (lambda text: text.replace('"seed":0', '"seed":9').encode(), "it was edited"),
    "edited key": (lambda text: text.replace('"key":"', '"key":"0').encode(), "key: String should match"),
    "a wrong type": (
        lambda text: text.replace('"train_loss":1.0', '"train_loss":"x"').encode(),
        "history.0.train_loss",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_records_are_named_and_left_out(tmp_path, damage):
    damage, told = DAMAGES[damage]
    store, good, bad = Store(tmp_path), made_up_cell(seed=1), made_up_cell(seed=0)
    for cell in (good, bad):
        store.put(made_up_record(cell), None)
    path = store.folder(bad) / "record.json"
    text = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    path.write_bytes(damage(text))

    records, unread = store.records()

    assert [record.key for record in records] == [good.key]
    assert len(unread) == 1
    assert str(path) in unread[0]
    assert told in unread[0]
    assert "\n" not in unread[0]


def test_a_folder_in_place_of_a_record_is_named_and_no_unfinished_cell(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    with store.claim(cell):
        pass
    (store.folder(cell) / "record.json").mkdir()

    records, unread = store.records()

    assert (records, *store.unfinished()) == ([], [], [])
    assert "Is a directory" in unread[0]


@pytest.mark.parametrize("place", ["TXC/0123456789abcdef", "PXS/{key}"])
def test_a_record_in_another_cells_folder_is_named_and_not_counted_twice(tmp_path, place):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell), None)
    moved = tmp_path / "cells" / place.format(key=cell.key)
    shutil.copytree(store.folder(cell), moved)

    records, unread = store.records()

    assert [record.key for record in records] == [cell.key]
    assert len(unread) == 1
    assert f"{moved}/record.json: the record of another cell (TXC/{cell.key})" in unread[0]


def test_strays_beside_cells_are_no_records(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell), None)
    (tmp_path / "cells" / "notes.txt").write_text("x")
    (tmp_path / "cells" / "TXC" / ".DS_Store").write_text("x")
    (tmp_path / "cells" / "TXC" / "empty").mkdir()

    assert len(store.records()[0]) == 1
    assert store.records()[1] == []
    assert Store(tmp_path / "none").records() == ([], [])


def test_records_come_in_order_of_task_and_key(tmp_path):
    store = Store(tmp_path)
    for task in ("TXC", "PXS", "ECC"):
        for seed in range(5):
            store.put(made_up_record(made_up_cell(seed=seed, task=task)), None)

    found = [(record.cell.task, record.key) for record in store.records()[0]]

    assert found == sorted(found)
    assert len(found) == 15


def test_status_names_what_it_leaves_out_and_can_be_narrowed(cli, workspace):
    store = Store(workspace.results)
    for task in ("TXC", "PXS"):
        store.put(made_up_record(made_up_cell(IMAGENET, 0, task)), None)
        store.put(made_up_record(made_up_cell(SCRATCH, 0, task), status="failed", error=f"{task} broke"), None)
    store.put(made_up_record(made_up_cell(seed=5)), None)
    damaged = store.folder(made_up_cell(seed=5)) / "record.json"
    damaged.write_bytes(b"\x00")

    everything, of_task = cli("status"), cli("status", "--tasks", "family:segmentation")
    of_model, of_none = cli("status", "--models", "imagenet"), cli("status", "--models", "imagenet", "--tasks", "ECC")

    assert (everything.code, everything.out.count("imagenet"), everything.out.count("broke")) == (0, 2, 2)
    assert ("PXS broke" in of_task.out, "TXC broke" in of_task.out) == (True, False)
    assert "broke" not in of_model.out
    assert "no cell of these in" in of_none.out
    assert all(f"left out: {damaged}" in ran.out for ran in (everything, of_task, of_model, of_none))
    assert "no task 'TCX': did you mean TXC" in cli("status", "--tasks", "TCX").text


def test_status_needs_neither_pandas_nor_torch(workspace):
    """What they import is most of what they take."""
    Store(workspace.results).put(made_up_record(made_up_cell()), None)
    code = (
        "import sys; from benchmark.cli.main import main\n"
        f"try: main(['status', '--results', {str(workspace.results)!r}])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert not {'pandas', 'torch', 'filelock'} & set(sys.modules)"
    )
    ran = in_new_process(code)

    assert ran.returncode == 0, ran.stderr
    assert SCRATCH.name in ran.stdout


def test_a_record_of_another_cell_is_told(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell), None)
    path = store.folder(cell) / "record.json"
    path.write_text(path.read_text().replace(cell.key, "0" * 16))

    with pytest.raises(BenchmarkError, match="its key 0000000000000000 is not its cell's"):
        read_record(path)


def test_damaged_predictions_are_told(tmp_path):
    with pytest.raises(BenchmarkError, match="damaged predictions"):
        Predictions.from_bytes(b"PK not really", tmp_path / "predictions.npz")


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


def test_an_edited_record_is_named_and_left_out_whichever_number_was_changed(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell, 0.867), None)
    path = store.folder(cell) / "record.json"
    path.write_text(path.read_text().replace("0.867", "0.967"))

    assert store.records() == ([], [f"{path}: its content is not what its digest says: it was edited or damaged"])
    assert store.get(cell) is None
    assert store.damage(cell) == store.records()[1][0]


def test_no_flipped_bit_of_a_record_changes_what_is_read(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    stored = store.put(made_up_record(cell), None)
    path, chance = store.folder(cell) / "record.json", random.Random(0)
    written = path.read_bytes()

    for _ in range(1000):
        place = chance.randrange(len(written))
        path.write_bytes(written[:place] + bytes([written[place] ^ 1 << chance.randrange(8)]) + written[place + 1 :])
        assert store.get(cell) in (None, stored)


def with_predictions(store, *seeds):
    """Done cells whose predictions are of one size, and unlike."""
    cells = [made_up_cell(seed=seed) for seed in seeds]
    for number, cell in enumerate(cells):
        predictions = made_up_predictions()
        attention, embedding = np.eye(2), np.ones((4, 3), np.float16)
        predictions.score[:] = np.random.default_rng(number).random((4, 1))
        store.put(made_up_record(cell), predictions, None, attention, embedding)
    return cells


@pytest.mark.parametrize("name", ["predictions.npz", "attention.json", "embedding.npy"])
@pytest.mark.parametrize("damage", ["gone", "cut off", "a bit", "a folder"])
def test_a_record_whose_files_are_not_its_own_is_named_and_left_out(tmp_path, name, damage):
    store = Store(tmp_path)
    cell, good = with_predictions(store, 0, 1)
    path = store.folder(cell) / name
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(
            content[:-9] if damage == "cut off" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        )

    records, unread = store.records()

    assert [record.key for record in records] == [good.key]
    assert len(unread) == 1
    assert unread[0].startswith(f"{path}: ")
    assert "\n" not in unread[0]
    for read in (store.predictions, store.attention, store.embedding):
        if name.startswith(read.__name__) or damage != "a bit":
            with pytest.raises(BenchmarkError, match=str(path)):
                read(cell)
        read(good)
    assert (store.get(cell) is None) == (damage != "a bit"), (
        "sizes are compared at each look, contents when they are read"
    )


def test_predictions_of_another_cell_are_named_when_they_are_read(tmp_path):
    """Of one size, so that nothing but their content tells."""
    store = Store(tmp_path)
    one, other = with_predictions(store, 0, 1)
    paths = [store.folder(cell) / "predictions.npz" for cell in (one, other)]
    assert paths[0].stat().st_size == paths[1].stat().st_size
    shutil.copyfile(paths[1], paths[0])

    with pytest.raises(BenchmarkError, match="not the file that the record names"):
        store.predictions(one)
    assert [record.key for record in store.records()[0]] == [other.key]
    assert len(store.records(hashed=False)[0]) == 2


def test_no_flipped_bit_of_predictions_is_anything_but_one_line_or_the_same(tmp_path):
    written, chance = made_up_predictions(40).to_bytes(), random.Random(0)

    for _ in range(1500):
        place = chance.randrange(len(written))
        changed = written[:place] + bytes([written[place] ^ 1 << chance.randrange(8)]) + written[place + 1 :]
        with contextlib.suppress(BenchmarkError):
            Predictions.from_bytes(changed, tmp_path)


def test_a_damaged_record_is_run_again_and_kept_beside(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell), None)
    path = store.folder(cell) / "record.json"
    path.write_text("half")

    with store.claim(cell):
        assert store.get(cell) is None
        store.put(made_up_record(cell, 0.5), made_up_predictions())

    assert store.get(cell).scores == {"auc": 0.5}
    assert (store.folder(cell) / "record-unreadable.json").read_text() == "half"


@pytest.mark.parametrize("damage", ["", "{", "another"])
def test_a_damaged_question_is_named_and_written_again_by_the_next_run(tmp_path, damage):
    store, cell = Store(tmp_path), made_up_cell()
    with store.claim(cell):
        pass
    path = store.folder(cell) / "cell.json"
    path.write_text(damage)

    begun, unread = store.unfinished()
    with store.claim(cell):
        mended = store.unfinished()

    assert begun == []
    assert unread == [f"{path}: damaged, or of another version: running its cell writes it again"]
    assert mended == ([(cell, True)], [])


@pytest.mark.parametrize("name", [".lease", "cell.json"])
def test_a_folder_in_place_of_a_file_is_one_line(tmp_path, name):
    store, cell = Store(tmp_path), made_up_cell()
    (store.folder(cell) / name).mkdir(parents=True)

    with pytest.raises(TemporaryError, match=re.escape(name)) as fault, store.claim(cell):
        pass

    assert "\n" not in str(fault.value)
    assert not store.is_claimed(cell)


def test_who_waited_for_a_cell_leaves_no_scratch_in_it(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()
    store.put(made_up_record(cell), None)

    with store.claim(cell):
        pass

    assert not store.is_begun(cell)


def test_a_failed_cell_keeps_the_state_that_its_next_attempt_continues_from(tmp_path):
    store, cell = Store(tmp_path), made_up_cell()

    with store.claim(cell) as scratch:
        (scratch / "state.pt").write_bytes(b"epochs of work")
        store.put(made_up_record(cell, status="failed", error="its worker was killed"), None)
    with store.claim(cell) as scratch:
        assert (scratch / "state.pt").read_bytes() == b"epochs of work"


def test_a_timeout_within_a_claim_is_none_of_its_own(tmp_path):
    import filelock

    store, cell = Store(tmp_path), made_up_cell()

    with pytest.raises(filelock.Timeout), store.claim(cell):
        raise filelock.Timeout("of something else")
