"""Seconds of `benchmark status` over a results folder of many cells: `python tests/performance/status_speed.py [cells]`."""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from made_up import SCRATCH, made_up_cell, made_up_record

from benchmark.api.status import status
from benchmark.checksums import write_json
from benchmark.results.store import Store

EPOCHS = 30  # lines of each record's history


def fill(store, num_cells):
    """Writes records of a usual length, one of twenty failed, and as many unfinished cells."""
    for seed in range(num_cells):
        cell = made_up_cell(SCRATCH, seed)
        history = [
            {"epoch": n, "train_loss": 1 / n, "validation_loss": 1 / n, "learning_rate": 1e-3}
            for n in range(1, EPOCHS + 1)
        ]
        failure = {"status": "failed", "error": "out of memory"} if seed % 20 == 0 else {}
        record = made_up_record(cell).model_copy(update={"history": history, **failure})
        folder = store.folder(cell)
        folder.mkdir(parents=True)
        (folder / "cell.json").write_text(cell.model_dump_json(indent=1) + "\n")
        if seed % 20 != 1:
            write_json(folder / "record.json", record.model_dump(mode="json"))


def main() -> None:
    num_cells = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as made:
        fill(Store(Path(made)), num_cells)
        for attempt in ("first", "second"):
            started = time.perf_counter()
            found = status(results=made)
            seconds = time.perf_counter() - started
            print(f"{attempt}: {seconds:.2f} s for {num_cells:,} cells, {len(found.failures):,} failed")


if __name__ == "__main__":
    main()
