"""`benchmark zoo cite`."""

from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Project, Results, workspace_of
from benchmark.errors import BenchmarkError
from benchmark.text import plural, printable

if TYPE_CHECKING:
    from benchmark.workspace import Workspace


def cite(
    names: Annotated[
        str | None, typer.Argument(help="Entries, as --models takes them (default: all).", show_default=False)
    ] = None,
    *,
    run: Annotated[bool, typer.Option("--run", help="Cite what was run: the records' models and tasks.")] = False,
    results: Results = None,
    project: Project = None,
) -> None:
    """Print citations of entries as BibTeX; with --run (or --results), of all models and tasks that were run.

    Authors, title, venue, year, DOI and arXiv number are those that the citation states; one without such a form becomes the
    note of a @misc.
    """
    from benchmark.reporting.bibliography import bibliography
    from benchmark.tasks.registry import known_tasks
    from benchmark.zoo.catalog import read_catalog

    workspace = workspace_of(results=results, project=project)
    of_records = run or results is not None
    if of_records and names is not None:
        raise BenchmarkError("NAMES and --run: wanted one of them")
    entries, tasks = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo), known_tasks(workspace)
    if of_records:
        models, tasks_run = _run(workspace)
    else:
        from benchmark.experiment.selection import select

        models, tasks_run = select(names or "all", {e.name: e.family for e in entries.values()}, noun="model"), []
    for line in bibliography(models, tasks_run, entries, tasks):
        typer.echo(printable(line))


def _run(workspace: "Workspace") -> tuple[list[str], list[str]]:
    from benchmark.results.store import Store

    records, unread = Store(workspace.results).records()
    done = [record.cell for record in records if record.status == "done"]
    if not done:
        raise BenchmarkError(f"no finished cell in {workspace.results}: there is nothing to cite")
    if unread:
        typer.echo(f"% {plural(len(unread), 'record')} could not be read: what they were made with is not cited")
    models = sorted({weights.name for cell in done for weights in cell.weights})
    tasks = {cell.source.task for cell in done} | {cell.shift.task for cell in done if cell.shift is not None}
    return models, sorted(tasks)
