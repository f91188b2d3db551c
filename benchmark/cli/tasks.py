"""`benchmark tasks …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import AsJson, Data, License, Project, workspace_of
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import plural, printable

if TYPE_CHECKING:
    from benchmark.tasks.spec import TaskSpec
    from benchmark.workspace import Workspace

app = typer.Typer(no_args_is_help=True)
NUM_OPENED = 4  # images of each split that a check opens
Sheet = Annotated[str, typer.Argument(help="A fact sheet (a .yaml file), or a task's name.")]


@app.command("list")
def list_all(
    *,
    kind: Annotated[str | None, typer.Option(help="Only tasks of this kind.", show_default=False)] = None,
    license: License = None,  # noqa: A002 - the option's name
    max_images: Annotated[
        int | None,
        typer.Option(min=1, help="Only data sets of at most so many published images.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    project: Project = None,
) -> None:
    """List the tasks, the shipped ones and your own: kind, data set, metric."""
    from benchmark.api.listing import list_tasks
    from benchmark.cli.console import out, print_json, table_of

    tasks = list_tasks(kind=kind, license=license, max_images=max_images, project=project)
    if as_json:
        print_json([task.model_dump(mode="json", exclude_none=True) for task in tasks])
        return
    table = table_of("task", "kind", "title", "folder", "metric", prose=["title"], optional=["folder", "title"])
    for task in tasks:
        table.add_row(task.name, task.kind, task.title, f"{task.root}/", task.metric)
    if tasks:
        out().print(table)
    else:
        typer.echo("no task is like this")


@app.command()
def show(name: str = typer.Argument(help="A task's name."), project: Project = None) -> None:
    """Show one task's facts: where to get it, licence, labels, split, recipe."""
    from benchmark.tasks.registry import find_task

    workspace = workspace_of(project=project)
    task = find_task(name, workspace)
    shipped = workspace.project / "tasks" / f"{name}.yaml"
    sheet = shipped if shipped.is_file() else workspace.own_tasks / f"{name}.yaml"
    typer.echo(printable(sheet.read_text(encoding="utf-8")))
    recipe = task.complete_recipe()
    typer.echo(
        "# the recipe in full\n" + "\n".join(f"# {field}: {value}" for field, value in recipe.model_dump().items())
    )


@app.command()
def check(sheet: Sheet, data: Data = None, project: Project = None) -> None:
    """Read a fact sheet and the data that it describes: the parts with their labels, a few images of each opened."""
    workspace = workspace_of(data=data, project=project)
    task = _checked(sheet, workspace)
    if sheet.endswith(".yaml"):
        typer.echo(f"{task.name} is ready: `benchmark tasks add {sheet}` makes its name known to every verb")


@app.command()
def add(sheet: Sheet, data: Data = None, project: Project = None) -> None:
    """Check your own fact sheet and copy it: its name then works wherever a task is named."""
    from benchmark.files import write_atomically
    from benchmark.tasks.registry import known_tasks

    workspace = workspace_of(data=data, project=project)
    if not sheet.endswith(".yaml"):
        raise BenchmarkError(f"{sheet}: wanted a fact sheet, a .yaml file")
    task = _checked(sheet, workspace)
    if (workspace.project / "tasks" / f"{task.name}.yaml").is_file():
        raise BenchmarkError(f"{sheet}: the project has a task {task.name} already: give yours another name")
    write_atomically(workspace.own_tasks / f"{task.name}.yaml", Path(sheet).read_bytes())
    known_tasks(workspace)
    typer.echo(f"{task.name} is a task now: benchmark run --models … --tasks {task.name}")


@app.command()
def remove(name: str = typer.Argument(help="A task of your own."), project: Project = None) -> None:
    """Remove a fact sheet that `add` copied. Data and results stay."""
    folder = workspace_of(project=project).own_tasks
    own = {path.stem: path for path in folder.glob("*.yaml")}  # a name of elsewhere is none of these
    if name not in own:
        raise BenchmarkError(f"no task {name!r} of your own in {folder}: {did_you_mean(name, own)}")
    own[name].unlink()
    typer.echo(f"{name}: removed")


def _checked(sheet: str, workspace: "Workspace") -> "TaskSpec":
    """Returns the task, after its data were read and split and a few images opened; prints what was found."""
    from benchmark.cli.console import out, table_of
    from benchmark.data.image_files import read_image, read_mask
    from benchmark.data.labels import settle_classes
    from benchmark.data.registry import read_index
    from benchmark.data.split_file import split_facts
    from benchmark.data.splitting import assign_splits
    from benchmark.tasks.registry import find_task, read_task

    if sheet.endswith(".yaml"):
        if not Path(sheet).is_file():
            raise BenchmarkError(f"{sheet}: no such fact sheet")
        task = read_task(Path(sheet))
    else:
        task = find_task(sheet, workspace)
    index = read_index(task, workspace.data)
    parts = assign_splits(index, task.split)
    shown = settle_classes(index, task, parts)
    table = table_of("part", "images", "patients", "labels", prose=["labels"])
    num_opened = 0
    for part, facts in split_facts(shown, parts).items():
        prevalence = ", ".join(f"{label} {100 * share:.1f} %" for label, share in facts["prevalence"].items())
        table.add_row(part, f"{facts['images']:,}", f"{facts['patients']:,}", prevalence)
        for _, row in index.table[parts == part].head(NUM_OPENED).iterrows():
            pixels, _ = read_image(index.root / row["image"], task.windows)
            if "mask" in row:
                read_mask(row["mask"], index.root, pixels.shape[:2])
            num_opened += 1
    console = out()
    console.print(f"{task.name}: {task.kind}, scored by {task.metric}; {index.root}", markup=False)
    console.print(table)
    for note in index.notes:
        console.print(printable(f"{task.name}: {note}"), markup=False)
    console.print(f"{plural(num_opened, 'image')} opened; `benchmark data verify` opens all", markup=False)
    return task
