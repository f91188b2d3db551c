"""The frame -> the table of results, in CSV and Markdown."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from benchmark.fault import plural
from benchmark.measures.significance import independent_t, sample_sd

SIGNIFICANT = 0.05
SEEN = "†"  # marks weights that were trained on the task's images


@dataclass(frozen=True)
class Column:
    """A column of the printed table: its head, and how a row of `summary` is written there."""

    head: str
    written: Callable[[pd.Series], str]


def _score(row: pd.Series) -> str:
    return _spread(100 * row["mean"], 100 * row["sd"], 2)


def _difference(row: pd.Series) -> str:
    if math.isnan(row["difference"]):
        return "baseline" if row["is_baseline"] else "–"
    interval = "" if math.isnan(row["low"]) else f" [{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"
    return f"{100 * row['difference']:+.2f}{interval}"


def _p(row: pd.Series) -> str:
    p = row["p"]
    if math.isnan(p):
        return "–"
    return ("< 0.0001" if p < 1e-4 else f"{p:.4f}") + (" *" if p < SIGNIFICANT else "")


def _spread(mean: float, sd: float, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


PRINTED = (
    Column("model", lambda row: str(row["model"]) + f" {SEEN}" * bool(row["overlap"])),
    Column("mean ± sd", _score),
    Column("n", lambda row: str(row["n"])),
    Column("difference [95 % CI]", _difference),
    Column("p", _p),
    Column("best epoch", lambda row: _spread(row["best_epoch"], row["best_epoch_sd"], 1)),
    Column("epochs trained", lambda row: _spread(row["epochs_trained"], row["epochs_trained_sd"], 1)),
)


def default_baseline(frame: pd.DataFrame) -> str:
    """`imagenet` where it was run, as in the papers; else what starts from scratch; else the first model."""
    models = list(dict.fromkeys(frame["model"]))
    scratch = [model for model in models if model.startswith("scratch")]
    return "imagenet" if "imagenet" in models else (scratch or models or [""])[0]


def summary(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """One row per block and model: `mean`, `sd` (ddof 1), `n`; `difference` from the baseline's mean with its 95 %
    interval and `p` of the independent two-sample t-test; `best_epoch` and `epochs_trained` with their sd;
    `overlap`: the weights had seen the task's images.

    Scores are in 0..1; cells without a score are left out of n.
    """
    rows = []
    scored = frame[frame["score"].notna()]
    for block, in_block in scored.groupby("block", sort=False):
        held = in_block.loc[in_block["model"] == baseline, "score"]
        for model, runs in in_block.groupby("model", sort=False):
            first = runs.iloc[0]
            row = {
                name: first[name]
                for name in (
                    "task",
                    "title",
                    "data",
                    "data_digest",
                    "protocol",
                    "setting",
                    "fraction",
                    "subset",
                    "folds",
                    "metric",
                )
            }
            row |= {
                "block": block,
                "model": model,
                "n": len(runs),
                "mean": runs["score"].mean(),
                "sd": sample_sd(runs["score"]),
            }
            row |= {"baseline": baseline, "is_baseline": model == baseline}
            row |= {"difference": math.nan, "low": math.nan, "high": math.nan, "p": math.nan}
            if model != baseline and len(held):
                test = independent_t(runs["score"], held)
                row |= {"difference": test.mean, "low": test.low, "high": test.high, "p": test.p}
            for name in ("best_epoch", "epochs_trained"):
                row |= {name: runs[name].mean(), f"{name}_sd": sample_sd(runs[name])}
            row |= {"num_train": first["num_train"], "num_test": first["num_test"]}
            row |= {"overlap": bool(runs["overlap"].any())}
            rows.append(row)
    return pd.DataFrame(rows)


def caption(rows: pd.DataFrame) -> str:
    """What a block's table shows, in one or two sentences, with all that a reader needs to judge it."""
    first = rows.iloc[0]
    about = [f"{first['task']}: {first['title']}", first["protocol"]]
    if first["setting"]:
        about.append(first["setting"])
    runs = "seeds" if pd.isna(first["folds"]) else "seeds and folds"
    tested = int(rows["p"].notna().sum())
    family = "" if not tested else f" p: {plural(tested, 'test')} in this table, not corrected for their number."
    seen = f" {SEEN} trained on the images of this task before: no fair comparison." if rows["overlap"].any() else ""
    phantom = " PHANTOM IMAGES: these numbers say nothing about medicine." if first["data"] == "phantom" else ""
    return (
        f"{', '.join(about)}. 100 × {first['metric']}, mean ± sd over n {runs} (n - 1 in the sd); "
        f"{first['num_train']:,} training and {first['num_test']:,} test images (data {first['data_digest'][:8]}). "
        f"Difference from {first['baseline']} with its 95 % interval and Student's independent two-sample t-test "
        f"(* p < {SIGNIFICANT}).{family}{seen}{phantom}"
    )


def markdown(rows: pd.DataFrame) -> str:
    """All blocks as Markdown, each under its caption."""
    parts = []
    for _, block in rows.groupby("block", sort=False):
        heads = [column.head for column in PRINTED]
        lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        lines += [f"| {' | '.join(column.written(row) for column in PRINTED)} |" for _, row in block.iterrows()]
        parts.append(caption(block) + "\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"
