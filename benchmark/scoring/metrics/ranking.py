"""Metrics of the order of scores: areas under curves, and the sensitivity at a specificity."""

from functools import partial
from typing import Any

from numpy.typing import NDArray

from benchmark.scoring.metrics.interface import BINARY, CLASSES, CLASSIFICATION, MULTILABEL, Auc, Metric, Ranks
from benchmark.stats.resampled_curves import Floats, OfCounts, weighted_average_precision, weighted_sensitivity

TOP_SLICES = 10  # an exam's second score: the mean of this many of its highest slices
MULTIPLE = CLASSES | MULTILABEL


def _auc(truth: Floats, score: NDArray[Any]) -> OfCounts:
    from benchmark.stats.resampled_auc import weighted_auc  # scipy is slow to import

    return weighted_auc(truth, score)


def _sensitivity_at(percent: int) -> tuple[Metric, Metric]:
    measure = Ranks(partial(weighted_sensitivity, specificity_percent=percent))
    name = f"sensitivity_at_specificity_{percent}"
    title = f"sensitivity at {percent} % specificity"
    return (
        Metric(name=name, title=title, kinds=BINARY, measure=measure, label_name=name),
        Metric(name=f"mean_{name}", title=f"mean {title}", kinds=MULTIPLE, measure=measure, label_name=name),
    )


METRICS = (
    Metric(name="mean_auc", title="mean AUC", kinds=CLASSIFICATION, measure=Auc(), label_name="auc"),
    Metric(name="auc", title="AUC", kinds=BINARY, measure=Auc()),
    Metric(name="micro_auc", title="AUC of all labels together", kinds=MULTIPLE, measure=Ranks(_auc, micro=True)),
    Metric(
        name="exam_auc_max",
        title="AUC of exams, by the highest slice",
        kinds=BINARY,
        measure=Auc(),
        exam_slices=1,
    ),
    Metric(
        name=f"exam_auc_top{TOP_SLICES}",
        title=f"AUC of exams, by the mean of the {TOP_SLICES} highest slices",
        kinds=BINARY,
        measure=Auc(),
        exam_slices=TOP_SLICES,
    ),
    Metric(
        name="average_precision",
        title="average precision",
        kinds=BINARY,
        measure=Ranks(weighted_average_precision),
        label_name="average_precision",
    ),
    Metric(
        name="mean_average_precision",
        title="mean average precision",
        kinds=MULTIPLE,
        measure=Ranks(weighted_average_precision),
        label_name="average_precision",
    ),
    *_sensitivity_at(90),
    *_sensitivity_at(95),
)
