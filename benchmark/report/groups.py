"""Scores by subgroup (sex, age, skin type, site …), from the records."""

import pandas as pd

from benchmark.measures.significance import sample_sd
from benchmark.record import RunRecord

COLUMNS = ["block", "task", "model", "group", "value", "metric", "mean", "sd", "n", "num_examples"]


def groups_of(frame: pd.DataFrame, records: list[RunRecord]) -> pd.DataFrame:
    """One row per block, model, group and value: the primary score's mean and sd (ddof 1) over n runs, in 0..1.

    `num_examples`: how many test examples have the value (their mean, where splits differ between runs). Runs in which
    the value could not be scored are left out of n.
    """
    by_key = {record.key: record for record in records}
    rows = []
    for _, run in frame.iterrows():
        for group, values in by_key[run["key"]].per_group.items():
            for value, scores in values.items():
                told = {name: run[name] for name in ("block", "task", "model", "metric")}
                rows.append(
                    {**told, "group": group, "value": value, "score": scores.get(run["metric"]), "num": scores["num"]}
                )
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    runs = pd.DataFrame(rows)
    runs["score"] = runs["score"].astype(float)
    grouped = runs.dropna(subset="score").groupby(["block", "task", "model", "group", "value", "metric"], sort=False)
    table = grouped.agg(
        mean=("score", "mean"), sd=("score", sample_sd), n=("score", "size"), num_examples=("num", "mean")
    )
    return table.reset_index()[COLUMNS]
