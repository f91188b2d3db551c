"""Measures an encoder that trains without labels by how well its features predict them: linear probe, nearest neighbors.

Both learn from labeled training images and are scored on validation images. The encoder is only read: it is in evaluation
mode, without gradients, and its bytes stay as they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from torch import nn

from benchmark.models.normalization import Normalization

PENALTIES = np.logspace(-2, 5, 8)  # of the linear probe, chosen by its leave-one-out error on the training images
NEIGHBORS = 20
TEMPERATURE = 0.07  # of the neighbors' weights (Caron et al. 2021, appendix)
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Labeled images, and how predictions on the validation images are scored.

    `train` and `validation` yield batches of uint8 images and targets, examples x labels, NaN where not labeled;
    `score` takes scores of the validation images, examples x labels, in 0..1.
    """

    train: Callable[[], Iterator[Any]]
    validation: Callable[[], Iterator[Any]]
    score: Callable[[Array], float | None]

    def scores(self, encoder: nn.Module, intake: Normalization) -> dict[str, float]:
        """Returns the score of the `linear` probe and of `knn`, those that can be computed."""
        features, targets = _features(encoder, intake, self.train())
        validation, _ = _features(encoder, intake, self.validation())
        scores = {
            "linear": self.score(linear_scores(features, targets, validation)),
            "knn": self.score(neighbor_scores(features, targets, validation)),
        }
        return {name: value for name, value in scores.items() if value is not None}


def linear_scores(features: Array, targets: Array, others: Array) -> Array:
    """Returns the predictions of a ridge regression on standardized features for other examples, cut to 0..1. Unknown labels
    count as the mean of the label.
    """
    mean, sd = features.mean(0), features.std(0) + 1e-6
    targets = np.where(np.isnan(targets), np.nanmean(targets, axis=0), targets)
    model = RidgeCV(alphas=PENALTIES).fit((features - mean) / sd, targets)
    predicted = np.asarray(model.predict((others - mean) / sd)).reshape(len(others), -1)
    return np.asarray(predicted.clip(0, 1))


def neighbor_scores(features: Array, targets: Array, others: Array) -> Array:
    """Returns the mean labels of the 20 nearest examples by cosine, weighted by exp(cosine / 0.07)."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    cosine = (others / np.linalg.norm(others, axis=1, keepdims=True).clip(1e-12)) @ unit.T
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :NEIGHBORS]
    labels = targets[nearest]
    weights = np.exp(np.take_along_axis(cosine, nearest, 1) / TEMPERATURE)[..., None] * ~np.isnan(labels)
    return np.asarray((weights * np.nan_to_num(labels)).sum(1) / weights.sum(1).clip(1e-12))


def _features(encoder: nn.Module, intake: Normalization, batches: Iterator[Any]) -> tuple[Array, Array]:
    features, targets = [], []
    was_training = encoder.training
    encoder.eval()
    with torch.inference_mode():
        for batch in batches:
            features.append(encoder(intake(batch.images)).float().cpu().numpy())
            targets.append(batch.targets.cpu().numpy())
    encoder.train(was_training)
    return np.concatenate(features).astype(np.float64), np.concatenate(targets).astype(np.float64)
