"""What a metric is, and what it is computed from.

A metric has one value for each label (in segmentation, for each reference). Its score on the test set and its values on
resampled test sets come from the same definition, which is one of these:

- `Sums`: statistics of each example, and the value of their sums (accuracy: hits and examples; kappa: a confusion matrix).
- `Ranks`: a function of the order of the scores and of how often each example was drawn (average precision).
- `Auc`: the area under the ROC curve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.results.predictions import Predictions
from benchmark.scoring.examples import Examples, by_case, examples_of, exams_of
from benchmark.stats.resampled_curves import Curve, Floats
from benchmark.tasks.kinds import KINDS
from benchmark.tasks.spec import ScoringRules

if TYPE_CHECKING:
    from benchmark.stats.bootstrap import Statistic

# the kinds of task that metrics are of
CLASSIFICATION = frozenset(name for name, kind in KINDS.items() if not kind.masks)
CLASSES = frozenset(name for name, kind in KINDS.items() if kind.exclusive)
LABELS = CLASSIFICATION - CLASSES
BINARY = frozenset(name for name in LABELS if KINDS[name].one_label)
MULTILABEL = LABELS - BINARY
ORDINAL = frozenset(name for name in CLASSES if KINDS[name].lists_labels)
MASKS = frozenset(KINDS) - CLASSIFICATION


@dataclass(frozen=True)
class Sums:
    """A metric that is computed from sums over the examples.

    `statistics` returns N x labels x F, NaN for an example that does not count. `value` takes the sums, R x labels x F, and
    returns R x labels, NaN where the value is not defined. Statistics N x 1 x F are of all labels together.
    """

    statistics: Callable[[Examples], NDArray[Any]]
    value: Callable[[Floats], Floats]

    def statistic(self, examples: Examples, columns: list[int]) -> "Statistic":
        """Returns the metric of these labels, R x labels for any counts R x N of the examples."""
        from benchmark.stats.bootstrap import sums_statistic

        given = self.statistics(examples)
        return sums_statistic(given[:, columns] if given.shape[1] > 1 else given, self.value)


@dataclass(frozen=True)
class Ranks:
    """A metric of the order of the scores.

    `curve` takes truth N and score N of one label, and returns a function from counts N x R to R values. With `micro` all
    pairs of example and label are ranked together.
    """

    curve: Curve
    micro: bool = False

    def statistic(self, examples: Examples, columns: list[int]) -> "Statistic":
        """Returns the metric of these labels, R x labels for any counts R x N of the examples."""
        from benchmark.stats.bootstrap import curves_statistic

        return curves_statistic(examples.truth[:, columns], examples.score[:, columns], self.curve, micro=self.micro)


@dataclass(frozen=True)
class Auc:
    """The area under the ROC curve of each label, which has an exact and quick jackknife."""

    def statistic(self, examples: Examples, columns: list[int]) -> "Statistic":
        """Returns the metric of these labels, R x labels for any counts R x N of the examples."""
        from benchmark.stats.bootstrap import auc_statistic

        return auc_statistic(examples.truth[:, columns], examples.score[:, columns])


def _always(_: Predictions, __: ScoringRules) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric; its score is the mean over the labels that a task scores (segmentation: one score for each reference).

    `kinds` are the kinds of task that the metric is computed for, where `applies` agrees. `label_name` is the name of one
    label's value in a record, empty where labels have none. `version` must be raised when the definition changes, so that
    records are scored anew. `unit` is `share` for a number in 0..1 that is printed in percent, else `number`. With
    `exam_slices`, exams are scored, each by the mean of so many of its highest scores.
    """

    name: str
    title: str
    kinds: frozenset[str]
    measure: Sums | Ranks | Auc
    higher_is_better: bool = True
    unit: str = "share"
    label_name: str = ""
    version: int = 1
    exam_slices: int | None = None
    applies: Callable[[Predictions, ScoringRules], bool] = _always

    def statistic(self, predictions: Predictions, rules: ScoringRules, columns: list[int] | None = None) -> "Statistic":
        """Returns the metric, R x labels, for any counts of `examples`; of some columns (None: all)."""
        examples = self.examples(predictions, rules)
        every = list(range(examples.truth.shape[1]))
        return self.measure.statistic(examples, every if columns is None or self.exam_slices else columns)

    def examples(self, predictions: Predictions, rules: ScoringRules) -> Examples:
        """Returns what is drawn in a resample: images, cases or exams."""
        if self.exam_slices is None or rules.exam is None:
            return examples_of(predictions, rules)
        return exams_of(by_case(predictions, rules.case) if rules.case else predictions, rules.exam, self.exam_slices)


def ratio(part: Floats, total: Floats, *, empty: float = np.nan) -> Floats:
    """Returns `part / total`, and `empty` where the total is 0."""
    return np.where(total > 0, part / np.where(total > 0, total, 1), empty)


def share(sums: Floats) -> Floats:
    """Returns R x labels ratios of the first statistic's sum to the second's; NaN where that is 0."""
    return ratio(sums[..., 0], sums[..., 1])
