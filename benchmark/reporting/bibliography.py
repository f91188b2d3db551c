"""Models and tasks -> what to cite for them, as BibTeX."""

from collections.abc import Iterable, Iterator, Mapping

from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.citations import bibtex_of

NO_CITATION = {"", "–", "not told"}


def bibliography(
    models: Iterable[str],
    tasks_run: Iterable[str],
    entries: Mapping[str, ZooEntry],
    tasks: Mapping[str, TaskSpec],
) -> list[str]:
    """Returns BibTeX entries for models and tasks, each citation once, and comments on what has none.

    An entry that was made here is cited by what it was made from: its start and its task.
    """
    comments: list[str] = []
    cited: dict[str, tuple[list[str], str]] = {}  # text of the citation -> who has it, BibTeX where it was given

    def note(name: str, prose: str, bibtex: str = "") -> None:
        if bibtex or prose.strip() not in NO_CITATION:
            cited.setdefault(bibtex.strip() or prose.strip(), ([], bibtex.strip()))[0].append(name)
        else:
            comments.append(f"% {name}: no citation is told")

    origins = list(_origins(models, tasks_run, entries))
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
    models: Iterable[str], tasks_run: Iterable[str], entries: Mapping[str, ZooEntry]
) -> Iterator[tuple[str, str]]:
    """Yields the kind and name of models and tasks, with those that encoders trained here were made from."""
    for name in models:
        yield "model", name
        made_by = entries[name].made_by if name in entries else None
        if made_by:
            yield from _origins([made_by["from"]], [made_by["task"]] if "task" in made_by else [], entries)
    for name in tasks_run:
        yield "task", name


def _free(name: str, keys: set[str]) -> str:
    """Returns a key that no other citation has; BibTeX does not distinguish capitals."""
    key, number = name, 2
    while key.lower() in keys:
        key, number = f"{name}-{number}", number + 1
    keys.add(key.lower())
    return key
