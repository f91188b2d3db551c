"""A cell killed at any moment continues, and on a CPU ends bit-equal to one that was never killed."""

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from benchmark.data.readers.registry import read_index
from benchmark.experiment.cells import TaskRun, cells_of
from benchmark.recipe import Recipe
from benchmark.results.store import Store
from benchmark.scheduler.local import _context, work
from benchmark.zoo.catalog import scratch


def cell_of(places, task, **recipe):
    index = read_index(task, places.data)
    settings = {"image_size": 32, "train_resolution": 64, "early_stop": None, "batch_size": 8, **recipe}
    asked = TaskRun(task=task, recipe=Recipe.complete(task.recipe, settings))
    (cell,) = cells_of([[(scratch("test_efficientnet"), "")]], [asked], {task.name: index}, [5])
    return cell


def begin(places, cell):
    """A worker that has been sent the cell."""
    ours, theirs = multiprocessing.Pipe()
    process = _context().Process(target=work, args=(theirs, places, "cpu", 0, 2, False), daemon=True)
    process.start()
    theirs.close()
    assert ours.recv()["event"] == "ready"
    ours.send([cell.model_dump_json()])
    return process, ours


def finish(process, link):
    while (event := link.recv())["event"] not in ("done", "failed"):
        pass
    link.close()
    process.join()
    assert event["event"] == "done", event


@pytest.mark.slow
@pytest.mark.parametrize(("name", "epochs", "kills"), [("TXC", 30, 10), ("PXS", 12, 4)])
def test_a_cell_killed_at_random_moments_ends_bit_equal(places, tasks, tmp_path, name, epochs, kills):
    """SIGKILL ten times in classification, four in segmentation; dropout, Adam, plateau and cosine states included."""
    cell = cell_of(places, tasks[name], max_epochs=epochs)
    whole = replace(places, results=tmp_path / "whole")
    finish(*begin(whole, cell))
    chance = random.Random(name)
    reached = []

    for number in range(kills):
        process, link = begin(places, cell)
        # every third kill comes while the cell is being set up, the others somewhere in the epoch after a whole one
        event = link.recv()
        while number % 3 and event["event"] != "epoch":
            event = link.recv()
        reached.append(event.get("epoch", 0))
        time.sleep(chance.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert Store(places.results).get(cell) is None
    finish(*begin(places, cell))

    expected, found = Store(whole.results).get(cell), Store(places.results).get(cell)
    assert found.history == expected.history
    assert (found.best_epoch, found.scores, found.per_label) == (
        expected.best_epoch,
        expected.scores,
        expected.per_label,
    )
    one, other = Store(whole.results).predictions(cell), Store(places.results).predictions(cell)
    assert np.array_equal(one.score, other.score)
    assert sorted(set(reached) - {0}) == [epoch for epoch in reached if epoch], "a kill lost a whole epoch"
    assert not (Store(places.results).folder(cell) / "scratch").exists()
    assert not [file.name for file in Store(places.results).folder(cell).iterdir() if "partial" in file.name]


@pytest.mark.slow
def test_a_worker_whose_parent_is_gone_ends_and_its_cell_can_be_continued(places, tasks):
    """The pipe breaks in the middle of an epoch's report: no failure of the cell."""
    cell = cell_of(places, tasks["TXC"], max_epochs=200)
    process, ours = begin(places, cell)
    while ours.recv()["event"] != "epoch":
        pass
    ours.close()
    process.join(60)

    assert process.exitcode == 1
    assert Store(places.results).get(cell) is None
    assert (Store(places.results).folder(cell) / "scratch" / "state.pt").is_file()
