"""Reads and checks the tasks: the project's sheets and the user's own."""

from pathlib import Path

from pydantic import ValidationError

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import from_yaml
from benchmark.strict import explain, is_name
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace


def read_task(path: Path) -> TaskSpec:
    """Reads one fact sheet. Raises BenchmarkError naming the file, the key, what was found and what was wanted."""
    sheet = from_yaml(path)
    if not isinstance(sheet, dict):
        raise BenchmarkError(f"{path}: wanted the keys of a task, found {type(sheet).__name__}")
    try:
        task = TaskSpec.model_validate(sheet)
        task.complete_recipe()
    except ValidationError as error:
        raise BenchmarkError(f"{path}: {explain(error, TaskSpec)}") from error
    except BenchmarkError as fault:
        raise BenchmarkError(f"{path}: {fault}") from fault
    if task.name != path.stem:
        raise BenchmarkError(f"{path}: names the task {task.name!r}; the file of that task is {task.name}.yaml")
    return task


def read_tasks(folder: Path) -> dict[str, TaskSpec]:
    """Returns all tasks of a folder, by name."""
    return {path.stem: read_task(path) for path in sorted(folder.glob("*.yaml"))}


def known_tasks(workspace: Workspace) -> dict[str, TaskSpec]:
    """Returns all tasks by name: the project's, then the user's own. Raises BenchmarkError where a user's task has the
    name of one of the project's.
    """
    shipped, own = read_tasks(workspace.project / "tasks"), read_tasks(workspace.own_tasks)
    if twice := sorted(set(shipped) & set(own)):
        raise BenchmarkError(
            f"{workspace.own_tasks / twice[0]}.yaml: the project has a task {twice[0]} too: give yours another name"
        )
    return shipped | own


def find_task(name: str, workspace: Workspace) -> TaskSpec:
    """Returns one task by name. Raises BenchmarkError with "did you mean"."""
    own, shipped = workspace.own_tasks / f"{name}.yaml", workspace.project / "tasks" / f"{name}.yaml"
    if is_name(name) and shipped.is_file() and not own.is_file():
        return read_task(shipped)  # the others need not be read
    tasks = known_tasks(workspace)
    if name not in tasks:
        raise BenchmarkError(f"no task {name!r}: {did_you_mean(name, tasks)}")
    return tasks[name]
