"""Tests, intervals, effect sizes and corrections against statsmodels, scipy's other routes and pages of arithmetic."""

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import effectsize_smd
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_ind

from benchmark.stats.multiplicity import benjamini_hochberg, holm
from benchmark.stats.significance import (
    hedges_g,
    hedges_g_interval,
    independent_t,
    paired_t,
    sample_sd,
    smallest_effect,
    t_from_moments,
    t_interval,
    tost,
    welch_t,
    wilcoxon,
)


def runs(seed, num=10, mean=0.9, sd=0.01):
    return np.random.default_rng(seed).normal(mean, sd, num)


@pytest.mark.parametrize(("test", "usevar"), [(independent_t, "pooled"), (welch_t, "unequal")])
def test_independent_tests_are_statsmodels(test, usevar):
    one, two = runs(0), runs(1, 7, 0.89, 0.03)

    found, compared = test(one, two), CompareMeans(DescrStatsW(one), DescrStatsW(two))

    assert found.p == pytest.approx(compared.ttest_ind(usevar=usevar)[1], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(compared.tconfint_diff(usevar=usevar), rel=1e-9)
    assert found.mean == pytest.approx(one.mean() - two.mean())


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 12), st.booleans())
def test_printed_moments_give_what_the_runs_give(seed, n1, n2, equal):
    one, two = runs(seed, n1), runs(seed + 1, n2, 0.88, 0.02)
    moments = [part for side in (one, two) for part in (side.mean(), side.std(ddof=1), len(side))]

    found = t_from_moments(*moments, equal_variances=equal)

    compared = CompareMeans(DescrStatsW(one), DescrStatsW(two))
    usevar = "pooled" if equal else "unequal"
    assert found.p == pytest.approx(compared.ttest_ind(usevar=usevar)[1], rel=1e-6)
    assert (found.low, found.high) == pytest.approx(compared.tconfint_diff(usevar=usevar), rel=1e-6)


def test_two_printed_means_within_their_noise_do_not_differ():
    """By hand: 88.0 ± 1 and 88.5 ± 1 of ten runs each: t = -0.5 / sqrt(2 / 10) = -1.118, below 2.101 at 18 degrees."""
    found = t_from_moments(88.0, 1.0, 10, 88.5, 1.0, 10)

    assert found.p > 0.05
    assert found.high == pytest.approx(-0.5 + 2.10092 * math.sqrt(0.2), abs=1e-5)


@pytest.mark.parametrize(
    "moments", [(0.9, math.nan, 10, 0.8, 0.1, 10), (0.9, 0.1, 1, 0.8, 0.1, 10), (0.9, 0.0, 5, 0.8, 0.0, 5)]
)
def test_moments_that_are_not_printed_give_no_p(moments):
    found = t_from_moments(*moments)

    assert found.mean == pytest.approx(0.1)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_a_negative_sd_is_refused():
    with pytest.raises(ValueError, match="negative"):
        t_from_moments(0.9, -0.1, 10, 0.8, 0.1, 10)


def test_paired_test_is_statsmodels_of_the_differences():
    one, two = runs(2), runs(3)

    found, described = paired_t(one, two), DescrStatsW(one - two)

    assert found.p == pytest.approx(described.ttest_mean(0)[1], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(described.tconfint_mean(), rel=1e-9)


def test_pairing_finds_what_seeds_share():
    shared = runs(4, sd=0.05)
    better = shared + runs(5, mean=0.01, sd=0.002)

    assert paired_t(better, shared).p < 0.001 < independent_t(better, shared).p


@pytest.mark.parametrize("test", [paired_t, wilcoxon])
def test_pairs_of_unequal_number_are_refused(test):
    with pytest.raises(ValueError, match="one length"):
        test([0.1, 0.2], [0.1, 0.2, 0.3])


@given(st.integers(0, 10_000), st.integers(2, 60))
def test_signed_ranks_without_ties_are_scipys(seed, num):
    one, two = runs(seed, num), runs(seed + 1, num, 0.895)

    expected = stats.wilcoxon(one, two, method="exact" if num <= 50 else "asymptotic").pvalue
    assert wilcoxon(one, two).p == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_signed_ranks_with_ties_and_zeros_are_exact(tenths):
    """Against all signs of the ranks, counted one by one."""
    one = np.array(tenths) / 10 + 0.5
    unequal = [tenth for tenth in tenths if tenth]

    found = wilcoxon(one, np.full(len(tenths), 0.5))

    if len(unequal) < 2:
        assert math.isnan(found.p)
        return
    ranks = stats.rankdata(np.abs(unequal))
    centre = ranks.sum() / 2
    away = abs(ranks[np.array(unequal) > 0].sum() - centre)
    signs = itertools.product((0, 1), repeat=len(ranks))
    expected = np.mean([abs(np.dot(sign, ranks) - centre) >= away - 1e-9 for sign in signs])
    assert found.p == pytest.approx(min(1, expected))


def test_signed_ranks_by_hand():
    """Six pairs, all better: the one sign of 64 at each end, 2 / 64."""
    assert wilcoxon(np.arange(1, 7) / 10, np.zeros(6)).p == pytest.approx(2 / 64)


def test_equal_differences_tie_though_floats_do_not():
    """0.3 - 0.2 and 0.2 - 0.1 differ in the last bit: neither ranks nor a spread may come of it."""
    one, two = [0.3, 0.2, 0.5], [0.2, 0.1, 0.4]

    assert wilcoxon(one, two).p == pytest.approx(2 / 8)
    assert math.isnan(paired_t(one, two).p)


@pytest.mark.parametrize("test", [independent_t, welch_t, paired_t, wilcoxon])
@pytest.mark.parametrize(
    ("one", "two"), [([0.8], [0.7]), ([0.8, 0.8, 0.8], [0.8, 0.8, 0.8]), ([], []), ([0.8, math.nan], [0.7, 0.6])]
)
def test_what_cannot_be_tested_is_nan(test, one, two):
    found = test(one, two)

    assert np.isnan([found.low, found.high, found.p]).all()


def test_runs_that_differ_by_rounding_alone_do_not_vary():
    found = independent_t([0.3, 0.1 + 0.2, 0.3], [0.2, 0.2, 0.2])

    assert np.isnan(astuple(found)[1:]).all()


def test_t_interval_is_scipys_and_wider_than_the_normal_one():
    values = runs(6)

    low, high = t_interval(values)

    assert (low, high) == pytest.approx(stats.t.interval(0.95, 9, values.mean(), stats.sem(values)))
    assert (high - low) / 2 / stats.sem(values) == pytest.approx(2.262, abs=5e-4)
    assert t_interval(values, 0.9) == pytest.approx(DescrStatsW(values).tconfint_mean(0.1))
    assert np.isnan(t_interval([0.9])).all()


def test_hedges_g_is_statsmodels_but_for_the_correction():
    """Statsmodels corrects by 1 - 3 / (4 N - 9), which is near the exact gamma functions and not they."""
    one, two = runs(7, 10), runs(8, 8, 0.89)
    moments = [part for side in (one, two) for part in (side.mean(), side.std(ddof=1), len(side))]

    approximate = effectsize_smd(*moments)[0]

    assert hedges_g(one, two) == pytest.approx(approximate, rel=1e-3)
    exact = math.gamma(8) / (math.sqrt(8) * math.gamma(7.5))
    assert hedges_g(one, two) == pytest.approx(approximate / (1 - 3 / (4 * 18 - 9)) * exact)


def test_hedges_g_by_hand():
    """1, 3 against 0, 2: difference 1, pooled sd √2, 2 degrees of freedom: Γ(1) / (1 · Γ(1/2)) = 1 / √π."""
    assert hedges_g([1, 3], [0, 2]) == pytest.approx(1 / math.sqrt(2) / math.sqrt(math.pi))
    assert math.isnan(hedges_g([1.0, 1.0], [1.0, 1.0]))


def test_hedges_interval_ends_are_the_noncentral_t_that_leave_a_tail():
    one, two = runs(9, 10), runs(10, 10, 0.89)

    low, high = hedges_g_interval(one, two)

    t = stats.ttest_ind(one, two).statistic
    correction = math.gamma(9) / (3 * math.gamma(8.5))
    shifts = np.array([low, high]) / correction / math.sqrt(2 / 10)
    assert stats.nct.sf(t, 18, shifts[0]) == pytest.approx(0.025, abs=1e-5)
    assert stats.nct.cdf(t, 18, shifts[1]) == pytest.approx(0.025, abs=1e-5)
    assert low < hedges_g(one, two) < high


def test_equivalence_is_statsmodels():
    one, two = runs(11), runs(12, 8)

    for margin in (0.002, 0.01, 0.05):
        assert tost(one, two, margin) == pytest.approx(ttost_ind(one, two, -margin, margin)[0], rel=1e-9)
    assert math.isnan(tost([0.9], two, 0.01))
    with pytest.raises(ValueError, match="margin"):
        tost(one, two, 0)


@pytest.mark.parametrize("power", [0.8, 0.95])
def test_the_smallest_effect_is_statsmodels(power):
    for n in (4, 5, 10, 30):
        expected = TTestIndPower().solve_power(nobs1=n, alpha=0.05, power=power)
        assert smallest_effect(n, power=power) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("power", [0.8, 0.95])
@pytest.mark.parametrize("n", [2, 3])
def test_the_smallest_effect_of_two_or_three_runs_has_its_power(n, power):
    """Where statsmodels finds none. The other tail is below 1e-6 there."""
    shift = smallest_effect(n, power=power) * math.sqrt(n / 2)

    assert stats.nct.sf(stats.t.ppf(0.975, 2 * n - 2), 2 * n - 2, shift) == pytest.approx(power, abs=1e-6)


def test_one_run_shows_nothing():
    assert math.isnan(smallest_effect(1))
    with pytest.raises(ValueError, match="power"):
        smallest_effect(10, power=1.0)


@pytest.mark.parametrize("num", [1, 2, 5, 30])
def test_corrections_are_statsmodels_of_the_tests_that_were_made(num):
    """With ties, and with every fifth test missing."""
    family = np.random.default_rng(num).random(num).round(1)
    family[4::5] = np.nan
    known = ~np.isnan(family)

    for ours, theirs in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        found = ours(family)
        assert np.isnan(found[~known]).all()
        assert found[known] == pytest.approx(multipletests(family[known], method=theirs)[1], abs=1e-12)


def test_corrections_by_hand():
    """0.01, 0.03, 0.04: by Holm 3 · 0.01, 2 · 0.03 and, never falling, 0.06 again; by Benjamini and Hochberg 3 / 1 · 0.01,
    3 / 2 · 0.03 capped by the next, 3 / 3 · 0.04.
    """
    p = np.array([[0.04, np.nan], [0.01, 0.03]])

    assert holm(p) == pytest.approx(np.array([[0.06, np.nan], [0.03, 0.06]]), nan_ok=True)
    assert benjamini_hochberg(p) == pytest.approx(np.array([[0.04, np.nan], [0.03, 0.04]]), nan_ok=True)
    assert p[0, 0] == 0.04
    with pytest.raises(ValueError, match=r"0\.\.1"):
        holm([1.2])


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
