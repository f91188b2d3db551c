"""Each metric against scikit-learn, or against a page of arithmetic; its resamples against copied examples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    jaccard_score,
    precision_recall_curve,
    recall_score,
    roc_auc_score,
    roc_curve,
    top_k_accuracy_score,
)

from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import scores_of
from benchmark.scoring.examples import top_mean
from benchmark.scoring.metrics.probabilities import best_threshold
from benchmark.scoring.metrics.registry import METRICS, metrics_of
from benchmark.scoring.resampling import difference_of
from benchmark.stats.bootstrap import resampled
from benchmark.tasks.kinds import KINDS
from benchmark.tasks.spec import ScoringRules

NUM = 120


def predicted(kind, seed=0, num=NUM, columns=3, *, validation=True):
    """Predictions of a task of that kind, with ties; some labels are not known."""
    rng = np.random.default_rng(seed)
    columns = 1 if KINDS[kind].one_label else columns
    if KINDS[kind].masks:
        truth = rng.integers(0, 30, (num, columns)).astype(float)
        marked = rng.integers(0, 30, (num, columns))
        score = np.stack([marked, np.minimum(marked, truth) // 2], axis=2)
    elif KINDS[kind].exclusive:
        truth = np.eye(columns)[rng.integers(columns, size=num)]
        score = rng.random((num, columns)) + 0.5 * truth
        score = (np.round(score / score.sum(axis=1, keepdims=True), 2)).astype(np.float32)
        truth[::17] = np.nan
    else:
        truth = (rng.random((num, columns)) < 0.4).astype(float)
        score = np.round(np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0, 1), 2)
        truth[::17, 0] = np.nan
    return Predictions(
        kind=KINDS[kind].predictions,
        ids=np.array([f"i{n:03}" for n in range(num)]),
        groups={"exam": np.array([f"e{n // 4:02}" for n in range(num)])},
        columns=tuple("abcdef"[:columns]),
        truth=truth,
        score=score,
        validation=predicted(kind, seed + 100, num, columns, validation=False) if validation else None,
    )


def labels_of(predictions):
    """Of each label: its truth and score where it is known."""
    for truth, score in zip(predictions.truth.T, predictions.score.T, strict=True):
        known = ~np.isnan(truth)
        yield truth[known], score[known]


def sensitivity_at(truth, score, specificity):
    false_positive_rate, true_positive_rate, _ = roc_curve(truth, score, drop_intermediate=False)
    return true_positive_rate[false_positive_rate <= 1 - specificity + 1e-12].max()


REFERENCES = {
    "average_precision": average_precision_score,
    "sensitivity_at_specificity_90": lambda truth, score: sensitivity_at(truth, score, 0.90),
    "sensitivity_at_specificity_95": lambda truth, score: sensitivity_at(truth, score, 0.95),
    "brier": brier_score_loss,
    "auc": roc_auc_score,
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", REFERENCES)
def test_a_label_is_scored_as_scikit_learn_scores_it(name, seed):
    one, several = predicted("binary", seed), predicted("multilabel", seed)

    overall, per_label = scores_of(several)

    each = [REFERENCES[name](truth, score) for truth, score in labels_of(several)]
    assert [per_label[label][name] for label in several.columns] == pytest.approx(each)
    assert overall[f"mean_{name}"] == pytest.approx(np.mean(each))
    assert scores_of(one)[0][name] == pytest.approx(REFERENCES[name](*next(labels_of(one))))


def test_micro_auc_ranks_all_pairs_of_image_and_label_together():
    predictions = predicted("multilabel")
    known = ~np.isnan(predictions.truth)

    overall, _ = scores_of(predictions)

    assert overall["micro_auc"] == pytest.approx(roc_auc_score(predictions.truth[known], predictions.score[known]))


def test_f1_is_at_the_threshold_that_is_best_on_validation():
    predictions = predicted("multilabel")

    overall, per_label = scores_of(predictions)

    each = []
    for (truth, score), (known, said) in zip(labels_of(predictions), labels_of(predictions.validation), strict=True):
        precision, recall, thresholds = precision_recall_curve(known, said)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        threshold = thresholds[f1[:-1].argmax()]
        assert best_threshold(known, said) == pytest.approx(threshold)
        each.append(f1_score(truth, score >= threshold))
    assert [per_label[label]["f1"] for label in predictions.columns] == pytest.approx(each)
    assert overall["mean_f1"] == pytest.approx(np.mean(each))


def test_f1_needs_validation_predictions():
    predictions = predicted("binary", validation=False)

    assert "f1" not in scores_of(predictions)[0]


def test_f1_is_not_chosen_on_the_test_split():
    """Thresholds from another validation split give another F1; the test's own best threshold gives a higher one."""
    predictions = predicted("binary")
    own = best_threshold(predictions.truth[:, 0], predictions.score[:, 0])
    truth, score = next(labels_of(predictions))

    assert scores_of(predictions)[0]["f1"] < f1_score(truth, score >= own)


def test_brier_score_of_classes_sums_the_squares_over_the_classes():
    predictions = predicted("multiclass")
    known = ~np.isnan(predictions.truth).any(axis=1)

    overall, _ = scores_of(predictions)

    truth, score = predictions.truth[known], predictions.score[known].astype(float)
    assert overall["multiclass_brier"] == pytest.approx(((score - truth) ** 2).sum(axis=1).mean())


def calibration_error(confidence, correct, bins=15):
    """Guo et al. 2017, equation 3, bin by bin."""
    total = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if number == 0:
            inside |= confidence == 0
        if inside.any():
            total += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    return total / len(confidence)


def test_calibration_error_is_the_mean_gap_over_fifteen_bins():
    of_labels, of_classes = predicted("multilabel"), predicted("multiclass")
    known = ~np.isnan(of_classes.truth).any(axis=1)

    each = [calibration_error(score.astype(float), truth) for truth, score in labels_of(of_labels)]
    score = of_classes.score[known].astype(float)
    correct = score.argmax(axis=1) == of_classes.truth[known].argmax(axis=1)
    assert scores_of(of_labels)[0]["mean_calibration_error"] == pytest.approx(np.mean(each), abs=1e-6)
    assert scores_of(of_classes)[0]["confidence_calibration_error"] == pytest.approx(
        calibration_error(score.max(axis=1), correct), abs=1e-6
    )


def test_overlaps_of_masks_are_scikit_learns_of_their_pixels():
    rng = np.random.default_rng(0)
    reference, guess = rng.random((6, 400)) < 0.3, rng.random((6, 400)) < 0.4
    reference[2] = guess[2] = False
    counts = np.stack([guess.sum(1), (guess & reference).sum(1)], axis=1)[:, None]
    predictions = Predictions(
        kind="segmentation",
        ids=np.arange(6).astype(str),
        groups={},
        columns=("mask",),
        truth=reference.sum(1)[:, None],
        score=counts,
    )

    overall, _ = scores_of(predictions)

    marked = [n for n in range(6) if n != 2]
    dice = [f1_score(reference[n], guess[n]) for n in marked]
    assert overall["dice_pooled"] == pytest.approx(f1_score(reference.ravel(), guess.ravel()))
    assert overall["dice_positive"] == pytest.approx(np.mean(dice))
    assert overall["dice_per_image"] == pytest.approx(np.mean([*dice, 1]))
    assert overall["iou_pooled"] == pytest.approx(jaccard_score(reference.ravel(), guess.ravel()))
    assert overall["iou_per_image"] == pytest.approx(
        np.mean([*(jaccard_score(reference[n], guess[n]) for n in marked), 1])
    )


def test_an_overlap_where_the_reference_marks_nothing_is_not_defined():
    nothing = Predictions(
        kind="segmentation",
        ids=np.array(["a", "b"]),
        groups={},
        columns=("mask",),
        truth=np.zeros((2, 1)),
        score=np.array([[[0, 0]], [[3, 0]]]),
    )

    overall, _ = scores_of(nothing)

    assert overall["dice_positive"] is None
    assert overall["dice_per_image"] == pytest.approx(0.5)


@given(st.integers(0, 10_000), st.integers(4, 7), st.integers(1, 60))
def test_classes_and_grades_are_scored_as_scikit_learn_scores_them(seed, classes, num):
    rng = np.random.default_rng(seed)
    truth, score = rng.integers(0, classes, num), rng.random((num, classes)).astype(np.float32)
    names, guess = tuple("abcdefg"[:classes]), score.argmax(axis=1)
    ids = np.arange(num).astype(str)
    predictions = Predictions(
        kind="ordinal", ids=ids, groups={}, columns=names, truth=np.eye(classes)[truth], score=score
    )

    overall, per_label = scores_of(predictions)

    assert overall["accuracy"] == pytest.approx((guess == truth).mean())
    expected = top_k_accuracy_score(truth, score, k=3, labels=range(classes))
    assert overall["top3_accuracy"] == pytest.approx(expected)
    present = np.unique(truth)
    recalls = recall_score(truth, guess, labels=present, average=None, zero_division=0)
    assert [per_label[names[number]]["sensitivity"] for number in present] == pytest.approx(recalls)
    assert all(per_label[names[number]]["sensitivity"] is None for number in set(range(classes)) - set(present))
    if len({*truth, *guess}) > 1:
        kappa = cohen_kappa_score(truth, guess, weights="quadratic", labels=range(classes))
        assert overall["kappa"] == pytest.approx(kappa, abs=1e-12)
    else:
        assert overall["kappa"] is None


def test_the_mean_of_a_groups_highest_scores_by_hand():
    score, group = np.array([0.1, 0.9, 0.5, 0.3, 0.7]), np.array([0, 0, 0, 1, 1])

    assert top_mean(score, group, 1) == pytest.approx([0.9, 0.7])
    assert top_mean(score, group, 2) == pytest.approx([0.7, 0.5])
    assert top_mean(score, group, 10) == pytest.approx([0.5, 0.5])


def kinds_and_metrics():
    for kind in KINDS:
        predictions = predicted(kind, columns=4)
        rules = ScoringRules(exam="exam")
        yield from ((kind, metric.name) for metric in metrics_of(predictions, rules) if metric.exam_slices is None)


@pytest.mark.parametrize(("kind", "name"), list(kinds_and_metrics()))
def test_every_metric_resamples_as_it_scores(kind, name):
    """A replicate's difference is that of the copied images' scores, the jackknife's that of the images that stay."""
    one, two = predicted(kind, 1, 40, 4), predicted(kind, 2, 40, 4)
    two.ids, two.truth = one.ids, one.truth
    if KINDS[kind].masks:
        two.score = np.stack([two.score[..., 0], np.minimum(two.score[..., 0], one.truth) // 2], axis=2)

    def score(side, rows):
        value = scores_of(side.rows(rows), ScoringRules(), names={name})[0][name]
        return math.nan if value is None else value

    found = difference_of(one, two, ScoringRules(), name, by="image", replicates=12)

    copies = [np.repeat(np.arange(40), row) for counts in resampled(one.ids, 12) for row in counts]
    expected = [score(one, rows) - score(two, rows) for rows in copies]
    assert found.replicates == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert found.difference == score(one, np.arange(40)) - score(two, np.arange(40))
    jackknife = METRICS[name].statistic(one, ScoringRules()).mean_over().jackknife(np.arange(40))
    stay = [np.delete(np.arange(40), number) for number in range(40)]
    assert jackknife == pytest.approx([score(one, rows) for rows in stay], abs=1e-9, nan_ok=True)


def test_a_kinds_metrics_are_all_in_the_table():
    for kind in KINDS.values():
        assert all(kind.name in METRICS[name].kinds for name in kind.metrics)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
def test_perfect_predictions_score_1_where_higher_is_better_and_0_elsewhere(kind):
    predictions = predicted(kind)
    for side in (predictions, predictions.validation):
        side.score = np.nan_to_num(side.truth)

    overall, _ = scores_of(predictions)

    assert overall == {name: pytest.approx(float(METRICS[name].higher_is_better), abs=1e-6) for name in overall}
