"""`benchmark zoo cite`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Project, Results, workspace_of
from benchmark.errors import BenchmarkError
from benchmark.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmark.tasks.spec import TaskSpec
    from benchmark.workspace import Workspace
    from benchmark.zoo.catalog import ZooEntry

NOT_TOLD = {"", "–", "not told"}


def cite(
    names: Annotated[
        str | None, typer.Argument(help="Entries, as --models takes them [default: all].", show_default=False)
    ] = None,
    *,
    run: Annotated[bool, typer.Option("--run", help="Cite what was run: the records' models and tasks.")] = False,
    results: Results = None,
    project: Project = None,
) -> None:
    """Citations of entries as BibTeX; with --run (or --results), of all models and tasks that were run.

    Authors, title, venue, year, DOI and arXiv number are those that the citation states; one without such a form becomes the
    note of a @misc.
    """
    from benchmark.tasks.registry import known_tasks
    from benchmark.zoo.catalog import read_catalog

    workspace = workspace_of(results=results, project=project)
    of_records = run or results is not None
    if of_records and names is not None:
        raise BenchmarkError("NAMES and --run: wanted one of them")
    entries, tasks = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo), known_tasks(workspace)
    if of_records:
        models, asked = _run(workspace)
    else:
        from benchmark.experiment.selection import select

        models, asked = select(names or "all", {e.name: e.family for e in entries.values()}, noun="model"), []
    for line in bibliography(models, asked, entries, tasks):
        typer.echo(printable(line))


def bibliography(
    models: "Iterable[str]",
    asked: "Iterable[str]",
    entries: "Mapping[str, ZooEntry]",
    tasks: "Mapping[str, TaskSpec]",
) -> list[str]:
    """BibTeX entries for models and tasks, each citation once, with comments on what has none.

    An entry that was made here is cited by what it was made from: its start and its task.
    """
    from benchmark.zoo.citations import bibtex_of

    comments: list[str] = []
    cited: dict[str, tuple[list[str], str]] = {}  # text of the citation -> who has it, BibTeX where it was given

    def note(name: str, prose: str, bibtex: str = "") -> None:
        if bibtex or prose.strip() not in NOT_TOLD:
            cited.setdefault(bibtex.strip() or prose.strip(), ([], bibtex.strip()))[0].append(name)
        else:
            comments.append(f"% {name}: no citation is told")

    origins = list(_origins(models, asked, entries))
    for kind, name in dict.fromkeys(origins):
        if kind == "task":
            if name in tasks:
                note(name, tasks[name].cite)
            else:
                comments.append(f"% {name}: there is no task of that name any more")
        elif name.startswith("scratch"):
            comments.append(f"% {name}: fresh weights")
        elif name not in entries:
            comments.append(f"% {name}: there is no entry of that name any more")
        elif entries[name].made_by:
            comments.append(f"% {name}: {entries[name].cite}")
        else:
            note(name, entries[name].cite, entries[name].bibtex)
    written, keys = [], set[str]()
    for text, (names, bibtex) in cited.items():
        who = f"% {', '.join(names)}"
        written.append(f"{who}\n{bibtex or bibtex_of(_free(names[0], keys), text)}\n")
    return comments + written


def _origins(
    models: "Iterable[str]", asked: "Iterable[str]", entries: "Mapping[str, ZooEntry]"
) -> Iterator[tuple[str, str]]:
    """Models and tasks, those behind entries that were made here included."""
    for name in models:
        yield "model", name
        made_by = entries[name].made_by if name in entries else None
        if made_by:
            yield from _origins([made_by["from"]], [made_by["task"]], entries)
    for name in asked:
        yield "task", name


def _run(workspace: "Workspace") -> tuple[list[str], list[str]]:
    from benchmark.results.store import Store

    records, unread = Store(workspace.results).records()
    done = [record.cell for record in records if record.status == "done"]
    if not done:
        raise BenchmarkError(f"no finished cell in {workspace.results}: there is nothing to cite")
    if unread:
        typer.echo(f"% {plural(len(unread), 'record')} could not be read: what they were made with is not cited")
    models = sorted({weights.name for cell in done for weights in cell.weights})
    return models, sorted({cell.task for cell in done})


def _free(name: str, keys: set[str]) -> str:
    """A key that no other citation has: BibTeX does not tell capitals apart."""
    key, number = name, 2
    while key.lower() in keys:
        key, number = f"{name}-{number}", number + 1
    keys.add(key.lower())
    return key
