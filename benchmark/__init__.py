"""Which pretrained weights transfer best to a medical imaging task, by how much, how surely, how fast.

The functions here are the verbs of the command line; each is imported when it is first used, so `import benchmark` is
quick and imports neither torch nor pandas.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark import stats
    from benchmark.api.checkpoints import add_checkpoint
    from benchmark.api.compare import Comparison, compare
    from benchmark.api.doctor import Finding, doctor
    from benchmark.api.housekeeping import Cleaning, cache_contents, clean
    from benchmark.api.listing import ListedModel, list_models, list_tasks
    from benchmark.api.loading import TaskSplits, load_encoder, load_task
    from benchmark.api.progress import Progress
    from benchmark.api.report import Report, figure, report
    from benchmark.api.results import load_results, summary
    from benchmark.api.run import Plan, RunOutcome, plan, run
    from benchmark.api.status import Status, status
    from benchmark.api.study import init_study
    from benchmark.errors import BenchmarkError

    __version__: str

DISTRIBUTION = "medical-transfer-benchmark"
UNKNOWN_VERSION = "0+unknown"  # of sources that were not installed
__all__ = [
    "BenchmarkError",
    "Cleaning",
    "Comparison",
    "Finding",
    "ListedModel",
    "Plan",
    "Progress",
    "Report",
    "RunOutcome",
    "Status",
    "TaskSplits",
    "add_checkpoint",
    "cache_contents",
    "clean",
    "compare",
    "doctor",
    "figure",
    "init_study",
    "list_models",
    "list_tasks",
    "load_encoder",
    "load_results",
    "load_task",
    "plan",
    "report",
    "run",
    "stats",
    "status",
    "summary",
]

# name -> the module that defines it
_MODULES = {
    "BenchmarkError": "benchmark.errors",
    "Cleaning": "benchmark.api.housekeeping",
    "Comparison": "benchmark.api.compare",
    "Finding": "benchmark.api.doctor",
    "ListedModel": "benchmark.api.listing",
    "Plan": "benchmark.api.run",
    "Progress": "benchmark.api.progress",
    "Report": "benchmark.api.report",
    "RunOutcome": "benchmark.api.run",
    "Status": "benchmark.api.status",
    "TaskSplits": "benchmark.api.loading",
    "add_checkpoint": "benchmark.api.checkpoints",
    "cache_contents": "benchmark.api.housekeeping",
    "clean": "benchmark.api.housekeeping",
    "compare": "benchmark.api.compare",
    "doctor": "benchmark.api.doctor",
    "figure": "benchmark.api.report",
    "init_study": "benchmark.api.study",
    "list_models": "benchmark.api.listing",
    "list_tasks": "benchmark.api.listing",
    "load_encoder": "benchmark.api.loading",
    "load_results": "benchmark.api.results",
    "load_task": "benchmark.api.loading",
    "plan": "benchmark.api.run",
    "report": "benchmark.api.report",
    "run": "benchmark.api.run",
    "status": "benchmark.api.status",
    "summary": "benchmark.api.results",
}


def __getattr__(name: str) -> Any:
    """Imports what stands under a name when it is first used (PEP 562)."""
    if name == "stats":
        return importlib.import_module("benchmark.stats")
    if name == "__version__":
        return _find_version()
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def _find_version() -> str:
    """Returns the version of the installed distribution, which is that of the last tag (pyproject.toml)."""
    from importlib import metadata

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return UNKNOWN_VERSION


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
