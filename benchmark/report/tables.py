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

from benchmark.report.table_writers import Line, PrintedTable, Span, latex_of, markdown_of
from benchmark.stats import significance
from benchmark.stats.multiplicity import benjamini_hochberg, holm
from benchmark.stats.significance import Difference, hedges_g
from benchmark.text import plural

SIGNIFICANT = 0.05
SEEN = "†"  # marks weights that were trained on the task's images
# of a block, in each of its rows
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
    """A column of the printed table: its head, and how a row of `summary` is written there."""

    head: str
    written: Callable[[pd.Series], str]


def _score(row: pd.Series) -> str:
    if row["n"] > 1 and row["is_constant"]:
        return f"{100 * row['mean']:.2f} (the same in all {row['n']} runs)"
    return spread(100 * row["mean"], 100 * row["sd"], 2)


def _difference(row: pd.Series) -> str:
    if math.isnan(row["difference"]):
        return "baseline" if row["is_baseline"] else "–"
    interval = "" if math.isnan(row["low"]) else f" [{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"
    return f"{100 * row['difference']:+.2f}{interval}"


def _p(row: pd.Series) -> str:
    p = row["p"]
    return "–" if math.isnan(p) else told_p(p) + (" *" if p < SIGNIFICANT else "")


def told_p(p: float) -> str:
    """A p in four decimals, `< 0.0001` below them."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def spread(mean: float, sd: float, digits: int) -> str:
    """`91.50 ± 1.29`; the mean alone where there is no sd; – where there is none."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


PRINTED = (
    Column("model", lambda row: str(row["model"]) + f" {SEEN}" * bool(row["overlap"])),
    Column("mean ± sd", _score),
    Column("n", lambda row: str(row["n"])),
    Column("difference [95 % CI]", _difference),
    Column("p", _p),
    Column("p (Holm)", lambda row: "–" if math.isnan(row["p_holm"]) else told_p(row["p_holm"])),
    Column("best epoch", lambda row: spread(row["best_epoch"], row["best_epoch_sd"], 1)),
    Column("epochs trained", lambda row: spread(row["epochs_trained"], row["epochs_trained_sd"], 1)),
)


def _replicates(row: pd.Series) -> str:
    if math.isnan(row["replicates_low"]):
        return "–"
    interval = f"[{100 * row['replicates_low']:+.2f}, {100 * row['replicates_high']:+.2f}]"
    return f"{100 * row['replicates_difference']:+.2f} {interval}"


def _test_set(row: pd.Series) -> str:
    if math.isnan(row["test_low"]):
        return "–"
    return f"[{100 * row['test_low']:.2f}, {100 * row['test_high']:.2f}]"


# of `replicates`: what other test sets could have given
TEST_SET = Column("over test sets [95 %]", _test_set)
REPLICATES = Column("difference over test sets [95 %]", _replicates)


def columns_of(rows: pd.DataFrame) -> tuple[Column, ...]:
    """Returns the columns that are printed of `summary`."""
    mean, *rest = PRINTED[1:]
    test_set = [TEST_SET] if "test_low" in rows and rows["test_low"].notna().any() else []
    replicates = [REPLICATES] if "replicates_low" in rows and rows["replicates_low"].notna().any() else []
    return (PRINTED[0], mean, *test_set, *rest, *replicates)


def default_baseline(frame: pd.DataFrame) -> str:
    """`imagenet` where it was run, as in the papers; else what starts from scratch; else the first model."""
    models = list(dict.fromkeys(frame["model"]))
    scratch = [model for model in models if model.startswith("scratch")]
    return "imagenet" if "imagenet" in models else (scratch or models or [""])[0]


def summary(frame: pd.DataFrame, baseline: str, test: str = DEFAULT_TEST) -> pd.DataFrame:
    """Returns one row per block and model: `mean`, `sd` (ddof 1), `n`; `difference` from the baseline's mean with its 95 %
    interval and the `p` of `test` (of TESTS), `n_tested` (runs, or pairs) and `p_holm` and `p_bh`, corrected for the
    tests of the block; `hedges_g`, and `smallest_effect`, in sds, that so many runs a side could show (power 0.8);
    `validation` and its sd, the mean score on the validation part; `best_epoch` and `epochs_trained` with their sd;
    `is_constant`: all runs gave one number; `overlap`: the weights had seen the task's images.

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
        f"100 × {first['metric']}, mean ± sd over n {runs_noun(rows)} (n - 1 in the sd).",
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
            f"Over test sets: 1,000 test parts drawn by {first['replicates_by']} from this one, all runs of a model "
            "(95 % percentile interval): what other patients could have given, of these trained models."
        )
    if rows["overlap"].any():
        sentences.append(f"{SEEN} trained on images of this task before: no fair comparison.")
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
    """Returns how many images train, choose and test; the validation part is labelled too, however few images train."""
    train, validation, test = (row[name] for name in ("num_train", "num_validation", "num_test"))
    if pd.isna(train) or pd.isna(test):
        return f"Data {row['data_digest'][:8]}."
    labelled = "" if pd.isna(validation) else f", {validation:,.0f} validation images, labelled too"
    return f"{train:,.0f} training images{labelled}; {test:,.0f} test images (data {row['data_digest'][:8]})."


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
            "Runs of several folds share training images and are judged on one test part: they are not independent, so "
            "the sd and p are too small."
        )
    elif not rows["is_deterministic"].all():
        sentences.append(
            "Runs differ in the training seed and share the images of all parts: sd, interval and p are about training "
            "again, not about other patients."
        )
    if rows["is_deterministic"].any() and not rows["folds"].notna().any():
        which = "" if rows["is_deterministic"].all() else " where n is 1"
        sentences.append(f"No seed changes the answer{which}: it is one run, and no test of runs is made.")
    return " ".join(sentences)


def grids(rows: pd.DataFrame) -> list[PrintedTable]:
    """A table to print for each block."""
    made, shown = [], columns_of(rows)
    for _, block in rows.groupby("block", sort=False):
        lines = []
        for _, row in block.iterrows():
            head, *cells = (column.written(row) for column in shown)
            lines.append(Line(heads=(head,), cells=tuple((Span(cell),) for cell in cells)))
        columns = tuple((column.head,) for column in shown[1:])
        made.append(PrintedTable(title=caption(block), stub=(shown[0].head,), columns=columns, lines=tuple(lines)))
    return made


def markdown(rows: pd.DataFrame) -> str:
    """All blocks as Markdown, each under its caption."""
    return "\n\n".join(markdown_of(grid).rstrip("\n") for grid in grids(rows)) + "\n"


def latex(rows: pd.DataFrame) -> str:
    """All blocks as LaTeX, one table each."""
    return latex_of(*grids(rows))
