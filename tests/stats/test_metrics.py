"""Metrics and tests against independent references: scikit-learn, statsmodels, hand-computed pages, the papers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score, recall_score, roc_auc_score, top_k_accuracy_score
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from benchmark.stats import formulas as metrics
from benchmark.stats.significance import independent_t, sample_sd


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=60))
def test_auc_is_scikit_learns_ties_included(pairs):
    truth, score = np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs]) / 5

    if len(set(truth)) == 2:
        assert metrics.auc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    else:
        assert math.isnan(metrics.auc(truth, score))


def test_auc_leaves_out_what_is_not_labelled():
    assert metrics.auc([1, 0, np.nan, 1], [0.9, 0.1, 0.0, 0.8]) == 1.0


def test_dice_forms_by_hand():
    """Three images: marked 4, found 4, 2 in common; both empty; marked none, found 6."""
    overlap, predicted, actual = [2, 0, 0], [4, 0, 6], [4, 0, 0]

    assert metrics.dice_pooled(overlap, predicted, actual) == pytest.approx(2 * 2 / (10 + 4))
    assert metrics.dice_per_image(overlap, predicted, actual) == pytest.approx((0.5 + 1 + 0) / 3)
    assert metrics.dice_positive(overlap, predicted, actual) == pytest.approx(0.5)


def test_pooled_dice_is_the_f1_score_of_all_pixels():
    rng = np.random.default_rng(0)
    truth, guess = rng.random((5, 400)) < 0.3, rng.random((5, 400)) < 0.4

    pooled = metrics.dice_pooled((truth & guess).sum(1), guess.sum(1), truth.sum(1))

    assert pooled == pytest.approx(f1_score(truth.ravel(), guess.ravel()))


def test_dice_of_nothing():
    assert metrics.dice_pooled([0], [0], [0]) == 1.0
    assert math.isnan(metrics.dice_positive([0, 0], [3, 0], [0, 0]))


def test_t_test_agrees_with_statsmodels():
    rng = np.random.default_rng(1)
    one, two = rng.normal(0.90, 0.010, 10), rng.normal(0.89, 0.015, 8)

    found = independent_t(one, two)

    compared = CompareMeans(DescrStatsW(one), DescrStatsW(two))
    assert found.p == pytest.approx(compared.ttest_ind(usevar="pooled")[1], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(compared.tconfint_diff(usevar="pooled"), rel=1e-9)
    assert found.mean == pytest.approx(one.mean() - two.mean())


def test_t_test_by_hand():
    """1, 2, 3 against 2, 4, 6: pooled variance (1 + 4) / 2, t = -2 / sqrt(2.5 * 2 / 3), 4 degrees of freedom."""
    found = independent_t([1, 2, 3], [2, 4, 6])

    assert found.mean == -2
    # two-sided p of |t| = 1.5492 with 4 degrees of freedom, from the closed form of that distribution
    x = 1.5492 / math.sqrt(4 + 1.5492**2)
    assert found.p == pytest.approx(1 - 1.5 * x * (1 - x**2 / 3), abs=1e-4)


@pytest.mark.parametrize(("one", "two"), [([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0])])
def test_no_variance_no_p(one, two):
    found = independent_t(one, two)

    assert found.mean == pytest.approx(np.mean(one) - np.mean(two))
    assert math.isnan(found.p)


def test_sd_has_n_minus_one():
    assert sample_sd([1, 2, 3, 4]) == pytest.approx(math.sqrt(5 / 3))
    assert math.isnan(sample_sd([1.0]))


@given(st.integers(0, 10_000), st.integers(3, 7), st.integers(1, 60))
def test_top_accuracies_sensitivities_and_kappa_are_scikit_learns(seed, classes, num):
    rng = np.random.default_rng(seed)
    truth, score = rng.integers(0, classes, num), rng.random((num, classes))
    guess = score.argmax(1)

    for first in (1, min(3, classes - 1)):
        expected = top_k_accuracy_score(truth, score, k=first, labels=range(classes))
        assert metrics.top_accuracy(truth, score, first) == pytest.approx(expected)
    present = np.unique(truth)
    recalls = recall_score(truth, guess, labels=present, average=None, zero_division=0)
    ours = metrics.sensitivities(truth, score)
    assert ours[present] == pytest.approx(recalls)
    assert np.isnan(np.delete(ours, present)).all()
    kappa = metrics.quadratic_kappa(truth, guess, classes)
    if len(set(truth) | set(guess)) > 1:
        expected = cohen_kappa_score(truth, guess, weights="quadratic", labels=range(classes))
        assert kappa == pytest.approx(expected, abs=1e-12)
    else:
        assert math.isnan(kappa)


def test_kappa_weighs_a_distance_by_its_square():
    """By hand: 4 images, one graded 2 instead of 0: 4 observed; rows 2, 0, 2 and columns 1, 0, 3: (2·3 + 2·1) / 4 · 4 = 8
    expected.
    """
    assert metrics.quadratic_kappa([0, 0, 2, 2], [0, 2, 2, 2], 3) == pytest.approx(1 - 4 / 8)


def test_the_mean_of_a_groups_highest_scores_by_hand():
    score, group = [0.1, 0.9, 0.5, 0.3, 0.7], [0, 0, 0, 1, 1]

    assert metrics.top_mean(score, group, 1) == pytest.approx([0.9, 0.7])
    assert metrics.top_mean(score, group, 2) == pytest.approx([0.7, 0.5])
    assert metrics.top_mean(score, group, 10) == pytest.approx([0.5, 0.5])
