"""`benchmark run --on`: hands a run to a cluster."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="CLUSTER",
        help="Start workers on a cluster: a YAML file with its kind (slurm, ray, kubernetes, skypilot), or ray alone.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --on: print the script, and write and start nothing.")]
NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="End when all cells that are left are in the hands of other living processes."),
]
_GRID = (
    "models",
    "tasks",
    "protocol",
    "seeds",
    "settings",
    "sweep",
    "search",
    "fractions",
    "subsets",
    "folds",
    "suite",
)


def submit_run(
    on: str,
    options: dict[str, Any],
    *,
    dry_run: bool,
    offline: bool,
    results: Path | None,
    data: Path | None,
    project: Path | None,
) -> None:
    """Renders and submits the workers of a run; `options` are those of `benchmark run`, by the names of its parameters."""
    from benchmark.api.options import find_places, request_of
    from benchmark.api.progress import TerminalProgress
    from benchmark.api.submit import submit
    from benchmark.cli.console import resumable

    suite = options["suite"]
    if suite is not None and Path(suite).is_file():  # the workers start elsewhere
        options = {**options, "suite": str(Path(suite).resolve())}
    places = find_places(results, data, project)
    request = request_of(places, **{name: options[name] for name in _GRID}).with_phantoms()
    with resumable():
        done = submit(
            on,
            request,
            options,
            allow_overlap=options["allow_overlap"],
            offline=offline,
            dry_run=dry_run,
            progress=TerminalProgress(),
        )
    if dry_run:
        typer.echo(done.text, nl=False)
        return
    typer.echo(f"written: {done.path}")
    typer.echo(done.started or f"start it: {done.how}")
    typer.echo(f"watch it: benchmark status --watch --results {shlex.quote(str(places.results))}")
