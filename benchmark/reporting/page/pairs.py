"""Every model against every other, per table: Student's and Welch's tests with their corrections, ready to be shown."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmark.reporting.format import rounded
from benchmark.reporting.metric_facts import direction
from benchmark.stats.multiplicity import benjamini_hochberg, holm

Array = NDArray[np.float64]


def pairs(frame: pd.DataFrame, models: list[str]) -> dict[str, dict[str, Any]]:
    """Returns block -> `models` (in the order of `models`), `direction` (-1 where the lower mean is the better one), `mean`,
    `n`, `family` (the number of tests), and `p` of each test and correction, as the pairs above the diagonal, row by row.

    These are the numbers that `stats.significance` gives pair by pair, computed for all pairs of a block at once.
    """
    found = {}
    for block, runs in frame[frame["score"].notna()].groupby("block", sort=False):
        scores = {model: own["score"].to_numpy(float) for model, own in runs.groupby("model")}
        names = [model for model in models if model in scores]
        tests = {name: p_of_pairs([scores[m] for m in names], equal_variances=name == "student") for name in TESTS}
        p = {
            test: {"none": values, "holm": holm(values), "bh": benjamini_hochberg(values)}
            for test, values in tests.items()
        }
        found[str(block)] = {
            "models": names,
            "direction": direction(runs["metric"].iloc[0]),
            "mean": [round(float(scores[m].mean()), 8) for m in names],
            "n": [len(scores[m]) for m in names],
            "family": int(np.isfinite(tests["student"]).sum()),
            "p": {
                test: {name: [rounded(v) for v in values] for name, values in by_name.items()}
                for test, by_name in p.items()
            },
        }
    return found


TESTS = ("student", "welch")


def p_of_pairs(scores: list[Array], *, equal_variances: bool) -> Array:
    """Returns the two-sided p of the independent t-test of each pair (i < j), row by row; NaN where a side has under two
    values or neither varies.
    """
    first, second = np.triu_indices(len(scores), 1)
    n = np.array([len(values) for values in scores], dtype=float)
    mean = np.array([values.mean() for values in scores])
    sd = np.array([values.std(ddof=1) if len(values) > 1 else np.nan for values in scores])
    # equal values may leave a deviation in the last digit
    sd[[len(values) > 1 and bool(np.ptp(values) == 0) for values in scores]] = 0
    testable = (n[first] > 1) & (n[second] > 1) & (sd[first] + sd[second] > 0)
    p = np.full(len(first), np.nan)
    one, two = first[testable], second[testable]
    if len(one):
        p[testable] = stats.ttest_ind_from_stats(
            mean[one], sd[one], n[one], mean[two], sd[two], n[two], equal_var=equal_variances
        ).pvalue
    return p
