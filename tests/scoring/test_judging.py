"""How predictions of exclusive classes, cases, exams and subgroups are judged."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score, top_k_accuracy_score

from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import group_scores, scores_of
from benchmark.scoring.examples import by_case
from benchmark.tasks.kinds import KINDS as TASK_KINDS
from benchmark.tasks.spec import ScoringRules

GRADES = ("none", "mild", "moderate", "severe", "worst")


def predicted(kind, columns, truth, score, **groups):
    return Predictions(
        kind=kind,
        ids=np.array([f"i{n}" for n in range(len(truth))]),
        groups={name: np.array(values) for name, values in groups.items()},
        columns=columns,
        truth=np.asarray(truth, dtype=float),
        score=np.asarray(score, dtype=float),
    )


def drawn(kind="ordinal", columns=GRADES, num=200, seed=0, **groups):
    """Class numbers and predictions that agree with them more often than not."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(columns), num)
    score = rng.random((num, len(columns))) + 0.7 * np.eye(len(columns))[truth]
    score = (score / score.sum(1, keepdims=True)).astype(np.float32)
    return truth, predicted(kind, columns, np.eye(len(columns))[truth], score, **groups)


def test_exclusive_classes_are_scored_as_scikit_learn_does():
    truth, predictions = drawn("multiclass")
    score = predictions.score

    overall, per_label = scores_of(predictions)

    assert overall["accuracy"] == pytest.approx((score.argmax(1) == truth).mean())
    assert overall["top3_accuracy"] == pytest.approx(top_k_accuracy_score(truth, score, k=3))
    assert overall["mean_sensitivity"] == pytest.approx(balanced_accuracy_score(truth, score.argmax(1)))
    each = [roc_auc_score(truth == number, score[:, number]) for number in range(5)]
    assert overall["mean_auc"] == pytest.approx(np.mean(each))
    assert per_label["mild"]["sensitivity"] == pytest.approx((score.argmax(1) == 1)[truth == 1].mean())
    assert "kappa" not in overall


def test_grades_are_scored_by_quadratic_kappa_of_the_likeliest_and_of_the_mean_grade():
    truth, predictions = drawn()
    overall, _ = scores_of(predictions)
    mean_grade = (predictions.score @ np.arange(5)).round()

    assert overall["kappa"] == pytest.approx(cohen_kappa_score(truth, predictions.score.argmax(1), weights="quadratic"))
    assert overall["kappa_expected"] == pytest.approx(cohen_kappa_score(truth, mean_grade, weights="quadratic"))


def other_and_two():
    columns = ("BCC", "NEV", "Other")
    truth = np.eye(3)[[0, 0, 1, 2, 2]]
    score = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]
    return truth, predicted("multiclass", columns, truth, score)


def test_a_class_is_scored_whatever_its_name():
    """NIHCXR4 has five classes, one of them called Other."""
    truth, predictions = other_and_two()

    overall, _ = scores_of(predictions)

    assert overall["mean_auc"] == pytest.approx(roc_auc_score(truth, predictions.score, average="macro"))
    assert overall["mean_sensitivity"] == pytest.approx((0.5 + 1 + 0.5) / 3)


@pytest.mark.parametrize("judging", [ScoringRules(scored=("BCC", "NEV")), ScoringRules(unscored=("Other",))])
def test_means_leave_out_what_the_sheet_says(judging):
    """Azizi 2021, supplement B.1.1: mean sensitivity is over the 26 conditions."""
    truth, predictions = other_and_two()

    overall, per_label = scores_of(predictions, judging)

    each = [roc_auc_score(truth[:, column], predictions.score[:, column]) for column in (0, 1)]
    assert overall["mean_auc"] == pytest.approx(np.mean(each))
    assert overall["mean_sensitivity"] == pytest.approx((0.5 + 1) / 2)
    assert overall["accuracy"] == pytest.approx(3 / 5)
    assert per_label["Other"]["sensitivity"] == 0.5


def test_a_class_to_leave_out_that_the_data_have_not_leaves_out_none():
    """Fewer than 26 conditions leave none to be joined as Other."""
    _, predictions = drawn("multiclass")

    assert scores_of(predictions, ScoringRules(unscored=("Other",))) == scores_of(predictions)


def test_which_classes_count_is_said_by_the_sheets(tasks):
    nih, derm = tasks["NIHCXR4"], tasks["Derm27"]

    assert nih.judging.scored_labels(nih.labels) == nih.labels
    assert len(nih.labels) == 5
    assert derm.judging.scored_labels(("BCC", "NEV", "Other")) == ("BCC", "NEV")
    assert len(tasks["DXC5"].judging.scored_labels(tasks["DXC5"].labels)) == 5


def test_a_case_is_judged_by_the_mean_of_its_images():
    """Two cases: three images of class a whose mean says a, though two of them say b; one of class b."""
    truth = np.eye(2)[[0, 1, 0, 0]]
    score = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.4, 0.6]]
    cases, sexes = ["p1/1", "p2/1", "p1/1", "p1/1"], ["F", "M", "F", "F"]
    predictions = predicted("multiclass", ("a", "b"), truth, score, case=cases, sex=sexes)

    joined = by_case(predictions, "case")

    assert joined.ids.tolist() == ["p1/1", "p2/1"]
    assert joined.score == pytest.approx(np.array([[1.7 / 3, 1.3 / 3], [0.2, 0.8]]))
    assert joined.groups["sex"].tolist() == ["F", "M"]
    assert scores_of(predictions, ScoringRules(case="case"))[0]["accuracy"] == 1.0
    assert scores_of(predictions)[0]["accuracy"] == 0.5


def test_images_that_could_not_be_read_judge_nothing():
    truth = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]])
    score = [[0.9, 0.1], [0.0, 1.0], [0.3, 0.7]]
    predictions = predicted("multiclass", ("a", "b"), truth, score, case=["x", "x", "y"])

    assert scores_of(predictions)[0]["accuracy"] == 1.0
    assert by_case(predictions, "case").score[0] == pytest.approx([0.9, 0.1])


def test_an_exam_is_judged_by_its_highest_slice_and_by_the_mean_of_its_ten_highest():
    rng = np.random.default_rng(3)
    exams = np.repeat([f"e{n:02d}" for n in range(30)], 25)
    truth = (rng.random(750) < 0.1) & np.repeat(rng.random(30) < 0.5, 25)
    score = (rng.random(750) * 0.7 + 0.3 * truth).astype(np.float32)
    predictions = predicted("classification", ("pe",), truth[:, None], score[:, None], study=exams)

    overall, _ = scores_of(predictions, ScoringRules(exam="study"))

    of_exam = truth.reshape(30, 25).any(1)
    by_exam = np.sort(score.reshape(30, 25), axis=1)
    assert overall["auc"] == pytest.approx(roc_auc_score(truth, score))
    assert overall["exam_auc_max"] == pytest.approx(roc_auc_score(of_exam, by_exam[:, -1]))
    assert overall["exam_auc_top10"] == pytest.approx(roc_auc_score(of_exam, by_exam[:, -10:].mean(1)))


def test_subgroups_are_scored_alone_and_ages_in_bands():
    truth, predictions = drawn(num=120, sex=["F", "M", ""] * 40, age=["35.0", "41", "59", ""] * 30, patient=["p"] * 120)

    found = group_scores(predictions, ScoringRules())
    women = predictions.rows(np.flatnonzero(predictions.groups["sex"] == "F"))

    assert set(found) == {"sex", "age"}
    assert found["sex"]["F"] == {**scores_of(women)[0], "num": 40.0}
    assert set(found["sex"]) == {"F", "M", "unknown"}
    assert {name: scores["num"] for name, scores in found["age"].items()} == {"unknown": 30, "20-39": 30, "40-59": 60}
    assert len(truth) == 120


def test_subgroups_are_scored_over_the_same_classes():
    _, predictions = drawn("multiclass", num=120, sex=["F", "M"] * 60)
    judging = ScoringRules(unscored=("none", "worst"))

    found = group_scores(predictions, judging)["sex"]["F"]

    women = predictions.rows(np.flatnonzero(predictions.groups["sex"] == "F"))
    assert found["mean_auc"] == scores_of(women, judging)[0]["mean_auc"] != scores_of(women)[0]["mean_auc"]


def test_a_group_of_many_values_or_of_one_is_no_subgroup():
    _, predictions = drawn(num=40, study=[f"s{n}" for n in range(40)], view=["PA"] * 40, case=["c", "d"] * 20)

    assert group_scores(predictions, ScoringRules(exam="case")) == {}


def test_every_metric_that_a_task_may_name_is_one_that_the_judge_gives(tasks):
    exams = ["e1", "e2"] * 100
    truth = np.arange(200)[:, None] % 3 == 0
    masks = Predictions(
        kind="segmentation",
        ids=np.array(["a"]),
        groups={},
        columns=("mask",),
        truth=np.array([[4]]),
        score=np.array([[[4, 3]]]),
    )
    of_kind = {
        "binary": predicted("classification", ("pe",), truth, truth * 0.5, study=exams),
        "multilabel": predicted("classification", ("a", "b"), np.hstack([truth, ~truth]), np.hstack([truth, truth])),
        "multiclass": drawn("multiclass")[1],
        "ordinal": drawn("ordinal")[1],
        "segmentation": masks,
    }

    assert set(TASK_KINDS) == set(of_kind)
    for kind, predictions in of_kind.items():
        given = scores_of(predictions, ScoringRules(exam="study" if kind == "binary" else None))[0]
        assert set(TASK_KINDS[kind].metrics) <= set(given), kind
    assert all(task.metric in TASK_KINDS[task.kind].metrics for task in tasks.values())
