"""Small made-up inputs for training heads over frozen features."""

import numpy as np
import pytest
import torch

from benchmark.data.feature_dataset import FeatureSplit
from benchmark.protocols.interface import FROZEN_RECIPE
from benchmark.recipe import Recipe
from benchmark.tasks.spec import ScoringRules
from benchmark.training.interface import TrainingInput

NUM, WIDTH = 300, 24
LABELS = {"multilabel": 3, "multiclass": 4, "binary": 1}


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(NUM, WIDTH)).astype(np.float16)


def labels_of(kind, features):
    signal = features[:, : LABELS[kind]].astype(np.float32)
    if kind == "multiclass":
        return np.eye(4, dtype=np.float32)[signal.argmax(1)]
    labels = (signal + 0.3 > 0).astype(np.float32)
    labels[::17] = np.nan  # unknown
    return labels


def training_input(features, folder, kind="multilabel", seed=0, train=range(170), watch=lambda _: None, **recipe):
    labels = labels_of(kind, features)

    def part(rows, classes=None):
        rows = np.array(rows)
        ids = np.array([f"i{row}" for row in rows])
        facts = {"groups": {}, "seed": seed, "device": torch.device("cpu"), "classes": classes}
        return FeatureSplit(ids=ids, features=(features,), rows=rows, targets=labels[rows], **facts)

    loss = {"loss": "bce" if kind == "multilabel" else "ce"}
    folder.mkdir(exist_ok=True, parents=True)
    return TrainingInput(
        kind=kind,
        encoders=(),
        train=part(train, labels[np.array(train)].argmax(1) if recipe.get("sampling") else None),
        validation=part(range(170, 230)),
        test=part(range(230, 300)),
        columns=tuple("abcd"[: labels.shape[1]]),
        judging=ScoringRules(),
        recipe=Recipe.complete(FROZEN_RECIPE, loss, {"max_epochs": 12, "min_epochs": 2, "early_stop": 3, **recipe}),
        seed=seed,
        scratch=folder,
        device=torch.device("cpu"),
        micro_batch=64,
        watch=watch,
    )
