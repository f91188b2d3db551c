"""Statistics of results: arrays in, numbers out, for reports and for use from Python as `bm.stats`.

Scores are arrays of runs x tasks (several models: runs x models x tasks), higher is better; NaN stands for a run that is
missing. Each function is imported when it is first used, because scipy is slow to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.stats.bootstrap import bca_interval, bootstrap_difference
    from benchmark.stats.bootstrap import interval as bootstrap_interval
    from benchmark.stats.multiplicity import benjamini_hochberg, holm
    from benchmark.stats.ranking import (
        critical_distance,
        friedman,
        iqm,
        iqm_of_runs,
        mean_ranks,
        mean_ranks_of_runs,
        nemenyi,
        probability_of_improvement,
    )
    from benchmark.stats.significance import (
        hedges_g,
        hedges_g_interval,
        independent_t,
        paired_t,
        smallest_effect,
        t_interval,
        tost,
        welch_t,
        wilcoxon,
    )

__all__ = [
    "bca_interval",
    "benjamini_hochberg",
    "bootstrap_difference",
    "bootstrap_interval",
    "critical_distance",
    "friedman",
    "hedges_g",
    "hedges_g_interval",
    "holm",
    "independent_t",
    "iqm",
    "iqm_of_runs",
    "mean_ranks",
    "mean_ranks_of_runs",
    "nemenyi",
    "paired_t",
    "probability_of_improvement",
    "smallest_effect",
    "t_interval",
    "tost",
    "welch_t",
    "wilcoxon",
]

# module -> the names that it defines
_MODULES = {
    "bootstrap": ("bca_interval", "bootstrap_difference"),
    "multiplicity": ("benjamini_hochberg", "holm"),
    "ranking": (
        "critical_distance", "friedman", "iqm", "iqm_of_runs", "mean_ranks", "mean_ranks_of_runs", "nemenyi",
        "probability_of_improvement",
    ),
    "significance": (
        "hedges_g", "hedges_g_interval", "independent_t", "paired_t", "smallest_effect", "t_interval", "tost", "welch_t",
        "wilcoxon",
    ),
}  # fmt: skip
_DEFINED = {name: (module, name) for module, names in _MODULES.items() for name in names}
_DEFINED["bootstrap_interval"] = ("bootstrap", "interval")


def __getattr__(name: str) -> Any:
    """Imports what stands under a name when it is first used (PEP 562)."""
    if name not in _DEFINED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, defined = _DEFINED[name]
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), defined)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
