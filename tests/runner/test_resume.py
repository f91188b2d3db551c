"""A cell killed at any moment continues, and on a CPU ends bit-equal to one that was never killed."""

import os
import random
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from workers import begin, cell_of, finish

from benchmark.results.store import Store
from benchmark.scheduler.worker import TERMINATED


@pytest.mark.slow
@pytest.mark.parametrize(("name", "epochs", "kills"), [("TXC", 30, 10), ("PXS", 12, 4)])
def test_a_cell_killed_at_random_moments_ends_bit_equal(workspace, tasks, tmp_path, name, epochs, kills):
    """SIGKILL ten times in classification, four in segmentation; dropout, Adam, plateau and cosine states included."""
    cell = cell_of(workspace, tasks[name], max_epochs=epochs)
    whole = replace(workspace, results=tmp_path / "whole")
    finish(*begin(whole, cell))
    chance = random.Random(name)
    reached = []

    for number in range(kills):
        process, link = begin(workspace, cell)
        # every third kill comes while the cell is being set up, the others somewhere in the epoch after a whole one
        event = link.recv()
        while number % 3 and event["event"] != "epoch":
            event = link.recv()
        reached.append(event.get("epoch", 0))
        time.sleep(chance.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert Store(workspace.results).get(cell) is None
    finish(*begin(workspace, cell))

    expected, found = Store(whole.results).get(cell), Store(workspace.results).get(cell)
    assert found.history == expected.history
    assert (found.best_epoch, found.scores, found.per_label) == (
        expected.best_epoch,
        expected.scores,
        expected.per_label,
    )
    one, other = Store(whole.results).predictions(cell), Store(workspace.results).predictions(cell)
    assert np.array_equal(one.score, other.score)
    assert sorted(set(reached) - {0}) == [epoch for epoch in reached if epoch], "a kill lost a whole epoch"
    assert not (Store(workspace.results).folder(cell) / "scratch").exists()
    assert not [file.name for file in Store(workspace.results).folder(cell).iterdir() if "partial" in file.name]


@pytest.mark.slow
def test_a_worker_whose_parent_is_gone_ends_and_its_cell_can_be_continued(workspace, tasks):
    """The pipe breaks in the middle of an epoch's report: no failure of the cell."""
    cell = cell_of(workspace, tasks["TXC"], max_epochs=200)
    process, ours = begin(workspace, cell)
    while ours.recv()["event"] != "epoch":
        pass
    ours.close()
    process.join(60)

    assert process.exitcode == TERMINATED
    assert Store(workspace.results).get(cell) is None
    assert (Store(workspace.results).folder(cell) / "scratch" / "state.pt").is_file()
