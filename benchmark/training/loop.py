"""The only training loop. What differs between protocols comes in as functions and batches."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import nn

from benchmark.recipe import Recipe
from benchmark.training.optimizers import Schedule
from benchmark.training.signals import StopSignals
from benchmark.training.state import StateFile, progress_of, restore

SHORTEST_SECONDS = 60.0  # between two states, which cost a small training more than its steps
LONGEST_SECONDS = 600.0  # without a state: a longer epoch is interrupted for one
WATCH_SECONDS = 1.0  # between two looks at the loss within an epoch, for which a GPU waits


class Batch(Protocol):
    """What the loop needs of a batch."""

    def __len__(self) -> int: ...
    def pieces(self, size: int) -> Iterator["Batch"]: ...


class Diverged(Exception):
    """The loss is no number any more; the message says where."""


class OutOfMemory(Exception):
    """The device has not enough memory for a batch; carries the size of the pieces that were tried."""

    def __init__(self, micro_batch: int) -> None:
        super().__init__(f"out of memory with {micro_batch} images at a time")
        self.micro_batch = micro_batch


@dataclass(kw_only=True)
class Fit:
    """How a training went. Epochs are counted from 1; `history` has one line for each; `stopped` is `early` or `cap`.

    Seconds are of wall time: `train_seconds` in epochs over `num_images` images, of which `wait_seconds` for batches.
    """

    best_epoch: int | None = None
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: str = ""
    num_images: int = 0
    train_seconds: float = 0.0
    wait_seconds: float = 0.0
    validation_seconds: float = 0.0

    @property
    def epochs_trained(self) -> int:
        """How many epochs were trained, the patience after the best one included."""
        return len(self.history)


@dataclass(frozen=True, kw_only=True)
class Length:
    """When a training ends: after `max_steps` optimizer steps or, without these, after `max_epochs` passes over the
    data; earlier where the validation loss has not fallen for more than `early_stop` epochs and `min_epochs` are over.

    An epoch is a pass over the data, or `steps_of_epoch` steps.
    """

    max_epochs: int = 1
    max_steps: int | None = None
    steps_of_epoch: int | None = None
    min_epochs: int = 0
    early_stop: int | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> "Length":
        """Returns the recipe's rules."""
        return cls(
            max_epochs=recipe.max_epochs,
            max_steps=recipe.max_steps,
            steps_of_epoch=recipe.steps_of_epoch,
            min_epochs=recipe.min_epochs or 0,
            early_stop=recipe.early_stop,
        )

    def ending(self, run: Fit, num_steps: int) -> str:
        """Returns why the training is over after this epoch; nothing where it is not."""
        epoch = run.epochs_trained
        # as the first paper's code counts: it stops once the patience is exceeded, not when it is reached
        patient = self.early_stop is None or epoch < self.min_epochs or epoch - (run.best_epoch or 0) <= self.early_stop
        if not patient:
            return "early"
        over = epoch >= self.max_epochs if self.max_steps is None else num_steps >= self.max_steps
        return "cap" if over else ""


@dataclass(kw_only=True)
class _Position:
    """Where a training stands between two steps: the pass over the data and the batch that come next, the steps done,
    and of the epoch in progress the images, the sum of their losses and the learning rate of the first step.
    """

    data_pass: int = 1
    batch: int = 0
    num_steps: int = 0
    num_images: int = 0
    loss: torch.Tensor | float = 0.0
    first_rate: float = 0.0

    def begin_pass(self) -> None:
        if self.batch == 0:
            raise ValueError("no batches: the training part is empty")
        self.data_pass, self.batch = self.data_pass + 1, 0


def fit(
    *,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    batches: Callable[[int, int], Iterator[Batch]],
    step_loss: Callable[[Any], torch.Tensor],
    judge: Callable[[], dict[str, float]],
    length: Length,
    keep: Literal["best", "last"] = "best",
    micro_batch: int,
    state: StateFile,
    watch: Callable[[dict[str, float]], None] = lambda _: None,
    watch_step: Callable[[dict[str, float]], None] = lambda _: None,
) -> Fit:
    """Trains `module` for `length`; then puts the weights of the epoch with the lowest validation loss into it, or leaves
    the last ones (`keep`).

    `batches(number, first)` yields the batches of a pass over the data, from batch `first` on; `step_loss(batch)` returns
    a mean loss over a batch; `judge()` the validation scores, `loss` among them where `keep` is "best". A batch is taken
    in pieces of `micro_batch`, one optimizer step for all. `watch` is called with the history's line of each epoch,
    `watch_step` now and then with the step, its loss, its learning rate and the seconds left.

    Continues from `state` where it holds one. The state is written at the end, and between two steps: when an epoch ends
    and SHORTEST_SECONDS are over, when LONGEST_SECONDS are over, and before a signal that ends the process. Raises
    Diverged, and OutOfMemory.
    """
    run, position = Fit(), _Position()
    best: dict[str, torch.Tensor] = {}
    if (saved := state.load()) is not None:
        best = saved.pop("best_weights", {})
        restore(saved, module, optimizer, schedule, run=run, position=position)
    last_saved = time.monotonic()

    def save() -> None:
        nonlocal last_saved
        progress = progress_of(module, optimizer, schedule, run=run, position=position)
        state.save({**progress, "best_epoch": run.best_epoch}, best)
        last_saved = time.monotonic()

    following = _following(batches, position)
    with StopSignals() as signals:
        while not run.stopped:
            epoch = run.epochs_trained + 1
            if position.num_images == 0:
                position.first_rate = schedule.rate
            with _memory_watched(micro_batch):
                module.train()
                for _ in _steps(
                    optimizer, schedule, following, step_loss, length, micro_batch, run, position, watch_step
                ):
                    if signals.received or time.monotonic() - last_saved > LONGEST_SECONDS:
                        save()
                        signals.pass_on()
                train_loss = float(position.loss) / max(position.num_images, 1)
                _check(train_loss, "training", epoch)
                started = time.perf_counter()
                scores = judge()
            run.validation_seconds += time.perf_counter() - started
            line: dict[str, float] = {"epoch": epoch, "train_loss": train_loss, "learning_rate": position.first_rate}
            if length.max_steps is not None:
                line["step"] = position.num_steps
            run.history.append(line | {f"validation_{name}": value for name, value in scores.items()})
            run.num_images += position.num_images
            position.num_images, position.loss = 0, 0.0
            if keep == "best":
                _check(scores["loss"], "validation", epoch)
                schedule.after_epoch(scores["loss"])
                if scores["loss"] < run.best_loss:
                    run.best_loss, run.best_epoch = scores["loss"], epoch
                    best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}
            run.stopped = length.ending(run, position.num_steps)
            if run.stopped or signals.received or time.monotonic() - last_saved > SHORTEST_SECONDS:
                save()
            watch(run.history[-1])
            signals.pass_on()
    following.close()
    if keep == "best":
        module.load_state_dict(best)
    return run


def _following(
    batches: Callable[[int, int], Iterator[Batch]], position: _Position
) -> Generator[Batch | None, None, None]:
    """Yields the batches from the position on, pass after pass, None at the end of each."""
    while True:
        yield from batches(position.data_pass, position.batch)
        yield None


def _steps(
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    following: Iterator[Batch | None],
    step_loss: Callable[[Any], torch.Tensor],
    length: Length,
    micro_batch: int,
    run: Fit,
    position: _Position,
    watch_step: Callable[[dict[str, float]], None],
) -> Iterator[None]:
    """Takes the steps of an epoch, or the rest of it, and yields between them. Losses stay on the device: no step waits for
    them, but for one in WATCH_SECONDS.
    """
    watched = began = time.monotonic()
    first_step, steps_of_epoch = position.num_steps, length.steps_of_epoch
    while True:
        started = time.perf_counter()
        batch = next(following)
        run.wait_seconds += time.perf_counter() - started
        if batch is None:
            position.begin_pass()
            run.train_seconds += time.perf_counter() - started
            if steps_of_epoch is None:
                return
            continue
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate
        optimizer.zero_grad(set_to_none=True)
        for piece in batch.pieces(micro_batch):
            loss = step_loss(piece) * (len(piece) / len(batch))
            loss.backward()
            position.loss = position.loss + loss.detach() * len(batch)
        optimizer.step()
        schedule.after_step()
        position.num_steps += 1
        position.batch += 1
        position.num_images += len(batch)
        if (now := time.monotonic()) - watched > WATCH_SECONDS:
            watched = now
            _check(float(position.loss), "training", run.epochs_trained + 1)
            report = {"step": position.num_steps, "loss": float(loss.detach()), "learning_rate": schedule.rate}
            if length.max_steps is not None:
                pace = (now - began) / (position.num_steps - first_step)
                report["seconds_left"] = pace * (length.max_steps - position.num_steps)
            watch_step(report)
        run.train_seconds += time.perf_counter() - started
        if position.num_steps == length.max_steps or (steps_of_epoch and position.num_steps % steps_of_epoch == 0):
            return  # no state between an epoch's last step and its validation
        yield


def _check(loss: float, of: str, epoch: int) -> None:
    if not math.isfinite(loss):
        raise Diverged(f"the {of} loss became {loss} in epoch {epoch}")


@contextmanager
def _memory_watched(micro_batch: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # on a CPU torch raises a plain RuntimeError for it
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(micro_batch) from error
        raise
