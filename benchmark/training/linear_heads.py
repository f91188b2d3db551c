"""Linear evaluation: all heads over one encoder's frozen features, trained together as one batched product.

Heads differ in their examples (seed, fold, subset) and in their learning rate. Heads with the same examples share their
batches: each step computes one product of (streams x batch x features) with (streams x features x rates * outputs). Each
head has its own optimizer, schedule and end, and its numbers are, to the last bit, those of a training of this head alone:
a column of a product does not depend on the other columns, nor a stream on the other streams, as long as there are at
least two of each (MKL computes a single one in another way). So a single one is paired with a copy.
"""

import time
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from benchmark.models.networks import linear_head
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import scores_of
from benchmark.training.batched_heads import Heads, block_losses
from benchmark.training.interface import FeatureData, TestOutput, TrainingInput, TrainingResult
from benchmark.training.loop import Diverged, Fit, Length
from benchmark.training.optimizers import Schedule, schedule_of
from benchmark.training.outputs import assembled, num_outputs, probability_of
from benchmark.training.state import StateFile

CHUNK = 256  # rows of a split that are predicted at once
SAVE_SECONDS = 20.0  # between two states
WATCH_SECONDS = 0.5  # between two calls of `watch`


@dataclass(kw_only=True)
class _Head:
    """The head of one cell: its stream of examples, and its columns in the product of this stream."""

    inputs: TrainingInput[FeatureData]
    stream: int
    columns: slice
    schedule: Schedule
    run: Fit = field(default_factory=Fit)
    fault: Diverged | None = None
    best: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def over(self) -> bool:
        return bool(self.run.stopped) or self.fault is not None


def linear(all_inputs: list[TrainingInput[FeatureData]]) -> list[TrainingResult | Diverged]:
    """Returns the result of each input, in their order; Diverged for a head whose loss became NaN or infinite.

    The inputs are of one task and of one encoder's features, and their recipes differ only in the learning rate.
    """
    heads, model = _first_heads(all_inputs)
    recipe, state = all_inputs[0].recipe, StateFile(folder=all_inputs[0].scratch, warn=all_inputs[0].warn)
    _resume(state, heads, model)
    watched = saved = time.monotonic()
    while due := [head for head in heads if not head.over]:
        epoch = due[0].run.epochs_trained + 1
        _train_epoch(epoch, due, model)
        _judge(epoch, due, model, recipe)
        now = time.monotonic()
        if now - saved > SAVE_SECONDS:
            saved = now
            state.save(_saved(heads, model))
        if now - watched > WATCH_SECONDS or all(head.over for head in due):
            watched = now
            for head in due:
                if head.run.history:
                    head.inputs.watch(head.run.history[-1])
    return [head.fault or _result(head) for head in heads]


def _first_heads(all_inputs: list[TrainingInput[FeatureData]]) -> tuple[list[_Head], Heads]:
    """Returns one head for each input, and the weights of all: those of a linear layer, drawn from the head's seed."""
    outputs = num_outputs(all_inputs[0])
    rates = sorted({inputs.recipe.learning_rate for inputs in all_inputs})
    streams: dict[tuple[int, bytes, bytes], int] = {}
    heads = []
    for inputs in all_inputs:
        same = (inputs.seed, inputs.train.rows.tobytes(), inputs.validation.rows.tobytes())
        start = outputs * rates.index(inputs.recipe.learning_rate)
        number = streams.setdefault(same, len(streams))
        columns = slice(start, start + outputs)
        heads.append(_Head(inputs=inputs, stream=number, columns=columns, schedule=schedule_of(inputs.recipe)))
    width, device = sum(all_inputs[0].train.widths), all_inputs[0].device
    padded = -(-outputs * len(rates) // 16) * 16
    weight, bias = torch.zeros(len(streams), width, padded), torch.zeros(len(streams), 1, padded)
    for head in heads:
        seed = stream(head.inputs.seed, Purpose.HEAD)
        layer = linear_head(width, outputs, seed, all_inputs[0].recipe.initialization)
        weight[head.stream, :, head.columns] = layer.weight.detach().T
        bias[head.stream, 0, head.columns] = layer.bias.detach()
    model = Heads(weight.to(device), bias.to(device), all_inputs[0].recipe)
    return heads, model


def _train_epoch(epoch: int, due: list[_Head], model: Heads) -> None:
    """Trains the heads that are due for one epoch; streams with a batch of the same size take their step together."""
    started = time.perf_counter()
    of_stream: dict[int, list[_Head]] = {}
    for head in due:
        model.rates[head.stream, :, head.columns] = head.schedule.rate
        of_stream.setdefault(head.stream, []).append(head)
    splits = {number: heads[0].inputs.train for number, heads in of_stream.items()}
    orders = {number: split.order(epoch, model.recipe.batch_size) for number, split in splits.items()}
    totals = {number: torch.zeros(model.weight.shape[2], device=model.weight.device) for number in splits}
    for step in range(max(len(order) for order in orders.values())):
        sizes: dict[int, list[int]] = {}
        for number, order in orders.items():
            if step < len(order):
                sizes.setdefault(len(order[step]), []).append(number)
        for size, streams in sizes.items():
            examples = torch.stack([splits[number].matrix(orders[number][step]) for number in streams])
            targets = torch.stack([_targets(splits[number], orders[number][step], model) for number in streams])
            loss, gradient = block_losses(model.logits(streams, examples), targets, _shape(due[0].inputs))
            model.step(streams, examples, gradient)
            for number, losses in zip(streams, loss, strict=True):
                totals[number] += losses * size
    share = (time.perf_counter() - started) / len(due)
    for head in due:
        num_images = sum(len(rows) for rows in orders[head.stream])
        head.run.train_seconds += share
        head.run.num_images += num_images
        head.run.history.append(
            {
                "epoch": epoch,
                "train_loss": float(totals[head.stream][head.columns].mean()) / num_images,
                "learning_rate": head.schedule.rate,
            }
        )


def _judge(epoch: int, due: list[_Head], model: Heads, recipe: Recipe) -> None:
    """Computes each head's validation loss, and from it the learning rate, the best epoch and the end, as `loop.fit` does."""
    started = time.perf_counter()
    splits_of_rows: dict[bytes, dict[int, FeatureData]] = {}
    for head in due:
        split = head.inputs.validation
        splits_of_rows.setdefault(split.rows.tobytes(), {})[head.stream] = split
    losses: dict[int, torch.Tensor] = {}
    for splits in splits_of_rows.values():
        streams = list(splits)
        split = splits[streams[0]]
        total = torch.zeros(len(streams), model.weight.shape[2], device=model.weight.device)
        for rows in _chunks(split):
            examples = split.matrix(rows).unsqueeze(0)
            targets = torch.stack([_targets(splits[number], rows, model) for number in streams])
            loss, _ = block_losses(model.logits(streams, examples), targets, _shape(due[0].inputs))
            total += loss * len(rows)
        losses |= dict(zip(streams, total / len(split), strict=True))
    share = (time.perf_counter() - started) / len(due)
    for head in due:
        line, run = head.run.history[-1], head.run
        run.validation_seconds += share
        value = line["validation_loss"] = float(losses[head.stream][head.columns].mean())
        if not np.isfinite([line["train_loss"], value]).all():
            head.fault = Diverged(f"the loss became {line['train_loss']} (validation {value}) in epoch {epoch}")
            continue
        head.schedule.after_epoch(value)
        if value < run.best_loss:
            run.best_loss, run.best_epoch = value, epoch
            columns = head.columns
            head.best = (model.weight[head.stream, :, columns].clone(), model.bias[head.stream, 0, columns].clone())
        run.stopped = Length.of(recipe).ending(run, num_steps=0)


def _result(head: _Head) -> TrainingResult:
    inputs = head.inputs
    if head.best is None:
        raise RuntimeError("a head without a best epoch")
    best = head.best

    def test() -> TestOutput:
        started = time.perf_counter()
        predictions = _predicted(inputs, inputs.test, best)
        seconds = time.perf_counter() - started
        predictions.validation = validated
        unlabelled = None
        if inputs.unlabelled is not None:
            unlabelled = _predicted(inputs, inputs.unlabelled, best)
        return TestOutput(predictions=predictions, unlabelled=unlabelled, seconds=seconds)

    validated = _predicted(inputs, inputs.validation, best)
    validation, _ = scores_of(validated, inputs.judging, names=inputs.kind_facts.metrics)
    trained = sum(tensor.numel() for tensor in best)
    return TrainingResult(fit=head.run, validation=validation, trained=trained, test=test)


def _predicted(
    inputs: TrainingInput[FeatureData], split: FeatureData, best: tuple[torch.Tensor, torch.Tensor]
) -> Predictions:
    weight, bias = best
    gathered = []
    for rows in _chunks(split):
        probability = probability_of(inputs, split.matrix(rows) @ weight + bias)
        gathered.append((split.targets[rows], probability.cpu().numpy()))
    return assembled(inputs, split, gathered)


def _chunks(split: FeatureData) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    return [np.arange(start, min(start + CHUNK, len(split))) for start in range(0, len(split), CHUNK)]


def _shape(inputs: TrainingInput[FeatureData]) -> tuple[int, bool]:
    """Returns the `shape` of `block_losses`: how many outputs a head has, and whether they exclude each other."""
    return num_outputs(inputs), inputs.recipe.loss == "ce"


def _targets(split: FeatureData, rows: np.ndarray[Any, np.dtype[np.int64]], model: Heads) -> torch.Tensor:
    return torch.from_numpy(split.targets[rows]).to(model.weight.device)


def _saved(heads: list[_Head], model: Heads) -> dict[str, Any]:
    return {
        "best_epoch": None,
        "of": _fingerprint(heads),
        "model": [model.weight, model.bias, model.steps, *model.moments],
        "heads": [
            {
                "schedule": head.schedule.state_dict(),
                "run": dict(vars(head.run)),
                "fault": str(head.fault or ""),
                "best": head.best,
            }
            for head in heads
        ],
    }


def _resume(state: StateFile, heads: list[_Head], model: Heads) -> None:
    """Continues from a saved state of the same heads; does nothing where there is none."""
    saved = state.load()
    if saved is None or saved.get("of") != _fingerprint(heads):
        return
    weight, bias, model.steps, *moments = saved["model"]
    device = model.weight.device
    model.weight, model.bias, model.moments = weight.to(device), bias.to(device), [each.to(device) for each in moments]
    for head, state_of_head in zip(heads, saved["heads"], strict=True):
        head.schedule.load_state_dict(state_of_head["schedule"])
        best = state_of_head["best"]
        head.best = None if best is None else (best[0].to(device), best[1].to(device))
        head.fault = Diverged(state_of_head["fault"]) if state_of_head["fault"] else None
        vars(head.run).update(state_of_head["run"])


def _fingerprint(heads: list[_Head]) -> list[list[float]]:
    """Returns what must be equal for a saved state to be continued from."""
    return [
        [
            head.inputs.seed,
            head.inputs.recipe.learning_rate,
            head.stream,
            zlib.crc32(head.inputs.train.rows.tobytes()),
        ]
        for head in heads
    ]
