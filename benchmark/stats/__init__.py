"""Arrays in, numbers out: tests, intervals, rankings and corrections, with numpy and scipy alone."""

from benchmark.stats.bootstrap import bootstrap_difference
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
