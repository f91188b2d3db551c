"""Seconds and peak memory of `benchmark status` and `benchmark report` over the whole study: 21 models x 7 tasks x 10 seeds.

1,470 invented records, marked phantom (histories of 20 to 60 epochs, scores per label and subgroup, ties to no image),
are written to a temporary folder; each command then runs several times in a process of its own. No data and no GPU are
needed. Wanted: status under 2 seconds; report under 20 seconds and 1 GB.

Nothing here is a test: figures are printed, never asserted.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmark.cell import Cell, Weights
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.tasks.registry import read_tasks
from benchmark.tasks.spec import TaskSpec

CHECKOUT = Path(__file__).parent.parent.parent
TASKS = ("DXC14", "CheXpert5", "NIHCXR4", "TXC", "PXS", "LXS", "VFS")
COMMANDS = {"status": ("status",), "report": ("report", "--tasks", ",".join(TASKS))}
WANTED = {"status": "< 2 s", "report": "< 20 s, < 1,000 MB"}


def main() -> None:
    """Write the records, run each command, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=21, help="(default: 21)")
    parser.add_argument("--seeds", type=int, default=10, help="(default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="of each command (default: 3)")
    parser.add_argument("--only", choices=list(COMMANDS), help="one of the commands")
    parser.add_argument("--keep", type=Path, help="write the records here, and leave them")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="report-speed-") as work:
        results = told.keep or Path(work) / "results"
        num, megabytes = write_records(results, told.models, told.seeds)
        print(f"{num:,} records, {megabytes:,.1f} MB; medians of {told.rounds} rounds (least to largest)", flush=True)
        for name, command in COMMANDS.items():
            if told.only in (None, name):
                runs = [measured([*command, "--results", str(results)]) for _ in range(told.rounds)]
                seconds, cpu, peak = zip(*runs, strict=True)
                print(
                    f"{name}: {spread(seconds)} s, of the processor {spread(cpu)} s, peak {max(peak):,.0f} MB "
                    f"(wanted: {WANTED[name]})",
                    flush=True,
                )


def spread(values: tuple[float, ...]) -> str:
    """The median, and the ends."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MB of a command in a process of its own."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmark", *arguments], cwd=CHECKOUT, stdout=said, stderr=subprocess.STDOUT
        )
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
        said.seek(0)
        text = said.read().decode()
        if process.returncode or "left out: " in text:  # then it was not this that was measured
            raise SystemExit(text[-2000:])
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6


def write_records(results: Path, num_models: int, num_seeds: int) -> tuple[int, float]:
    """How many were written, and their MB."""
    known, rng, store = read_tasks(CHECKOUT / "tasks"), np.random.default_rng(0), Store(results)
    names = ["scratch:resnet50", "imagenet", *(f"invented-{number:02d}" for number in range(2, num_models))]
    size = 0
    for name in TASKS:
        task = known[name]
        for number, model in enumerate(names[:num_models]):
            sha256 = "" if model.startswith("scratch") else f"{number:064x}"
            weights = Weights(name=model, architecture="resnet50", sha256=sha256, naming="none")
            level = rng.uniform(0.7, 0.9)
            for seed in range(num_seeds):
                cell = Cell(
                    weights=(weights,),
                    task=name,
                    task_digest=task.digest,
                    data="phantom",
                    data_digest="0" * 16,
                    recipe=task.complete_recipe(),
                    seed=seed,
                )
                store.put(invented(cell, task, level, rng), None)
                size += (store.folder(cell) / "record.json").stat().st_size
    return len(TASKS) * num_models * num_seeds, size / 1e6


def invented(cell: Cell, task: TaskSpec, level: float, rng: np.random.Generator) -> RunRecord:
    """A record as a run would leave it; its numbers are drawn."""

    def score() -> float:
        return float(np.clip(level + rng.normal(0, 0.01), 0, 1))

    epochs = int(rng.integers(20, 61))
    losses = 0.3 + 0.4 * np.exp(-np.arange(epochs) / 8) + rng.normal(0, 0.005, epochs)
    history = [
        {
            "epoch": epoch,
            "train_loss": float(loss * 0.95),
            "learning_rate": cell.recipe.learning_rate,
            "validation_loss": float(loss),
            f"validation_{task.metric}": float(np.clip(level - loss / 10, 0, 1)),
        }
        for epoch, loss in enumerate(losses, start=1)
    ]
    labels = {label: {"auc": score(), "positives": 100.0} for label in task.labels} if "auc" in task.metric else {}
    bands = ("0-19", "20-39", "40-59", "60-79", "80-99")
    groups = {"sex": ("F", "M"), "age": bands}
    return RunRecord(
        key=cell.key,
        cell=cell,
        status="done",
        finished="2026-01-01T00:00:00+00:00",
        scores={task.metric: score()},
        per_label=labels,
        per_group={
            group: {value: {task.metric: score(), "num": 500.0} for value in values} for group, values in groups.items()
        },
        num_examples={"train": 8000, "validation": 1000, "test": 2500},
        epochs_trained=epochs,
        best_epoch=int(losses.argmin()) + 1,
        stopped="early",
        history=history,
        timings={"train": 3600.0, "wait": 1.0, "validation": 120.0, "test": 300.0},
        images_per_second=100.0,
        peak_memory_gb=8.0,
        weights_account=[{"name": cell.model, "share": 1.0, "dropped": ["fc.weight", "fc.bias"], "fresh": []}],
        environment={"benchmark": "0", "torch": "0", "device": "invented", "system": "invented"},
        notes=["invented for report_speed.py"],
    )


if __name__ == "__main__":
    main()
