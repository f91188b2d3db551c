"""Trains and tests a model: the part that fine-tuning, decoders over frozen encoders and fusions of encoders share."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.models.folding import fold_batch_norms
from benchmark.models.normalization import center_crop, ten_crop
from benchmark.models.seeded import seeded
from benchmark.random_streams import Purpose, stream
from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import scores_of
from benchmark.training.interface import SplitData, TestOutput, TrainingInput, TrainingResult
from benchmark.training.loop import Fit, Length, fit
from benchmark.training.losses import LOSSES, LossFunction
from benchmark.training.optimizers import optimizer_of, schedule_of
from benchmark.training.outputs import assembled, probability_of, references
from benchmark.training.state import StateFile


def supervised(inputs: TrainingInput[SplitData], model: nn.Module) -> TrainingResult:
    """Trains the parameters of `model` that are not frozen, and restores the epoch with the lowest validation loss.

    The splits yield images, or the features that `model` takes. Where the inputs have `trained` weights, these are loaded
    and nothing is trained. The result's `test()` predicts the test split with the recipe's test crops, and for
    classification also the validation split, of which the center crop is enough: only thresholds are chosen there.
    """
    recipe, device = inputs.recipe, inputs.device
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer = optimizer_of(model, recipe)
    loss_of = LOSSES[recipe.loss].function
    arithmetic = _arithmetic(inputs)

    def step_loss(batch: Any) -> torch.Tensor:
        with arithmetic():
            logits = model(batch.images)
        return loss_of(logits, _targets(inputs, batch))

    def judge() -> dict[str, float]:
        return _validate(inputs, _evaluator(inputs, model), loss_of)

    def train() -> Fit:
        if inputs.trained is not None:
            model.load_state_dict(inputs.trained)
            return Fit()
        return fit(
            module=model,
            optimizer=optimizer,
            schedule=schedule_of(recipe),
            batches=lambda number, first: inputs.train.epoch(number, recipe.batch_size, first),
            step_loss=step_loss,
            judge=judge,
            length=Length.of(recipe),
            micro_batch=inputs.micro_batch,
            state=StateFile(folder=inputs.scratch, warn=inputs.warn),
            watch=inputs.watch,
        )

    with seeded(stream(inputs.seed, Purpose.DROPOUT), device):
        run = train()
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    def test() -> TestOutput:
        started = time.perf_counter()
        predictions = _predict(inputs, inputs.test, _evaluator(inputs, model), recipe.test_crops)
        seconds = time.perf_counter() - started
        if not inputs.kind_facts.masks:
            predictions.validation = _predict(inputs, inputs.validation, _evaluator(inputs, model), crops=1)
        unlabelled = None
        if inputs.unlabelled is not None:
            unlabelled = _predict(inputs, inputs.unlabelled, _evaluator(inputs, model), recipe.test_crops)
        return TestOutput(predictions=predictions, unlabelled=unlabelled, seconds=seconds)

    def predict(split: SplitData) -> tuple[NDArray[Any], NDArray[Any]]:
        return _concatenated(_scored(inputs, split, _evaluator(inputs, model), recipe.test_crops))

    return TrainingResult(
        fit=run,
        validation=_validation_of(run),
        trained=trained,
        test=test,
        model=model,
        columns=inputs.columns,
        predict=predict,
    )


def _validation_of(run: Fit) -> dict[str, float | None]:
    """Returns the validation scores of the best epoch."""
    line = run.history[run.best_epoch - 1] if run.best_epoch else {}
    scores = {name.removeprefix("validation_"): value for name, value in line.items() if name.startswith("validation_")}
    return {name: value for name, value in scores.items() if name != "loss"}


def _arithmetic(inputs: TrainingInput[SplitData]) -> Callable[[], Any]:
    if inputs.recipe.precision == "bf16":
        return lambda: torch.autocast(inputs.device.type, dtype=torch.bfloat16)
    return nullcontext


def _targets(inputs: TrainingInput[SplitData], batch: Any) -> torch.Tensor:
    """Returns the targets of the loss: labels, or the mask of the first observer."""
    targets: torch.Tensor = batch.targets
    return targets[:, :1] if inputs.kind_facts.masks else targets


def _evaluator(inputs: TrainingInput[SplitData], model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns a function from images to logits, without gradients; batch norms are folded at the first call."""
    arithmetic = _arithmetic(inputs)
    folded: nn.Module | None = None

    def evaluate(images: torch.Tensor) -> torch.Tensor:
        nonlocal folded
        with torch.inference_mode():
            if folded is None:
                folded = fold_batch_norms(model, images[:2]).eval()
            with arithmetic():
                logits: torch.Tensor = folded(images)
            return logits

    return evaluate


def _validate(
    inputs: TrainingInput[SplitData], model: Callable[[torch.Tensor], torch.Tensor], loss_of: LossFunction
) -> dict[str, float]:
    """Returns the scores of the validation split, and `loss`, the mean over its images (in segmentation the mean over its
    batches, weighted by their images, since Dice is a loss of a batch).

    Departs: the validation loss weighs images alike; the first paper's code weighs batches alike, the last one too.
    """
    total, num_images = 0.0, 0
    gathered = []
    for batch, logits in _evaluated(inputs, inputs.validation, model):
        total += float(loss_of(logits, _targets(inputs, batch))) * len(batch)
        num_images += len(batch)
        gathered.append(_truth_and_score(inputs, batch, probability_of(inputs, logits)))
    predictions = assembled(inputs, inputs.validation, gathered)
    scores, _ = scores_of(predictions, inputs.judging, names=inputs.kind_facts.metrics)
    return {"loss": total / num_images} | {
        name: value for name, value in scores.items() if value is not None and ":" not in name
    }


def _predict(
    inputs: TrainingInput[SplitData], split: SplitData, model: Callable[[torch.Tensor], torch.Tensor], crops: int
) -> Predictions:
    return assembled(inputs, split, _scored(inputs, split, model, crops))


def _scored(
    inputs: TrainingInput[SplitData], split: SplitData, model: Callable[[torch.Tensor], torch.Tensor], crops: int
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Returns truth and score of each batch; with ten crops (classification) the score is the mean of their probabilities."""
    gathered = []
    if inputs.kind_facts.masks or crops == 1:
        for batch, logits in _evaluated(inputs, split, model):
            gathered.append(_truth_and_score(inputs, batch, probability_of(inputs, logits)))
        return gathered
    size = inputs.recipe.image_size
    for batch in split.batches(max(1, inputs.micro_batch // 4)):
        crops_of_batch = ten_crop(batch.images, size)
        probability = probability_of(inputs, model(crops_of_batch.flatten(0, 1)))
        gathered.append(_truth_and_score(inputs, batch, probability.view(10, len(batch), -1).mean(0)))
    return gathered


def _concatenated(gathered: list[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.concatenate([truth for truth, _ in gathered]), np.concatenate([score for _, score in gathered])


def _evaluated(
    inputs: TrainingInput[SplitData], split: SplitData, model: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[tuple[Any, torch.Tensor]]:
    """Yields each batch and the logits of its center crops (in segmentation, of its images)."""
    for batch in split.batches(inputs.micro_batch):
        images = batch.images
        if not inputs.kind_facts.masks and images.ndim == 4:  # features have no center
            images = center_crop(images, inputs.recipe.image_size)
        yield batch, model(images)


def _truth_and_score(
    inputs: TrainingInput[SplitData], batch: Any, probability: torch.Tensor
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns truth and score of a batch, in the shapes of Predictions."""
    if not inputs.kind_facts.masks:
        return batch.targets.cpu().numpy(), probability.float().cpu().numpy()
    marked = probability > 0.5
    masks = batch.targets.bool()
    columns = inputs.columns
    view = masks[:, columns.index("field_of_view")] if "field_of_view" in columns else None
    truth, score = [], []
    for name, within in references(columns):
        reference = masks[:, columns.index(name)]
        predicted = marked[:, 0]
        if within and view is not None:
            reference, predicted = reference & view, predicted & view
        both = reference & predicted
        truth.append(reference.sum((1, 2)))
        score.append(torch.stack([predicted.sum((1, 2)), both.sum((1, 2))], dim=-1))
    return torch.stack(truth, 1).cpu().numpy().astype(np.float64), torch.stack(score, 1).cpu().numpy()
