"""Validation by epoch, and when a run reaches a share of the baseline's best: from the records' histories alone."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmark.reporting.figures.selection import Selection
from benchmark.results.record import RunRecord
from benchmark.stats.significance import CONFIDENCE, DECIMALS


def histories(selection: Selection, records: Mapping[str, RunRecord], of: str) -> pd.DataFrame:
    """A row per run and epoch: block, task, data, model, seed, fold, key, epoch, `value` of validation.

    `of`: `score` (the block's metric) or `loss`. Runs whose history lacks it have no rows.
    """
    rows = []
    for run in selection.frame.to_dict("records"):
        name = f"validation_{'loss' if of == 'loss' else run['metric']}"
        facts = {column: run[column] for column in ("block", "task", "data", "model", "seed", "fold", "key")}
        rows += [
            {**facts, "epoch": int(line["epoch"]), "value": line[name]}
            for line in records[run["key"]].history
            if line.get(name) is not None
        ]
    columns = ["block", "task", "data", "model", "seed", "fold", "key", "epoch", "value"]
    return pd.DataFrame(rows, columns=columns)


def curves(runs: pd.DataFrame, band: str) -> pd.DataFrame:
    """Per block, model and epoch: `mean`, `low`, `high` over the `running` runs of `n` that still train at that epoch.

    The band is the mean ± sd (ddof 1), or the 95 % t-interval; NaN where fewer than two run.
    """
    of = ["block", "model"]
    at = runs.groupby([*of, "epoch"], sort=False)
    table = at.agg(task=("task", "first"), data=("data", "first"), running=("value", "size"), mean=("value", "mean"))
    sd, table = at["value"].std(ddof=1), table.reset_index()
    table["n"] = table.merge(runs.groupby(of)["key"].nunique().rename("n"), on=of)["n"]
    half = sd.to_numpy() if band == "sd" else t_half(sd.to_numpy(), table["running"].to_numpy())
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)
    columns = ["block", "task", "data", "model", "epoch", "running", "n", "mean", "low", "high"]
    order = pd.Series(np.arange(len(runs)), pd.MultiIndex.from_frame(runs[of])).groupby(of).min().rename("order")
    table["order"] = table.merge(order, on=of)["order"]
    return table.sort_values(["order", "epoch"], ignore_index=True)[columns]


def t_half(sd: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half of the 95 % t-interval of many means at once, as `t_interval` has it; NaN where n < 2 or nothing varies."""
    known = (n > 1) & (sd > 10.0**-DECIMALS)
    half = np.full(len(sd), np.nan)
    half[known] = stats.t.ppf((1 + CONFIDENCE) / 2, n[known] - 1) * sd[known] / np.sqrt(n[known])
    return half


def reached(
    runs: pd.DataFrame, records: Mapping[str, RunRecord], baseline: str, percentages: Sequence[float]
) -> pd.DataFrame:
    """Per run and percentage: `target`, that share of the mean over the baseline's runs of their best validation score
    in the block; `epoch` and `seconds` of the first epoch that reaches it, or, `censored`, of the last that was trained.

    Seconds are of training and validating, the run's total shared equally over its epochs; NaN where the record has none.
    Blocks without the baseline have no rows.
    """
    of_baseline = runs[runs["model"] == baseline]
    best = of_baseline.groupby(["block", "key"])["value"].max().groupby("block").mean()
    runs = runs[runs["block"].isin(best.index)]
    if runs.empty:
        return pd.DataFrame()
    of = ["block", "task", "data", "model", "seed", "fold", "key"]
    last = runs.groupby("key", sort=False)["epoch"].max()
    each = {key: _seconds_an_epoch(records[str(key)]) for key in last.index}
    parts = []
    for percentage in percentages:
        rows = runs.drop_duplicates("key")[of].assign(percentage=percentage)
        rows["target"] = percentage / 100 * rows["block"].map(best)
        there = runs[runs["value"] >= percentage / 100 * runs["block"].map(best)].groupby("key")["epoch"].min()
        first = rows["key"].map(there)
        rows["epoch"] = first.fillna(rows["key"].map(last)).astype(int)
        rows["seconds"] = rows["epoch"] * rows["key"].map(each)
        rows["censored"] = first.isna()
        parts.append(rows)
    table = pd.concat(parts, ignore_index=True)
    table["device"] = [records[key].environment.get("device", "") for key in table["key"]]
    return table.drop(columns="key")


def _seconds_an_epoch(record: RunRecord) -> float:
    spent = record.timings.get("train", math.nan) + record.timings.get("validation", math.nan)
    return spent / record.epochs_trained if record.epochs_trained else math.nan


def median_with_censored(values: Sequence[float], censored: Sequence[bool]) -> float:
    """The median where runs that never arrive count as later than all others; NaN where it is one of theirs."""
    ordered = sorted(math.inf if lost else value for value, lost in zip(values, censored, strict=True))
    if not ordered or any(math.isnan(value) for value in values):
        return math.nan
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle if math.isfinite(middle) else math.nan
