"""How `benchmark status` shows a grid: one table, or with --watch the same again and again, with the workers."""

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmark.api.status import STATES, Status, status
from benchmark.cli.console import out, resumable, table_of
from benchmark.text import plural

WATCH_SECONDS = 10.0


def counts_table(found: Status) -> Table:
    """Returns the numbers of cells in each state, by task, model and, where there are several, protocol."""
    by_protocol = ["protocol"] if len({row["protocol"] for row in found.counts}) > 1 else []
    columns = ["task", "model", *by_protocol, *STATES]
    table = table_of(*columns)
    for row in found.counts:
        table.add_row(*(str(row[column] or "") for column in columns))
    return table


def watch_view(found: Status) -> RenderableType:
    """Returns what --watch shows: the counts, the rate, and who works on what."""
    workers = table_of("cell", "worker", "last sign of life")
    for row in found.workers:
        note = ", SILENT: others take its cell when its lease is over" if row["is_silent"] else ""
        workers.add_row(
            row["cell"], f"process {row['pid']} on {row['host']}", f"{row['silent_seconds']:.0f} s ago{note}"
        )
    left = f"{found.num_left:,} of {plural(found.num_planned, 'cell')} left"
    rate = f"{found.per_hour:,} in the last hour"
    hours = found.hours_left
    eta = "" if hours is None or not found.num_left else f", about {hours:.1f} h to go"
    return Group(counts_table(found), Text(f"{left}; {rate}{eta}"), workers)


def watch_status(**options: Any) -> None:
    """Shows the status every WATCH_SECONDS until every cell has a record, or the user interrupts it."""
    with resumable(), Live(console=out(), auto_refresh=False) as live:
        while True:
            found = status(**options)
            live.update(watch_view(found), refresh=True)
            if found.num_planned and not found.num_left:
                return
            time.sleep(WATCH_SECONDS)
