"""Intervals over test sets: what other patients could have given, for the models as they were trained.

The test split is resampled 1,000 times by patient or by image (Azizi 2021, supplement B.1.1: 95 % percentile interval),
and all runs of a model are scored on each replicate: a model's value there is the mean over its runs. What another
training could have given is in the runs' own spread and tests, not here.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from benchmark.errors import BenchmarkError
from benchmark.results.predictions import Predictions
from benchmark.scoring.resampling import By, band_of, difference_of
from benchmark.tasks.spec import TaskSpec

COLUMNS = ["replicates_by", "replicates_units", "replicates_difference", "replicates_low", "replicates_high"]
COLUMNS += ["replicates_p", "test_low", "test_high"]
Load = Callable[[str], Predictions]  # a record's key -> its predictions


def with_replicates(
    rows: pd.DataFrame, frame: pd.DataFrame, load: Load, tasks: Mapping[str, TaskSpec], by: By
) -> pd.DataFrame:
    """Returns the rows of `summary` with COLUMNS: the interval of each model's mean, and of its difference from the
    baseline (NaN for the baseline itself, and where it was not run). Raises BenchmarkError where the predictions cannot be
    compared, naming the task.
    """
    return _filled(rows, frame, load, tasks, by, wanted=lambda _: True)


def with_replicates_of_single_runs(
    rows: pd.DataFrame, frame: pd.DataFrame, load: Load, tasks: Mapping[str, TaskSpec]
) -> pd.DataFrame:
    """Returns the rows with COLUMNS filled where a model has one result that no seed changes: the test set is then all
    that could have varied. The rows as they are where there is no such model.
    """
    alone = rows["is_deterministic"] & (rows["n"] == 1)
    if not alone.any():
        return rows
    return _filled(
        rows, frame, load, tasks, "patient", wanted=lambda row: bool(row["is_deterministic"] and row["n"] == 1)
    )


def _filled(
    rows: pd.DataFrame,
    frame: pd.DataFrame,
    load: Load,
    tasks: Mapping[str, TaskSpec],
    by: By,
    *,
    wanted: Callable[[dict[Any, Any]], bool],
) -> pd.DataFrame:
    scored = frame[frame["score"].notna()]
    keys = {name: list(runs["key"]) for name, runs in scored.groupby(["block", "model_id"], sort=False)}
    baselines = {row["block"]: row for row in rows[rows["is_baseline"]].to_dict("records")}
    filled = []
    for row in rows.to_dict("records"):
        intervals: dict[str, Any] = {**dict.fromkeys(COLUMNS, math.nan), "replicates_by": by}
        if wanted(row) and row["task"] in tasks:
            judging, metric = tasks[row["task"]].judging, row["metric"]
            own = [load(key) for key in keys[row["block"], row["model_id"]]]
            try:
                _, intervals["test_low"], intervals["test_high"] = band_of(own, judging, metric, by=by)
                baseline = baselines.get(row["block"])
                if baseline is not None and not row["is_baseline"] and wanted(baseline):
                    against = [load(key) for key in keys[row["block"], baseline["model_id"]]]
                    drawn = difference_of(own, against, judging, metric, by=by)
                    intervals |= {
                        "replicates_units": drawn.units,
                        "replicates_difference": drawn.difference,
                        "replicates_low": drawn.low,
                        "replicates_high": drawn.high,
                        "replicates_p": drawn.p,
                    }
            except BenchmarkError as error:
                raise BenchmarkError(f"test sets drawn by {by}: {row['task']}, {row['model']}: {error}") from error
        filled.append(intervals)
    return rows.assign(**pd.DataFrame(filled, columns=COLUMNS, index=rows.index).to_dict("series"))
