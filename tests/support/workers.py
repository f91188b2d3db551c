"""Workers of the scheduler as processes that a test starts, watches and kills."""

import multiprocessing

from benchmark.data.registry import read_index
from benchmark.experiment.grid import TaskRun, cells_of
from benchmark.recipe import Recipe
from benchmark.scheduler.local import _context
from benchmark.scheduler.worker import work
from benchmark.training import loop
from benchmark.zoo.catalog import scratch


def cell_of(workspace, task, **recipe):
    index = read_index(task, workspace.data)
    settings = {"image_size": 32, "train_resolution": 64, "early_stop": None, "batch_size": 8, **recipe}
    task_run = TaskRun(task=task, recipe=Recipe.complete(task.recipe, settings))
    (cell,) = cells_of([[(scratch("test_efficientnet"), "")]], [task_run], {task.name: index}, [5])
    return cell


def begin(workspace, cell):
    """A worker that has been sent the cell."""
    ours, theirs = multiprocessing.Pipe()
    process = _context().Process(target=work_with_states, args=(theirs, workspace, "cpu", 0, 2, False), daemon=True)
    process.start()
    theirs.close()
    assert ours.recv()["event"] == "ready"
    ours.send([cell.model_dump_json()])
    return process, ours


def work_with_states(*arguments):
    """A worker that writes the state of a training after every epoch."""
    loop.SHORTEST_SECONDS = 0.0
    work(*arguments)


def finish(process, link):
    while (event := link.recv())["event"] not in ("done", "failed"):
        pass
    link.close()
    process.join()
    assert event["event"] == "done", event
