"""How verbs print tables and colors: names on one line at every width, letter by letter.

A name that a reader types again is never broken into two lines: where a table does not fit into the terminal, each of its rows
is printed as lines of their own. What stands in a table may come from somebody else's file: nothing in it is taken for rich's
markup, and nothing reaches the terminal that moves its cursor.
"""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from benchmark.text import printable

PIPED_WIDTH = 1000  # columns, where the output goes into a file or another program


class PlainTable(Table):
    """A table whose cells are texts, not markup. Where it is too wide, it is printed without the columns in `optional` (the
    first is left out first), and where that does not suffice, as blocks of lines.
    """

    def __init__(self, optional: Sequence[str] = ()) -> None:
        super().__init__(box=None)
        self.optional = optional
        self.lines: list[list[Text]] = []

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Adds a row of texts; a cell may be a rich Text, which keeps its style."""
        texts = [cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in cells]
        self.lines.append(texts)
        super().add_row(*texts, **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the table, a part of it, or its rows as blocks."""
        wide = options.update(max_width=10 * PIPED_WIDTH)
        heads = [str(column.header) for column in self.columns]
        widths = [self._measure_column(console, wide, column) for column in self.columns]
        shown = list(range(len(heads)))
        for head in [None, *self.optional]:
            shown = [number for number in shown if heads[number] != head]
            free = options.max_width - sum(widths[number].minimum for number in shown)
            if free >= 0:
                break
        if free < 0:
            yield from self._blocks(heads)
        elif len(shown) < len(heads):
            smaller = PlainTable()
            for number in shown:
                smaller.add_column(Text(heads[number]), no_wrap=self.columns[number].no_wrap)
            for line in self.lines:
                smaller.add_row(*(line[number] for number in shown))
            yield smaller
            left_out = ", ".join(head for number, head in enumerate(heads) if number not in shown)
            yield Text(f" left out in so narrow a window: {left_out}", no_wrap=True, overflow="ignore")
        else:
            for column, width in zip(self.columns, widths, strict=True):  # the first prose takes what names leave
                extra = min(free, width.maximum - width.minimum)
                free -= extra
                column.min_width = width.minimum + extra - 2  # without rich's space on both sides
            yield from super().__rich_console__(console, options)

    def _blocks(self, heads: list[str]) -> Iterator[Text]:
        for title, *cells in self.lines:
            yield Text(title.plain, no_wrap=True, overflow="ignore")
            for head, cell in zip(heads[1:], cells, strict=True):
                if cell:
                    line = Text.assemble(f"  {' '.join(head.split())}: ", cell)
                    line.no_wrap, line.overflow = True, "ignore"
                    yield line


class PlainConsole(Console):
    """A console that leaves lines which are longer than the terminal to the terminal, which breaks them without a break in
    what is copied.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints, and cuts nothing off."""
        super().print(*objects, **{"crop": False, **options})


def table_of(*heads: str, prose: Collection[str] = (), optional: Sequence[str] = ()) -> PlainTable:
    """Returns an empty table with these column heads. Only the columns in `prose` may be broken into lines,
    between words; those in `optional` are left out where the terminal is too narrow, the first first.
    """
    table = PlainTable(optional)
    for head in heads:
        table.add_column(Text(printable(head)), no_wrap=head not in prose)
    return table


def out() -> Console:
    """Returns the console that tables are printed to."""
    console = PlainConsole(highlight=False)
    return console if console.is_terminal else PlainConsole(highlight=False, width=PIPED_WIDTH)


def print_error(line: str) -> None:
    """Prints a line on standard error, in red on a terminal where NO_COLOR is not set."""
    typer.secho(line, err=True, fg=None if os.environ.get("NO_COLOR") else "red")


@contextmanager
def resumable() -> Iterator[None]:
    """Ends the command in one line and with exit code 130 where the user interrupts what stands inside."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing is lost, the same command continues", err=True)
        raise typer.Exit(130) from None


def print_json(content: Any) -> None:
    """Prints a value as JSON on standard output."""
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
