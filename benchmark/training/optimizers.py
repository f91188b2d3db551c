"""Optimizers and learning-rate schedules, by the names that a recipe has for them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from timm.optim import Lars
from torch import nn

from benchmark.recipe import Recipe

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
MOMENTUM = 0.9  # of SGD and LARS
TRUST = (
    1e-3  # LARS: a step is at most this share of its layer's norm, times the rate (SimCLR's code, used by Azizi 2021)
)


class Schedule:
    """The learning rate of a training, constant after the warm-up. `rate` is that of the next step.

    During the first `warmup` steps the rate rises linearly from 0. `after_step` is called after each optimizer step,
    `after_epoch` after each validation.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.num_steps = self.num_epochs = 0
        self.level = recipe.learning_rate  # the rate, warm-up aside

    @property
    def rate(self) -> float:
        """Returns the learning rate of the next step."""
        warmup = self.recipe.warmup or 0
        return self.level * self.num_steps / warmup if self.num_steps < warmup else self.level

    def after_step(self) -> None:
        self.num_steps += 1

    def after_epoch(self, validation_loss: float) -> None:  # noqa: ARG002 - PlateauSchedule needs it
        self.num_epochs += 1

    def state_dict(self) -> dict[str, Any]:
        """Returns all that changes during a training."""
        return {name: value for name, value in vars(self).items() if name != "recipe"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from what `state_dict` returned."""
        vars(self).update(state)


class CosineSchedule(Schedule):
    """Half a cosine, from the recipe's rate to 0: over the steps after the warm-up where the length is in steps, else
    epoch by epoch.
    """

    # Departs: the cosine schedule sets each epoch's own rate; the first paper's code sets it one epoch late.

    def after_step(self) -> None:
        super().after_step()
        if self.recipe.max_steps is not None:
            warmup = self.recipe.warmup or 0
            share = max(0, self.num_steps - warmup) / max(1, self.recipe.max_steps - warmup)
            self.level = self.recipe.learning_rate * (1 + math.cos(math.pi * share)) / 2

    def after_epoch(self, validation_loss: float) -> None:
        super().after_epoch(validation_loss)
        if self.recipe.max_steps is None:
            # computed from the rate before, as in torch's CosineAnnealingLR, so that both are equal to the last digit
            before, now = (
                1 + math.cos(math.pi * n / self.recipe.max_epochs) for n in (self.num_epochs - 1, self.num_epochs)
            )
            self.level = now / before * self.level


class PlateauSchedule(Schedule):
    """The rate falls by a factor after more epochs than the patience in which the validation loss did not fall; thresholds
    are those of torch's ReduceLROnPlateau.
    """

    SMALLEST_GAIN, SMALLEST_CHANGE = 1e-4, 1e-8  # of the loss, relative; of the rate

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.best_loss, self.num_bad_epochs = math.inf, 0

    def after_epoch(self, validation_loss: float) -> None:
        super().after_epoch(validation_loss)
        if validation_loss < self.best_loss * (1 - self.SMALLEST_GAIN):
            self.best_loss, self.num_bad_epochs = validation_loss, 0
            return
        self.num_bad_epochs += 1
        if self.num_bad_epochs > self.recipe.plateau_patience:
            reduced = self.level * self.recipe.plateau_factor
            self.level = reduced if self.level - reduced > self.SMALLEST_CHANGE else self.level
            self.num_bad_epochs = 0


SCHEDULES: dict[str, Callable[[Recipe], Schedule]] = {
    "plateau": PlateauSchedule,
    "cosine": CosineSchedule,
    "constant": Schedule,
}


def schedule_of(recipe: Recipe) -> Schedule:
    """Returns the recipe's schedule, at its beginning."""
    return SCHEDULES[recipe.schedule](recipe)


def _adam(trained: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    # fused: one pass over the parameters, where the default makes a dozen
    decay = recipe.weight_decay or 0.0
    return torch.optim.Adam(trained, lr=recipe.learning_rate, betas=BETAS, eps=EPSILON, weight_decay=decay, fused=True)


def _sgd(trained: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    decay = recipe.weight_decay or 0.0
    return torch.optim.SGD(trained, lr=recipe.learning_rate, momentum=MOMENTUM, weight_decay=decay, fused=True)


def _lars(trained: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Returns LARS (You et al. 2017). Biases and norms, tensors of one dimension, get neither decay nor trust ratio."""
    # Departs: LARS is timm's, whose momentum is of gradients; in SimCLR's code it is of steps, the rate included, so that
    # the two differ while the rate changes.
    decay = recipe.weight_decay or 0.0
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay, "always_adapt": True},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    optimizer: torch.optim.Optimizer = Lars(filled, lr=recipe.learning_rate, momentum=MOMENTUM, trust_coeff=TRUST)
    return optimizer


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], Recipe], torch.optim.Optimizer]] = {
    "adam": _adam,
    "sgd": _sgd,
    "lars": _lars,
}


def optimizer_of(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Returns the recipe's optimizer over all parameters of the module that train."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return OPTIMIZERS[recipe.optimizer](trained, recipe)
