"""`benchmark data split`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Data, Project, workspace_of
from benchmark.errors import BenchmarkError
from benchmark.text import plural, printable


def split(
    task: Annotated[str, typer.Argument(help="A task's name.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder that the manifest is written to.")] = Path(),
    use: Annotated[
        Path | None,
        typer.Option(
            "--use", help="A manifest (id,part) that stands for the task's split from now on.", show_default=False
        ),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to the task's own split.")] = False,
    data: Data = None,
    project: Project = None,
) -> None:
    """Write a task's split as a manifest: each example's part, with hash, counts and prevalence; or use a given one.

    Cells of another split are other cells: nothing that was run before is mixed with them.
    """
    from benchmark.cli.console import out as console
    from benchmark.cli.console import table_of
    from benchmark.data.labels import settle_classes
    from benchmark.data.registry import index_of, read_index
    from benchmark.data.split_file import apply_split_file, write_split_file
    from benchmark.data.splitting import assign_splits
    from benchmark.files import write_atomically
    from benchmark.tasks.registry import find_task

    workspace = workspace_of(data=data, project=project)
    spec = find_task(task, workspace)
    own_split = workspace.own_splits / f"{task}.csv"
    if use is not None and forget:
        raise BenchmarkError("--use and --forget: wanted one of them")
    if use is not None:
        if not use.is_file():
            raise BenchmarkError(f"{use}: no such manifest: `benchmark data split {task}` writes one")
        assign_splits(apply_split_file(read_index(spec, workspace.data), use), spec.split)
        write_atomically(own_split, use.read_bytes())
    if forget:
        own_split.unlink(missing_ok=True)
    if use is not None or forget:
        typer.echo(f"{task}: {f'{use} is its split from now on' if use else 'its own split again'}")
        return
    index = index_of(spec, workspace)
    parts = assign_splits(index, spec.split)
    table = table_of("part", "images", "patients", "prevalence", prose=["prevalence"])
    path, facts = write_split_file(out, spec, settle_classes(index, spec, parts), parts)
    for part, counts in facts["parts"].items():
        prevalence = ", ".join(f"{label} {100 * share:.1f} %" for label, share in counts["prevalence"].items())
        table.add_row(part, f"{counts['images']:,}", f"{counts['patients']:,}", prevalence)
    console().print(table)
    for note in index.notes:
        typer.echo(printable(f"{task}: {note}"))
    typer.echo(f"{plural(len(index.table), 'example')} in {path} (sha256 {facts['sha256'][:16]})")
