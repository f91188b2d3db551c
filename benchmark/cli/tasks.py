"""`benchmark tasks …`."""

import typer

from benchmark.cli.options import Project, places_of
from benchmark.fault import Fault, did_you_mean

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_tasks(project: Project = None) -> None:
    """All tasks: kind, data set, metric."""
    from benchmark.cli.shown import out, table_of
    from benchmark.tasks import read_tasks

    table = table_of("task", "kind", "title", "folder", "metric")
    for task in read_tasks(places_of(project=project).project / "tasks").values():
        table.add_row(task.name, task.kind, task.title, f"{task.root}/", task.metric)
    out().print(table)


@app.command()
def show(name: str = typer.Argument(help="A task's name."), project: Project = None) -> None:
    """One task's facts: where to get it, licence, labels, split, recipe."""
    from benchmark.tasks import read_tasks

    folder = places_of(project=project).project / "tasks"
    tasks = read_tasks(folder)
    if name not in tasks:
        raise Fault(f"no task {name!r}: {did_you_mean(name, tasks)}")
    typer.echo((folder / f"{name}.yaml").read_text())
    recipe = tasks[name].complete_recipe()
    typer.echo(
        "# the recipe in full\n" + "\n".join(f"# {field}: {value}" for field, value in recipe.model_dump().items())
    )
