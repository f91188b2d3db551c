"""What is different on a GPU: bf16, several cells on one card, resume. Skipped where there is none."""

import pytest
import torch
from workers import cell_of

from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.scheduler.local import LocalScheduler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["TXC", "PXS"])
def test_a_cell_runs_on_the_gpu_and_says_so(workspace, tasks, name, precision):
    cell = cell_of(workspace, tasks[name], max_epochs=2, precision=precision)

    record = Runner(workspace=workspace, device=torch.device("cuda:0")).run(cell)

    assert record.status == "done", record.traceback
    assert record.environment["device"] == torch.cuda.get_device_name(0)
    assert record.peak_memory_gb > 0


def test_several_cells_share_a_card(workspace, tasks):
    first = cell_of(workspace, tasks["TXC"], max_epochs=2)
    cells = [first.model_copy(update={"seed": seed}) for seed in range(4)]

    assert LocalScheduler(workspace=workspace, workers=2, device="cuda").run([[cell] for cell in cells]) == {"done": 4}


def test_an_interrupted_cell_continues_on_the_gpu(workspace, tasks):
    """From its last whole epoch; not to the bit, since CUDA's reductions have no fixed order."""
    cell = cell_of(workspace, tasks["TXC"], max_epochs=4)
    epochs = []

    def watch(event):
        if event["event"] == "epoch":
            epochs.append(event["epoch"])
            if event["epoch"] == 2 and epochs.count(2) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Runner(workspace=workspace, device=torch.device("cuda:0"), watch=watch).run(cell)
    Runner(workspace=workspace, device=torch.device("cuda:0"), watch=watch).run(cell)

    assert epochs == [1, 2, 3, 4]
    assert Store(workspace.results).get(cell).epochs_trained == 4
