"""Computes intervals of a metric, and of the difference of two models, over replicates of the test set.

The units that are drawn are what the task scores (images, cases or exams), or the patients to whom these belong. The
metrics are those that give the scores (`benchmark.scoring.metrics`), computed from how often each example was drawn. A
label of which a replicate has one class only is left out of that replicate's mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.results.predictions import Predictions
from benchmark.scoring.metrics.registry import metrics_of
from benchmark.stats import bootstrap
from benchmark.stats.bootstrap import Bootstrapped, Kind, Statistic
from benchmark.tasks.spec import ScoringRules
from benchmark.text import first_few, plural

if TYPE_CHECKING:
    from benchmark.scoring.metrics.interface import Metric

By = Literal["patient", "image"]


def difference_of(
    predictions_a: Predictions | Sequence[Predictions],
    predictions_b: Predictions | Sequence[Predictions],
    rules: ScoringRules,
    metric: str,
    *,
    by: By = "patient",
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
    kind: Kind = "percentile",
) -> Bootstrapped:
    """Returns the first model's metric minus the second's, both on the same replicates of one test set.

    A side may be several runs (seeds) of one model: their mean metric is compared. `metric` is a name of
    `benchmark.scoring.metrics`, `auc:LABEL`, or a Dice with `:reference` behind it. `by` says what is drawn: patients with
    all their images, or single images (cases or exams, where the task scores those). Raises BenchmarkError where the test
    images or their labels differ, or the predictions do not have the metric.
    """
    sides = [_aligned(side) for side in (predictions_a, predictions_b)]
    for run in (*sides[0][1:], *sides[1]):
        _check_same(sides[0][0], run, [name for name in ("patient", rules.case, rules.exam) if name])
    first, second = (_resampled(side, rules, metric) for side in sides)
    return bootstrap.bootstrap_difference(
        first.statistic, second.statistic, first.units(by), replicates=replicates, seed=seed, kind=kind
    )


def band_of(
    predictions: Predictions | Sequence[Predictions],
    rules: ScoringRules,
    metric: str,
    *,
    by: By = "patient",
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
    kind: Kind = "percentile",
) -> tuple[float, float, float]:
    """Returns one model's metric (the mean over its runs, where there are several) and the ends of the 95 % interval.

    The arguments are those of `difference_of`.
    """
    judged = _resampled(_aligned(predictions), rules, metric)
    units = judged.units(by)
    value = float(judged.statistic.observed()[0])
    values = bootstrap.replicated(judged.statistic, units, replicates, seed)
    jackknife = judged.statistic.jackknife(bootstrap.numbered(units)) if kind == "bca" else None
    return (value, *bootstrap.interval(value, values, kind, jackknife=jackknife))


def sd_over_test_sets(
    predictions: Sequence[Predictions], rules: ScoringRules, metric: str, *, by: By = "patient", seed: int = 0
) -> float:
    """Returns the sd of a model's metric, the mean over its runs, over 1,000 replicates of the test set."""
    judged = _resampled(_aligned(predictions), rules, metric)
    values = bootstrap.replicated(judged.statistic, judged.units(by), bootstrap.REPLICATES, seed)
    return float(np.nanstd(values, ddof=1))


def _aligned(side: Predictions | Sequence[Predictions]) -> list[Predictions]:
    """Returns the runs, each sorted by image, so that the order within a file changes no replicate."""
    runs = [side] if isinstance(side, Predictions) else list(side)
    if not runs:
        raise BenchmarkError("no predictions to resample: wanted one run or more on each side")
    return [run.rows(np.argsort(run.ids, kind="stable")) for run in runs]


def _check_same(one: Predictions, two: Predictions, groups: list[str]) -> None:
    """Raises BenchmarkError where two runs differ in images, labels, truth or these groups."""
    if not np.array_equal(one.ids, two.ids):
        only = [np.setdiff1d(a, b) for a, b in ((one.ids, two.ids), (two.ids, one.ids))]
        extra = [f"{plural(len(ids), 'image')} in one alone ({first_few(ids)})" for ids in only if len(ids)]
        reason = ", ".join(extra) or "the same names, not equally often"
        raise BenchmarkError(f"not the same test images: {reason}: compare cells of one task, data, split and fold")
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


@dataclass(frozen=True)
class _Resampled:
    """A metric of one model, and the names of the units that are drawn: `ids` N, `patients` N or None."""

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


def _resampled(runs: list[Predictions], rules: ScoringRules, metric: str) -> _Resampled:
    """Returns the mean of the metric over the runs."""
    sides = [_resampled_run(run, rules, metric) for run in runs]
    statistic = bootstrap.mean_statistic([side.statistic for side in sides]) if len(sides) > 1 else sides[0].statistic
    return replace(sides[0], statistic=statistic)


def _resampled_run(predictions: Predictions, rules: ScoringRules, name: str) -> _Resampled:
    metrics, columns = metrics_of(predictions, rules), predictions.columns
    scored = [columns.index(label) for label in rules.scored_labels(columns)]
    known: dict[str, tuple[Metric, list[int]]] = {}
    for metric in metrics:
        if predictions.has_masks:
            known[metric.name] = metric, [0]
            known |= {f"{metric.name}:{reference}": (metric, [n]) for n, reference in enumerate(columns) if n}
        else:
            known[metric.name] = metric, scored
            if metric.label_name:
                known |= {f"{metric.label_name}:{label}": (metric, [n]) for n, label in enumerate(columns)}
    if name not in known:
        raise BenchmarkError(f"{name!r} is no metric of these predictions: {did_you_mean(name, known)}")
    metric, chosen = known[name]
    examples = metric.examples(predictions, rules)
    return _Resampled(metric.statistic(predictions, rules, chosen).mean_over(), examples.ids, examples.patients)
