"""`benchmark data …`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import data_show as show
from benchmark.cli import prepare, split, verify
from benchmark.cli.options import Project, workspace_of
from benchmark.text import plural

app = typer.Typer(no_args_is_help=True)


@app.command()
def phantom(
    task: Annotated[str, typer.Argument(help="Tasks, as --tasks takes them.")],
    out: Annotated[Path, typer.Option("--out", help="Data folder to write to; a folder per data set is made in it.")],
    num: Annotated[int, typer.Option("-n", "--num", min=8, help="Images.")] = 64,
    size: Annotated[int, typer.Option(min=32, help="Side in pixels (the official images have more).")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed gives other images.")] = 0,
    project: Project = None,
) -> None:
    """Write synthetic images in a task's official layout. They are marked, and make no clinical claim."""
    from benchmark.data.phantoms.folder import PhantomSpec
    from benchmark.data.registry import write_phantom
    from benchmark.experiment.selection import select
    from benchmark.tasks.registry import known_tasks

    tasks = known_tasks(workspace_of(project=project))
    for name in select(task, {t.name: t.kind for t in tasks.values()}, noun="task"):
        root = write_phantom(tasks[name], out, PhantomSpec(num=num, size=size, seed=seed))
        typer.echo(f"{name}: {plural(num, 'phantom image')} in {root}; use them with --data {out}")


app.command()(verify.verify)
app.command()(show.show)
app.command()(prepare.prepare)
app.command()(split.split)
