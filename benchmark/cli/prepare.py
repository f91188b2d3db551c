"""`benchmark data prepare`."""

from typing import Annotated

import typer

from benchmark.cli.options import Data, Folds, Project, Settings, workspace_of
from benchmark.text import plural


def prepare(
    task: Annotated[str, typer.Argument(help="Tasks, as --tasks takes them.")],
    *,
    settings: Settings = None,
    folds: Folds = None,
    threads: Annotated[int, typer.Option(min=0, help="Images decoded at a time; 0: one per core.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the size and stop.")] = False,
    data: Data = None,
    project: Project = None,
) -> None:
    """Decode a task's images once, ahead of `run`, into the caches that its cells will use; print their size first."""
    import shutil

    from benchmark.api.progress import count_bar
    from benchmark.cli.console import resumable
    from benchmark.cores import usable_cores
    from benchmark.data.cache import open_cache
    from benchmark.data.datasets import training_and_evaluation_files
    from benchmark.data.decoding import estimated_bytes
    from benchmark.data.labels import settle_classes
    from benchmark.data.registry import index_of
    from benchmark.data.splitting import assign_splits
    from benchmark.experiment.selection import select
    from benchmark.tasks.registry import known_tasks

    workspace = workspace_of(data=data, project=project)
    tasks = known_tasks(workspace)
    for name in select(task, {t.name: t.kind for t in tasks.values()}, noun="task"):
        spec = tasks[name]
        index = index_of(spec, workspace)
        if not spec.keep_pixels:
            typer.echo(
                f"{name}: {plural(len(index.table), 'image')}, decoded anew each time: there is nothing to prepare"
            )
            continue
        parts = assign_splits(index, spec.split, (0, folds) if folds else None)
        recipe = spec.complete_recipe(settings=tuple(settings or ()))
        wanted = list(
            training_and_evaluation_files(
                settle_classes(index, spec, parts), spec, recipe, parts, folds=folds is not None
            )
        )
        wanted = wanted[:1] if wanted[0][1:] == wanted[1][1:] else wanted  # segmentation has one size for all
        sizes = [estimated_bytes(source, stored_size) for _, source, stored_size in wanted]
        workspace.pixels.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(workspace.pixels).free
        for (rows, _, stored_size), size in zip(wanted, sizes, strict=True):
            shape = {"native": "", "short_side": "short side ", "square": "square "}[stored_size.shape]
            typer.echo(f"{name}: {plural(len(rows), 'image')}, {shape}{stored_size.title}: about {size / 1e9:,.2f} GB")
        typer.echo(f"{name}: {free / 1e9:,.1f} GB are free in {workspace.pixels}")
        if dry_run:
            continue
        with resumable():
            for _, source, stored_size in wanted:
                with count_bar(f"{name} {stored_size.title}") as progress:
                    cache = open_cache(
                        source,
                        stored_size,
                        workspace.pixels,
                        name=name,
                        progress=progress,
                        threads=threads or usable_cores().count,
                        ledgers=workspace.sources,
                    )
                typer.echo(f"{name}: {cache.contents['bytes'] / 1e9:,.2f} GB in {cache.folder}")
                for row, reason in list(cache.unreadable.items())[:20]:
                    typer.echo(f"{name}: left out: {source.images[row]}: {reason}")
