"""Cells and records made up for tests that train nothing."""

import numpy as np

from benchmark.cell import Cell, Weights
from benchmark.recipe import Recipe
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord

SCRATCH = Weights(name="scratch:resnet18", architecture="resnet18", naming="none")
IMAGENET = Weights(name="imagenet", architecture="resnet18", sha256="ab" * 32, naming="torchvision")


def made_up_cell(weights=SCRATCH, seed=0, task="TXC", recipe=None, **changed) -> Cell:
    facts = {"task_digest": "0" * 16, "data": "phantom", "data_digest": "1" * 16, "recipe": recipe or Recipe()}
    return Cell(weights=(weights,), task=task, seed=seed, **{**facts, **changed})


def made_up_record(cell: Cell, score: float | None = 0.9, **changed) -> RunRecord:
    metric = {"PXS": "dice_pooled", "DXC14": "mean_auc"}.get(cell.task, "auc")
    history = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 0.5 + abs(e - 3) / 10, "learning_rate": 1e-3}
        for e in range(1, 6)
    ]
    facts = {
        "status": "done",
        "finished": "2026-01-01T00:00:00+00:00",
        "scores": {metric: score},
        "epochs_trained": 5,
        "best_epoch": 3,
        "history": history,
        "num_examples": {"train": 100, "validation": 10, "test": 50},
        "timings": {"train": 20.0, "wait": 0.1, "validation": 1.0, "test": 5.0},
    }
    return RunRecord(key=cell.key, cell=cell, **{**facts, **changed})


def made_up_predictions(num=4) -> Predictions:
    return Predictions(
        kind="classification",
        ids=np.array([f"image-{n}" for n in range(num)]),
        groups={"patient": np.array(["p"] * num)},
        columns=("TB",),
        truth=np.arange(num).reshape(-1, 1) % 2,
        score=np.linspace(0, 1, num).reshape(-1, 1),
    )
