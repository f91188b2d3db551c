"""How verbs print tables: as wide as the terminal, wide where there is none, names folded and never cut off.

What stands in a table may come from a file of someone else's, so it is shown letter by letter: nothing in it is taken for
rich's markup, and nothing reaches the terminal that moves its cursor.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.text import printable

PIPED_WIDTH = 200  # columns, where the output goes into a file or another program


class PlainTable(Table):
    """A table whose cells are texts, not markup."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Adds a row of texts."""
        super().add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells), **options)


def table_of(*heads: str) -> Table:
    """Returns an empty table with these column heads."""
    table = PlainTable(box=None)
    for head in heads:
        table.add_column(Text(printable(head)), overflow="fold")
    return table


def out() -> Console:
    """The console that tables are printed to."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


@contextmanager
def resumable() -> Iterator[None]:
    """Ends the command in one line and with exit code 130 where the user interrupts what stands inside."""
    try:
        yield
    except KeyboardInterrupt:
        typer.secho("interrupted: nothing is lost, the same command continues", err=True)
        raise typer.Exit(130) from None


def print_json(content: Any) -> None:
    """Prints a value as JSON on standard output."""
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
