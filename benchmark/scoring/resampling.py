"""Predictions -> a metric's interval, and the difference of two models, over replicates of the test set.

What is drawn is what is judged: images, the cases or exams that a task judges by, or the patients whom these belong to.
Each metric is the judge's (`benchmark.scoring.evaluate`), asked of how often each example was drawn. A label that a replicate
has one class of is left out of that replicate's means.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import TOP_SLICES, by_case
from benchmark.stats import bootstrap
from benchmark.stats.bootstrap import Bootstrapped, Kind, Statistic, auc_statistic, sums_statistic
from benchmark.stats.formulas import top_mean
from benchmark.stats.resampled_auc import Floats
from benchmark.tasks.spec import ScoringRules
from benchmark.text import first_few, plural

By = Literal["patient", "image"]
EXAM_METRICS = {"exam_auc_max": 1, f"exam_auc_top{TOP_SLICES}": TOP_SLICES}


@dataclass(frozen=True)
class _Judged:
    """One model's metric, and the names of what it is judged by: `ids` N, `patients` N (None where not known)."""

    statistic: Statistic
    ids: NDArray[np.str_]
    patients: NDArray[np.str_] | None

    def units(self, by: By) -> NDArray[np.str_]:
        if by not in ("patient", "image"):
            raise ValueError(f"by: wanted 'patient' or 'image', found {by!r}")
        if by == "image":
            return self.ids
        if self.patients is None:
            raise BenchmarkError(
                "the predictions name no patients: resample by image, or run the cells again from an index that does"
            )
        return self.patients


def difference_of(
    predictions_a: Predictions | Sequence[Predictions],
    predictions_b: Predictions | Sequence[Predictions],
    judging: ScoringRules,
    metric: str,
    *,
    by: By = "patient",
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
    kind: Kind = "percentile",
) -> Bootstrapped:
    """The first model's metric minus the second's, each on the same replicates of the test set they share.

    A side may be several runs (seeds) of one model: their mean metric is compared. `metric`: a name of
    `benchmark.tasks.METRICS`, `auc:LABEL`, or a Dice with `:reference` behind it. `by`: patients are drawn with all
    that is theirs, or images (cases, exams, where the task judges those) by themselves. Raises BenchmarkError where the test
    images or their labels differ, or the predictions do not have the metric.
    """
    sides = [_aligned(side) for side in (predictions_a, predictions_b)]
    for run in (*sides[0][1:], *sides[1]):
        _check_same(sides[0][0], run, [name for name in ("patient", judging.case, judging.exam) if name])
    first, second = (_judged(side, judging, metric) for side in sides)
    return bootstrap.bootstrap_difference(
        first.statistic, second.statistic, first.units(by), replicates=replicates, seed=seed, kind=kind
    )


def band_of(
    predictions: Predictions | Sequence[Predictions],
    judging: ScoringRules,
    metric: str,
    *,
    by: By = "patient",
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
    kind: Kind = "percentile",
) -> tuple[float, float, float]:
    """Returns one model's metric (of several runs: the mean of theirs) and the ends of its 95 % interval; as
    `difference_of` otherwise.
    """
    judged = _judged(_aligned(predictions), judging, metric)
    units = judged.units(by)
    value = bootstrap.whole(judged.statistic, len(units))
    found = bootstrap.replicated(judged.statistic, units, replicates, seed)
    jackknife = judged.statistic.left_out(bootstrap.numbered(units)) if kind == "bca" else None
    return (value, *bootstrap.interval(value, found, kind, jackknife=jackknife))


def sd_over_test_sets(
    predictions: Sequence[Predictions], judging: ScoringRules, metric: str, *, by: By = "patient", seed: int = 0
) -> float:
    """Returns the sd of a model's metric, the mean over its runs, over 1,000 replicates of the test set."""
    judged = _judged(_aligned(predictions), judging, metric)
    found = bootstrap.replicated(judged.statistic, judged.units(by), bootstrap.REPLICATES, seed)
    return float(np.nanstd(found, ddof=1))


def _aligned(side: Predictions | Sequence[Predictions]) -> list[Predictions]:
    """Runs in the order of their ids, so that a file's own order changes no replicate."""
    runs = [side] if isinstance(side, Predictions) else list(side)
    if not runs:
        raise BenchmarkError("no predictions to resample: wanted one run or more on each side")
    return [run.rows(np.argsort(run.ids, kind="stable")) for run in runs]


def _check_same(one: Predictions, two: Predictions, groups: list[str]) -> None:
    if not np.array_equal(one.ids, two.ids):
        only = [np.setdiff1d(a, b) for a, b in ((one.ids, two.ids), (two.ids, one.ids))]
        found = [f"{plural(len(ids), 'image')} in one alone ({first_few(ids)})" for ids in only if len(ids)]
        told = ", ".join(found) or "the same names, not equally often"
        raise BenchmarkError(f"not the same test images: {told}: compare cells of one task, data, split and fold")
    if one.columns != two.columns:
        raise BenchmarkError(
            f"not the same labels: {first_few(one.columns)} and {first_few(two.columns)}: compare cells of one task"
        )
    same = ((one.truth == two.truth) | (np.isnan(one.truth) & np.isnan(two.truth))).all(axis=1)
    for name in groups:
        ours, theirs = one.groups.get(name), two.groups.get(name)
        same &= ours is theirs or (ours is not None and theirs is not None and ours == theirs)
    if not same.all():
        differing = one.ids[~same]
        raise BenchmarkError(
            f"{plural(len(differing), 'test image')} with other labels or groups in one than in the other "
            f"({first_few(differing)}): compare cells of one version of the data"
        )


def _judged(runs: list[Predictions], judging: ScoringRules, metric: str) -> _Judged:
    judged = [_judged_run(run, judging, metric) for run in runs]
    statistic = bootstrap.mean_statistic([of.statistic for of in judged]) if len(judged) > 1 else judged[0].statistic
    return _Judged(statistic, judged[0].ids, judged[0].patients)


def _judged_run(predictions: Predictions, judging: ScoringRules, metric: str) -> _Judged:
    segmentation = predictions.kind == "segmentation"
    judged = by_case(predictions, judging.case) if judging.case and not segmentation else predictions
    if judging.exam and metric in EXAM_METRICS and not segmentation:
        return _by_exam(judged, judging.exam, EXAM_METRICS[metric])
    known = _dices(judged) if segmentation else _classifications(judged, judging)
    if metric not in known:
        raise BenchmarkError(f"{metric!r} is no metric of these predictions: {did_you_mean(metric, known)}")
    return _Judged(known[metric](), judged.ids, judged.groups.get("patient"))


def _by_exam(predictions: Predictions, exam: str, first: int) -> _Judged:
    rows = np.flatnonzero(~np.isnan(predictions.truth[:, 0]))
    truth, score = predictions.truth[rows, 0], predictions.score[rows, 0]
    names, start, place = np.unique(predictions.groups[exam][rows], return_index=True, return_inverse=True)
    positive = np.zeros(len(names))
    np.maximum.at(positive, place, truth)
    patients = predictions.groups.get("patient")
    statistic = auc_statistic(positive, top_mean(score, place, first))
    return _Judged(statistic, names, None if patients is None else patients[rows][start])


def _classifications(predictions: Predictions, judging: ScoringRules) -> dict[str, Callable[[], Statistic]]:
    """Metric -> what makes its statistic; only what the judge gives of such predictions."""
    truth, score, columns = predictions.truth, predictions.score, predictions.columns
    scored = [columns.index(name) for name in judging.scored_labels(columns)]
    known: dict[str, Callable[[], Statistic]] = {"mean_auc": partial(auc_statistic, truth[:, scored], score[:, scored])}
    if len(columns) == 1:
        known["auc"] = known["mean_auc"]
    for place, label in enumerate(columns):
        known[f"auc:{label}"] = partial(auc_statistic, truth[:, place], score[:, place])
    if predictions.kind == "classification":
        return known
    labelled = ~np.isnan(truth).any(axis=1)
    actual, classes = np.where(labelled, truth.argmax(axis=1), -1), np.arange(len(columns))
    ranked = np.argsort(-score.astype(float), axis=1, kind="stable")

    def hits(first: int) -> NDArray[np.bool_]:
        return (ranked[:, :first] == actual[:, None]).any(axis=1)

    def sensitivity(first: int) -> Statistic:
        of_class = actual[:, None] == np.array(scored)
        return sums_statistic(np.hstack([of_class & hits(first)[:, None], of_class]), _mean_share)

    def agreement(predicted: NDArray[Any]) -> Statistic:
        cells = (actual[:, None] == classes)[:, :, None] & (predicted[:, None] == classes)[:, None, :]
        return sums_statistic(cells.reshape(len(actual), -1), _kappa)

    known["accuracy"] = lambda: sums_statistic(np.stack([hits(1), labelled], axis=1), _mean_share)
    known["mean_sensitivity"] = lambda: sensitivity(1)
    known["mean_sensitivity_top3"] = lambda: sensitivity(3)
    if len(columns) > 3:
        known["top3_accuracy"] = lambda: sums_statistic(np.stack([hits(3), labelled], axis=1), _mean_share)
    if predictions.kind == "ordinal":
        known["kappa"] = lambda: agreement(score.argmax(axis=1))
        known["kappa_expected"] = lambda: agreement((score @ classes).round())
    return known


def _dices(predictions: Predictions) -> dict[str, Callable[[], Statistic]]:
    known: dict[str, Callable[[], Statistic]] = {}
    for place, reference in enumerate(predictions.columns):
        given = ~np.isnan(predictions.truth[:, place])
        actual = np.where(given, predictions.truth[:, place], 0).astype(float)
        predicted, both = np.where(given[:, None], predictions.score[:, place], 0).astype(float).T
        total, behind = predicted + actual, "" if place == 0 else f":{reference}"
        each = np.where(total > 0, 2 * both / np.where(total > 0, total, 1), 1.0)
        marked = actual > 0
        shares = {"dice_per_image": (each * given, given), "dice_positive": (each * marked, marked)}
        for name, features in shares.items():
            known[name + behind] = partial(sums_statistic, np.stack(features, axis=1), _mean_share)
        pixels = np.stack([2 * both, total, given], axis=1)
        known["dice_pooled" + behind] = partial(sums_statistic, pixels, _pooled)
    return known


def _mean_share(sums: Floats) -> Floats:
    """R x 2C sums, what counts and then what it is of -> R means of their ratios over those that there are any of."""
    part, whole = np.split(sums, 2, axis=1)
    return bootstrap.mean_of_known(np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan))


def _pooled(sums: Floats) -> Floats:
    twice_both, total, images = sums.T
    dice = np.where(total > 0, twice_both / np.where(total > 0, total, 1), 1.0)
    return np.where(images > 0, dice, np.nan)


def _kappa(sums: Floats) -> Floats:
    grades = math.isqrt(sums.shape[1])
    table = sums.reshape(-1, grades, grades)
    distance = (np.arange(grades)[:, None] - np.arange(grades)) ** 2
    num = np.maximum(table.sum(axis=(1, 2)), 1)
    expected = np.einsum("ri,rj,ij->r", table.sum(axis=2), table.sum(axis=1), distance) / num
    observed = (distance * table).sum(axis=(1, 2))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), np.nan)
