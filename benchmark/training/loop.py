"""The only training loop. What differs between protocols comes in as functions and batches."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from benchmark.training.optimizers import Schedule
from benchmark.training.state import StateFile


class Batch(Protocol):
    """What the loop asks of a batch."""

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
    """How a training went. Epochs are counted from 1; `history` has one line an epoch; `stopped` is `early` or `cap`.

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


def fit(
    *,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    batches: Callable[[int], Iterator[Batch]],
    step_loss: Callable[[Any], torch.Tensor],
    judge: Callable[[], dict[str, float]],
    max_epochs: int,
    min_epochs: int = 0,
    early_stop: int | None,
    micro_batch: int,
    state: StateFile,
    watch: Callable[[dict[str, float]], None] = lambda _: None,
) -> Fit:
    """Train until the validation loss has not fallen for more than `early_stop` epochs (and `min_epochs` are over), or
    for `max_epochs`; then put the best epoch's weights into `module`.

    `batches(epoch)` gives an epoch's training batches; `step_loss(batch)` a mean loss over a batch; `judge()` the
    validation scores, `loss` among them. A batch is taken in pieces of `micro_batch`, one optimiser step for all. Starts
    from `state` where it holds one. Raises Diverged, and OutOfMemory with the state of the last whole epoch kept.
    """
    run = Fit()
    best: dict[str, torch.Tensor] = {}
    if (saved := state.load()) is not None:
        best = saved.pop("best_weights", {})
        _restore(saved, module, optimizer, schedule, run)
    for epoch in range(run.epochs_trained + 1, max_epochs + 1):
        if run.stopped:
            break
        rate = optimizer.param_groups[0]["lr"]
        started = time.perf_counter()
        with _memory_watched(micro_batch):
            train_loss = _train_epoch(module, optimizer, batches(epoch), step_loss, micro_batch, run)
            trained = time.perf_counter()
            if not math.isfinite(train_loss):
                raise Diverged(f"the training loss became {train_loss} in epoch {epoch}")
            scores = judge()
        run.train_seconds += trained - started
        run.validation_seconds += time.perf_counter() - trained
        if not math.isfinite(scores["loss"]):
            raise Diverged(f"the validation loss became {scores['loss']} in epoch {epoch}")
        schedule.after_epoch(scores["loss"])
        line = {"epoch": epoch, "train_loss": train_loss, "learning_rate": rate}
        run.history.append(line | {f"validation_{name}": value for name, value in scores.items()})
        if scores["loss"] < run.best_loss:
            run.best_loss, run.best_epoch = scores["loss"], epoch
            best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}
            state.save_best(epoch, best)
        # as the first paper's code counts: it stops once the patience is exceeded, not when it is reached
        if early_stop is not None and epoch >= min_epochs and epoch - (run.best_epoch or 0) > early_stop:
            run.stopped = "early"
        elif epoch == max_epochs:
            run.stopped = "cap"
        state.save(_saved(module, optimizer, schedule, run))
        watch(run.history[-1])
    module.load_state_dict(best)
    return run


def _train_epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    step_loss: Callable[[Any], torch.Tensor],
    micro_batch: int,
    run: Fit,
) -> float:
    """One pass; the mean loss over its images. The loss stays on the device until the end: no step waits for it."""
    module.train()
    total: torch.Tensor | float = 0.0
    seen = 0
    asked = time.perf_counter()
    for batch in batches:
        run.wait_seconds += time.perf_counter() - asked
        optimizer.zero_grad(set_to_none=True)
        for piece in batch.pieces(micro_batch):
            loss = step_loss(piece) * (len(piece) / len(batch))
            loss.backward()
            total = total + loss.detach() * len(batch)
        optimizer.step()
        seen += len(batch)
        asked = time.perf_counter()
    run.wait_seconds += time.perf_counter() - asked
    run.num_images += seen
    return float(total) / max(seen, 1)


@contextmanager
def _memory_watched(micro_batch: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # on a CPU torch raises a plain RuntimeError for it
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(micro_batch) from error
        raise


def _saved(module: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, run: Fit) -> dict[str, Any]:
    return {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "best_epoch": run.best_epoch,
        "run": dict(vars(run)),
    }


def _restore(
    saved: dict[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, run: Fit
) -> None:
    module.load_state_dict(saved["module"])
    optimizer.load_state_dict(saved["optimizer"])
    schedule.load_state_dict(saved["schedule"])
    torch.set_rng_state(saved["rng"])
    if saved["rng_cuda"]:
        torch.cuda.set_rng_state_all(saved["rng_cuda"])
    for name, value in saved["run"].items():
        setattr(run, name, value)
