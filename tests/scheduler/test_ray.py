"""Workers on a real Ray that loses a node: its worker's cells are done elsewhere, and no record is changed."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from toy_ray import toy_ray

from benchmark.results.store import Store

pytest.importorskip("ray", reason="not installed: pip install '.[ray]'")
pytestmark = pytest.mark.cluster
SEEDS = 8
GRID = f"--models scratch:test_efficientnet --tasks TXC --seeds {SEEDS} --device cpu".split()
for setting in (
    "image_size=32",
    "train_resolution=64",
    "batch_size=8",
    "max_epochs=4",
    "early_stop=none",
    "test_crops=1",
):
    GRID += ["--set", setting]


def begin(workspace, results, *arguments, **environment):
    folders = {"PROJECT": workspace.project, "HOME": workspace.home, "DATA": workspace.data, "RESULTS": results}
    variables = {f"BENCHMARK_{name}": str(folder) for name, folder in folders.items()}
    command = [sys.executable, "-m", "benchmark", "run", *GRID, *arguments]
    return subprocess.Popen(
        command,
        env={**os.environ, **variables, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_killed_raylet_costs_no_cell(workspace, tmp_path):
    reference, store = Store(tmp_path / "reference"), Store(tmp_path / "shared")
    out, _ = begin(workspace, reference.root, "--workers", "1").communicate()
    assert len(reference.records()[0]) == SEEDS, out
    store.root.mkdir()
    (store.root / "store.json").write_text('{"lease_seconds": 8, "heartbeat_seconds": 1}')
    (tmp_path / "ray.yaml").write_text("kind: ray\nworkers: 2\nprocesses: 1\ngpus: 0\n")

    # the paths of Ray's sockets have room for 100 letters
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as home, toy_ray(Path(home) / "r") as ray:
        environment = {**ray.environment, "RAY_ADDRESS": ray.address}
        process = begin(workspace, store.root, "--on", str(tmp_path / "ray.yaml"), **environment)
        deadline = time.monotonic() + 300
        while len(list(store.root.glob("cells/*/*/record.json"))) < 2:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.5)
        ray.kill_node("127.0.0.3")
        out, _ = process.communicate(timeout=600)

    assert process.returncode == 0, out
    records, damaged = store.records()
    assert (len(records), damaged) == (SEEDS, [])
    for record in records:
        expected = reference.get(record.cell)
        assert (record.status, record.scores, record.history) == ("done", expected.scores, expected.history)
        assert np.array_equal(store.predictions(record.cell).score, reference.predictions(record.cell).score)
    assert not list(store.root.glob("cells/*/*/.lease"))
