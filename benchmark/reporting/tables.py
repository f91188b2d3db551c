"""The frame -> the table of results: means, tests against a baseline, corrected p; in CSV, Markdown and LaTeX.

The unit is the run. Each block (one task, data, protocol, recipe and share) is a table and a family of tests of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from benchmark.reporting.format import OVERLAP, difference, interval, mean_sd, p_value, score, starred_p
from benchmark.reporting.frame import SCRATCH
from benchmark.reporting.metric_facts import metric_title
from benchmark.reporting.table_writers import Line, PrintedTable, Span
from benchmark.stats import significance
from benchmark.stats.multiplicity import benjamini_hochberg, holm
from benchmark.stats.significance import Difference, hedges_g
from benchmark.text import plural

# columns that are equal in all rows of a block
ABOUT = (
    "task",
    "title",
    "data",
    "data_digest",
    "num_images",
    "num_published",
    "protocol",
    "setting",
    "fraction",
    "subset",
    "folds",
    "metric",
    "num_train",
    "num_validation",
    "num_test",
)
DEFAULT_TEST = "welch"  # the runs of two models need not spread alike


@dataclass(frozen=True)
class Test:
    """A test of two models' runs: `words` for a caption; `paired`: of the same seed and fold, else of all runs."""

    words: str
    of: Callable[[ArrayLike, ArrayLike], Difference]
    paired: bool = False


TESTS = {
    "student": Test("Student's independent two-sample t-test", significance.independent_t),
    "welch": Test("Welch's independent two-sample t-test", significance.welch_t),
    "paired": Test("Student's t-test of pairs of the same seed", significance.paired_t, paired=True),
    "wilcoxon": Test("Wilcoxon's signed-rank test of pairs of the same seed", significance.wilcoxon, paired=True),
}


@dataclass(frozen=True)
class Column:
    """A column of the printed table: its head, and how a row of `summary` is written in it."""

    head: str
    write: Callable[[pd.Series], str]


def marked_model(row: "pd.Series[Any]") -> str:
    """Returns the model's name, marked where its weights were trained on images of the task."""
    return f"{row['model']} {OVERLAP}" if row["overlap"] else str(row["model"])


def _score(row: pd.Series) -> str:
    if row["n"] > 1 and row["is_constant"]:
        return f"{score(row['mean'])} (the same in all {row['n']} runs)"
    return score(row["mean"], row["sd"])


def _difference(row: pd.Series) -> str:
    return "baseline" if row["is_baseline"] else difference(row["difference"], row["low"], row["high"])


def _over_test_sets(row: pd.Series) -> str:
    return difference(row["replicates_difference"], row["replicates_low"], row["replicates_high"])


MODEL = Column("model", marked_model)
SCORE = Column("mean ± sd", _score)
COLUMNS = (
    Column("n", lambda row: str(row["n"])),
    Column("difference [95 % CI]", _difference),
    Column("p", lambda row: starred_p(row["p"])),
    Column("p (Holm)", lambda row: p_value(row["p_holm"])),
    Column("best epoch", lambda row: mean_sd(row["best_epoch"], row["best_epoch_sd"], 1)),
    Column("epochs trained", lambda row: mean_sd(row["epochs_trained"], row["epochs_trained_sd"], 1)),
)
# of `replicates`: what other test sets could have given
SCORE_OVER_TEST_SETS = Column("over test sets [95 %]", lambda row: interval(row["test_low"], row["test_high"]))
DIFFERENCE_OVER_TEST_SETS = Column("difference over test sets [95 %]", _over_test_sets)


def columns_of(rows: pd.DataFrame) -> tuple[Column, ...]:
    """Returns the columns that are printed of `summary`; those over test sets only where something was resampled."""
    columns = [MODEL, SCORE]
    if "test_low" in rows and rows["test_low"].notna().any():
        columns.append(SCORE_OVER_TEST_SETS)
    columns += COLUMNS
    if "replicates_low" in rows and rows["replicates_low"].notna().any():
        columns.append(DIFFERENCE_OVER_TEST_SETS)
    return tuple(columns)


def default_baseline(frame: pd.DataFrame) -> str:
    """Returns the model that the others are compared with: `imagenet` where it was run, as in the papers; else one that
    starts from scratch; else the first.
    """
    models = list(dict.fromkeys(frame["model"]))
    from_scratch = list(dict.fromkeys(frame.loc[frame["family"] == SCRATCH, "model"]))
    return "imagenet" if "imagenet" in models else (from_scratch or models or [""])[0]


def summary(frame: pd.DataFrame, baseline: str, test: str = DEFAULT_TEST) -> pd.DataFrame:
    """Returns one row per block and model: `mean`, `sd` (ddof 1), `n`; `difference` from the baseline's mean with its 95 %
    interval and the `p` of `test` (of TESTS), `n_tested` (runs, or pairs) and `p_holm` and `p_bh`, corrected for the
    tests of the block; `hedges_g`, and `smallest_effect`, in sds, that so many runs a side could show (power 0.8);
    `validation` and its sd, the mean score on the validation split; `best_epoch` and `epochs_trained` with their sd;
    `is_constant`: all runs gave one number; `overlap`: the weights were trained on images of the task.

    Scores are in 0..1; cells without a score are left out of n. A paired test's difference is that of its pairs. Runs are
    of one model where their `model_id` is the same, whatever name is shown.
    """
    scored = frame[frame["score"].notna()].assign(score=lambda runs: runs["score"].astype(float))
    by_model = scored.groupby(["block", "model_id"], sort=False)
    rows = by_model[["model", "members", *ABOUT, "family", "is_deterministic"]].first(skipna=False)
    rows["n"] = by_model.size()
    rows["mean"], rows["sd"] = by_model["score"].mean(), by_model["score"].std(ddof=1)
    rows["is_constant"] = by_model["score"].agg(lambda scores: scores.max() - scores.min() <= 1e-12)
    for name in ("validation", "best_epoch", "epochs_trained"):
        values = scored[name].astype(float).groupby([scored["block"], scored["model_id"]], sort=False)
        rows[name], rows[f"{name}_sd"] = values.mean(), values.std(ddof=1)
    rows["overlap"] = by_model["overlap"].any()
    rows = rows.reset_index().assign(baseline=baseline, test=test)
    rows["is_baseline"] = rows["model"] == baseline
    runs = dict(list(scored.groupby(["block", "model_id"], sort=False)))
    baselines = {row["block"]: runs[row["block"], row["model_id"]] for _, row in rows[rows["is_baseline"]].iterrows()}
    tested = []
    for row in rows.to_dict("records"):
        against = None if row["is_baseline"] else baselines.get(row["block"])
        one = runs[row["block"], row["model_id"]]
        tested.append((math.nan,) * 7 if against is None else _tested(one, against, test))
    columns = ["difference", "low", "high", "p", "n_tested", "hedges_g", "smallest_effect"]
    rows[columns] = pd.DataFrame(tested, columns=columns, index=rows.index, dtype=float)
    blocks = rows.groupby("block", sort=False)["p"]
    return rows.assign(p_holm=blocks.transform(holm), p_bh=blocks.transform(benjamini_hochberg))


def _tested(one: pd.DataFrame, two: pd.DataFrame, test: str) -> tuple[float, ...]:
    effect = hedges_g(one["score"], two["score"])
    chosen = TESTS[test]
    if chosen.paired:
        paired = one.merge(two, on=["seed", "fold"], suffixes=("", "_base"))
        if paired.empty:
            return (math.nan,) * 4 + (0, effect, math.nan)
        found = chosen.of(paired["score"], paired["score_base"])
        return found.mean, found.low, found.high, found.p, len(paired), effect, math.nan
    found, num = chosen.of(one["score"], two["score"]), min(len(one), len(two))
    return found.mean, found.low, found.high, found.p, num, effect, _smallest_effect(num)


_smallest_effect = cache(significance.smallest_effect)


def caption(rows: pd.DataFrame) -> str:
    """Returns what a block's table shows, in a few sentences, with all that a reader needs to judge it."""
    first = rows.iloc[0]
    about = [f"{first['task']}: {first['title']}", first["protocol"]]
    if first["setting"]:
        about.append(first["setting"])
    tested = int(rows["p"].notna().sum())
    sentences = [
        ", ".join(about) + ".",
        data_sentence(first),
        f"100 × {metric_title(first['metric'])}, mean ± sd over n {runs_noun(rows)} (n - 1 in the sd).",
        size_sentence(first),
        what_varies(rows),
        f"Difference from {first['baseline']} with its 95 % interval and {TESTS[first['test']].words} (* p < 0.05).",
    ]
    if tested:
        sentences.append(
            f"p: {plural(tested, 'test')} in this table, not corrected for their number; p (Holm): corrected for it."
        )
    fewest = rows.loc[rows["p"].notna(), "smallest_effect"].max()
    if fewest > 0:
        sentences.append(f"So few runs show differences of {fewest:.2f} sd and more (power 0.8, one test).")
    if "test_low" in rows and rows["test_low"].notna().any():
        sentences.append(
            f"Over test sets: 1,000 test sets drawn by {first['replicates_by']} from this one, all runs of a model "
            "(95 % percentile interval): what other patients could have given, of these trained models."
        )
    if rows["overlap"].any():
        sentences.append(f"{OVERLAP} trained on images of this task before: no fair comparison.")
    return " ".join(filter(None, sentences))


def data_sentence(row: "pd.Series[Any]") -> str:
    """Returns the sentence that says how the images relate to the published data set; nothing where they are all of it."""
    if row["data"] == "phantom":
        return "PHANTOM IMAGES: these numbers say nothing about medicine."
    if row["data"] == "partial":
        return f"PARTIAL DATA: {row['num_images']:,.0f} of {row['num_published']:,.0f} published images."
    if row["data"] == "own":
        return "OWN DATA OR SPLIT: not the published data set in its official split."
    return ""


def data_sentences(rows: pd.DataFrame) -> list[str]:
    """Returns the sentences of `data_sentence` over several tasks, each with the tasks that it is about."""
    of_tasks: dict[str, list[str]] = {}
    for row in rows.drop_duplicates(["task", "data"]).to_dict("records"):
        if sentence := data_sentence(pd.Series(row)):
            of_tasks.setdefault(sentence, []).append(row["task"])
    several = len(set(rows["task"])) > 1
    return [f"{', '.join(tasks)}: {sentence}" if several else sentence for sentence, tasks in of_tasks.items()]


def size_sentence(row: "pd.Series[Any]") -> str:
    """Returns how many images train, validate and test; the validation split is labeled too, however few images train."""
    train, validation, test = (row[name] for name in ("num_train", "num_validation", "num_test"))
    if pd.isna(train) or pd.isna(test):
        return f"Data {row['data_digest'][:8]}."
    labeled = "" if pd.isna(validation) else f", {validation:,.0f} validation images, labeled too"
    return f"{train:,.0f} training images{labeled}; {test:,.0f} test images (data {row['data_digest'][:8]})."


def runs_noun(rows: pd.DataFrame) -> str:
    """Returns what n counts."""
    folds = rows["folds"].notna().any()
    if rows["is_deterministic"].all():
        return "folds" if folds else "runs"
    return "seeds and folds" if folds else "seeds"


def what_varies(rows: pd.DataFrame) -> str:
    """Returns the sentences that say what the spread and the p are about, and what they are not about."""
    sentences = []
    if rows["folds"].notna().any():
        sentences.append(
            "Runs of several folds share training images and are tested on the same images: they are not independent, so "
            "the sd and p are too small."
        )
    elif not rows["is_deterministic"].all():
        sentences.append(
            "Runs differ in the training seed and share the images of all splits: sd, interval and p are about training "
            "again, not about other patients."
        )
    if rows["is_deterministic"].any() and not rows["folds"].notna().any():
        which = "" if rows["is_deterministic"].all() else " where n is 1"
        sentences.append(f"No seed changes the answer{which}: it is one run, and no test of runs is made.")
    return " ".join(sentences)


def block_tables(rows: pd.DataFrame) -> list[PrintedTable]:
    """Returns a table to print for each block."""
    return [_block_table(block) for _, block in rows.groupby("block", sort=False)]


def _block_table(rows: pd.DataFrame) -> PrintedTable:
    head, *columns = columns_of(rows)
    lines = [
        Line(heads=(head.write(row),), cells=tuple((Span(column.write(row)),) for column in columns))
        for _, row in rows.iterrows()
    ]
    heads = tuple((column.head,) for column in columns)
    return PrintedTable(title=caption(rows), stub=(head.head,), columns=heads, lines=tuple(lines))
