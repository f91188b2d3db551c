"""`benchmark cache`, `clean`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import AsJson, Project, Results, Tasks
from benchmark.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmark.api.housekeeping import Item


def cache(*, as_json: AsJson = False, results: Results = None, project: Project = None) -> None:
    """Show what lies in the caches: decoded pixels, features, phantoms, weights; how large, and for which tasks."""
    from benchmark.api.housekeeping import cache_contents
    from benchmark.cli.console import print_json
    from benchmark.cli.options import workspace_of

    items = cache_contents(results=results, project=project)
    home = workspace_of(project=project).home
    if as_json:
        print_json({"home": str(home), "contents": [_as_dict(item) for item in items]})
    elif items:
        _print_items(items)
        typer.echo(f"{_size(sum(item.num_bytes for item in items))} in {home}; benchmark clean KIND says what can go")
    else:
        typer.echo(f"nothing is cached in {home} yet")


def clean(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[WHAT]",
            help="A list of failed, interrupted (cells); pixels, features, phantoms, weights (caches).",
        ),
    ] = "failed,interrupted",
    *,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Spare what was used since.")
    ] = 0,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="SIZE",
            help="Remove what was not used for longest, until at most this is left, such as 50GB.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove. Without it, only show what would be removed.")] = False,
    tasks: Tasks = None,
    results: Results = None,
    project: Project = None,
) -> None:
    """Remove failed and interrupted cells, or caches. A dry run unless --yes is given.

    Done cells are never removed. Weights that a record here names, or that cannot be downloaded again, are removed only after
    a question for each. A failed cell is also run again by `run --retry-failed`; an interrupted one continues where it
    stopped by the same `run`, unless it was removed.
    """
    from benchmark.api.housekeeping import clean as clean_up
    from benchmark.api.housekeeping import parse_size

    def confirm(item: "Item") -> bool:
        return sys.stdin.isatty() and typer.confirm(f"remove the weights {item.name}? ({item.reason})")

    cleaning = clean_up(
        what,
        tasks=tasks,
        older_than_days=older_than,
        keep_bytes=None if keep is None else parse_size(keep),
        dry_run=not yes,
        confirm=confirm,
        results=results,
        project=project,
    )
    if cleaning.removed:
        _print_items(cleaning.removed)
    total = f"{plural(len(cleaning.removed), 'folder')}, {_size(cleaning.num_bytes)}"
    if not cleaning.removed:
        typer.echo("nothing to remove")
    elif yes:
        typer.echo(f"removed {total}")
    else:
        typer.echo(f"{total} would be removed; nothing was: add --yes to remove")
    for item in cleaning.left:
        typer.echo(f"left alone: {item.kind} {item.name}: {item.reason or 'in use'}")


def _print_items(items: "Iterable[Item]") -> None:
    from benchmark.cli.console import out, table_of

    table = table_of("kind", "name", "tasks", "size", "last used", "note", prose=["tasks", "note"])
    for item in items:
        used = "today" if item.days < 1 else f"{item.days:.0f} days ago"
        table.add_row(item.kind, item.name, ", ".join(item.tasks), _size(item.num_bytes), used, item.reason)
    out().print(table)


def _as_dict(item: "Item") -> dict[str, object]:
    return {
        "kind": item.kind,
        "name": item.name,
        "path": str(item.path),
        "tasks": item.tasks,
        "num_bytes": item.num_bytes,
        "days": round(item.days, 1),
        "note": item.reason,
    }


def _size(num_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes / 1e3:,.0f} KB"
