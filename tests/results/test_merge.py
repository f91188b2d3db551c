"""`benchmark merge`: cells are copied whole; what contradicts is shown from both sides, and then nothing is copied."""

import os
import signal
import subprocess
import sys
import time

import pytest
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_predictions, made_up_record

from benchmark.results.merge import unlike_scores
from benchmark.results.predictions import Predictions
from benchmark.results.store import Store


@pytest.fixture
def one(tmp_path):
    return Store(tmp_path / "one")


@pytest.fixture
def two(tmp_path):
    return Store(tmp_path / "two")


def put(store, cell, score=0.9, predictions=None, **changed):
    store.put(made_up_record(cell, score, **changed), predictions or made_up_predictions())


def fail(store, cell, attempt=1):
    store.put(made_up_record(cell, status="failed", error="no", scores={}, attempt=attempt), None)


def merged(cli, into, *sources, dry=False):
    folders = [str(source.root) for source in sources]
    return cli("merge", *folders, "--results", str(into.root), *["--dry-run"] * dry)


def files_of(store):
    return {
        path.relative_to(store.root): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_cells_come_whole_and_byte_for_byte(cli, one, two, tmp_path):
    into = Store(tmp_path / "into")
    for seed, source in enumerate((one, two)):
        put(source, made_up_cell(seed=seed))
        put(source, made_up_cell(IMAGENET, seed, data="official"))
    one.put(made_up_record(made_up_cell(seed=7)), made_up_predictions(), made_up_predictions(9))

    ran = merged(cli, into, one, two)

    assert ran.code == 0, ran.err
    assert "5 cells taken" in ran.text
    # a claim writes cell.json and store.json, the latter once for the folder
    expected = {**files_of(one), **files_of(two)}
    assert {
        path: content for path, content in files_of(into).items() if path.name not in ("cell.json", "store.json")
    } == expected
    assert sorted(record.cell.data for record in into.records()[0]) == ["official"] * 2 + ["phantom"] * 3


def test_the_same_numbers_are_skipped_and_a_second_merge_does_nothing(cli, one, two):
    put(one, made_up_cell())
    put(two, made_up_cell(), finished="2027-01-01T00:00:00+00:00", environment={"torch": "3"})
    put(one, made_up_cell(seed=1))

    first, before = merged(cli, two, one), files_of(two)
    again = merged(cli, two, one)

    assert "1 cell taken; 1 there already with the same numbers" in first.text
    assert "0 cells taken; 2 there already with the same numbers" in again.text
    assert files_of(two) == before


def test_other_scores_are_an_error_that_shows_both_and_copies_nothing(cli, one, two):
    cell = made_up_cell(IMAGENET, 3)
    put(one, cell, 0.91, environment={"torch": "2.4", "device": "CPU"})
    put(two, cell, 0.92, environment={"torch": "2.5", "device": "CPU"})
    put(one, made_up_cell(seed=1))
    before = files_of(two)

    for dry in (True, False):
        ran = merged(cli, two, one, dry=dry)
        assert ran.code == 2
        told = ("nothing was copied", cell.key, "TXC · imagenet · seed 3", "auc 0.91 and 0.92", "torch 2.4 and 2.5")
        for words in (*told, str(one.root), str(two.root)):
            assert words in ran.text
        assert "device" not in ran.text
        assert "another torch may round otherwise, which a training makes visible" in ran.text
        assert files_of(two) == before
    kept = cli("merge", str(one.root), "--results", str(two.root), "--keep")
    assert kept.code == 0
    assert "1 cell taken; 1 cell with other numbers kept as it is" in kept.text
    assert two.get(cell).scores == {"auc": 0.92}


def test_a_score_of_a_label_or_subgroup_counts_too(cli, one, two):
    put(one, made_up_cell(), per_label={"TB": {"auc": 0.5}}, per_group={"sex": {"F": {"auc": 0.25}}})
    put(two, made_up_cell(), per_label={"TB": {"auc": 0.5}}, per_group={"sex": {"F": {"auc": 0.75}}})

    assert "auc of sex F 0.25 and 0.75" in merged(cli, two, one).text


def test_other_predictions_with_the_same_scores_are_an_error(cli, one, two):
    predictions = made_up_predictions()
    changed = Predictions(**{**vars(predictions), "score": predictions.score * [[1], [1], [0.5], [1]]})
    put(one, made_up_cell(), predictions=predictions)
    put(two, made_up_cell(), predictions=changed)

    ran = merged(cli, two, one)

    assert ran.code == 2
    assert "score of image-2, TB: 0.6666667 and 0.33333334" in ran.text


def test_two_sources_that_contradict_each_other_are_an_error(cli, one, two, tmp_path):
    put(one, made_up_cell(), 0.1)
    put(two, made_up_cell(), 0.2)
    into = Store(tmp_path / "into")

    ran = merged(cli, into, one, two)

    assert ran.code == 2
    assert "auc 0.2 and 0.1" in ran.text
    assert not into.root.exists()


def test_every_contradiction_is_listed(cli, one, two):
    for seed in range(4):
        put(one, made_up_cell(seed=seed), 0.1)
        put(two, made_up_cell(seed=seed), 0.2)

    ran = merged(cli, two, one)

    assert all(made_up_cell(seed=seed).key in ran.text for seed in range(4))
    assert "(and 3 other cells, listed above)" in ran.text


def test_done_takes_the_place_of_failed_and_never_the_other_way(cli, one, two):
    mended, broken, both = (made_up_cell(seed=seed) for seed in range(3))
    put(one, mended)
    fail(two, mended)
    fail(one, broken)
    put(two, broken)
    fail(one, both, attempt=5)
    fail(two, both)

    ran = merged(cli, two, one)

    assert "1 cell taken; 1 in place of failed ones; 2 failed cells not taken" in ran.text
    assert [two.get(cell).status for cell in (mended, broken, both)] == ["done", "done", "failed"]
    assert two.get(both).attempt == 1
    assert two.predictions(mended).columns == ("TB",)


def test_a_failure_does_not_end_what_is_being_trained(cli, one, two):
    begun, new = made_up_cell(seed=0), made_up_cell(seed=1)
    fail(one, begun)
    fail(one, new)
    with two.claim(begun) as scratch:
        (scratch / "state.pt").write_bytes(b"epochs of work")

    ran = merged(cli, two, one)

    assert "1 cell taken; 1 of them failed; 1 failed cell not taken" in ran.text
    assert two.get(begun) is None
    assert (two.folder(begun) / "scratch" / "state.pt").is_file()


def test_unfinished_cells_stay_behind_and_are_counted(cli, one, two):
    put(one, made_up_cell())
    with one.claim(made_up_cell(seed=1)):
        pass

    ran = merged(cli, two, one)

    assert "1 unfinished cell not taken" in ran.text
    assert len(two.records()[0]) == 1


def test_damaged_foreign_and_newer_records_are_named_and_left_out(cli, one, two):
    for seed in range(6):
        put(one, made_up_cell(seed=seed))
    path = [one.folder(made_up_cell(seed=seed)) for seed in range(6)]
    (path[0] / "record.json").write_text("{}")
    (path[1] / "record.json").write_bytes(b"")
    (path[2] / "record.json").write_text((path[2] / "record.json").read_text().replace('"format": 2', '"format": 3'))
    (path[3] / "predictions.npz").write_bytes((path[3] / "predictions.npz").read_bytes()[:-30])
    whole = (path[4] / "predictions.npz").read_bytes()
    (path[4] / "predictions.npz").write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])

    ran = merged(cli, two, one)

    assert ran.code == 0
    assert [record.cell.seed for record in two.records()[0]] == [5]
    for folder in path[:5]:
        assert f"left out: {folder}" in ran.out
    assert "its format is 3, of a newer version" in ran.text


def test_a_damaged_record_in_the_way_is_not_replaced_unasked(cli, one, two):
    cell = made_up_cell()
    put(one, cell)
    put(two, cell)
    (two.folder(cell) / "record.json").write_text("half")

    ran = merged(cli, two, one)

    assert (two.folder(cell) / "record.json").read_text() == "half"
    assert f"left out: {two.folder(cell)}" in ran.out


def test_a_cell_that_another_process_works_on_is_left_out(cli, one, two):
    cell = made_up_cell()
    put(one, cell)
    with two.claim(cell):
        ran = merged(cli, two, one)
    after = merged(cli, two, one)

    assert (ran.code, after.code) == (1, 0)
    assert "1 cell left out: other processes work on them" in ran.text
    assert two.get(cell).status == "done"


def test_a_dry_run_writes_nothing(cli, one, two):
    put(one, made_up_cell())

    ran = merged(cli, two, one, dry=True)

    assert "1 cell to take" in ran.text
    assert not two.root.exists()


@pytest.mark.slow
def test_a_killed_merge_is_continued_by_the_same_command(cli, one, two):
    for seed in range(400):
        put(one, made_up_cell(SCRATCH, seed))
    command = [sys.executable, "-m", "benchmark", "merge", str(one.root), "--results", str(two.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(two.root.glob("cells/*/*/record.json"))) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    records, unread = two.records()
    assert not unread
    assert 20 <= len(records) < 400
    assert all(two.predictions(record.cell).columns == ("TB",) for record in records)

    ran = merged(cli, two, one)

    assert ran.code == 0
    assert len(two.records()[0]) == 400


@pytest.mark.parametrize(
    ("make", "told"), [(False, "is no results folder: wanted cells/ in it"), (True, "into itself")]
)
def test_a_wrong_folder_is_one_line(cli, one, make, told):
    if make:
        put(one, made_up_cell())

    ran = merged(cli, one, one) if make else merged(cli, Store(one.root / "x"), one)

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert told in ran.text


def test_scores_of_metrics_that_one_record_was_not_judged_by_are_no_difference():
    record = made_up_record(made_up_cell(), scores={"auc": 0.9})
    again = record.model_copy(update={"scores": {"auc": 0.9, "brier": 0.1}, "judging": "another"})

    assert unlike_scores(record, again) == []
    assert unlike_scores(record, again.model_copy(update={"judging": record.judging})) == ["brier"]
    assert unlike_scores(record, again.model_copy(update={"scores": {"auc": 0.8}})) == ["auc"]
