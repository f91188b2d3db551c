"""Optimizers and schedules, against torch's own and against the published rules."""

import math

import pytest
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.experiment.request import check_frozen
from benchmark.protocols.registry import PROTOCOLS
from benchmark.recipe import Recipe
from benchmark.training import losses
from benchmark.training import optimizers as optim
from benchmark.training.batched_heads import UPDATES


@pytest.mark.parametrize(
    ("setting", "theirs"),
    [
        ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        (
            {"optimizer": "sgd", "weight_decay": 0.01},
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        ),
        ({"weight_decay": 0.01}, lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.01)),
    ],
)
def test_optimizers_step_as_torchs_own_do(setting, theirs):
    nets = [nn.Linear(3, 1) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    recipe = Recipe(learning_rate=0.1, **setting)
    steppers = [optim.optimizer_of(nets[0], recipe), theirs(nets[1].parameters())]
    for _ in range(3):
        for net, stepper in zip(nets, steppers, strict=True):
            stepper.zero_grad()
            net(torch.ones(2, 3)).square().sum().backward()
            stepper.step()

    torch.testing.assert_close(nets[0].weight, nets[1].weight)


def test_lars_follows_the_published_rule_and_spares_biases_and_norms():
    """Google's form, whose momentum is of steps, gives the same path while the rate is constant. Weight decay 0 still
    leaves the trust ratio.
    """
    for decay in (1e-4, 0):
        net = nn.Linear(3, 2)
        with torch.no_grad():
            net.bias.fill_(0.5)
        weights = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        velocity = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
        optimizer = optim.optimizer_of(net, Recipe(optimizer="lars", learning_rate=2.0, weight_decay=decay))
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
        for _ in range(4):
            optimizer.zero_grad()
            net(inputs).square().sum().backward()
            gradients = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
            optimizer.step()
            for name, gradient in gradients.items():
                step = gradient
                if name == "weight":
                    step = gradient + decay * weights[name]
                    trust = 0.001 * weights[name].norm() / (gradient.norm() + decay * weights[name].norm())
                    step = trust * step
                velocity[name] = 0.9 * velocity[name] + 2.0 * step
                weights[name] = weights[name] - velocity[name]

        for name, parameter in net.named_parameters():
            torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-5, atol=1e-6)


def rates(recipe, validation_losses, steps_of_epoch=1):
    """The rate of the first step of each epoch."""
    schedule, of_epochs = optim.schedule_of(recipe), []
    for value in validation_losses:
        of_epochs.append(schedule.rate)
        for _ in range(steps_of_epoch):
            schedule.after_step()
        schedule.after_epoch(value)
    return of_epochs


def torchs_rates(scheduler, validation_losses=None):
    of_epochs = []
    for value in validation_losses or [None] * 10:
        of_epochs.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step(*([] if value is None else [value]))
    return of_epochs


def test_cosine_and_plateau_are_torchs_to_the_last_digit():
    def optimizer():
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)

    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer(), T_max=10)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer(), factor=0.3, patience=1)
    validation_losses = [3, 2, 2, 1.99999, 1, 1, 1, 5, 5, 5, 5, 5, 5, 5]

    assert rates(Recipe(schedule="cosine", learning_rate=1e-3, max_epochs=10), range(10)) == torchs_rates(cosine)
    falling = Recipe(schedule="plateau", learning_rate=1e-3, plateau_factor=0.3, plateau_patience=1)
    assert rates(falling, validation_losses) == torchs_rates(plateau, validation_losses)


def test_cosine_falls_as_the_first_papers_code_computes_it():
    recipe = Recipe(schedule="cosine", learning_rate=1e-3, max_epochs=10)

    expected = [1e-3 / 2 * (math.cos(math.pi * epoch / 10) + 1) for epoch in range(10)]
    assert rates(recipe, range(10)) == pytest.approx(expected)


def test_steps_warm_up_from_zero_and_then_fall_along_a_cosine():
    """SimCLR's code: step / warmup of the rate, then half a cosine over the steps that are left."""
    recipe = Recipe(schedule="cosine", learning_rate=2.0, max_steps=14, warmup=4)

    expected = [0, 0.5, 1.0, 1.5, *(1 + math.cos(math.pi * step / 10) for step in range(10))]
    assert rates(recipe, range(14)) == pytest.approx(expected)


def test_constant_stays():
    assert rates(Recipe(schedule="constant", learning_rate=0.3), [1, 2, 3]) == [0.3] * 3


@pytest.mark.parametrize("setting", [{"optimizer": "lars"}, {"max_steps": 9}, {"warmup": 3}])
def test_what_heads_trained_together_cannot_follow_is_refused_in_a_plan(setting):
    (name,) = setting
    recipe = Recipe(augmentation="none", test_crops=1, **setting)

    with pytest.raises(BenchmarkError, match=f"TXC: --protocol linear takes {name}="):
        check_frozen("TXC", "linear", recipe)
    check_frozen("TXC", "knn", recipe)


def test_every_schedule_optimizer_and_loss_of_the_recipe_exists():
    def allowed(name):
        return set(Recipe.model_fields[name].annotation.__args__)

    assert allowed("schedule") == set(optim.SCHEDULES)
    assert allowed("optimizer") == set(optim.OPTIMIZERS)
    assert allowed("loss") == set(losses.LOSSES)
    assert set(PROTOCOLS["linear"].allowed["optimizer"]) == set(UPDATES)
