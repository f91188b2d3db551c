"""What tables, axes and ranks read of a metric: its title, which of two scores is better, and the range it cannot leave.

It is one entry of `benchmark.scoring.metrics`. A name of no entry, as in the records of an older program, is shown as it is,
and higher is taken as better.
"""

from typing import TYPE_CHECKING

from benchmark.scoring.metrics.registry import METRICS

if TYPE_CHECKING:
    import pandas as pd


def metric_title(name: str) -> str:
    """Returns the metric's name as a sentence or an axis has it."""
    return METRICS[name].title if name in METRICS else name


def is_higher_better(name: str) -> bool:
    """Returns whether the higher of two scores is the better one."""
    return name not in METRICS or METRICS[name].higher_is_better


def direction(name: str) -> int:
    """Returns the factor that makes the higher of two scores the better one: 1 or -1."""
    return 1 if is_higher_better(name) else -1


def directions(names: "pd.Series[str]") -> "pd.Series[int]":
    """Returns the `direction` of each metric, with the index of `names`."""
    return names.map({name: direction(name) for name in set(names)}).astype(int)


def best_word(name: str) -> str:
    """Returns the word for the best of some scores."""
    return "highest" if is_higher_better(name) else "lowest"


def limits(name: str) -> tuple[float | None, float | None]:
    """Returns the lowest and the highest score that there can be; None where it is not known.

    A share is in 0..1. Of the other metrics the best score is known: 1 (kappa), or 0 (Brier score).
    """
    if name not in METRICS:
        return None, None
    if METRICS[name].unit == "share":
        return 0.0, 1.0
    return (None, 1.0) if METRICS[name].higher_is_better else (0.0, None)
