"""Models compared over several tasks: ranks and the tests of them, interquartile means, probability of improvement.

`means` is always models x tasks, `scores` is runs x models x tasks (NaN stands for the runs that a model lacks); a higher
score is better. A task that some model lacks is left out, and its number is returned. Friedman and Nemenyi are as in
Demšar 2006, interquartile mean and probability of improvement as in Agarwal et al. 2021 (rliable).

Intervals are percentiles over resampled runs, drawn for each model and task among its own runs: they cover what other
seeds could have given on these tasks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
REPLICATES = 1000
TAILS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A value of each model, and the ends of the 95 % interval. `left_out`: numbers of the tasks that some model lacks."""

    value: Floats
    low: Floats
    high: Floats
    left_out: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """The probability that a run of the first model beats one of the second, mean over tasks, with its 95 % interval."""

    value: float
    low: float
    high: float
    left_out: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """A test of whether any model differs in rank: statistic, p, how many tasks it covers and which were left out."""

    statistic: float
    p: float
    tasks: int
    left_out: tuple[int, ...]


def left_out(means: ArrayLike) -> tuple[int, ...]:
    """Returns the numbers of the tasks that some model lacks, of models x tasks or of runs x models x tasks."""
    missing = np.isnan(_array(means, 2, 3))
    if missing.ndim == 3:
        missing = np.all(missing, axis=0)
    return tuple(np.flatnonzero(missing.any(axis=0)).tolist())


def mean_ranks(means: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
    """Returns each model's mean rank over the tasks (1 is the best, ties share a rank), and the tasks left out."""
    complete, without = _complete(means)
    return _mean_ranks(complete), without


def friedman(means: ArrayLike) -> Friedman:
    """Returns Friedman's test of models x tasks, chi-squared and corrected for ties. NaN for fewer than three models or two
    tasks, or where every task gives all models the same rank.
    """
    complete, without = _complete(means)
    num_models, num_tasks = complete.shape
    statistic = p = math.nan
    if num_models > 2 and num_tasks > 1 and (complete != complete[0]).any():
        test = stats.friedmanchisquare(*complete)
        statistic, p = float(test.statistic), float(test.pvalue)
    return Friedman(statistic=statistic, p=p, tasks=num_tasks, left_out=without)


def critical_distance(num_models: int, num_tasks: int, alpha: float = 0.05) -> float:
    """Returns Nemenyi's critical distance: mean ranks that are as far apart, or farther, differ.

    It is the studentized range's quantile over √2, times the standard error of a difference of mean ranks (Demšar 2006,
    section 3.2.2).
    """
    if num_models < 2 or num_tasks < 1:
        return math.nan
    quantile = float(stats.studentized_range.ppf(1 - alpha, num_models, np.inf)) / math.sqrt(2)
    return quantile * _rank_error(num_models, num_tasks)


def nemenyi(means: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
    """Returns the p of each pair of models (symmetric, NaN on the diagonal, corrected for the number of pairs), and the
    tasks left out.
    """
    ranks, without = mean_ranks(means)
    num_tasks = np.shape(means)[1] - len(without)
    p = np.full((len(ranks), len(ranks)), np.nan)
    if num_tasks and len(ranks) > 1:
        distances = np.abs(ranks[:, None] - ranks) / _rank_error(len(ranks), num_tasks)
        p = np.clip(stats.studentized_range.sf(distances * math.sqrt(2), len(ranks), np.inf), 0, 1)
        np.fill_diagonal(p, np.nan)
    return p, without


def cliques(ranks: ArrayLike, distance: float) -> list[tuple[int, ...]]:
    """Returns the largest groups of two or more models whose mean ranks all lie within less than the critical distance.

    Groups hold the numbers of models, and are in order of rank, as their members are; a model may be in several groups,
    or in none.
    """
    values = np.asarray(ranks, dtype=float)
    order = np.argsort(values, kind="stable")
    ends = np.searchsorted(values[order], values[order] + distance, "left")
    groups, reached = [], 0
    for start, end in enumerate(ends):
        if end > max(reached, start + 1):
            groups.append(tuple(order[start:end].tolist()))
            reached = end
    return groups


def mean_ranks_of_runs(scores: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0) -> Ranked:
    """Returns the mean ranks of the models' mean scores, with intervals over runs."""

    def of(runs: Floats) -> Floats:
        return _mean_ranks(np.nanmean(runs, axis=-3))

    return _over_runs(scores, of, replicates, seed)


def iqm(scores: ArrayLike) -> float:
    """Returns the mean of the middle half of one model's scores, runs x tasks; NaN is left out, and returned for no score."""
    known = _known(scores)
    return float(stats.trim_mean(known, 0.25)) if known.size else math.nan


def iqm_of_runs(scores: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0) -> Ranked:
    """Returns each model's interquartile mean over its runs and tasks, with intervals over runs. Each run counts once."""

    def of(runs: Floats) -> Floats:
        by_model = np.moveaxis(runs, -2, 0)
        cells_of_models = by_model.reshape(len(by_model), -1, runs.shape[-3] * runs.shape[-1])
        # the same cells are NaN in all replicates
        means = [stats.trim_mean(cells[:, ~np.isnan(cells[0])], 0.25, axis=1) for cells in cells_of_models]
        return np.stack(means, axis=-1).reshape(*runs.shape[:-3], len(by_model))

    return _over_runs(scores, of, replicates, seed)


def probability_of_improvement(
    first: ArrayLike, second: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0
) -> Improvement:
    """Returns the probability that a run of the first model scores above one of the second on the same task, mean over
    tasks; ties count half (Mann and Whitney's statistic of each task).

    `first` and `second` are runs x tasks; their numbers of runs may differ. Tasks that one of them lacks are left out; NaN
    where no task remains.
    """
    one, two = _array(first, 2), _array(second, 2)
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"wanted runs of the same tasks, found {one.shape[1]} and {two.shape[1]}")
    without = tuple(sorted({*left_out(one[:, None]), *left_out(two[:, None])}))
    rng = np.random.default_rng(seed)
    values, drawn = [], []
    for task in np.delete(np.arange(one.shape[1]), without):
        ours, theirs = _known(one[:, task]), _known(two[:, task])
        won = (np.sign(ours[:, None] - theirs) + 1) / 2
        values.append(won.mean())
        sides = [rng.integers(num, size=(replicates, num)) for num in won.shape]
        drawn.append(won[sides[0][:, :, None], sides[1][:, None, :]].mean(axis=(1, 2)))
    if not values:
        return Improvement(value=math.nan, low=math.nan, high=math.nan, left_out=without)
    low, high = np.quantile(np.mean(drawn, axis=0), TAILS)
    return Improvement(value=float(np.mean(values)), low=float(low), high=float(high), left_out=without)


def _over_runs(scores: ArrayLike, of: Callable[[Floats], Floats], replicates: int, seed: int) -> Ranked:
    """Returns the values of `of` with intervals over runs; `of` takes … x runs x models x tasks and returns … x models."""
    runs = _array(scores, 3)
    without = left_out(runs)
    complete = np.sort(np.delete(runs, without, axis=2), axis=0)  # sorting puts NaN last
    if not complete.size:
        nothing = np.full(runs.shape[1], np.nan)
        return Ranked(value=nothing, low=nothing, high=nothing, left_out=without)
    num = (~np.isnan(complete)).sum(axis=0)
    drawn = np.random.default_rng(seed).integers(num, size=(replicates, *complete.shape))
    resampled = np.take_along_axis(complete[None], drawn, axis=1)
    resampled[:, np.arange(len(complete))[:, None, None] >= num] = np.nan  # no more runs than the model has
    low, high = np.quantile(of(resampled), TAILS, axis=0)
    return Ranked(value=of(complete[None])[0], low=low, high=high, left_out=without)


def _complete(means: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
    without = left_out(_array(means, 2))
    return np.delete(np.asarray(means, dtype=float), without, axis=1), without


def _mean_ranks(means: Floats) -> Floats:
    """Returns mean ranks, … x models, of … x models x tasks."""
    if not means.shape[-1]:
        return np.full(means.shape[:-1], np.nan)
    return stats.rankdata(-means, axis=-2).mean(axis=-1)


def _rank_error(num_models: int, num_tasks: int) -> float:
    return math.sqrt(num_models * (num_models + 1) / (6 * num_tasks))


def _known(values: ArrayLike) -> Floats:
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values)]


def _array(values: ArrayLike, *dimensions: int) -> Floats:
    array = np.asarray(values, dtype=float)
    if array.ndim not in dimensions:
        raise ValueError(f"wanted {' or '.join(map(str, dimensions))} dimensions, found {array.ndim}")
    return array
