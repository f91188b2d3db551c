"""Workers that die, interruptions, and two commands on one results folder: no cell is lost, none is done twice."""

import errno
import os
import signal
import socket
import threading
from contextlib import ExitStack

import pytest
import torch
from workers import cell_of, work_with_states

from benchmark.files import DiskFullError
from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.scheduler import contended, local
from benchmark.scheduler.local import LocalScheduler

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _states_after_each_epoch(monkeypatch):
    monkeypatch.setattr(local, "work", work_with_states)


def two_cells(workspace, tasks, epochs=4):
    first = cell_of(workspace, tasks["TXC"], max_epochs=epochs)
    return [first, first.model_copy(update={"seed": 6})]


def killer(scheduler, key, times, at="epoch"):
    """Kills the worker of a cell at its first `times` events of a kind."""
    killed = []

    def tell(event):
        workers = [worker for worker in scheduler._crew if key in [cell.key for cell in worker.group]]
        if (
            event["event"] == at
            and event["key"] in [cell.key for w in workers for cell in w.group]
            and len(killed) < times
        ):
            killed.append(workers[0].process.pid)
            os.kill(workers[0].process.pid, signal.SIGKILL)
        heard.append(event)

    heard: list[dict] = []
    return tell, heard


def test_a_worker_that_dies_is_replaced_and_its_cell_continues(workspace, tasks):
    cells = two_cells(workspace, tasks)
    scheduler = LocalScheduler(workspace=workspace, workers=1, device="cpu")
    scheduler.tell, heard = killer(scheduler, cells[0].key, times=1)

    tally = scheduler.run([[cell] for cell in cells])

    assert tally == {"done": 2}
    requeued = [event for event in heard if event["event"] == "requeued"]
    assert len(requeued) == 1
    assert "signal 9 (SIGKILL)" in requeued[0]["reason"]
    epochs = [event["epoch"] for event in heard if event["event"] == "epoch" and event["key"] == cells[0].key]
    assert epochs == [1, 2, 3, 4], "it went on from its last epoch"


def test_deaths_are_forgotten_when_an_epoch_was_finished_between_them(workspace, tasks):
    """A worker that is killed at every epoch of a cell, as on a machine that is short of memory, still ends it."""
    cell = two_cells(workspace, tasks)[0]
    scheduler = LocalScheduler(workspace=workspace, workers=1, device="cpu")
    scheduler.tell, heard = killer(scheduler, cell.key, times=9)

    tally = scheduler.run([[cell]])

    assert tally == {"done": 1}
    assert len([event for event in heard if event["event"] == "requeued"]) == 4
    assert Store(workspace.results).get(cell).epochs_trained == 4


def test_a_cell_that_kills_its_workers_is_a_failed_record_that_can_be_continued(workspace, tasks):
    """The others are done; its state stays, and another attempt ends it."""
    cells = two_cells(workspace, tasks)
    store = Store(workspace.results)
    with store.claim(cells[0]) as scratch:
        (scratch / "kept").touch()
    scheduler = LocalScheduler(workspace=workspace, workers=1, device="cpu")
    scheduler.tell, _ = killer(scheduler, cells[0].key, times=9, at="started")

    tally = scheduler.run([[cell] for cell in cells])

    assert tally == {"done": 1, "failed": 1}
    record = store.get(cells[0])
    assert record.status == "failed"
    assert "its worker ended with signal 9 (SIGKILL), 2 times without getting any further" in record.error
    assert store.get(cells[1]).status == "done"
    assert (scratch / "kept").exists()
    again = LocalScheduler(workspace=workspace, workers=1, device="cpu", retry_failed=True)
    assert again.run([[cells[0]]]) == {"done": 1}
    assert not scratch.exists()


def test_a_cell_that_kills_its_workers_does_not_fail_those_that_are_trained_with_it(workspace, tasks):
    """Heads of one bundle: it is taken apart until the bad one is alone."""
    first = cell_of(workspace, tasks["TXC"], max_epochs=2, augmentation="none", test_crops=1)
    heads = [first.model_copy(update={"seed": 0, "protocol": "linear", "fold": n, "folds": 5}) for n in range(5)]
    scheduler = LocalScheduler(workspace=workspace, workers=1, device="cpu")
    scheduler.tell, heard = killer(scheduler, heads[2].key, times=99, at="started")

    tally = scheduler.run([heads])

    assert tally == {"done": 4, "failed": 1}
    assert [Store(workspace.results).get(head).status for head in heads] == ["done", "done", "failed", "done", "done"]
    assert [event["together"] for event in heard if event["event"] == "requeued"] == [5, 5, 3, 1]


def test_what_the_machine_is_to_blame_for_leaves_cells_pending_with_the_reason(workspace, tasks):
    """A file where the pixel caches' folder should be; once it is gone, the same command goes on."""
    cells = two_cells(workspace, tasks, epochs=1)
    workspace.pixels.parent.mkdir(parents=True)
    workspace.pixels.write_bytes(b"")
    told: list[dict] = []

    tally = LocalScheduler(workspace=workspace, workers=1, device="cpu", tell=told.append).run(
        [[cell] for cell in cells]
    )

    assert tally == {"pending": 2}
    reasons = {event["reason"] for event in told if event["event"] == "pending"}
    assert reasons == {f"{workspace.pixels}: File exists"}
    assert [Store(workspace.results).get(cell) for cell in cells] == [None, None]
    workspace.pixels.unlink()
    assert LocalScheduler(workspace=workspace, workers=1, device="cpu").run([[cell] for cell in cells]) == {"done": 2}


def test_an_interruption_ends_the_workers_and_leaves_every_cell_resumable(workspace, tasks):
    cells = two_cells(workspace, tasks)
    scheduler = LocalScheduler(workspace=workspace, workers=2, device="cpu")
    crew = []

    def interrupt(event):
        if event["event"] == "epoch":
            crew.extend(scheduler._crew)
            raise KeyboardInterrupt

    scheduler.tell = interrupt
    with pytest.raises(KeyboardInterrupt):
        scheduler.run([[cell] for cell in cells])

    assert not any(worker.process.is_alive() for worker in crew)
    assert all(Store(workspace.results).get(cell) is None for cell in cells)
    assert LocalScheduler(workspace=workspace, workers=2, device="cpu").run([[cell] for cell in cells]) == {"done": 2}


def test_two_commands_on_one_folder_share_the_work(workspace, tasks):
    """Each cell is trained once; both commands end when all cells are done."""
    cells = two_cells(workspace, tasks)
    told: list[dict] = []
    schedulers = [LocalScheduler(workspace=workspace, workers=1, device="cpu", tell=told.append) for _ in range(2)]
    tallies = []
    threads = [
        threading.Thread(target=lambda s=s: tallies.append(s.run([[cell] for cell in cells]))) for s in schedulers
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tallies == [{"done": 2}, {"done": 2}]
    trained = [(event["key"], event["epoch"]) for event in told if event["event"] == "epoch"]
    assert sorted(trained) == sorted((cell.key, epoch) for cell in cells for epoch in range(1, 5))


def test_who_waits_for_another_processs_cell_says_so_and_takes_it_when_it_is_free(workspace, tasks, monkeypatch):
    monkeypatch.setattr(contended, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(contended, "TELL_LOOKS", 2)
    cell = two_cells(workspace, tasks, epochs=1)[0]
    store, notes = Store(workspace.results), []
    with ExitStack() as held:
        held.enter_context(store.claim(cell))

        def tell(event):
            if event["event"] == "note":
                notes.append(event["text"])
                held.close()

        tally = LocalScheduler(workspace=workspace, workers=1, device="cpu", tell=tell).run([[cell]])

    assert tally == {"done": 1}
    assert notes == [f"{cell.title}: waiting for process {os.getpid()} on {socket.gethostname()}"]


def test_a_full_disk_leaves_the_cell_pending_and_nothing_half_written(workspace, tasks, monkeypatch):
    cell = two_cells(workspace, tasks, epochs=2)[0]
    runner = Runner(workspace=workspace, device=torch.device("cpu"))
    store = Store(workspace.results)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(DiskFullError, match="disk full while writing"):
        patched.setattr(os, "fsync", full)
        runner.run(cell)

    assert store.get(cell) is None
    assert not list(workspace.results.rglob("*.partial"))
    assert runner.run(cell).status == "done"
