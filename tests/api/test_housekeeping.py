"""What `clean` removes, and what it never does."""

import json
import os
import time

import pytest
from made_up import IMAGENET, made_up_cell, made_up_predictions, made_up_record

from benchmark.api.housekeeping import parse_size
from benchmark.errors import BenchmarkError
from benchmark.results.store import Store

DONE, FAILED, BEGUN = (made_up_cell(seed=seed, weights=IMAGENET) for seed in range(3))


def write_folder(folder, *, days=0.0, size=4096):
    folder.mkdir(parents=True)
    (folder / "content.bin").write_bytes(bytes(size))
    then = time.time() - days * 24 * 3600
    os.utime(folder / "content.bin", (then, then))
    return folder


@pytest.fixture
def store(workspace):
    store = Store(workspace.results)
    store.put(made_up_record(DONE), made_up_predictions())
    store.put(made_up_record(FAILED, status="failed", error="no"), None)
    with store.claim(BEGUN) as scratch:
        (scratch / "state.pt").write_bytes(bytes(4096))
    return store


def test_cells_that_failed_or_were_interrupted_are_removed_by_yes_alone(cli, store):
    dry = cli("clean")

    assert "2 folders" in dry.out
    assert "would be removed; nothing was: add --yes" in dry.out
    assert store.folder(FAILED).is_dir()
    assert store.is_begun(BEGUN)
    assert "removed 2 folders" in cli("clean", "--yes").out
    assert [record.cell for record in store.records()[0]] == [DONE]
    assert store.unfinished() == ([], [])
    assert [folder.name for folder in store.folder(DONE).parent.iterdir()] == [DONE.key]
    assert cli("clean", "--yes").out == "nothing to remove\n"


def test_a_cell_that_a_process_works_on_is_left_alone_and_so_are_the_caches_of_its_task(cli, store, workspace):
    pixels = write_folder(workspace.pixels / "TXC-512-0123456789abcdef")
    other = write_folder(workspace.pixels / "VFS-CHASE-512-0123456789abcdef")

    with store.claim(FAILED):
        cleaned = cli("clean", "failed,pixels", "--yes")

    assert cleaned.out.count("in use") == 2
    assert store.get(FAILED).status == "failed"
    assert (pixels.is_dir(), other.is_dir()) == (True, False)


def test_a_done_cell_is_never_discarded_and_a_damaged_record_neither(store):
    assert not store.discard(DONE)
    record = store.folder(FAILED) / "record.json"
    record.write_text(record.read_text().replace('"no"', '"yes"'))

    assert not store.discard(FAILED)
    assert record.is_file()


def test_caches_go_by_age_and_by_size_those_first_that_were_not_used_for_longest(cli, workspace):
    folders = [
        write_folder(workspace.pixels / f"TXC-{days}-0123456789abcdef", days=days, size=4_000_000)
        for days in (50, 40, 2)
    ]
    features = write_folder(workspace.features / "TXC" / "0123456789abcdef", days=30)

    assert "1 folder" in cli("clean", "pixels", "--older-than", "45").out
    assert "2 folders" in cli("clean", "pixels", "--keep", "5MB").out
    cli("clean", "pixels,features", "--keep", "9MB", "--older-than", "10", "--yes")
    assert [folder.is_dir() for folder in (*folders, features)] == [False, True, True, True]
    cli("clean", "features", "--tasks", "TXC", "--yes")
    assert not features.exists()


@pytest.mark.usefixtures("store")
def test_weights_that_a_record_names_or_that_nobody_publishes_are_not_removed_unasked(cli, workspace):
    for name, digest in (("imagenet", IMAGENET.sha256), ("swav", "0" * 64), ("mine", "1" * 64)):
        pin = write_folder(workspace.weights / name) / "file.pth.pin.json"
        pin.write_text(json.dumps({"sha256": digest, "size": 4096}))

    cleaned = cli("clean", "weights", "--yes")

    assert sorted(path.name for path in workspace.weights.iterdir()) == ["imagenet", "mine"]
    assert "imagenet: named by 2 records" in cleaned.text
    assert "mine: cannot be downloaded again" in cleaned.text


def test_a_removal_that_was_killed_is_finished_by_the_next(cli, workspace, tmp_path):
    write_folder(workspace.pixels / ".TXC-512-0123456789abcdef.removed")
    (workspace.pixels / "TXC-64-0123456789abcdef").symlink_to(write_folder(tmp_path / "of a colleague"))

    assert "removed 1 folder" in cli("clean", "pixels", "--tasks", "TXC", "--yes").out
    assert [path.name for path in workspace.pixels.iterdir()] == ["TXC-64-0123456789abcdef"]


def test_cache_lists_what_lies_where_and_for_which_tasks(cli, workspace):
    assert "nothing is cached" in cli("cache").out
    write_folder(workspace.pixels / "Derm27-ISIC-512-0123456789abcdef", size=8192, days=3)
    write_folder(workspace.features / "TXC" / "0123456789abcdef")

    shown = cli("cache").text
    listed = json.loads(cli("cache", "--json").out)["contents"]

    assert "Derm27-ISIC 8 KB 3 days ago" in shown
    assert [(item["kind"], item["tasks"]) for item in listed] == [("pixels", ["Derm27-ISIC"]), ("features", ["TXC"])]
    assert listed[0]["num_bytes"] == 8192


@pytest.mark.parametrize(("text", "size"), [("500MB", 5e8), ("1.5 TB", 1.5e12), ("0kb", 0)])
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["50", "GB", "-1GB", "nanGB", "infTB", ""])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(BenchmarkError, match="wanted a number with KB, MB, GB or TB"):
        parse_size(text)
