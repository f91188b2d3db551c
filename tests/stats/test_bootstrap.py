"""Resampled test sets against scikit-learn with weights, scipy's bootstrap, and the scores of copied images."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchmark.errors import BenchmarkError
from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import scores_of
from benchmark.scoring.examples import by_case
from benchmark.scoring.resampling import band_of, difference_of
from benchmark.stats.bootstrap import auc_statistic as label_aucs
from benchmark.stats.bootstrap import (
    bca_interval,
    bootstrap_difference,
    interval,
    numbered,
    p_of_zero,
    replicated,
    resampled,
)
from benchmark.stats.resampled_auc import auc, jackknife_auc
from benchmark.tasks.kinds import KINDS as TASK_KINDS
from benchmark.tasks.spec import ScoringRules


def bootstrap_auc(truth, score, counts):
    return label_aucs(truth, score).replicated(np.asarray(counts))


def auc_statistic(truth, score):
    return label_aucs(truth, score).mean_over()


def labeled(seed=0, num=60, labels=1):
    """Truth and two models' scores, with ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((num, labels)) < 0.4).astype(float)
    scores = [np.round(rng.normal(size=(num, labels)) + shift * truth, 1) for shift in (1.2, 0.7)]
    return truth, *scores


def drawn(units, replicates=1000, seed=0):
    return np.concatenate(list(resampled(units, replicates, seed)))


def predicted(kind, seed=0, num=40, columns=("a", "b", "c", "Other"), model=0):
    """Predictions of `num` images of 15 patients, 24 cases and 8 exams; each kind's shape."""
    rng, said = np.random.default_rng(seed), np.random.default_rng((seed, model))
    case = np.sort(rng.integers(24, size=num))
    if kind == "segmentation":
        truth = rng.integers(0, 4, (num, len(columns))) * 10.0
        truth[3:6, 1:] = np.nan
        marked = said.integers(0, 4, (num, len(columns))) * 10.0
        score = np.stack([marked, np.minimum(marked, np.nan_to_num(truth)) // 2], axis=2)
    elif kind == "classification":
        truth, score = (rng.random((num, len(columns))) < 0.4).astype(float), said.random((num, len(columns)))
        truth[:3, 0] = np.nan
    else:
        # images of a case have one class
        truth, score = np.eye(len(columns))[rng.integers(len(columns), size=24)[case]], said.random((num, len(columns)))
        truth[-1] = np.nan
        score = np.round(score / score.sum(axis=1, keepdims=True), 2)
    return Predictions(
        kind=kind,
        ids=np.array([f"image-{n:03}" for n in range(num)]),
        groups={
            "patient": np.array([f"p{n // 2}" for n in case]),
            "case": np.array([f"c{n:02}" for n in case]),
            "exam": np.array([f"e{n // 3}" for n in case]),
        },
        columns=columns,
        truth=truth,
        score=score,
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=60))
def test_auc_is_scikit_learns_ties_included(pairs):
    truth, score = np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs]) / 5

    if len(set(truth)) == 2:
        assert auc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    else:
        assert math.isnan(auc(truth, score))


def test_auc_leaves_out_what_is_not_labeled():
    assert auc([1, 0, np.nan, 1], [0.9, 0.1, 0.0, 0.8]) == 1.0


@settings(max_examples=30, deadline=None)  # scikit-learn takes a millisecond and more for each
@given(st.integers(0, 10_000), st.integers(2, 40), st.floats(0, 1))
def test_weighted_auc_is_scikit_learns_replicate_by_replicate(seed, num, prevalence):
    rng = np.random.default_rng(seed)
    truth, score = (rng.random((num, 3)) < prevalence).astype(float), rng.integers(0, 8, (num, 3)) / 8
    truth[rng.random((num, 3)) < 0.1] = np.nan
    counts = drawn(np.arange(num), 4, seed)

    found = bootstrap_auc(truth, score, counts)

    for label in range(3):
        for replicate in range(4):
            rows = ~np.isnan(truth[:, label]) & (counts[replicate] > 0)
            if len(set(truth[rows, label])) < 2:
                assert math.isnan(found[replicate, label])
                continue
            expected = roc_auc_score(truth[rows, label], score[rows, label], sample_weight=counts[replicate][rows])
            assert found[replicate, label] == pytest.approx(expected, abs=1e-12)


def test_auc_of_counts_is_the_auc_of_copies():
    truth, score, _ = labeled()
    counts = drawn(np.arange(60), 30)

    copies = [auc(np.repeat(truth[:, 0], row), np.repeat(score[:, 0], row)) for row in counts]

    assert bootstrap_auc(truth, score, counts)[:, 0] == pytest.approx(copies, abs=1e-12)
    assert bootstrap_auc(truth, score, np.ones((1, 60)))[0] == pytest.approx([auc(truth[:, 0], score[:, 0])])


def test_scores_that_are_no_numbers_give_none():
    truth, score, _ = labeled()
    score[7] = np.nan

    assert np.isnan(bootstrap_auc(truth, score, np.ones((2, 60)))).all()
    assert np.isnan(jackknife_auc(truth, score, np.arange(60))).all()


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 40))
def test_auc_without_each_unit_is_that_of_the_rows_that_stay(seed, num, units):
    rng = np.random.default_rng(seed)
    truth, score = (rng.random((num, 2)) < 0.4).astype(float), rng.integers(0, 6, (num, 2)) / 6
    truth[rng.random((num, 2)) < 0.1] = np.nan
    unit = numbered(rng.integers(units, size=num))

    found = jackknife_auc(truth, score, unit)

    for left in range(unit.max() + 1):
        stay = unit != left
        expected = [auc(truth[stay, label], score[stay, label]) for label in range(2)]
        assert found[left] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_replicate_draws_as_many_units_as_there_are_and_keeps_a_patients_images_together():
    patients = np.array(["b", "a", "b", "c", "a", "b"])

    counts = drawn(patients, 500)

    assert counts.dtype == np.uint16
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, 0] == counts[:, 5]).all()
    assert (counts[:, 1] == counts[:, 4]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert counts[:, 3].mean() == pytest.approx(1, abs=0.15)


def test_chunks_hold_every_replicate_once():
    chunks = list(resampled(np.arange(50_000), 200, 3))

    assert len(chunks) > 1
    assert sum(map(len, chunks)) == 200
    assert (chunks[0][:5] == drawn(np.arange(50_000), 5, 3)).all()
    assert (chunks[0][0] != chunks[1][0]).any()


def test_the_same_seed_draws_the_same_another_others():
    assert (drawn(np.arange(30), 20, 1) == drawn(np.arange(30), 20, 1)).all()
    assert (drawn(np.arange(30), 20, 1) != drawn(np.arange(30), 20, 2)).any()


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_intervals_are_scipys_of_its_own_replicates(kind):
    """Paired: truth and both models' scores are drawn together."""
    truth, one, two = (column[:, 0] for column in labeled())

    def difference(truth, one, two):
        return auc(truth, one) - auc(truth, two)

    scipys = stats.bootstrap(
        (truth, one, two),
        difference,
        paired=True,
        vectorized=False,
        n_resamples=1500,
        method={"bca": "BCa"}.get(kind, kind),
        random_state=np.random.default_rng(1),
    )
    of_both = auc_statistic(truth, one) - auc_statistic(truth, two)
    leave = of_both.jackknife(np.arange(60))

    estimate = difference(truth, one, two)
    found = interval(estimate, scipys.bootstrap_distribution, kind, jackknife=leave)
    ours = bootstrap_difference(
        auc_statistic(truth, one), auc_statistic(truth, two), np.arange(60), replicates=4000, kind=kind
    )

    expected = scipys.confidence_interval
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)
    # on replicates of our own, within Monte Carlo's error
    assert (ours.low, ours.high) == pytest.approx(
        (expected.low, expected.high), abs=0.1 * (expected.high - expected.low)
    )
    assert ours.replicates.std() == pytest.approx(scipys.standard_error, rel=0.08)
    assert ours.difference == pytest.approx(estimate)
    assert ours.units == 60


def test_a_patients_copies_add_nothing():
    """Each image four times over, by patient: the interval of the images themselves; by image it would be half as wide."""
    truth, one, two = labeled()
    copied = [np.repeat(values, 4, axis=0) for values in (truth, one, two)]
    sides = [(auc_statistic(t, a), auc_statistic(t, b)) for t, a, b in ((truth, one, two), copied)]

    plain = bootstrap_difference(*sides[0], np.arange(60), kind="bca")
    by_patient = bootstrap_difference(*sides[1], np.repeat(np.arange(60), 4), kind="bca")
    by_copy = bootstrap_difference(*sides[1], np.arange(240), kind="bca")

    assert by_patient.replicates == pytest.approx(plain.replicates, abs=1e-12)
    assert (by_patient.low, by_patient.high) == pytest.approx((plain.low, plain.high))
    assert (by_copy.high - by_copy.low) / (plain.high - plain.low) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("kind", ["percentile", "bca"])
@pytest.mark.parametrize("seed", range(6))
def test_p_is_small_where_the_interval_leaves_zero_out(kind, seed):
    truth, one, two = labeled(seed)

    found = bootstrap_difference(auc_statistic(truth, one), auc_statistic(truth, two), np.arange(60), kind=kind)
    of_both = auc_statistic(truth, one) - auc_statistic(truth, two)
    leave = of_both.jackknife(np.arange(60))
    # the interval at the level of p has an end at zero, up to a replicate's width
    low, high = interval(found.difference, found.replicates, kind, jackknife=leave, confidence=1 - found.p)

    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert min(abs(low), abs(high)) < 0.02


def test_a_bca_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).exponential(size=40)
    scipys = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", random_state=0).confidence_interval

    low, high = bca_interval([*values, np.nan], replicates=20_000)

    assert (low, high) == pytest.approx((scipys.low, scipys.high), abs=0.02 * (scipys.high - scipys.low))
    assert np.isnan(bca_interval([0.5])).all()
    assert np.isnan(bca_interval([0.5] * 5)).all()
    assert bca_interval(values, seed=1) == bca_interval(values, seed=1) != bca_interval(values, seed=2)


def test_p_by_hand():
    """Of 99 replicates 4 lie at or below zero: 2 · (4 + 1) / 100. None: 2 / 100, never 0. All zero: 1."""
    assert p_of_zero(1.0, [-1.0] * 3 + [0.0] + [1.0] * 95) == pytest.approx(0.10)
    assert p_of_zero(1.0, [1.0] * 99) == pytest.approx(0.02)
    assert p_of_zero(0.0, np.zeros(99)) == 1
    assert p_of_zero(0.0, np.zeros(99), "bca", jackknife=np.zeros(5)) == 1


def test_a_model_and_itself_do_not_differ():
    truth, one, _ = labeled()

    for kind in ("percentile", "bca"):
        found = bootstrap_difference(auc_statistic(truth, one), auc_statistic(truth, one), np.arange(60), kind=kind)
        assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_what_has_no_interval_is_nan():
    assert np.isnan(interval(0.5, [math.nan] * 9)).all()
    assert np.isnan(interval(math.nan, [0.5] * 9)).all()
    assert np.isnan(interval(0.9, [0.5, 0.6], "bca", jackknife=[0.1, 0.2])).all()
    assert math.isnan(p_of_zero(0.9, [0.5, 0.6], "bca", jackknife=[0.1, 0.2]))
    with pytest.raises(ValueError, match="jackknife"):
        interval(0.5, [0.5, 0.6], "bca")


def test_a_label_that_a_replicate_has_one_class_of_is_left_out_of_its_mean():
    truth = np.array([[1, 1], [0, 0], [1, 0], [0, 0]])
    score = np.array([[0.9, 0.3], [0.1, 0.4], [0.3, 0.1], [0.5, 0.2]])
    counts = np.array([[0, 1, 2, 1], [1, 1, 1, 1], [0, 4, 0, 0]])

    found, of_labels = auc_statistic(truth, score).replicated(counts), bootstrap_auc(truth, score, counts)

    assert np.isnan(of_labels[[0, 2], 1]).all()
    assert found[0] == of_labels[0, 0] == pytest.approx(0.5)
    assert found[1] == pytest.approx((0.75 + 2 / 3) / 2)
    assert math.isnan(found[2])


KINDS = [
    ("classification", ("mean_auc", "auc:b"), ("a", "b", "c")),
    ("classification", ("auc",), ("TB",)),
    ("multiclass", TASK_KINDS["multiclass"].metrics, ("a", "b", "c", "d", "Other")),
    ("ordinal", TASK_KINDS["ordinal"].metrics, ("0", "1", "2", "3")),
    (
        "segmentation",
        (*TASK_KINDS["segmentation"].metrics, "dice_pooled:observer", "dice_per_image:observer"),
        ("mask", "observer"),
    ),
]
EACH = [(kind, metric, columns) for kind, metrics, columns in KINDS for metric in metrics]


def score_of(predictions, judging, metric):
    overall, per_label = scores_of(predictions, judging)
    value = per_label[metric.removeprefix("auc:")]["auc"] if metric.startswith("auc:") else overall[metric]
    return math.nan if value is None else value


@pytest.mark.parametrize(("kind", "metric", "columns"), EACH)
def test_a_replicates_metric_is_the_score_of_the_copied_images(kind, metric, columns):
    one, two = (predicted(kind, columns=columns, model=model) for model in (0, 1))
    judging = ScoringRules(scored=columns[:2] if len(columns) > 2 else None)

    found = difference_of(one, two, judging, metric, by="image", replicates=25, kind="bca")

    copies = [np.repeat(np.arange(40), row) for row in drawn(one.ids, 25)]
    expected = [
        score_of(one.rows(rows), judging, metric) - score_of(two.rows(rows), judging, metric) for rows in copies
    ]
    assert found.replicates == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert found.difference == pytest.approx(score_of(one, judging, metric) - score_of(two, judging, metric))


@pytest.mark.parametrize(("kind", "metric", "columns"), EACH)
def test_the_jackknife_is_the_score_of_the_patients_that_stay(kind, metric, columns):
    from benchmark.scoring import resampling

    predictions = predicted(kind, columns=columns)
    patients, judging = predictions.groups["patient"], ScoringRules(unscored=("Other",))

    found = resampling._resampled([predictions], judging, metric).statistic.jackknife(numbered(patients))

    expected = [
        score_of(predictions.rows(np.flatnonzero(patients != patient)), judging, metric)
        for patient in np.unique(patients)
    ]
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_where_cases_are_judged_cases_are_drawn():
    columns = ("a", "b", "c", "Other")
    one, two = (predicted("multiclass", columns=columns, model=model) for model in (0, 1))
    cases = [by_case(side, "case") for side in (one, two)]

    for metric in TASK_KINDS["multiclass"].metrics:
        found = difference_of(one, two, ScoringRules(case="case"), metric, by="image", replicates=40)
        plain = difference_of(*cases, ScoringRules(), metric, by="image", replicates=40)
        assert (found.replicates == plain.replicates).all()
        assert found.units == len(cases[0].ids)
        overall = [scores_of(side, ScoringRules(case="case"))[0][metric] for side in (one, two)]
        assert found.difference == pytest.approx(overall[0] - overall[1])
    by_patient = difference_of(one, two, ScoringRules(case="case"), "accuracy", by="patient")
    assert by_patient.units == len(set(cases[0].groups["patient"])) < found.units


def test_where_exams_are_judged_exams_are_drawn():
    one, two = (predicted("classification", columns=("embolism",), model=model) for model in (0, 1))
    judging = ScoringRules(exam="exam")

    for metric in ("exam_auc_max", "exam_auc_top10"):
        found = difference_of(one, two, judging, metric, by="image")
        overall = [scores_of(side, judging)[0][metric] for side in (one, two)]
        assert found.units == len(set(one.groups["exam"][~np.isnan(one.truth[:, 0])]))
        assert found.difference == pytest.approx(overall[0] - overall[1])


def test_runs_of_a_model_are_compared_by_their_mean_on_the_same_replicates():
    runs = [predicted("classification", model=model) for model in range(5)]

    together = difference_of(runs[:3], runs[3:], ScoringRules(), "mean_auc")
    pairs = [difference_of(a, b, ScoringRules(), "mean_auc") for a in runs[:3] for b in runs[3:]]

    assert together.replicates == pytest.approx(np.mean([pair.replicates for pair in pairs], axis=0))
    assert together.difference == pytest.approx(np.mean([pair.difference for pair in pairs]))


def test_one_models_band_holds_its_score():
    predictions = predicted("ordinal", columns=("0", "1", "2"))

    for kind in ("percentile", "bca"):
        value, low, high = band_of(predictions, ScoringRules(), "accuracy", kind=kind)
        assert value == pytest.approx(scores_of(predictions)[0]["accuracy"])
        assert low < value < high
    labeled_rows = predictions.rows(np.arange(39))
    hits = labeled_rows.truth.argmax(1) == labeled_rows.score.argmax(1)
    _, low, high = band_of(labeled_rows, ScoringRules(), "accuracy", by="image", replicates=4000)
    scipys = stats.bootstrap((hits,), np.mean, method="percentile", random_state=np.random.default_rng(0))
    assert (low, high) == pytest.approx((scipys.confidence_interval.low, scipys.confidence_interval.high), abs=0.03)


def test_the_same_seed_gives_the_same_band_another_another():
    one, two = (predicted("classification", model=model) for model in (0, 1))

    found, again, other = (difference_of(one, two, ScoringRules(), "mean_auc", seed=seed) for seed in (1, 1, 2))

    assert (found.low, found.high, found.p) == (again.low, again.high, again.p)
    assert (found.low, found.high) != (other.low, other.high)


def test_the_order_of_the_images_does_not_matter():
    one, two = (predicted("classification", model=model) for model in (0, 1))
    shuffled = two.rows(np.random.default_rng(0).permutation(40))

    for by in ("image", "patient"):
        found, other = (difference_of(one, side, ScoringRules(), "mean_auc", by=by) for side in (two, shuffled))
        assert (found.replicates == other.replicates).all()


def faults():
    one = predicted("classification")
    fewer = one.rows(np.arange(37))
    other_truth = predicted("classification", seed=1)
    other_truth.ids = one.ids
    without = predicted("classification")
    without.groups = {}
    yield one, fewer, "mean_auc", r"not the same test images: 3 images in one alone \(image-037"
    yield one, other_truth, "mean_auc", "other labels or groups"
    yield one, predicted("classification", columns=("x", "b", "c", "Other")), "mean_auc", "not the same labels"
    yield one, one, "mean_acu", "did you mean mean_auc"
    yield one, one, "accuracy", "no metric of these predictions"
    yield without, without, "mean_auc", "name no patients"
    yield [], one, "mean_auc", "no predictions"


@pytest.mark.parametrize(("one", "two", "metric", "message"), list(faults()))
def test_what_cannot_be_compared_is_refused_in_one_line(one, two, metric, message):
    with pytest.raises(BenchmarkError, match=message) as caught:
        difference_of(one, two, ScoringRules(), metric)

    assert "\n" not in str(caught.value)


def test_units_of_another_name_are_refused():
    one = predicted("classification")

    with pytest.raises(ValueError, match="'patient' or 'image'"):
        difference_of(one, one, ScoringRules(), "mean_auc", by="hospital")


def test_the_observed_test_set_is_the_replicate_that_draws_each_once():
    truth, one, _ = labeled()

    assert auc_statistic(truth, one).observed()[0] == pytest.approx(auc(truth[:, 0], one[:, 0]))
    assert replicated(auc_statistic(truth, one), np.arange(60), 7).shape == (7,)
