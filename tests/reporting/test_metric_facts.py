"""Of an error, the lower score is the better one, in every table, rank and figure."""

from dataclasses import replace

import pytest
from made_up_page import made_up_study

from benchmark.reporting.answers import block_answers, results_table
from benchmark.reporting.compare import compare_sides
from benchmark.reporting.figures.registry import draw, figure_specs
from benchmark.reporting.figures.selection import select_runs
from benchmark.reporting.figures.selection import tested as with_verdicts
from benchmark.reporting.metric_facts import limits, metric_title
from benchmark.reporting.page.leaderboard import leaderboard
from benchmark.reporting.page.pairs import pairs
from benchmark.reporting.page.results_matrix import results_matrix
from benchmark.reporting.tables import summary

MODELS = ["scratch", "imagenet", "swav"]  # each has higher scores than the one before


@pytest.fixture(scope="module")
def errors():
    """A study on two tasks whose metric is the Brier score, of which scratch has the lowest."""
    data, _ = made_up_study(MODELS, ["TXC", "DXC14"], 8, epochs=3)
    data = replace(data, frame=data.frame.assign(metric="brier"))
    return data, summary(data.frame, "imagenet")


def test_the_lowest_error_is_the_best_in_answers_tables_and_on_the_page(errors):
    data, rows = errors

    assert all("scratch has the lowest Brier score" in answer for answer in block_answers(rows))
    lines = {line.heads[0]: line.cells for line in results_table(data.frame, rows).lines}
    assert {model: [cell[0].bold for cell in cells[:2]] for model, cells in lines.items()} == {
        "scratch": [True, True],
        "imagenet": [False, False],
        "swav": [False, False],
    }
    assert {model: cells[-1][0].text for model, cells in lines.items()} == {
        "scratch": "1.00",
        "imagenet": "2.00",
        "swav": "3.00",
    }
    assert [line["model"] for line in leaderboard(data, rows)] == 2 * MODELS
    verdicts = {
        model: {(cell.verdict, cell.best) for cell in cells} for model, _, cells in results_matrix(data, rows).rows
    }
    assert verdicts["swav"] <= {("worse", False), ("", False)}
    assert {best for _, best in verdicts["scratch"]} == {True}
    assert {block["direction"] for block in pairs(data.frame, MODELS).values()} == {-1}


def test_figures_and_comparisons_call_the_lower_error_better(errors):
    data, _ = errors
    spec = figure_specs({"seeds": {"kind": "seeds"}})["seeds"]
    swav, scratch = (data.frame[data.frame["model"] == model] for model in ("swav", "scratch"))

    rows = with_verdicts(select_runs(data, spec), "imagenet", "none").set_index("model")

    assert set(rows.loc["swav", "verdict"]) <= {"worse", "alike"}
    assert "worse" in set(rows.loc["swav", "verdict"])
    assert set(compare_sides(swav, scratch, margin=0.001)["verdict"]) <= {"worse", "undecided"}
    assert "better" in set(compare_sides(scratch, swav, margin=0.001)["verdict"])
    figure = draw(data, figure_specs({"ranks": {"kind": "mean-ranks", "replicates": 10}})["ranks"])
    assert figure.csv.decode().splitlines()[1].startswith("scratch")


def test_metrics_of_no_entry_are_shown_as_they_are():
    assert metric_title("auc") == "AUC"
    assert metric_title("an old metric") == "an old metric"
    assert limits("auc") == (0, 1)
    assert limits("kappa") == (None, 1)
    assert limits("brier") == (0, None)
    assert limits("an old metric") == (None, None)
