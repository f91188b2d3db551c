"""Many linear layers as one product, each with its own optimizer: the arithmetic of linear evaluation."""

from typing import Any

import torch
from torch import nn

from benchmark.recipe import Recipe
from benchmark.training.optimizers import BETAS, EPSILON, MOMENTUM


class Heads:
    """The weights of all heads, streams x features x columns, and the optimizer's moments of these weights.

    A stream is a group of heads that share their batches. Raises KeyError for an optimizer that is not in UPDATES.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, recipe: Recipe) -> None:
        self.weight, self.bias = weight, bias
        self.recipe = recipe
        self.update = UPDATES[recipe.optimizer]
        self.steps = torch.zeros(len(weight), dtype=torch.int64)
        self.rates = torch.zeros(len(weight), 1, weight.shape[2], device=weight.device)
        self.moments = [torch.zeros_like(tensor) for tensor in (weight, weight, bias, bias)]

    def logits(self, streams: list[int], examples: torch.Tensor) -> torch.Tensor:
        """Returns the logits, streams x batch x columns, of examples, streams x batch x features."""
        chosen = self._paired(streams)
        examples = examples if len(examples) == len(chosen) else examples.expand(len(chosen), -1, -1)
        return torch.bmm(examples, self.weight[chosen])[: len(streams)] + self.bias[streams]

    def step(self, streams: list[int], examples: torch.Tensor, gradient: torch.Tensor) -> None:
        """Takes one optimizer step for some streams; `gradient`: of the loss in the logits, streams x batch x columns."""
        if len(streams) == 1:
            examples, gradient = examples.expand(2, -1, -1), gradient.expand(2, -1, -1)
        of_weight = torch.bmm(examples.transpose(1, 2), gradient)[: len(streams)]
        of_bias = gradient[: len(streams)].sum(1, keepdim=True)
        self.steps[streams] += 1
        first, second, first_bias, second_bias = self.moments
        self._update(streams, self.weight, of_weight, first, second)
        self._update(streams, self.bias, of_bias, first_bias, second_bias)

    def _update(
        self,
        streams: list[int],
        tensor: torch.Tensor,
        gradient: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
    ) -> None:
        # for all streams, a slice gives views instead of copies
        at: Any = slice(None) if len(streams) == len(tensor) else streams
        if self.recipe.weight_decay:
            gradient = gradient + self.recipe.weight_decay * tensor[at]
        values = tensor[at], self.rates[at], first[at], second[at], self.steps[at]
        tensor[at], first[at], second[at] = self.update(gradient, *values)

    @staticmethod
    def _paired(streams: list[int]) -> list[int]:
        """Returns the streams, a single one twice: a product of one has other rounding (see `linear_heads`)."""
        return streams * 2 if len(streams) == 1 else streams


Moments = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # the weights, and their first and second moments


def _sgd(
    gradient: torch.Tensor,
    weights: torch.Tensor,
    rates: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    steps: torch.Tensor,
) -> Moments:
    del steps
    first = first.mul_(MOMENTUM).add_(gradient)
    return weights.sub_(rates * first), first, second


def _adam(
    gradient: torch.Tensor,
    weights: torch.Tensor,
    rates: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    steps: torch.Tensor,
) -> Moments:
    first.lerp_(gradient, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    steps = steps.double().view(-1, 1, 1)
    size = (rates / (1 - BETAS[0] ** steps).to(rates)).to(rates.dtype)
    root = (1 - BETAS[1] ** steps).sqrt().to(rates)
    return weights.sub_(size * first / ((second.sqrt() / root) + EPSILON)), first, second


# the optimizers of `training.optimizers` that heads support; `protocols.linear` refuses the others in a plan
UPDATES = {"adam": _adam, "sgd": _sgd}


def block_losses(
    logits: torch.Tensor, targets: torch.Tensor, shape: tuple[int, bool]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the mean losses of the batch, streams x columns, and their gradient in the logits.

    The losses are those of `training.losses`; the loss of a head is the mean over its columns. `targets` are streams x batch
    x labels. `shape` is a head's number of outputs, by which the columns are cut into blocks, and whether the outputs
    exclude each other.
    """
    streams, _, padded = logits.shape
    outputs, exclusive = shape
    blocks = padded // outputs
    used = logits[..., : blocks * outputs].unflatten(2, (blocks, outputs))
    labels = targets.unsqueeze(2)
    gradient = torch.zeros_like(logits)
    loss = torch.zeros(streams, padded, device=logits.device)
    if exclusive:
        labeled = ~torch.isnan(labels).any(3, keepdim=True)
        known = labels.nan_to_num()
        truth = torch.cat([1 - known, known], 3) if outputs == 2 and labels.shape[3] == 1 else known
        num = labeled.sum(1, keepdim=True).clamp(min=1)
        logs = used.log_softmax(3)
        # one number for each block, repeated in each of its columns
        terms = -(truth * logs).sum(3, keepdim=True) * labeled
        per_block = (terms / num).sum(1).expand(-1, -1, outputs)
        slope = (logs.exp() - truth) * labeled / num
    else:
        labeled = ~torch.isnan(labels)
        known = labels.nan_to_num()
        num = labeled.sum((1, 3), keepdim=True).clamp(min=1)
        terms = nn.functional.binary_cross_entropy_with_logits(used, known.expand_as(used), reduction="none")
        per_block = (terms * labeled / num).sum(1) * outputs
        slope = (used.sigmoid() - known) * labeled / num
    gradient[..., : blocks * outputs] = slope.flatten(2)
    loss[:, : blocks * outputs] = per_block.flatten(1)
    return loss, gradient
