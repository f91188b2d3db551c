"""What a report answers first: a sentence for each block, and all models on all tasks in one table.

The sentence says which model is best, by how much, how sure that is, how fast it trained, and what so many runs and such a
test set can show. Models whose weights were trained on the task's images are never called the best.
"""

from typing import Any

import pandas as pd

from benchmark.reporting.format import (
    NOT_DIFFERENT,
    OVERLAP,
    SIGNIFICANT,
    UNKNOWN,
    difference,
    known,
    number,
    p_equation,
    score,
)
from benchmark.reporting.metric_facts import best_word, directions, is_higher_better, metric_title
from benchmark.reporting.table_writers import Content, Line, PrintedTable, Span, frame_csv
from benchmark.reporting.tables import data_sentences, runs_noun
from benchmark.stats.significance import t_interval, welch_t


def block_answers(rows: pd.DataFrame) -> list[str]:
    """Returns a sentence or two for each block of `summary`."""
    num_blocks = rows.groupby("task")["block"].nunique()
    answers = []
    for _, block in rows.groupby("block", sort=False):
        first = block.iloc[0]
        label = first["task"] if num_blocks[first["task"]] == 1 else block_label(first)
        answers.append(f"{label}: {_answer(block)}")
    return answers


def block_label(row: "pd.Series[Any]") -> str:
    """Returns a block's task, with its protocol and setting: `TXC (linear, 50 training images)`."""
    return f"{row['task']} ({', '.join(filter(None, [row['protocol'], row['setting']]))})"


def _answer(block: pd.DataFrame) -> str:
    fair = _best_first(block[~block["overlap"].astype(bool)])
    if fair.empty:
        return "no model here that was not trained on the task's images."
    best, baseline = fair.iloc[0], str(fair["baseline"].iloc[0])
    runs = f"{best['n']} {runs_noun(block)}" if best["n"] > 1 else "one run"
    best_score = f"{best_word(best['metric'])} {metric_title(best['metric'])}"
    text = f"{best['model']} has the {best_score}, {score(best['mean'], best['sd'])} (× 100, {runs})"
    if len(fair) == 1:
        return f"{text}; nothing was run that it can be compared with."
    if best["is_baseline"]:
        rivals = fair[fair["p_holm"].notna()]
        worse = int((rivals["p_holm"] < SIGNIFICANT).sum())
        tested = f"it is the baseline, and {worse} of {len(rivals)} others are worse (Holm, p < {SIGNIFICANT})"
        return f"{text}; {tested if len(rivals) else 'no test could be made'}.{_limits(fair, best)}"
    if known(best["difference"]) is None:
        return f"{text}; the baseline {baseline} was not run.{_limits(fair, best)}"
    gap = f"{difference(best['difference'], best['low'], best['high'])} points against {baseline}"
    if known(best["p_holm"]) is None:
        return f"{text}; {gap}, without a test.{_limits(fair, best)}"
    sure = "better" if best["p_holm"] < SIGNIFICANT else "not told apart from it"
    return f"{text}; {gap}, {sure} ({p_equation(best['p_holm'])}, Holm){_speed(fair, best)}.{_limits(fair, best)}"


def _best_first(block: pd.DataFrame) -> pd.DataFrame:
    """Returns a block's rows by their mean; of equal ones, those that came first."""
    ascending = not is_higher_better(block["metric"].iloc[0]) if len(block) else False
    return block.sort_values("mean", ascending=ascending, kind="stable")


def _speed(block: pd.DataFrame, best: "pd.Series[Any]") -> str:
    """Returns the best epochs of the best model and the baseline, where both are known."""
    baseline = block[block["is_baseline"]]
    if baseline.empty or known(best["best_epoch"]) is None or known(baseline.iloc[0]["best_epoch"]) is None:
        return ""
    return f"; best epoch {number(best['best_epoch'], 1)}, of the baseline {number(baseline.iloc[0]['best_epoch'], 1)}"


def _limits(block: pd.DataFrame, best: "pd.Series[Any]") -> str:
    """Returns what so many runs and such a test set can show."""
    sentences = []
    effect = known(block["smallest_effect"].max())
    if effect is not None:
        sentences.append(f"So few runs can show differences of {effect:.1f} sd and more (power 0.8).")
    low, high = (known(best.get(name)) for name in ("replicates_low", "replicates_high"))
    if low is not None and high is not None:
        zero = "leave out" if low > 0 or high < 0 else "hold"
        interval = difference(best["replicates_difference"], low, high)
        sentences.append(f"Other test sets of this size could give {interval}, which {zero} zero.")
    elif known(best["num_test"]) is not None:
        sentences.append(f"What another test set of {best['num_test']:,.0f} images could give, --bootstrap estimates.")
    return f" {' '.join(sentences)}" if sentences else ""


def results_table(frame: pd.DataFrame, rows: pd.DataFrame) -> PrintedTable:
    """Returns models × blocks: the mean with the 95 % t-interval of its runs, the best of a block bold, those marked that do
    not differ from it (Welch's t, p ≥ 0.05, not corrected); and the mean rank over the blocks that all models have.
    """
    scored = frame[frame["score"].notna()]
    runs = {name: of["score"].to_numpy(float) for name, of in scored.groupby(["block", "model"])}
    blocks = list(dict.fromkeys(rows["block"]))
    models = list(dict.fromkeys(rows["model"]))
    overlapping = {(row["block"], row["model"]) for row in rows[rows["overlap"].astype(bool)].to_dict("records")}
    best = {}
    for block, of_block in rows[~rows["overlap"].astype(bool)].groupby("block"):
        best[block] = _best_first(of_block)["model"].iloc[0]
    ranks = _mean_ranks(rows)
    lines = []
    for model in models:
        cells: list[Content] = []
        for block in blocks:
            values = runs.get((block, model))
            if values is None:
                cells.append((Span(UNKNOWN),))
                continue
            is_best = best.get(block) == model
            mark = OVERLAP if (block, model) in overlapping else ""
            if not mark and not is_best and welch_t(values, runs[block, best[block]]).p >= SIGNIFICANT:
                mark = NOT_DIFFERENT
            low, high = t_interval(values)
            span = "" if known(low) is None else f" [{score(low)}, {score(high)}]"
            cells.append((Span(score(values.mean()), bold=is_best), Span(f"{span} ({len(values)}){mark}")))
        if ranks is not None:
            cells.append((Span(number(ranks.get(model), 2)),))
        lines.append(Line(heads=(model,), cells=tuple(cells)))
    firsts = rows.drop_duplicates("block").set_index("block")
    num_blocks = firsts["task"].value_counts()
    heads = [
        (firsts.loc[block, "task"] if num_blocks[firsts.loc[block, "task"]] == 1 else block_label(firsts.loc[block]),)
        for block in blocks
    ]
    marks = f"{NOT_DIFFERENT} not different from it (Welch's t, p ≥ {SIGNIFICANT}, not corrected); {UNKNOWN} not run"
    notes = [
        f"100 × the primary metric: the mean and the 95 % t-interval of its runs (n). Bold: a column's best; {marks}."
    ]
    if overlapping:
        notes.append(f"{OVERLAP} trained on images of this task before: no fair comparison.")
    if ranks is not None:
        heads.append(("mean rank",))
        notes.append("Mean rank: over the columns that all models have, 1 the best.")
    return PrintedTable(
        title="All models on all tasks",
        stub=("model",),
        columns=tuple((str(head),) for (head,) in heads),
        lines=tuple(lines),
        notes=tuple(notes + data_sentences(rows)),
    )


def matrix_csv(frame: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Returns models × blocks as CSV, a line for each model and block: mean, 95 % t-interval, n, whether it is the best of
    the block, and the model's mean rank; scores in 0..1, what is not known empty.
    """
    scored = frame[frame["score"].notna()]
    runs = {name: of["score"].to_numpy(float) for name, of in scored.groupby(["block", "model"])}
    ranks = _mean_ranks(rows) or {}
    lines = []
    for block, of_block in rows.groupby("block", sort=False):
        fair = _best_first(of_block[~of_block["overlap"].astype(bool)])
        for row in of_block.to_dict("records"):
            low, high = t_interval(runs[block, row["model"]])
            facts = {name: row[name] for name in ("model", "task", "protocol", "setting", "data", "metric", "mean")}
            is_best = len(fair) > 0 and row["model"] == fair["model"].iloc[0]
            facts |= {"low": low, "high": high, "n": row["n"], "best": is_best, "overlap": row["overlap"]}
            lines.append({**facts, "mean_rank": ranks.get(row["model"])})
    return frame_csv(pd.DataFrame(lines))


def _mean_ranks(rows: pd.DataFrame) -> "dict[str, float] | None":
    """Returns the mean rank over the blocks that all models have, without models that were trained on images of a task;
    None where these are fewer than two.
    """
    unfair = set(rows.loc[rows["overlap"].astype(bool), "model"])
    means = (
        rows[~rows["model"].isin(unfair)]
        .assign(mean=rows["mean"] * directions(rows["metric"]))
        .pivot_table(index="model", columns="block", values="mean", sort=False)
        .dropna(axis="columns")
    )
    if means.shape[1] < 2 or len(means) < 2:
        return None
    return {str(model): float(rank) for model, rank in means.rank(ascending=False).mean(axis=1).items()}
