"""Two models, or two runs of one grid: which is better, by how much, how sure, on which tasks. Torch-free.

The unit is the run. Each result (a block of the frame; between two folders, a block and a model) is one test, Welch's
independent t as everywhere in the reports; the family of Holm's correction is all tests of one table. Kinds of data
(official, partial, own, phantom) are families of their own. Nothing is tested where a side has fewer than two runs.

That test is about training again on the same images. What another test part could have given is told beside it, by
resampling the patients of the test part under all runs of both models (`with_test_sets`).
"""

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from benchmark.errors import BenchmarkError
from benchmark.report.format import OVERLAP, SIGNIFICANT, difference, known, p_equation, signed
from benchmark.report.replicates import Load
from benchmark.report.tables import data_sentences
from benchmark.results.record import RunRecord
from benchmark.scoring.resampling import difference_of
from benchmark.stats.multiplicity import holm
from benchmark.stats.significance import hedges_g, paired_t, sample_sd, smallest_effect, t_interval, tost, welch_t
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

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
# what a row may say of its two sides; the first is meant as the subject: `better` is the first's
VERDICTS = ("better", "worse", "equivalent", "undecided", "identical", "not tested", "missing")


def sides_of(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    margin: float,
    by: tuple[str, ...] = ("block",),
    equal: Collection[str] = (),
) -> pd.DataFrame:
    """One row per result (`by`) of either frame: `difference`, first minus second, with its 95 % interval, Welch's
    t-test and `p_holm`, Hedges' g, the paired t-test of the runs whose seed and fold both have, and TOST's `p_equivalent`
    within `margin`.

    Scores and `margin` are in 0..1. `equal`: keys of cells that both have, bit for bit. What cannot be told is NaN.
    """
    # no fold is a fold like another, so that runs without one are pairs too
    first, second = (side[side["score"].notna()].assign(pair_fold=_folds) for side in (first, second))
    order = pd.concat([first, second])[[*dict.fromkeys([*ABOUT, *by])]].drop_duplicates(list(by))
    order = order.sort_values([*dict.fromkeys(["data", "task", "block", *by])], ignore_index=True)
    rows = [
        {**about, **_tested(_of(first, about, by), _of(second, about, by), margin, equal)}
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
    """Returns the rows of `sides_of` with `test_difference`, `test_low` and `test_high`: the difference and its 95 %
    interval over 1,000 test parts, the patients of this one drawn anew under all runs of both sides (scores in 0..1);
    NaN where the two were not judged on the same images. `loads`: how each side's predictions are read, by key.
    """
    found = []
    for row in rows.to_dict("records"):
        values = (math.nan,) * 3
        runs = [_of(side[side["score"].notna()], row, by) for side in sides]
        if row["task"] in tasks and all(len(side) for side in runs):
            with suppress(BenchmarkError):  # other images or labels on the two sides, or predictions that are gone
                one, two = ([load(key) for key in side["key"]] for load, side in zip(loads, runs, strict=True))
                drawn = difference_of(one, two, tasks[row["task"]].judging, row["metric"])
                values = (drawn.difference, drawn.low, drawn.high)
        found.append(values)
    columns = ["test_difference", "test_low", "test_high"]
    return rows.assign(**pd.DataFrame(found, columns=columns, index=rows.index).to_dict("series"))


def same_run(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records of one cell are the same to the last bit: every score and every epoch's losses."""
    return all(getattr(one, name) == getattr(other, name) for name in ("scores", "per_label", "per_group", "history"))


def answer(rows: pd.DataFrame, first: str, second: str) -> list[str]:
    """The answer in sentences, for one kind of data (`rows` with one value of `data`): two models."""
    compared = rows[rows["verdict"] != "missing"]
    lines = []
    if compared.empty:
        lines.append(f"Nothing can be told of {first} and {second}: no task has runs of both.")
    elif len(compared) == 1:
        lines.append(_on_one(compared.iloc[0], first, second))
    else:
        lines += [_on_many(compared, first, second), _on_average(compared, "tasks")]
    return [*lines, *_beside(rows, first, second)]


def answer_of_replication(rows: pd.DataFrame, first: str, second: str, cells: tuple[int, int]) -> list[str]:
    """The answer in sentences, for one kind of data: a replication against a first run.

    `cells`: how many both have, and how many of them are equal bit for bit.
    """
    compared = rows[rows["verdict"] != "missing"]
    shared, same = cells
    lines = []
    if compared.empty:
        lines.append(f"Nothing can be told: {first} and {second} have no model on the same task, images and settings.")
    else:
        told = {name: int((compared["verdict"] == name).sum()) for name in VERDICTS}
        bound = f"equivalent within ± {_margin(rows)}"
        parts = [
            f"{told['identical']} identical",
            f"{told['better']} better in {first}",
            f"{told['worse']} worse",
            f"{told['equivalent']} {bound}",
            f"{told['undecided']} undecided (neither different nor equivalent)",
            f"{told['not tested']} not tested (under two runs a side)",
        ]
        kept = [part for part in parts if not part.startswith("0 ")]
        lines.append(
            f"Of {plural(len(compared), 'result')} (a model on a task) that both have: {', '.join(kept)}. "
            f"{_method(compared)}"
        )
        if len(compared) > 1:
            lines.append(_on_average(compared, "results"))
    if shared:
        equal = f"{same:,} of {plural(shared, 'cell')} that both have are equal to the last bit"
        lines.append(f"{equal} (all scores, every epoch's losses).")
    return [*lines, *_beside(rows, first, second)]


def _folds(side: pd.DataFrame) -> "pd.Series[Any]":
    return side["fold"].astype(float).fillna(-1)


def _of(side: pd.DataFrame, about: Mapping[Any, Any], by: tuple[str, ...]) -> pd.DataFrame:
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
        return "better" if row["difference"] > 0 else "worse"
    return "equivalent" if row["p_equivalent"] < SIGNIFICANT else "undecided"


def place_of(row: "pd.Series[Any]") -> str:
    """The row's task, with what else tells it from another: protocol and setting."""
    beside = [row["protocol"]] * (row["protocol"] != "finetune") + [row["setting"]] * bool(row["setting"])
    return f"{row['task']} ({', '.join(beside)})" if beside else str(row["task"])


def _places(rows: pd.DataFrame, among: pd.DataFrame) -> list[str]:
    """The rows' tasks, each once; with protocol and setting where `among` has another block of the task."""
    blocks = among.groupby("task")["block"].nunique()
    told = [row["task"] if blocks[row["task"]] == 1 else place_of(row) for _, row in rows.iterrows()]
    return list(dict.fromkeys(told))


def _on_one(row: "pd.Series[Any]", first: str, second: str) -> str:
    where, verdict = place_of(row), row["verdict"]
    runs = f"{row['n_first']} and {row['n_second']} runs"
    by = f"{difference(row['difference'], row['low'], row['high'])} points"
    if verdict in ("not tested", "identical"):
        why = "equal to the last bit" if verdict == "identical" else "no test of one run, or of runs that do not vary"
        return f"{first} and {second} cannot be told apart on {where}: {by} ({runs}; {why}){_other_patients(row)}."
    test = f"{p_equation(row['p'])} (Welch's t, {runs}; Hedges' g {signed(row['g'])})"
    if verdict in ("better", "worse"):
        better, other = (first, second) if verdict == "better" else (second, first)
        return f"{better} is better than {other} on {where}: {first} - {second} is {by}, {test}{_other_patients(row)}."
    alone = row.to_frame().T
    more = f"equivalent within ± {_margin(alone)} (TOST)" if verdict == "equivalent" else _could_show(alone)
    return f"{first} and {second} cannot be told apart on {where}: {by}, {test}; {more}{_other_patients(row)}."


def _other_patients(row: "pd.Series[Any]") -> str:
    """What the test part's size can carry, where it was resampled."""
    if math.isnan(row.get("test_low", math.nan)):
        return ""
    sure = row["test_low"] > 0 or row["test_high"] < 0
    return (
        f"; over other test sets of this size {difference(row['test_difference'], row['test_low'], row['test_high'])}, which"
        f" {'leaves out' if sure else 'holds'} zero"
    )


def _on_many(rows: pd.DataFrame, first: str, second: str) -> str:
    where = {name: _places(rows[rows["verdict"] == name], rows) for name in VERDICTS}
    total = plural(len(rows), "task") if rows["task"].is_unique else f"{len(rows)} tasks and settings"
    better, worse = where["better"], where["worse"]
    apart = len(rows) - len(better) - len(worse) - len(where["not tested"])
    rest = [f"they cannot be told apart on {apart}"] if apart and (better or worse) else []
    rest += [could] if not (better or worse) and (could := _could_show(rows)) else []
    rest += [f"{len(where['not tested'])} could not be tested (under two runs a side)"] * bool(where["not tested"])
    if better and worse:
        said = (
            f"Neither is better throughout: of {total}, {first} is better on {len(better)} ({first_few(better, 8)}), "
            f"{second} on {len(worse)} ({first_few(worse, 8)})"
        )
    elif better or worse:
        winner, loser, won = (first, second, better) if better else (second, first, worse)
        said = f"{winner} is better than {loser} on {len(won)} of {total} ({first_few(won, 8)}) and worse on none"
    else:
        said = f"{first} and {second} cannot be told apart on any of {total}"
    told = f"{'; '.join([said, *rest])}. {_method(rows)}"
    if where["equivalent"]:
        names = first_few(where["equivalent"], 8)
        told += f" Equivalent within ± {_margin(rows)} (TOST, p < {SIGNIFICANT}, not adjusted): {names}."
    return told


def _on_average(rows: pd.DataFrame, noun: str) -> str:
    low, high = t_interval(rows["difference"])
    metrics = list(dict.fromkeys(rows["metric"]))
    if len(metrics) > 1:
        return f"No mean over {noun}: they are scored by different metrics ({first_few(metrics, 5)})."
    mean = difference(rows["difference"].mean(), low, high)
    method = "" if known(low) is None else f" (95 % t-interval over {noun})"
    return f"Mean difference over {len(rows)} {noun} ({metrics[0]}): {mean} points{method}."


def _method(rows: pd.DataFrame) -> str:
    tests = int(rows["p"].notna().sum())
    if not tests:
        return "No test could be made."
    return f"Welch's t, p adjusted by Holm over {plural(tests, 'test')}, < {SIGNIFICANT}."


def _could_show(rows: pd.DataFrame) -> str:
    """What so few runs could have shown."""
    tested = rows[rows["p"].notna()]
    if tested.empty:
        return ""
    least = int(min(tested["n_first"].min(), tested["n_second"].min()))
    return f"{least} against {least} runs show differences of {smallest_effect(least):.1f} sd or more (power 0.8)"


def _margin(rows: pd.DataFrame) -> str:
    margin = f"{100 * rows['margin'].iloc[0]:g}"
    return f"{margin} point{'s' * (margin != '1')}"


def _beside(rows: pd.DataFrame, first: str, second: str) -> list[str]:
    lines = []
    for name, other in ((first, "n_second"), (second, "n_first")):
        alone = rows[(rows["verdict"] == "missing") & (rows[other] == 0)]
        if len(alone):
            workspace = first_few(_places(alone, rows), 8)
            lines.append(f"Not compared, for want of the other: {name} alone on {workspace}.")
    seen = rows[rows["overlap_first"] | rows["overlap_second"]]
    if len(seen):
        lines.append(
            f"No fair comparison on {first_few(dict.fromkeys(seen['task']), 8)}: weights had seen the images ({OVERLAP})."
        )
    if rows["folds"].any():
        lines.append("Runs of several folds share training images: they are not independent, p is too small.")
    lines.append(
        "Intervals, p and equivalence are about the training seed: runs share all images. What other patients could have "
        "given stands under `other test sets`."
    )
    return [*lines, *data_sentences(rows)]
