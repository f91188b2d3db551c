"""How verbs print tables: as wide as the terminal, wide where there is none, names folded and never cut off."""

from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 200  # columns, where the output goes into a file or another program


def table_of(*heads: str) -> Table:
    """An empty table with these column heads."""
    table = Table(box=None)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def out() -> Console:
    """The console that tables are printed to."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)
