"""Names that the shell completes: models, tasks, suites, protocols and recipe fields."""

from collections.abc import Iterable

from benchmark.errors import BenchmarkError
from benchmark.workspace import find_workspace


def complete_models(incomplete: str) -> list[str]:
    """Returns the entries of the zoo that the last name of a list may become."""
    from benchmark.zoo.catalog import read_catalog

    try:
        workspace = find_workspace()
        return _last_of_list(incomplete, read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo))
    except BenchmarkError:  # a damaged file is reported by the verb itself
        return []


def complete_tasks(incomplete: str) -> list[str]:
    """Returns the tasks that the last name of a list may become."""
    from benchmark.tasks.registry import known_tasks

    try:
        return _last_of_list(incomplete, known_tasks(find_workspace()))
    except BenchmarkError:
        return []


def complete_suites(incomplete: str) -> list[str]:
    """Returns the shipped suites of such a name."""
    folder = find_workspace().project / "tasks" / "suites"
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem.startswith(incomplete))


def complete_protocols(incomplete: str) -> list[str]:
    """Returns the protocols that the last name of a list may become."""
    from benchmark.protocols.registry import PROTOCOLS

    return _last_of_list(incomplete, PROTOCOLS)


def complete_fields(incomplete: str) -> list[str]:
    """Returns the recipe fields of such a name, each with its equals sign."""
    from benchmark.recipe import Recipe

    return [f"{name}=" for name in Recipe.model_fields if name.startswith(incomplete)]


def _last_of_list(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]
