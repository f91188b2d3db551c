"""Ours against a paper's: tested where it is one question, by a test that knows of other test images; else told apart."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up_page import SUITES, TASKS, made_up_answers, made_up_run
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchmark.recipe import Recipe
from benchmark.reporting.against_paper import Moments, compare_with_papers, welch_with_test_sets
from benchmark.reporting.data import ReportData
from benchmark.reporting.frame import frame_of
from benchmark.reporting.published import COLUMNS
from benchmark.reporting.tables import summary

PRINTED = {
    "paper": "taher2021",
    "table": "5",
    "model": "swav",
    "title": "SwAV",
    "protocol": "finetune",
    "subset": "",
    "mean": 0.8,
    "sd": 0.01,
    "ddof": 0,
    "n": 10,
    "note": "",
}


def compared(task="DXC14", model="swav", printed=None, seeds=4, **changed):
    runs = [made_up_run(model, task, seed, mean=0.81, **changed) for seed in range(seeds)]
    metric = TASKS[task].metric
    published = pd.DataFrame([{**PRINTED, "task": task, "metric": metric, **(printed or {})}], columns=COLUMNS)
    data = ReportData(
        frame=frame_of(runs, TASKS),
        records={run.key: run for run in runs},
        tasks=TASKS,
        suites=SUITES,
        published=published,
        predictions=made_up_answers,
    )
    (found,) = compare_with_papers(summary(data.frame, model), data)
    return found, [run.scores[metric] for run in runs]


def test_the_papers_own_question_on_its_own_test_images_is_tested_by_welch():
    found, scores = compared()

    ours, sd = (np.mean(scores), np.std(scores, ddof=1)), 0.01 * math.sqrt(10 / 9)
    expected = stats.ttest_ind_from_stats(*ours, 4, 0.8, sd, 10, equal_var=False)
    assert found.differs == ()
    assert not found.other_test_images
    assert found.difference.p == pytest.approx(expected.pvalue)
    assert found.difference.low < found.difference.mean < found.difference.high


def test_a_random_split_widens_the_error_by_both_test_parts():
    """The sd over test sets is held against scikit-learn's AUC of 1,000 drawn by numpy."""
    found, scores = compared("TXC")
    predictions = made_up_answers("")
    truth, score = predictions.truth[:, 0], predictions.score[:, 0]
    drawn = np.random.default_rng(1).integers(50, size=(2000, 50))
    sd = np.std([roc_auc_score(truth[rows], score[rows]) for rows in drawn if len(set(truth[rows])) == 2])

    error = math.sqrt(np.var(scores, ddof=1) / 4 + 0.01**2 * 10 / 9 / 10 + 2 * sd**2)
    assert found.other_test_images
    assert (found.difference.high - found.difference.low) / 2 == pytest.approx(1.96 * error, rel=0.06)


@pytest.mark.parametrize(("changed", "said"), [
    ({"data_status": "partial", "num_images": 516, "num_published": 3662}, "516 of 3,662 images"),
    ({"data_status": "own"}, "own data"),
])  # fmt: skip
def test_other_images_are_not_tested(changed, said):
    found, _ = compared(**changed)

    assert found.differs == (said,)
    assert math.isnan(found.difference.p)
    assert math.isnan(found.difference.low)


def test_what_a_suite_says_that_differs_is_not_tested():
    found, _ = compared("APTOS", "simclr-v1", {"paper": "truong2021", "table": "3", "model": "simclr-v1"})

    assert "the test part is Kaggle's there, unlabelled, and held out of the labelled images here" in found.differs
    assert "SimCLR's weights are VISSL's there and Google's here" in found.differs
    assert "no folds (there 5 folds)" in found.differs
    assert math.isnan(found.difference.p)


def test_another_recipe_is_not_tested():
    run = made_up_run("swav", "DXC14", 0)
    cell = run.cell.model_copy(update={"recipe": Recipe(**{**run.cell.recipe.model_dump(), "image_size": 32})})
    found, _ = compared(seeds=1, cell=cell)

    assert found.differs == ("image_size 32 (there 224)",)


def test_an_exact_replication_on_another_split_is_seldom_found_to_differ():
    """A true AUC judged on two random test parts: with the seeds' error alone most replications would look different."""
    rng = np.random.default_rng(0)
    over_test_sets, over_seeds, num = 0.02, 0.006, 10
    narrow, wide = 0, 0
    for _ in range(400):
        sides = []
        for _ in range(2):
            scores = 0.9 + over_test_sets * rng.standard_normal() + over_seeds * rng.standard_normal(num)
            sides.append(Moments(mean=scores.mean(), sd=scores.std(ddof=1), n=num))
        narrow += welch_with_test_sets(*sides).p < 0.05
        wide += welch_with_test_sets(*sides, over_test_sets).p < 0.05

    assert narrow / 400 > 0.7
    assert wide / 400 == pytest.approx(0.05, abs=0.03)


def test_without_spread_over_test_sets_it_is_welchs_test():
    one, two = Moments(mean=0.9, sd=0.02, n=5), Moments(mean=0.88, sd=0.01, n=9)

    found = welch_with_test_sets(one, two)

    expected = stats.ttest_ind_from_stats(0.9, 0.02, 5, 0.88, 0.01, 9, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
