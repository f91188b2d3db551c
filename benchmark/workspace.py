"""The folders of the project, the results, the user's own files and the data sets. Only this module makes such paths."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchmarkError


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The folders that a run reads and writes. `project` holds model_zoo.yaml, tasks/ and results/published (read only);
    `results` is what runs write; `home` keeps what is costly to make again (weights, pixels) and the user's own
    zoo, tasks and splits; `data` holds the official data sets, one folder each (None: not known).
    """

    project: Path
    results: Path
    home: Path
    data: Path | None

    @property
    def own_zoo(self) -> Path:
        """The user's own entries, written by `zoo add` and `pretrain`."""
        return self.home / "zoo.yaml"

    @property
    def own_tasks(self) -> Path:
        """The user's own fact sheets, added by `tasks add`."""
        return self.home / "tasks"

    @property
    def own_splits(self) -> Path:
        """Manifests that stand for tasks' own splits, chosen by `data split --use`."""
        return self.home / "splits"

    @property
    def weights(self) -> Path:
        """Verified weight files."""
        return self.home / "weights"

    @property
    def pixels(self) -> Path:
        """Decode-once caches."""
        return self.home / "pixels"

    @property
    def sources(self) -> Path:
        """What the data sets' files were when they were first decoded: it outlives caches that are removed."""
        return self.home / "sources"

    @property
    def features(self) -> Path:
        """Features that frozen encoders gave; nobody but the user deletes them."""
        return self.home / "features"

    @property
    def status(self) -> Path:
        """What `status` knows of records that it has read before."""
        return self.home / "status"

    @property
    def published(self) -> Path:
        """The papers' printed numbers."""
        return self.project / "results" / "published"


def find_workspace(
    *,
    project: Path | None = None,
    results: Path | None = None,
    data: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    here: Path | None = None,
) -> Workspace:
    """Returns the workspace; each folder is the first of: what is given, the BENCHMARK_* variables, a checkout
    around `here`, the installed package.

    Raises BenchmarkError where a given project folder lacks model_zoo.yaml or tasks/.
    """
    here = here or Path.cwd()
    given = project or _path(environment.get("BENCHMARK_PROJECT"))
    if given is not None:
        if not _is_project(given):
            raise BenchmarkError(f"{given} is not a project folder: wanted model_zoo.yaml and tasks/ in it")
        found = given
    else:
        package = Path(__file__).parent
        around = next((p for p in (here, *here.parents) if _is_project(p)), None)
        found = around or (package.parent if _is_project(package.parent) else package / "shipped")
    # an installed wheel's own folder is no place to write results
    parent = here if found == Path(__file__).parent / "shipped" else found
    default_home = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Workspace(
        project=found.resolve(),
        results=(results or _path(environment.get("BENCHMARK_RESULTS")) or parent / "results").resolve(),
        home=(_path(environment.get("BENCHMARK_HOME")) or default_home / "medical-transfer-benchmark").resolve(),
        data=_resolved(data or _path(environment.get("BENCHMARK_DATA"))),
    )


def _is_project(folder: Path) -> bool:
    return (folder / "model_zoo.yaml").is_file() and (folder / "tasks").is_dir()


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _resolved(path: Path | None) -> Path | None:
    return path.resolve() if path else None
