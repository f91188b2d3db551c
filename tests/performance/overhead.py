"""The share of a cell's seconds that are not training, caching or judging: `python tests/performance/overhead.py [epochs]`.

Cells are run one after the other by one worker; the first is left out, since it decodes the images.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from workers import cell_of

from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import write_phantom
from benchmark.results.store import Store
from benchmark.scheduler.local import LocalScheduler
from benchmark.tasks.registry import read_tasks
from benchmark.workspace import Workspace

CHECKOUT = Path(__file__).parents[2]
NUM_CELLS = 4
WORK = ("train", "validation", "test", "features")  # seconds of a record; waiting for batches is part of training


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    tasks = read_tasks(CHECKOUT / "tasks")
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        workspace = Workspace(project=CHECKOUT, results=root / "results", home=root / "home", data=root / "data")
        write_phantom(tasks["TXC"], workspace.data, PhantomSpec(num=200, size=96))
        first = cell_of(workspace, tasks["TXC"], image_size=64, train_resolution=96, max_epochs=epochs)
        cells = [first.model_copy(update={"seed": seed}) for seed in range(NUM_CELLS)]
        ends: list[float] = []

        def tell(event: dict) -> None:
            if event["event"] in ("done", "failed"):
                ends.append(time.perf_counter())

        LocalScheduler(workspace=workspace, workers=1, device="cpu", tell=tell).run([[cell] for cell in cells])
        for cell, begun, ended in zip(cells[1:], ends[:-1], ends[1:], strict=True):
            timings = Store(workspace.results).get(cell).timings
            work = sum(timings.get(name, 0.0) for name in WORK)
            seconds = ended - begun
            print(f"{seconds:6.2f} s a cell, {work:6.2f} s of work: {100 * (1 - work / seconds):.1f} % overhead")


if __name__ == "__main__":
    main()
