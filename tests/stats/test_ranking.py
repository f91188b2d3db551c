"""Ranks over tasks against Demšar 2006, scipy and scikit-posthocs; aggregates against rliable's definitions by hand."""

import math

import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark.stats.ranking import (
    cliques,
    critical_distance,
    friedman,
    iqm,
    iqm_of_runs,
    left_out,
    mean_ranks,
    mean_ranks_of_runs,
    nemenyi,
    probability_of_improvement,
)

# Demšar 2006, table 5 (a): critical values of the two-tailed Nemenyi test for 2 … 10 classifiers
PRINTED = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}


def scores(seed=0, runs=5, models=4, tasks=7):
    rng = np.random.default_rng(seed)
    return rng.normal(0.8, 0.02, (runs, models, tasks)) + 0.01 * np.arange(models)[:, None]


@pytest.mark.parametrize("alpha", PRINTED)
def test_critical_values_are_demsars_printed_ones(alpha):
    for models, printed in enumerate(PRINTED[alpha], start=2):
        # with k (k + 1) / 6 tasks the distance is the critical value itself
        tasks = 12 * models * (models + 1)
        found = critical_distance(models, tasks, alpha) * math.sqrt(72)
        assert found == pytest.approx(printed, abs=1.5e-3)


def test_demsars_example_of_four_classifiers_on_fourteen_data_sets():
    """Section 3.2.4: distance 1.25 at 0.05 (nothing differs), 1.12 at 0.10, where C4.5 is worse than two others."""
    ranks = [3.143, 2.000, 2.893, 1.964]  # C4.5, with m, with cf, with both

    wide, narrow = critical_distance(4, 14), critical_distance(4, 14, 0.10)

    assert (wide, narrow) == (pytest.approx(1.25, abs=5e-3), pytest.approx(1.12, abs=5e-3))
    assert cliques(ranks, wide) == [(3, 1, 2, 0)]
    assert cliques(ranks, narrow) == [(3, 1, 2), (2, 0)]


@pytest.mark.parametrize(("models", "tasks"), [(2, 3), (3, 12), (5, 4), (8, 7)])
def test_nemenyi_is_scikit_posthocs(models, tasks):
    means = np.random.default_rng(models).integers(0, 6, (models, tasks)) / 5

    p, without = nemenyi(means)

    expected = scikit_posthocs.posthoc_nemenyi_friedman(-means.T).to_numpy()
    apart = ~np.eye(models, dtype=bool)
    assert p[apart] == pytest.approx(expected[apart], abs=1e-9)
    assert np.isnan(np.diag(p)).all()
    assert without == ()


def test_the_distance_and_the_p_of_pairs_agree():
    means = scores(1, models=6).mean(axis=0)

    ranks, _ = mean_ranks(means)
    p, _ = nemenyi(means)

    apart = np.abs(ranks[:, None] - ranks) >= critical_distance(6, 7)
    assert (apart == (np.nan_to_num(p, nan=1) <= 0.05)).all()
    assert apart.any()


def test_mean_ranks_by_hand():
    """Best is 1; ties share; the task that a model lacks is left out and returned."""
    means = [[0.9, 0.8, 0.1, 0.5], [0.7, 0.8, 0.2, math.nan], [0.8, 0.6, 0.3, 0.9]]

    ranks, without = mean_ranks(means)

    assert ranks == pytest.approx([(1 + 1.5 + 3) / 3, (3 + 1.5 + 2) / 3, (2 + 3 + 1) / 3])
    assert without == (3,)
    assert left_out(means) == (3,)


def test_friedman_is_scipys_of_the_tasks_that_all_have():
    means = scores(2).mean(axis=0)
    means[1, 4] = math.nan

    found = friedman(means)

    expected = stats.friedmanchisquare(*np.delete(means, 4, axis=1))
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.tasks, found.left_out) == (6, (4,))


def test_friedman_by_hand():
    """Three models ranked alike on four tasks: 12 · 4 / (3 · 4) · (1 + 4 + 9 - 3 · 16 / 4) = 8."""
    assert friedman([[3] * 4, [2] * 4, [1] * 4]).statistic == pytest.approx(8)


@pytest.mark.parametrize("means", [[[1, 2], [2, 1]], [[1], [2], [3]], [[1, 1], [1, 1], [1, 1]], [[math.nan]] * 3])
def test_friedman_of_too_little_is_nan(means):
    assert math.isnan(friedman(means).p)


@given(st.lists(st.floats(1, 9), min_size=1, max_size=9), st.floats(0.1, 8))
def test_cliques_are_the_largest_groups_that_do_not_differ(ranks, distance):
    found = [frozenset(group) for group in cliques(ranks, distance)]
    values = np.array(ranks)
    order = np.argsort(values, kind="stable")
    runs = [order[a:b] for a in range(len(order)) for b in range(a + 2, len(order) + 1)]
    alike = [frozenset(run.tolist()) for run in runs if values[run].max() < values[run].min() + distance]

    assert set(found) == {group for group in alike if not any(group < other for other in alike)}
    assert len(found) == len(set(found))


def test_models_that_all_differ_are_in_no_clique():
    assert cliques([1, 2, 3], 1.0) == []


def test_mean_ranks_over_runs_are_those_of_the_means_within_their_interval():
    values = scores(3)

    found = mean_ranks_of_runs(values, seed=1)

    assert found.value == pytest.approx(mean_ranks(values.mean(axis=0))[0])
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()
    assert (found.low < found.high).any()


def test_intervals_over_runs_are_those_of_a_plain_loop():
    """Each model's runs drawn anew in each task, one replicate after the other."""
    values, rng = scores(4, runs=6, models=3, tasks=4), np.random.default_rng(5)
    looped = []
    for _ in range(4000):
        drawn = np.empty_like(values)
        for model in range(3):
            for task in range(4):
                drawn[:, model, task] = rng.choice(values[:, model, task], 6)
        looped.append(drawn.transpose(1, 0, 2).reshape(3, -1))

    found = iqm_of_runs(values, replicates=4000)

    low, high = np.quantile(stats.trim_mean(looped, 0.25, axis=2), [0.025, 0.975], axis=0)
    assert found.low == pytest.approx(low, abs=0.06 * (high - low).max())
    assert found.high == pytest.approx(high, abs=0.06 * (high - low).max())


def test_fewer_runs_of_one_model_and_a_task_that_one_lacks():
    values = scores(6)
    values[3:, 1, :] = math.nan  # model 1 has three runs
    values[:, 2, 5] = math.nan  # model 2 lacks task 5

    ranked, middle = mean_ranks_of_runs(values), iqm_of_runs(values)

    complete = np.delete(values, 5, axis=2)
    assert ranked.left_out == middle.left_out == (5,)
    assert ranked.value == pytest.approx(mean_ranks(np.nanmean(complete, axis=0))[0])
    assert middle.value[1] == pytest.approx(stats.trim_mean(complete[:3, 1].ravel(), 0.25))
    assert middle.value[0] == pytest.approx(stats.trim_mean(complete[:, 0].ravel(), 0.25))
    assert (middle.low <= middle.value).all()


def test_no_task_in_common_gives_no_ranks():
    found = mean_ranks_of_runs([[[0.9, math.nan], [math.nan, 0.8]]])

    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.left_out == (0, 1)
    assert np.isnan(nemenyi([[0.9, math.nan], [math.nan, 0.8]])[0]).all()


def test_iqm_by_hand():
    """Of eight the middle four: 3, 4, 5, 6."""
    assert iqm([[1, 2, 3, 4], [5, 6, 7, 800]]) == pytest.approx(4.5)
    assert iqm([[1, 2, 3, 4], [5, 6, 7, 800], [math.nan] * 4]) == pytest.approx(4.5)
    assert math.isnan(iqm([[math.nan]]))


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_probability_of_improvement_is_mann_and_whitneys(seed, runs_x, runs_y):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 5, (runs_x, 3)) / 4, rng.integers(0, 5, (runs_y, 3)) / 4

    found = probability_of_improvement(x, y, replicates=50)

    each = [stats.mannwhitneyu(x[:, task], y[:, task]).statistic / (runs_x * runs_y) for task in range(3)]
    assert found.value == pytest.approx(np.mean(each))
    assert 0 <= found.low <= found.high <= 1


def test_probability_of_improvement_turns_round_and_leaves_out_what_one_lacks():
    x, y = scores(7)[:, 0], scores(8)[:4, 1]
    x[:, 2] = math.nan
    y[1:, 3] = math.nan

    one, other = probability_of_improvement(x, y), probability_of_improvement(y, x)

    assert one.left_out == other.left_out == (2,)
    assert one.value == pytest.approx(1 - other.value)
    assert one.low < one.value < one.high
    assert math.isnan(probability_of_improvement(x[:, 2:3], y[:, 2:3]).value)
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement(x, y[:, 1:])


def test_the_interval_of_improvement_is_that_of_a_plain_loop():
    x, y, rng = scores(9)[:, 0, :3], scores(10)[:, 1, :3], np.random.default_rng(11)
    looped = []
    for _ in range(3000):
        sides = [np.stack([rng.choice(side[:, task], 5) for task in range(3)], axis=1) for side in (x, y)]
        looped.append(np.mean(sides[0][:, None] > sides[1][None]))

    found = probability_of_improvement(x, y, replicates=3000)

    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(looped, [0.025, 0.975])), abs=0.03)


@pytest.mark.parametrize(
    "interval_of",
    [
        lambda seed: mean_ranks_of_runs(scores(12), seed=seed),
        lambda seed: iqm_of_runs(scores(12), seed=seed),
        lambda seed: probability_of_improvement(scores(12)[:, 0], scores(12)[:, 1], seed=seed),
    ],
)
def test_the_same_seed_gives_the_same_interval_another_seed_another_one(interval_of):
    one, again, other = interval_of(1), interval_of(1), interval_of(2)

    assert (np.array([one.low, one.high]) == np.array([again.low, again.high])).all()
    assert (np.array([one.low, one.high]) != np.array([other.low, other.high])).any()


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="2 dimensions"):
        mean_ranks([0.1, 0.2])
