"""The options of the command line as Python writes them: lists, numbers and dicts beside the texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.progress import Progress, TerminalProgress
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from benchmark.experiment.request import RunRequest

PathLike = str | Path
Names = str | Sequence[str]  # names, as `--models` takes them, in one text or in several
Seeds = int | str | Sequence[int]  # a number of seeds, a text as `--seeds` takes it, or the seeds themselves
Settings = Mapping[str, Any] | Sequence[str]  # recipe field -> value, or texts NAME=VALUE
Shares = str | float | Sequence[float | str]  # one or several fractions, or subsets
Values = Mapping[str, Any] | Sequence[str]  # recipe field -> the values that are tried, or texts NAME=A,B,…


def find_places(results: PathLike | None, data: PathLike | None, project: PathLike | None) -> Workspace:
    """Returns the workspace that these folders, the BENCHMARK_* variables and the current folder give."""
    folders = [None if path is None else Path(path).expanduser() for path in (results, data, project)]
    return find_workspace(results=folders[0], data=folders[1], project=folders[2])


def join_names(names: Names | None) -> str | None:
    """Returns several names as one text."""
    return names if names is None or isinstance(names, str) else ",".join(names)


def write_seeds(seeds: Seeds | None) -> str | None:
    """Returns seeds as `--seeds` takes them. Raises BenchmarkError for what is no seed."""
    if seeds is None or isinstance(seeds, str):
        return seeds
    if isinstance(seeds, int):
        return str(seeds)
    if not all(isinstance(seed, int) for seed in seeds):
        raise BenchmarkError(f"seeds: wanted a number of seeds or a list of whole numbers, found {seeds!r}")
    return "".join(f"{seed}," for seed in seeds)


def write_settings(settings: Settings | None) -> list[str]:
    """Returns recipe fields as `--set` takes them."""
    if isinstance(settings, Mapping):
        return [f"{name}={_write(value)}" for name, value in settings.items()]
    return _texts(settings)


def write_values(fields: Values | None) -> list[str]:
    """Returns recipe fields with several values as `--sweep` and `--search` take them."""
    if isinstance(fields, Mapping):
        return [
            f"{name}={values if isinstance(values, str) else ','.join(map(_write, values))}"
            for name, values in fields.items()
        ]
    return _texts(fields)


def write_shares(shares: Shares | None) -> str | None:
    """Returns fractions or subsets as the options of these names take them."""
    if shares is None or isinstance(shares, str):
        return shares
    return ",".join(f"{share}" for share in ([shares] if isinstance(shares, int | float) else shares))


def request_of(
    workspace: Workspace,
    models: Names | None,
    tasks: Names | None,
    protocol: Names | None,
    seeds: Seeds | None,
    settings: Settings | None,
    sweep: Values | None,
    search: Values | None,
    fractions: Shares | None,
    subsets: Shares | None,
    folds: int | None,
    suite: PathLike | None,
) -> "RunRequest":
    """Returns the request that these options make. Raises BenchmarkError where they name no grid."""
    from benchmark.experiment.request import RunRequest

    return RunRequest.of(
        workspace,
        join_names(models),
        join_names(tasks),
        protocol=join_names(protocol),
        seeds=write_seeds(seeds),
        settings=write_settings(settings),
        sweep=write_values(sweep),
        search=write_values(search),
        fractions=write_shares(fractions),
        subsets=write_shares(subsets),
        folds=folds,
        suite=None if suite is None else str(suite),
    )


def progress_of(progress: "Progress | bool") -> Progress:
    """Returns the object that shows progress: the given one, bars on standard error (True), or nothing (False)."""
    if isinstance(progress, Progress):
        return progress
    return TerminalProgress() if progress else Progress()


def _texts(texts: Sequence[str] | None) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts or ())


def _write(value: object) -> str:
    return "none" if value is None else str(value)
