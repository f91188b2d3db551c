"""All metrics by name, in the order in which records and tables have them; and the digest of their definitions."""

from benchmark.files import digest_of
from benchmark.results.predictions import Predictions
from benchmark.scoring.metrics import classes, masks, probabilities, ranking
from benchmark.scoring.metrics.interface import Metric
from benchmark.tasks.kinds import KINDS
from benchmark.tasks.spec import ScoringRules

METRICS: dict[str, Metric] = {
    metric.name: metric for family in (ranking, classes, masks, probabilities) for metric in family.METRICS
}
# stored in each record: another metric, or another version of one, makes another digest; it is no part of the cell's key
JUDGING = digest_of({name: metric.version for name, metric in METRICS.items()})[:16]


def metrics_of(predictions: Predictions, rules: ScoringRules) -> list[Metric]:
    """Returns the metrics that such predictions have, in order."""
    several = len(predictions.columns) > 1
    kinds = {
        name
        for name, kind in KINDS.items()
        if kind.predictions == predictions.kind and (kind.masks or kind.exclusive or kind.one_label is not several)
    }
    return [
        metric
        for metric in METRICS.values()
        if kinds & metric.kinds
        and (metric.exam_slices is None or rules.exam is not None)
        and metric.applies(predictions, rules)
    ]
