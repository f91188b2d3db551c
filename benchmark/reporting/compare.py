"""Two models, or two runs of one grid: their differences with intervals and tests. Torch-free.

The unit is the run. Each result (a block of the frame; between two folders, a block and a model) is one test, Welch's
independent t as everywhere in the reports; the family of Holm's correction is all tests of one table. Each kind of data
(official, partial, own, phantom) is a family of its own. Nothing is tested where a side has fewer than two runs.

That test is about training again on the same images. What another test set could have given is a second interval, from
resampling the patients of the test split under all runs of both models (`with_test_sets`).
"""

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from benchmark.errors import BenchmarkError
from benchmark.reporting.format import SIGNIFICANT
from benchmark.reporting.metric_facts import direction
from benchmark.reporting.replicates import Load
from benchmark.results.merge import unlike_scores
from benchmark.results.record import RunRecord
from benchmark.scoring.resampling import difference_of
from benchmark.stats.multiplicity import holm
from benchmark.stats.significance import hedges_g, paired_t, sample_sd, tost, welch_t
from benchmark.tasks.spec import TaskSpec

ABOUT = [
    "block",
    "task",
    "title",
    "data",
    "data_digest",
    "num_images",
    "num_published",
    "protocol",
    "setting",
    "metric",
]
PAIR = ["seed", "pair_fold"]
# of the first side against the second
VERDICTS = ("better", "worse", "equivalent", "undecided", "identical", "not tested", "missing")


def compare_sides(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    margin: float,
    by: tuple[str, ...] = ("block",),
    equal: Collection[str] = (),
) -> pd.DataFrame:
    """Returns one row per result (`by`) of either frame: `difference`, first minus second, with its 95 % interval, Welch's
    t-test and `p_holm`, Hedges' g, the paired t-test of the runs whose seed and fold both have, and TOST's `p_equivalent`
    within `margin`.

    Scores and `margin` are in 0..1. `equal`: keys of cells that both have, bit for bit. What is not known is NaN.
    """
    # no fold is a fold like another, so that runs without one are pairs too
    first, second = (side[side["score"].notna()].assign(pair_fold=_folds) for side in (first, second))
    order = pd.concat([first, second])[[*dict.fromkeys([*ABOUT, *by])]].drop_duplicates(list(by))
    order = order.sort_values([*dict.fromkeys(["data", "task", "block", *by])], ignore_index=True)
    rows = [
        {**about, **_tested(_rows_of(first, about, by), _rows_of(second, about, by), margin, equal)}
        for about in order.to_dict("records")
    ]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["p_holm"] = table.groupby("data")["p"].transform(lambda p: holm(p.to_numpy()))
    table["verdict"] = [_verdict(row) for row in table.to_dict("records")]
    return table


def with_test_sets(
    rows: pd.DataFrame,
    sides: tuple[pd.DataFrame, pd.DataFrame],
    loads: tuple[Load, Load],
    tasks: Mapping[str, TaskSpec],
    *,
    by: tuple[str, ...] = ("block",),
) -> pd.DataFrame:
    """Returns the rows of `compare_sides` with `test_difference`, `test_low` and `test_high`: the difference and its 95 %
    interval over 1,000 test sets, for which the patients of this one are drawn anew under all runs of both sides (scores
    in 0..1); NaN where the two were not judged on the same images. `loads`: read each side's predictions, by key.
    """
    intervals = []
    for row in rows.to_dict("records"):
        values = (math.nan,) * 3
        runs = [_rows_of(side[side["score"].notna()], row, by) for side in sides]
        if row["task"] in tasks and all(len(side) for side in runs):
            with suppress(BenchmarkError):  # other images or labels on the two sides, or predictions that are gone
                one, two = ([load(key) for key in side["key"]] for load, side in zip(loads, runs, strict=True))
                drawn = difference_of(one, two, tasks[row["task"]].judging, row["metric"])
                values = (drawn.difference, drawn.low, drawn.high)
        intervals.append(values)
    columns = ["test_difference", "test_low", "test_high"]
    return rows.assign(**pd.DataFrame(intervals, columns=columns, index=rows.index).to_dict("series"))


def same_run(one: RunRecord, other: RunRecord) -> bool:
    """Returns whether two records of one cell are the same to the last bit: every epoch's losses, and every score that both
    were judged by.
    """
    return one.history == other.history and not unlike_scores(one, other)


def _folds(side: pd.DataFrame) -> "pd.Series[Any]":
    return side["fold"].astype(float).fillna(-1)


def _rows_of(side: pd.DataFrame, about: Mapping[Any, Any], by: tuple[str, ...]) -> pd.DataFrame:
    chosen = side
    for name in by:
        chosen = chosen[chosen[name] == about[name]]
    return chosen


def _tested(first: pd.DataFrame, second: pd.DataFrame, margin: float, equal: Collection[str]) -> dict[str, Any]:
    one, two = first["score"].to_numpy(dtype=float), second["score"].to_numpy(dtype=float)
    row: dict[str, Any] = {
        "n_first": len(one),
        "n_second": len(two),
        "mean_first": float(one.mean()) if len(one) else math.nan,
        "sd_first": sample_sd(one),
        "mean_second": float(two.mean()) if len(two) else math.nan,
        "sd_second": sample_sd(two),
    }
    both = len(one) > 0 and len(two) > 0
    test = welch_t(one, two) if both else None
    row |= {name: getattr(test, name, math.nan) for name in ("mean", "low", "high", "p")}
    row["difference"] = row.pop("mean")
    row["g"] = hedges_g(one, two) if both else math.nan
    pairs = first[[*PAIR, "score"]].merge(second[[*PAIR, "score"]], on=PAIR, suffixes=("_first", "_second"))
    paired = paired_t(pairs["score_first"], pairs["score_second"]) if len(pairs) > 1 else None
    row["n_pairs"] = len(pairs)
    row |= {f"paired_{name}": getattr(paired, name, math.nan) for name in ("mean", "low", "high", "p")}
    row |= {"margin": margin, "p_equivalent": tost(one, two, margin, equal_variances=False) if both else math.nan}
    shared = set(first["key"]) & set(second["key"])
    row |= {"cells_shared": len(shared), "cells_equal": len(shared & set(equal))}
    row["overlap_first"], row["overlap_second"] = bool(first["overlap"].any()), bool(second["overlap"].any())
    row["folds"] = bool(first["fold"].notna().any() or second["fold"].notna().any())
    return row


def _verdict(row: dict[str, Any]) -> str:
    if not (row["n_first"] and row["n_second"]):
        return "missing"
    if row["cells_equal"] == row["n_first"] == row["n_second"]:
        return "identical"
    if math.isnan(row["p_holm"]):
        return "not tested"
    if row["p_holm"] < SIGNIFICANT:
        return "better" if row["difference"] * direction(row["metric"]) > 0 else "worse"
    return "equivalent" if row["p_equivalent"] < SIGNIFICANT else "undecided"
