"""`benchmark judge`."""

from typing import Annotated

import typer

from benchmark.cli.options import Project, Results, workspace_of
from benchmark.text import plural, printable


def judge(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also score what today's metrics have scored already.")
    ] = False,
    results: Results = None,
    project: Project = None,
) -> None:
    """Score stored predictions anew, by today's metrics and without training.

    Records that today's metrics have scored already are left as they are. A record is replaced whole: after an interruption
    the same command continues. Exit code 1 where a record could not be scored.
    """
    from benchmark.api.progress import count_bar
    from benchmark.cli.console import resumable
    from benchmark.errors import BenchmarkError
    from benchmark.results.claims import ClaimedElsewhere
    from benchmark.results.store import Store
    from benchmark.scoring.rescore import is_outdated, rescore
    from benchmark.tasks.registry import find_task

    workspace = workspace_of(results=results, project=project)
    store = Store(workspace.results)
    records, left_out = store.records()
    done = [record for record in records if record.status == "done"]
    due = [record for record in done if everything or is_outdated(record)]
    num = 0
    with resumable(), count_bar("scored") as show:
        for number, record in enumerate(due, start=1):
            try:
                shift = record.cell.shift
                target = None if shift is None else find_task(shift.task, workspace)
                rescore(record, store, find_task(record.cell.source.task, workspace), target)
                num += 1
            except ClaimedElsewhere:
                left_out.append(f"{record.cell.title} ({record.key}): another process works on it")
            except BenchmarkError as error:
                left_out.append(str(error))
            show(number, len(due))
    for line in left_out:
        typer.echo(printable(f"left out: {line}"))
    current = len(done) - len(due)
    typer.echo(
        f"{plural(num, 'record')} scored anew in {store.root}; {current:,} had been scored by these metrics already"
    )
    if left_out:
        raise typer.Exit(1)
