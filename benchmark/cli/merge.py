"""`benchmark merge`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import workspace_of
from benchmark.errors import BenchmarkError
from benchmark.text import plural

if TYPE_CHECKING:
    from benchmark.results.merge import Survey

MAX_LINES = 20


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="FROM…", help="Results folders to take cells from.")],
    *,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="INTO",
            help="Results folder that takes them (default: $BENCHMARK_RESULTS, or the project's results/).",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Where both have a cell with other numbers, keep the one that is there already."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
) -> None:
    """Join results folders: cells are copied whole; the same cell with other numbers is an error, and nothing is copied.

    Cells end bit-equal on machines of one kind. Another processor, GPU or version of torch rounds otherwise: the line about
    such a cell says so, and --keep keeps what is there.

    A done cell takes the place of a failed one, never the other way. Unfinished cells, reports and encoders stay behind.
    """
    from benchmark.api.progress import count_bar
    from benchmark.cli.console import resumable
    from benchmark.results.merge import copy, survey
    from benchmark.results.store import Store

    into = Store(workspace_of(results=results).results)
    for folder in folders:
        if folder.resolve() == into.root:
            raise BenchmarkError(f"{folder} into itself: --results names the folder that takes the cells")
        if not (folder / "cells").is_dir():
            raise BenchmarkError(f"{folder} is no results folder: wanted cells/ in it")
    with resumable():
        with count_bar("compared") as show:
            found = survey([Store(folder.resolve()) for folder in folders], into, show)
        for line in found.unread[:MAX_LINES]:
            typer.echo(f"left out: {line}")
        if len(found.unread) > MAX_LINES:
            typer.echo(f"left out: {len(found.unread) - MAX_LINES:,} more")
        if found.conflicts and not keep:
            _refuse(found)
        for line in found.conflicts[:MAX_LINES]:
            typer.echo(f"kept as it is: {line}")
        if dry_run:
            typer.echo(f"{_describe(found, 'to take')} into {into.root}; nothing was written (--dry-run)")
            return
        ended = {"copied": 0, "there": 0, "claimed": 0}
        with count_bar("copied") as show:
            for number, taken in enumerate(found.taken.values(), start=1):
                ended[copy(taken, into)] += 1
                show(number, len(found.taken))
    found.same += ended["there"]
    typer.echo(f"{_describe(found, 'taken', ended['copied'])} into {into.root}")
    if ended["claimed"]:
        cells = plural(ended["claimed"], "cell")
        typer.echo(f"{cells} left out: other processes work on them; the same command takes them when they have ended")
        raise typer.Exit(1)


def _refuse(found: "Survey") -> None:
    for line in found.conflicts[1:MAX_LINES]:
        typer.echo(f"differs: {line}", err=True)
    more = len(found.conflicts) - 1
    others = f" (and {plural(more, 'other cell')}, listed above)" if 0 < more < MAX_LINES else ""
    if more >= MAX_LINES:
        others = f" (and {more:,} other cells)"
    raise BenchmarkError(
        "the same cell with other numbers; nothing was copied (--keep leaves them as they are): "
        f"{found.conflicts[0]}{others}"
    )


def _describe(found: "Survey", word: str, count: int | None = None) -> str:
    """Returns a line about what is merged: the cells that are taken, and those that are not and why."""
    count = len(found.taken) if count is None else count
    replaced = sum(taken.replaces for taken in found.taken.values())
    failed = sum(taken.record.status == "failed" for taken in found.taken.values())
    counts = [
        (failed, f"{failed:,} of them failed"),
        (replaced, f"{replaced:,} in place of failed ones"),
        (found.same, f"{found.same:,} there already with the same numbers"),
        (found.kept, f"{plural(found.kept, 'failed cell')} not taken: done, failed or begun here"),
        (len(found.conflicts), f"{plural(len(found.conflicts), 'cell')} with other numbers kept as it is"),
        (found.unfinished, f"{plural(found.unfinished, 'unfinished cell')} not taken"),
        (len(found.unread), f"{plural(len(found.unread), 'unreadable record')} left out"),
    ]
    return "; ".join([f"{plural(count, 'cell')} {word}", *(line for number, line in counts if number)])
