"""Optimisers and learning-rate schedules, by the recipe's names."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau

from benchmark.recipe import Recipe


class Schedule(Protocol):
    """Steps once an epoch, with the validation loss."""

    def after_epoch(self, validation_loss: float) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class _Plateau(ReduceLROnPlateau):
    def after_epoch(self, validation_loss: float) -> None:
        self.step(validation_loss)


class _Cosine(CosineAnnealingLR):
    # Departs: the cosine schedule sets each epoch's own rate; the first paper's code sets it one epoch late.
    def after_epoch(self, validation_loss: float) -> None:  # noqa: ARG002 - a schedule's signature
        self.step()


class _Constant(LambdaLR):
    def after_epoch(self, validation_loss: float) -> None:
        """Nothing changes."""


def optimizer_of(module: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters that train."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return OPTIMIZERS[recipe.optimizer](trained, recipe)


def schedule_of(optimizer: torch.optim.Optimizer, recipe: Recipe) -> Schedule:
    """The recipe's schedule."""
    return SCHEDULES[recipe.schedule](optimizer, recipe)


OPTIMIZERS: dict[str, Callable[[list[torch.nn.Parameter], Recipe], torch.optim.Optimizer]] = {
    # fused: one pass over the parameters, where the default makes a dozen
    "adam": lambda trained, recipe: torch.optim.Adam(
        trained, lr=recipe.learning_rate, betas=(0.9, 0.999), weight_decay=recipe.weight_decay or 0.0, fused=True
    ),
    "sgd": lambda trained, recipe: torch.optim.SGD(
        trained, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay or 0.0, fused=True
    ),
}
SCHEDULES: dict[str, Callable[[torch.optim.Optimizer, Recipe], Schedule]] = {
    "plateau": lambda o, r: _Plateau(o, factor=r.plateau_factor, patience=r.plateau_patience),
    "cosine": lambda o, r: _Cosine(o, T_max=r.max_epochs),
    "constant": lambda o, _: _Constant(o, lambda _: 1.0),
}
