"""Workers on a real SLURM that loses nodes, pre-empts, requeues and stops jobs: no cell is lost, and none is changed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from toy_slurm import lacking, toy_slurm

from benchmark.locks import holder_of
from benchmark.results.store import Store

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(lacking()), reason=lacking())]
SEEDS = 40
LEASE_SECONDS = 8.0
GRID = f"--models scratch:test_efficientnet --tasks TXC --seeds {SEEDS}".split()
for setting in (
    "image_size=32",
    "train_resolution=64",
    "batch_size=8",
    "max_epochs=10",  # long enough that workers reach their minute on a quick machine
    "test_crops=1",
    "early_stop=none",
):
    GRID += ["--set", setting]
CLUSTER = """
kind: slurm
workers: 4
rounds: 8
processes: 1
sbatch: {cpus-per-task: 1, time: "1"}
"""


@pytest.fixture
def command(workspace, tmp_path):
    """Runs the command line in a process of its own, on a results folder."""

    def run(name, *arguments, **environment):
        folders = {"PROJECT": workspace.project, "HOME": workspace.home, "DATA": workspace.data}
        variables = {f"BENCHMARK_{name}": str(folder) for name, folder in folders.items()}
        options = ["--results", str(tmp_path / name), *arguments]
        ran = subprocess.run(
            [sys.executable, "-m", "benchmark", "run", *GRID, *options],
            env={**os.environ, **variables, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def freeze_a_worker(store):
    """Stops a process that holds a lease for longer than the lease lasts; returns its cell's folder."""
    holders = [(path, holder_of(path)) for path in store.root.glob("cells/*/*/.lease")]
    path, holder = next((path, holder) for path, holder in holders if holder and not holder.has_ended)
    os.kill(holder.pid, signal.SIGSTOP)
    time.sleep(2 * LEASE_SECONDS)
    os.kill(holder.pid, signal.SIGCONT)
    return path.parent


def running(slurm, state="R"):
    return slurm.run("squeue", "-h", "--array", "-t", state, "-o", "%i %N %p").splitlines()


def test_forty_cells_survive_all_that_a_cluster_does_to_jobs(command, tmp_path):
    command("reference", "--workers", "1")
    store = Store(tmp_path / "shared")
    store.root.mkdir()
    (store.root / "store.json").write_text(f'{{"lease_seconds": {LEASE_SECONDS}, "heartbeat_seconds": 1}}')
    (tmp_path / "slurm.yaml").write_text(CLUSTER)
    written, rewritten = {}, set()
    with toy_slurm(tmp_path / "slurm") as slurm:

        def num_records():
            for path in store.root.glob("cells/*/*/record.json"):
                if written.setdefault(path, path.stat().st_mtime_ns) != path.stat().st_mtime_ns:
                    rewritten.add(path.parent.name)
            return len(written)

        out = command("shared", "--on", str(tmp_path / "slurm.yaml"), SLURM_CONF=slurm.environment["SLURM_CONF"])
        assert "watch it: benchmark status --watch" in out
        slurm.wait_for(lambda: num_records() >= 2, 240, "the first records")
        frozen = freeze_a_worker(store)
        slurm.run("scontrol", "requeue", running(slurm)[0].split()[0])
        slurm.run("sbatch", "-p", "urgent", "-n", "2", "-N", "1", "--time=1", "--output=/dev/null", "--wrap", "sleep 5")
        slurm.wait_for(lambda: num_records() >= 8, 240, "more records")
        slurm.kill_node("n2")
        slurm.wait_for(lambda: num_records() >= 12, 240, "records of the other node")
        slurm.start_node("n2")
        slurm.wait_for(lambda: num_records() == SEEDS, 900, "all records")
        slurm.wait_for(lambda: not slurm.run("squeue", "-h"), 120, "the end of the workers")

    records, damaged = store.records()
    reference = Store(tmp_path / "reference")
    assert (len(records), damaged) == (SEEDS, [])
    for record in records:
        expected = reference.get(record.cell)
        assert (record.status, record.scores, record.history) == ("done", expected.scores, expected.history)
        found, wanted = store.predictions(record.cell), reference.predictions(record.cell)
        assert np.array_equal(found.score, wanted.score)
    allowed = {"cell.json", "record.json", "predictions.npz", "validation.npz"}
    assert {file.name for file in store.root.glob("cells/*/*/*")} <= allowed
    logs = "".join(log.read_text() for log in (store.root / "jobs" / "logs").iterdir())
    assert "DUE TO TIME LIMIT" in logs
    assert "DUE TO JOB REQUEUE" in logs or "DUE TO PREEMPTION" in logs
    assert num_records() == SEEDS
    assert rewritten <= {frozen.name}, "a cell was trained to the end twice"
