"""`benchmark data show`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Data, Project, Settings, workspace_of
from benchmark.errors import BenchmarkError


def show(
    task: Annotated[str, typer.Argument(help="A task's name.")],
    out: Annotated[Path, typer.Option("--out", help="The contact sheet, a PNG file.")],
    num: Annotated[int, typer.Option("-n", "--num", min=1, max=100, help="Images.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Picks the images; with --augmented, the cell's seed.")] = 0,
    augmented: Annotated[  # noqa: FBT002 - typer's way to declare a flag
        bool,
        typer.Option("--augmented", help="Training images, as the network sees them in evaluation and in epochs 1-3."),
    ] = False,
    settings: Settings = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Draw a contact sheet of a data set here: images over all labels, masks outlined."""
    from benchmark.data.contact_sheet import contact_sheet
    from benchmark.data.registry import index_of
    from benchmark.files import write_atomically
    from benchmark.tasks.registry import find_task

    workspace = workspace_of(data=data, project=project)
    spec = find_task(task, workspace)
    if out.suffix.lower() != ".png":
        raise BenchmarkError(f"--out {out}: wanted the name of a PNG file")
    recipe = spec.complete_recipe(settings=tuple(settings or ()))
    index = index_of(spec, workspace)
    sheet = contact_sheet(index, spec, recipe, num=num, seed=seed, augmented=augmented)
    write_atomically(out, sheet.png)
    typer.echo(f"{task}: {sheet.title}; {out}")
