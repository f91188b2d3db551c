"""Scores by subgroup (sex, age, skin type, site …), from the records."""

import pandas as pd

from benchmark.results.record import RunRecord

COLUMNS = ["block", "task", "model", "group", "value", "metric", "mean", "sd", "n", "num_examples", "overlap"]


def groups_of(frame: pd.DataFrame, records: list[RunRecord]) -> pd.DataFrame:
    """Returns one row per block, model, group and value: the primary score's mean and sd (ddof 1) over n runs, in 0..1.

    `num_examples`: how many test examples have the value (their mean, where splits differ between runs). Runs in which
    the value could not be scored are left out of n. `overlap`: the weights were trained on images of the task.
    """
    by_key = {record.key: record for record in records}
    columns = ["key", "block", "task", "model", "metric", "overlap"]
    rows = []
    for key, *facts in frame[columns].itertuples(index=False):
        for group, values in by_key[key].per_group.items():
            for value, scores in values.items():
                rows.append((*facts, group, value, scores.get(facts[3]), scores["num"]))
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    runs = pd.DataFrame(rows, columns=[*columns[1:], "group", "value", "score", "num"])
    runs["score"] = runs["score"].astype(float)
    grouped = runs.dropna(subset="score").groupby(["block", "task", "model", "group", "value", "metric"], sort=False)
    table = grouped.agg(
        mean=("score", "mean"),
        sd=("score", "std"),
        n=("score", "size"),
        num_examples=("num", "mean"),
        overlap=("overlap", "any"),
    )
    return table.reset_index()[COLUMNS]
