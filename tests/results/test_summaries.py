"""What `status` reads: each record once, again when its file changed; the cells that are still to come; who works on what."""

import io
import os
import socket
from dataclasses import replace

from made_up import made_up_cell, made_up_predictions, made_up_record
from rich.console import Console

from benchmark.api.status import status
from benchmark.cli.status import watch_view
from benchmark.results import summaries as reading
from benchmark.results.plans import planned_cells, write_plan
from benchmark.results.store import Store
from benchmark.results.summaries import summaries


def test_a_record_is_read_again_only_when_it_changed_or_lacks_a_file(tmp_path, monkeypatch):
    store, cells = Store(tmp_path / "results"), [made_up_cell(seed=seed) for seed in range(3)]
    for cell in cells:
        store.put(made_up_record(cell), made_up_predictions())
    read = []
    monkeypatch.setattr(
        reading, "record_in", lambda folder, real=reading.record_in: (read.append(folder.name), real(folder))[1]
    )

    first = list(summaries(store, tmp_path / "cache"))
    second = list(summaries(store, tmp_path / "cache"))
    store.put(made_up_record(cells[1], status="failed", error="no memory"), None)
    (store.folder(cells[2]) / "predictions.npz").unlink()
    third = {getattr(one, "key", "damaged"): one for one in summaries(store, tmp_path / "cache")}

    assert first == second
    assert sorted(read) == sorted([*(cell.key for cell in cells), cells[1].key, cells[2].key])
    assert [third[cell.key].status for cell in cells[:2]] == ["done", "failed"]
    assert "predictions.npz: No such file" in third["damaged"]


def test_a_cache_that_is_damaged_or_cannot_be_written_changes_nothing(tmp_path):
    store = Store(tmp_path / "results")
    store.put(made_up_record(made_up_cell()), None)
    expected = list(summaries(store, tmp_path / "cache"))
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(file.read_text().replace("done", "gone"))

    assert list(summaries(store, tmp_path / "cache")) == expected
    assert list(summaries(store, file / "no folder")) == expected


def test_status_tells_what_is_left_and_who_works_on_what(workspace, cli):  # noqa: ARG001 - sets the workspace's folders
    store, cells = Store(workspace.results), [made_up_cell(seed=seed) for seed in range(4)]
    write_plan(store.root, cells[:3])
    write_plan(store.root, cells)
    write_plan(store.root, cells)
    store.put(made_up_record(cells[0]), None)

    with store.claim(cells[1]):
        found = status()

    assert len(planned_cells(store.root)) == 4
    assert (found.num_planned, found.num_left, found.per_hour, found.hours_left) == (4, 3, 0, None)
    (worker,) = found.workers
    assert (worker["host"], worker["pid"], worker["is_silent"]) == (socket.gethostname(), os.getpid(), False)
    assert status().workers == []


def test_the_view_names_silent_workers_and_the_time_to_go(workspace, cli):  # noqa: ARG001
    console = Console(width=200, file=io.StringIO())
    store, cell = Store(workspace.results), made_up_cell()
    with store.claim(cell):
        found = status()
    worker = {**found.workers[0], "is_silent": True, "silent_seconds": 120.0}
    found = replace(found, workers=[worker], num_planned=30, num_left=20, per_hour=10)

    console.print(watch_view(found))

    shown = console.file.getvalue()
    assert "20 of 30 cells left; 10 in the last hour, about 2.0 h to go" in shown
    assert "120 s ago, SILENT: others take its cell when its lease is over" in shown
