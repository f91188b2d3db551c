"""Two classifiers of frozen features that need no learning rate: logistic regression and nearest neighbors.

Each has one number that is chosen on the validation split alone: the penalty, or how many neighbors vote.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import scores_of
from benchmark.training.interface import FeatureData, TestOutput, TrainingInput, TrainingResult
from benchmark.training.loop import Fit
from benchmark.training.outputs import assembled

# inverse penalties over the range of Kornblith, Shlens and Le 2019, who take 45 values
PENALTIES = tuple(float(value) for value in np.logspace(-6, 5, 12))
MAX_STEPS = 1000  # of L-BFGS
NEIGHBORS = (1, 5, 10, 20, 50, 100, 200)
TEMPERATURE = 0.07  # of the votes' weights, as in DINO (Caron et al. 2021, appendix)
CHUNK = 1024
Scores = NDArray[np.float64]
Predict = Callable[[torch.Tensor], Scores]


def logistic(inputs: TrainingInput[FeatureData]) -> TrainingResult:
    """Chooses and fits a logistic regression for each label, or one over exclusive classes.

    Features are standardized to zero mean and unit sd by the training split.
    """
    train = inputs.train
    features, targets = train.matrix(_all_positions(train)).cpu().numpy(), train.targets
    scaler = StandardScaler().fit(features)
    scaled = scaler.transform(features)
    exclusive = inputs.recipe.loss == "ce" and targets.shape[1] > 1
    results = [targets.argmax(1)] if exclusive else list(targets.T)
    known = [~np.isnan(targets).any(1)] * len(results) if exclusive else [~np.isnan(column) for column in results]
    soft = any(not np.isin(column[known_rows], (0, 1)).all() for column, known_rows in zip(results, known, strict=True))

    def fitted(penalty: float) -> Predict:
        models = [
            _Regression(scaled[known_rows], column[known_rows], penalty, soft=soft and not exclusive)
            for column, known_rows in zip(results, known, strict=True)
        ]

        def predict(vectors: torch.Tensor) -> Scores:
            rows = scaler.transform(vectors.cpu().numpy())
            if exclusive:
                scores = np.zeros((len(rows), targets.shape[1]))
                scores[:, models[0].classes] = models[0].probabilities(rows)
                return scores
            return np.stack([model.positive(rows) for model in models], 1)

        return predict

    return _chosen(inputs, PENALTIES, fitted, lambda penalty: f"inverse penalty C = {penalty:g}")


class _Regression:
    """A logistic regression of one label, or of the class. A label that never varies is predicted as it is."""

    def __init__(self, features: NDArray[Any], result: NDArray[Any], penalty: float, *, soft: bool) -> None:
        weights = None
        if soft:  # an uncertain label counts as positive and as negative, weighted by its probability
            features, weights = np.concatenate([features, features]), np.concatenate([result, 1 - result])
            result = np.repeat([1.0, 0.0], len(result))
            weighted = weights > 0
            features, weights, result = features[weighted], weights[weighted], result[weighted]
        self.classes: NDArray[np.int64] = np.unique(result).astype(np.int64)
        self.model = LogisticRegression(C=penalty, max_iter=MAX_STEPS) if len(self.classes) > 1 else None
        if self.model is not None:
            with warnings.catch_warnings():
                # a weak penalty may not converge: then it loses on validation, or is close enough
                warnings.simplefilter("ignore", ConvergenceWarning)
                self.model.fit(features, result.astype(np.int64), sample_weight=weights)

    def probabilities(self, rows: NDArray[Any]) -> Scores:
        """Returns the probabilities of the classes, rows x classes."""
        return np.ones((len(rows), 1)) if self.model is None else np.asarray(self.model.predict_proba(rows))

    def positive(self, rows: NDArray[Any]) -> Scores:
        """Returns the probability of a positive label."""
        if 1 not in self.classes:
            return np.zeros(len(rows))
        return self.probabilities(rows)[:, list(self.classes).index(1)]


def knn(inputs: TrainingInput[FeatureData]) -> TrainingResult:
    """Chooses how many nearest training images vote with their labels, weighted by exp(cosine of the features / 0.07)."""
    train = inputs.train
    features = torch.nn.functional.normalize(train.matrix(_all_positions(train)))
    labels = torch.from_numpy(train.targets).to(features)
    labeled = ~torch.isnan(labels)
    labels = labels.nan_to_num()

    def fitted(num: float) -> Predict:
        def predict(vectors: torch.Tensor) -> Scores:
            cosine = torch.nn.functional.normalize(vectors) @ features.T
            nearest, positions = cosine.topk(int(num), dim=1)
            weight = (nearest / TEMPERATURE).exp().unsqueeze(2) * labeled[positions]
            votes = (weight * labels[positions]).sum(1) / weight.sum(1).clamp(min=1e-12)
            return votes.double().cpu().numpy()

        return predict

    counts = sorted({min(num, len(train)) for num in NEIGHBORS})
    return _chosen(inputs, tuple(map(float, counts)), fitted, lambda num: f"{num:g} neighbours")


def _chosen(
    inputs: TrainingInput[FeatureData],
    values: tuple[float, ...],
    fitted: Callable[[float], Predict],
    title: Callable[[float], str],
) -> TrainingResult:
    """Returns the training whose value has the lowest log loss on the validation split (of equal ones, the first)."""
    validation = inputs.validation
    run = Fit(stopped="chosen")
    best: tuple[float, Predict] | None = None
    for number, value in enumerate(values, 1):
        started = time.perf_counter()
        predict = fitted(value)
        trained = time.perf_counter()
        scores = np.concatenate([predict(validation.matrix(rows)) for rows in _chunks(validation)])
        loss = _log_loss(validation.targets, scores, exclusive=inputs.recipe.loss == "ce")
        run.train_seconds += trained - started
        run.validation_seconds += time.perf_counter() - trained
        if best is None or loss < run.best_loss:
            run.best_loss, best = loss, (value, predict)
        inputs.watch({"epoch": number, "validation_loss": loss})
    if best is None:
        raise RuntimeError("nothing to choose from")
    value, predict = best
    run.num_images = len(inputs.train)

    def predicted(split: FeatureData) -> Predictions:
        return assembled(inputs, split, [(split.targets[rows], predict(split.matrix(rows))) for rows in _chunks(split)])

    def test() -> TestOutput:
        started = time.perf_counter()
        predictions = predicted(inputs.test)
        seconds = time.perf_counter() - started
        predictions.validation = validated
        unlabelled = None if inputs.unlabelled is None else predicted(inputs.unlabelled)
        return TestOutput(predictions=predictions, unlabelled=unlabelled, seconds=seconds)

    validated = predicted(validation)
    validation_scores, _ = scores_of(validated, inputs.judging, names=inputs.kind_facts.metrics)
    note = f"{title(value)}, chosen of {len(values)} by the log loss on validation ({run.best_loss:.4f})"
    return TrainingResult(fit=run, validation=validation_scores, test=test, notes=(note,))


def _log_loss(truth: NDArray[np.float32], score: Scores, *, exclusive: bool) -> float:
    """Returns the mean log loss of the known labels; for exclusive classes, of the probability of the true class."""
    known, probability = ~np.isnan(truth), np.clip(score, 1e-7, 1 - 1e-7)
    if exclusive and truth.shape[1] > 1:
        rows = known.all(axis=1)
        return float(-np.log(probability[rows][truth[rows] == 1]).mean())
    terms = -np.where(truth == 1, np.log(probability), np.log1p(-probability))
    return float(terms[known].mean())


def _all_positions(split: FeatureData) -> NDArray[np.int64]:
    return np.arange(len(split))


def _chunks(split: FeatureData) -> list[NDArray[np.int64]]:
    return [np.arange(start, min(start + CHUNK, len(split))) for start in range(0, len(split), CHUNK)]
