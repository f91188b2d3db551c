"""What a report answers first: the sentence agrees with the numbers, the one table with the records."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_record
from scipy import stats

from benchmark.reporting.answers import block_answers, matrix_csv, results_table
from benchmark.reporting.data import ReportData
from benchmark.reporting.format import NOT_DIFFERENT, OVERLAP, difference, p_equation
from benchmark.reporting.frame import frame_of
from benchmark.reporting.recipes import name_recipes
from benchmark.reporting.sweeps import join_sweeps
from benchmark.reporting.table_writers import latex_of, markdown_of
from benchmark.reporting.tables import summary

NOISE = np.random.default_rng(2).normal(0, 0.004, (3, 2, 6))
MEANS = {"TXC": (0.95, 0.90), "PXS": (0.60, 0.60)}
SWAV = IMAGENET.model_copy(update={"name": "swav", "sha256": "cd" * 32})


def scores(task, side):
    return MEANS[task][side] + NOISE[list(MEANS).index(task), side]


def made(tasks, **changed):
    records = [
        made_up_record(made_up_cell(weights, seed, task, **changed), score)
        for task in MEANS
        for side, weights in enumerate((SWAV, IMAGENET))
        for seed, score in enumerate(scores(task, side))
    ]
    frame = frame_of(records, tasks)
    return frame, summary(frame, "imagenet")


def test_the_sentence_names_the_best_the_difference_and_how_sure_it_is(tasks):
    _, rows = made(tasks)

    answers = {answer.split(":")[0]: answer for answer in block_answers(rows)}

    test = stats.ttest_ind(scores("TXC", 0), scores("TXC", 1), equal_var=False)
    gap = scores("TXC", 0).mean() - scores("TXC", 1).mean()
    assert "swav has the highest AUC" in answers["TXC"]
    assert f"{difference(gap, *test.confidence_interval())} points against imagenet" in answers["TXC"]
    assert f"better ({p_equation(test.pvalue)}, Holm)" in answers["TXC"]
    assert "best epoch 3.0, of the baseline 3.0" in answers["TXC"]
    assert "sd and more" in answers["TXC"]
    assert "not told apart" in answers["PXS"] or "0 of 1 others are worse" in answers["PXS"]


def test_weights_that_were_trained_on_the_images_are_never_the_best(tasks):
    note = ["overlap: swav was trained on the images of this task (x)"]
    records = [made_up_record(made_up_cell(SWAV, seed), 0.98 + seed / 100, notes=note) for seed in range(3)]
    records += [made_up_record(made_up_cell(w, s), 0.9 + s / 100) for w in (IMAGENET, SCRATCH) for s in range(3)]
    frame = frame_of(records, tasks)
    rows = summary(frame, "imagenet")

    (answer,) = block_answers(rows)
    text = markdown_of(results_table(frame, rows))

    assert "swav" not in answer
    assert f"(3){OVERLAP}" in text
    assert "**99.00**" not in text


def test_one_run_or_one_model_is_no_comparison(tasks):
    one_run = [made_up_record(made_up_cell(w), score) for w, score in ((SWAV, 0.9), (IMAGENET, 0.8))]

    (answer,) = block_answers(summary(frame_of(one_run, tasks), "imagenet"))
    (alone,) = block_answers(summary(frame_of(one_run[:1], tasks), "imagenet"))

    assert ", without a test" in answer
    assert "nothing was run that it can be compared with" in alone
    assert "nan" not in answer + alone


def test_all_models_on_all_tasks_are_one_table_with_ties_and_ranks(tasks):
    frame, rows = made(tasks)

    table = results_table(frame, rows)

    low, high = stats.t.interval(0.95, 5, scores("TXC", 0).mean(), stats.sem(scores("TXC", 0)))
    text, latex = markdown_of(table), latex_of(table)
    assert f"**{100 * scores('TXC', 0).mean():.2f}** [{100 * low:.2f}, {100 * high:.2f}] (6)" in text
    assert r"\textbf{" in latex
    tied = stats.ttest_ind(scores("PXS", 0), scores("PXS", 1), equal_var=False).pvalue >= 0.05
    assert (f"(6){NOT_DIFFERENT}" in text) == tied
    means = rows.pivot_table(index="model", columns="task", values="mean")
    ranks = means.rank(ascending=False).mean(axis=1)
    lines = {line.heads[0]: line.cells[-1][0].text for line in table.lines}
    assert {model: float(rank) for model, rank in lines.items()} == pytest.approx(ranks.to_dict())


def test_a_sweep_is_one_block_with_the_value_that_validation_chooses(tasks):
    records = []
    for rate, scores_of_validation in (
        (1e-4, {"swav": 0.80, "imagenet": 0.90}),
        (1e-3, {"swav": 0.85, "imagenet": 0.70}),
    ):
        for weights in (SWAV, IMAGENET):
            for seed in range(3):
                cell = made_up_cell(weights, seed)
                cell = cell.model_copy(update={"recipe": cell.recipe.model_copy(update={"learning_rate": rate})})
                validation = {"auc": scores_of_validation[weights.name]}
                records.append(made_up_record(cell, 0.5 + 100 * rate + seed / 100, validation=validation))
    data = ReportData(
        frame=frame_of(records, tasks), records={r.key: r for r in records}, baseline="imagenet", tasks=tasks
    )

    joined, rows = join_sweeps(data, summary(data.frame, "imagenet"))

    (answer,) = block_answers(rows)
    assert rows["block"].nunique() == 1
    assert rows.set_index("model")["mean"].to_dict() == pytest.approx({"swav": 0.61, "imagenet": 0.52})
    assert set(joined.frame["setting"]) == {"learning_rate chosen on validation of 2"}
    assert "swav has the highest AUC" in answer
    lines = matrix_csv(joined.frame, rows).splitlines()
    assert lines[0].startswith("model,task,protocol,setting,data,metric,mean,low,high,n,best,overlap,mean_rank")
    assert len(lines) == 3


def test_recipes_are_spelled_out_once_and_named_everywhere_else(tasks):
    records = [made_up_record(made_up_cell(SWAV), 0.9)]
    for changes in ({"image_size": 96}, {"image_size": 96, "learning_rate": 0.5}):
        cell = made_up_cell(SWAV, subset=50)
        cell = cell.model_copy(update={"recipe": cell.recipe.model_copy(update=changes)})
        records.append(made_up_record(cell, 0.9))
    data = ReportData(frame=frame_of(records, tasks), records={r.key: r for r in records}, tasks=tasks)

    named, lines = name_recipes(data)

    assert len(lines) == 3
    assert {line for line in lines if "learning_rate=0.5" in line} == {line for line in lines if line.count("=") == 2}
    assert set(named.frame["setting"]) == {"", "recipe A, 50 training images", "recipe B, 50 training images"}
    alone = replace(data, frame=data.frame[data.frame["setting"] == ""])
    assert name_recipes(alone) == (alone, [])
