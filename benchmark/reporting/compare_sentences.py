"""The rows of `compare` in sentences: which model is better, by how much, how sure, on which tasks."""

import math
from typing import Any

import pandas as pd

from benchmark.reporting.compare import VERDICTS
from benchmark.reporting.format import OVERLAP, SIGNIFICANT, difference, known, p_equation, signed
from benchmark.reporting.tables import data_sentences
from benchmark.stats.significance import smallest_effect, t_interval
from benchmark.text import first_few, plural


def comparison_sentences(rows: pd.DataFrame, first: str, second: str) -> list[str]:
    """Returns the answer for two models. `rows`: of `compare_sides`, with one value of `data`."""
    compared = rows[rows["verdict"] != "missing"]
    if compared.empty:
        lines = [f"{first} and {second} cannot be compared: no task has runs of both."]
    elif len(compared) == 1:
        lines = [_on_one_task(compared.iloc[0], first, second)]
    else:
        lines = [_on_many_tasks(compared, first, second), _mean_difference(compared, "tasks")]
    return [*lines, *_limits(rows, first, second)]


def replication_sentences(rows: pd.DataFrame, first: str, second: str, cells: tuple[int, int]) -> list[str]:
    """Returns the answer for a replication against a first run. `rows`: as of `comparison_sentences`; `cells`: how many
    both have, and how many of them are equal bit for bit.
    """
    compared = rows[rows["verdict"] != "missing"]
    num_shared, num_equal = cells
    lines = []
    if compared.empty:
        lines.append(
            f"{first} and {second} cannot be compared: they have no model on the same task, images and settings."
        )
    else:
        words = {
            "identical": "identical",
            "better": f"better in {first}",
            "worse": "worse",
            "equivalent": f"equivalent within ± {_margin(rows)}",
            "undecided": "undecided (neither different nor equivalent)",
            "not tested": "not tested (under two runs a side)",
        }
        counts = compared["verdict"].value_counts()
        results = ", ".join(f"{counts[verdict]} {text}" for verdict, text in words.items() if verdict in counts)
        lines.append(
            f"Of {plural(len(compared), 'result')} (a model on a task) that both have: {results}. {_method(compared)}"
        )
        if len(compared) > 1:
            lines.append(_mean_difference(compared, "results"))
    if num_shared:
        equal = f"{num_equal:,} of {plural(num_shared, 'cell')} that both have are equal to the last bit"
        lines.append(f"{equal} (all scores, every epoch's losses).")
    return [*lines, *_limits(rows, first, second)]


def task_label(row: "pd.Series[Any]") -> str:
    """Returns the row's task, with the protocol and setting that tell it from other rows of the task."""
    protocol = "" if row["protocol"] == "finetune" else row["protocol"]
    details = ", ".join(filter(None, [protocol, row["setting"]]))
    return f"{row['task']} ({details})" if details else str(row["task"])


def _task_labels(rows: pd.DataFrame, all_rows: pd.DataFrame) -> list[str]:
    """Returns the rows' tasks, each once; with protocol and setting where `all_rows` has another block of the task."""
    num_blocks = all_rows.groupby("task")["block"].nunique()
    labels = [row["task"] if num_blocks[row["task"]] == 1 else task_label(row) for _, row in rows.iterrows()]
    return list(dict.fromkeys(labels))


def _on_one_task(row: "pd.Series[Any]", first: str, second: str) -> str:
    task, verdict = task_label(row), row["verdict"]
    runs = f"{row['n_first']} and {row['n_second']} runs"
    gap = f"{difference(row['difference'], row['low'], row['high'])} points"
    test_sets = _over_test_sets(row)
    if verdict in ("not tested", "identical"):
        why = "equal to the last bit" if verdict == "identical" else "no test of one run, or of runs that do not vary"
        return f"{first} and {second} cannot be told apart on {task}: {gap} ({runs}; {why}){test_sets}."
    test = f"{p_equation(row['p'])} (Welch's t, {runs}; Hedges' g {signed(row['g'])})"
    if verdict in ("better", "worse"):
        better, other = (first, second) if verdict == "better" else (second, first)
        return f"{better} is better than {other} on {task}: {first} - {second} is {gap}, {test}{test_sets}."
    alone = row.to_frame().T
    more = f"equivalent within ± {_margin(alone)} (TOST)" if verdict == "equivalent" else _smallest_visible(alone)
    return f"{first} and {second} cannot be told apart on {task}: {gap}, {test}; {more}{test_sets}."


def _over_test_sets(row: "pd.Series[Any]") -> str:
    """Returns what other test sets could have given, where the test split was resampled."""
    low, high = (row.get(name, math.nan) for name in ("test_low", "test_high"))
    if math.isnan(low):
        return ""
    zero = "leaves out" if low > 0 or high < 0 else "holds"
    return f"; over other test sets of this size {difference(row['test_difference'], low, high)}, which {zero} zero"


def _on_many_tasks(rows: pd.DataFrame, first: str, second: str) -> str:
    tasks = {verdict: _task_labels(rows[rows["verdict"] == verdict], rows) for verdict in VERDICTS}
    total = plural(len(rows), "task") if rows["task"].is_unique else f"{len(rows)} tasks and settings"
    better, worse, not_tested = tasks["better"], tasks["worse"], tasks["not tested"]
    if better and worse:
        one, two = (f"{len(won)} ({first_few(won, 8)})" for won in (better, worse))
        clauses = [f"Neither is better throughout: of {total}, {first} is better on {one}, {second} on {two}"]
    elif better or worse:
        winner, loser, won = (first, second, better) if better else (second, first, worse)
        clauses = [f"{winner} is better than {loser} on {len(won)} of {total} ({first_few(won, 8)}) and worse on none"]
    else:
        clauses = [f"{first} and {second} cannot be told apart on any of {total}"]
        if smallest := _smallest_visible(rows):
            clauses.append(smallest)
    not_apart = len(rows) - len(better) - len(worse) - len(not_tested)
    if not_apart and (better or worse):
        clauses.append(f"they cannot be told apart on {not_apart}")
    if not_tested:
        clauses.append(f"{len(not_tested)} could not be tested (under two runs a side)")
    text = f"{'; '.join(clauses)}. {_method(rows)}"
    if tasks["equivalent"]:
        names = first_few(tasks["equivalent"], 8)
        text += f" Equivalent within ± {_margin(rows)} (TOST, p < {SIGNIFICANT}, not adjusted): {names}."
    return text


def _mean_difference(rows: pd.DataFrame, noun: str) -> str:
    metrics = list(dict.fromkeys(rows["metric"]))
    if len(metrics) > 1:
        return f"No mean over {noun}: they are scored by different metrics ({first_few(metrics, 5)})."
    low, high = t_interval(rows["difference"])
    mean = difference(rows["difference"].mean(), low, high)
    method = "" if known(low) is None else f" (95 % t-interval over {noun})"
    return f"Mean difference over {len(rows)} {noun} ({metrics[0]}): {mean} points{method}."


def _method(rows: pd.DataFrame) -> str:
    num_tests = int(rows["p"].notna().sum())
    if not num_tests:
        return "No test could be made."
    return f"Welch's t, p adjusted by Holm over {plural(num_tests, 'test')}, < {SIGNIFICANT}."


def _smallest_visible(rows: pd.DataFrame) -> str:
    """Returns the smallest difference that so few runs can show."""
    tested = rows[rows["p"].notna()]
    if tested.empty:
        return ""
    num = int(min(tested["n_first"].min(), tested["n_second"].min()))
    return f"{num} against {num} runs show differences of {smallest_effect(num):.1f} sd or more (power 0.8)"


def _margin(rows: pd.DataFrame) -> str:
    points = f"{100 * rows['margin'].iloc[0]:g}"
    return f"{points} point" if points == "1" else f"{points} points"


def _limits(rows: pd.DataFrame, first: str, second: str) -> list[str]:
    """Returns what the comparison leaves out, and what its intervals and p are about."""
    lines = []
    for name, other in ((first, "n_second"), (second, "n_first")):
        alone = rows[(rows["verdict"] == "missing") & (rows[other] == 0)]
        if len(alone):
            tasks = first_few(_task_labels(alone, rows), 8)
            lines.append(f"Not compared, because the other has no runs: {name} alone on {tasks}.")
    overlapping = rows[rows["overlap_first"] | rows["overlap_second"]]
    if len(overlapping):
        tasks = first_few(dict.fromkeys(overlapping["task"]), 8)
        lines.append(f"No fair comparison on {tasks}: weights were trained on the images ({OVERLAP}).")
    if rows["folds"].any():
        lines.append("Runs of several folds share training images: they are not independent, p is too small.")
    lines.append(
        "Intervals, p and equivalence are about the training seed: runs share all images. What other patients could have "
        "given is under `other test sets`."
    )
    return [*lines, *data_sentences(rows)]
