"""Where things lie: the project, results, the user's own files, data sets. Only here are such paths made."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchmarkError


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where things lie. `project` holds model_zoo.yaml, tasks/ and results/published (read only);
    `results` is what runs write; `home` keeps what is costly to make again (weights, pixels) and the user's own
    zoo, tasks and splits; `data` holds the official data sets, one folder each (None: not told).
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
        """The user's own fact sheets, kept by `tasks add`."""
        return self.home / "tasks"

    @property
    def own_splits(self) -> Path:
        """Manifests that stand for tasks' own splits, kept by `data split --use`."""
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
        """What frozen encoders gave, kept as long as nobody deletes it."""
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
    """Places by this order: what is given, the BENCHMARK_* variables, a checkout around `here`, the installed package.

    Raises BenchmarkError where a given project folder lacks model_zoo.yaml or tasks/.
    """
    here = here or Path.cwd()
    told = project or _path(environment.get("BENCHMARK_PROJECT"))
    if told is not None:
        if not _is_project(told):
            raise BenchmarkError(f"{told} is not a project folder: wanted model_zoo.yaml and tasks/ in it")
        found = told
    else:
        package = Path(__file__).parent
        around = next((p for p in (here, *here.parents) if _is_project(p)), None)
        found = around or (package.parent if _is_project(package.parent) else package / "shipped")
    # an installed wheel's own folder is no place to write results
    beside = here if found == Path(__file__).parent / "shipped" else found
    default_home = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Workspace(
        project=found.resolve(),
        results=(results or _path(environment.get("BENCHMARK_RESULTS")) or beside / "results").resolve(),
        home=(_path(environment.get("BENCHMARK_HOME")) or default_home / "medical-transfer-benchmark").resolve(),
        data=_resolved(data or _path(environment.get("BENCHMARK_DATA"))),
    )


def _is_project(folder: Path) -> bool:
    return (folder / "model_zoo.yaml").is_file() and (folder / "tasks").is_dir()


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _resolved(path: Path | None) -> Path | None:
    return path.resolve() if path else None
