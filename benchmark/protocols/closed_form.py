"""Protocols on frozen features that choose one number on the validation split and have no learning rate."""

from typing import TYPE_CHECKING

from benchmark.protocols.interface import DESCENT_FIELDS, FROZEN_RECIPE, Protocol

if TYPE_CHECKING:
    from benchmark.training.interface import FeatureData, TrainingInput, TrainingResult


def _logistic(data: "TrainingInput[FeatureData]") -> "TrainingResult":
    from benchmark.training.closed_form import logistic

    return logistic(data)


def _knn(data: "TrainingInput[FeatureData]") -> "TrainingResult":
    from benchmark.training.closed_form import knn

    return knn(data)


PROTOCOLS = (
    Protocol(
        name="logistic",
        title="logistic regression on the frozen encoder's features, its penalty chosen on validation",
        rank=30,
        frozen=True,
        deterministic=True,
        unused=DESCENT_FIELDS,
        recipe=FROZEN_RECIPE,
        train=_logistic,
    ),
    Protocol(
        name="knn",
        title="nearest neighbors in the frozen encoder's features, their number chosen on validation",
        rank=40,
        frozen=True,
        deterministic=True,
        unused=DESCENT_FIELDS,
        recipe=FROZEN_RECIPE,
        train=_knn,
    ),
)
