"""SimCLR (Chen et al. 2020) and MICLe (Azizi et al. 2021): an encoder learns to tell pairs of views from all others.

The two differ in the pairs alone: two views of one image, or of two images of one bag.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from benchmark.models.normalization import Normalization
from benchmark.models.projection import Projector
from benchmark.models.seeded import seeded
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.training.interface import Statistics
from benchmark.training.loop import Fit, Length, fit
from benchmark.training.optimizers import optimizer_of, schedule_of
from benchmark.training.probe import Probe
from benchmark.training.state import StateFile

COLLAPSED = 0.05  # a spread below this: all images are projected to nearly one point. Our own threshold


class PairData(Protocol):
    """Pairs of views (`data.views.PairSplit`)."""

    def __len__(self) -> int: ...
    def epoch(self, number: int, size: int, first: int = 0) -> Iterator[Any]: ...


@dataclass(frozen=True, kw_only=True)
class ContrastiveInput:
    """What a contrastive training receives. `statistics`: mean and std that images are normalized by; `recipe`: its length
    is in steps. `checkpointed`: activations are computed again in the backward pass, to save memory. `notify` is called
    with lines for whoever watches.
    """

    encoder: nn.Module
    statistics: Statistics
    pairs: PairData
    probe: Probe | None
    recipe: Recipe
    temperature: float
    seed: int
    scratch: Path
    device: torch.device
    checkpointed: bool = False
    watch: Callable[[dict[str, float]], None] = lambda _: None
    watch_step: Callable[[dict[str, float]], None] = lambda _: None
    notify: Callable[[str], None] = lambda _: None


def nt_xent(projections: torch.Tensor, temperature: float) -> torch.Tensor:
    """Returns the normalized temperature-scaled cross-entropy of 2B unit vectors, the first views of B pairs and then the
    second ones: the mean over all views of Azizi 2021, equation 1, where a view's others are all 2B - 1 of the batch.
    """
    similarities = projections @ projections.T / temperature
    similarities = similarities.masked_fill(
        torch.eye(len(projections), dtype=torch.bool, device=projections.device), -math.inf
    )
    partners = torch.arange(len(projections), device=projections.device).roll(len(projections) // 2)
    return functional.cross_entropy(similarities, partners)


def spread(projections: torch.Tensor) -> float:
    """Returns how far unit vectors lie apart: their standard deviation in each dimension, times the root of the number of
    dimensions. It is 1 where they point everywhere, 0 where all are one (Chen and He 2021, section 4.1).
    """
    return float(projections.std(dim=0).mean() * projections.shape[1] ** 0.5)


def train_contrastive(inputs: ContrastiveInput) -> Fit:
    """Trains the encoder in place, for the recipe's steps; its last weights are kept.

    After each hundredth of the steps the history has the spread of the last batch's projections and, with a probe, the
    scores of a linear probe and of nearest neighbors. Raises Diverged, and OutOfMemory.
    """
    recipe, device = inputs.recipe, inputs.device
    intake = Normalization(*inputs.statistics).to(device)
    model = Projector(inputs.encoder, intake, stream(inputs.seed, Purpose.HEAD))
    model = model.to(device).to(memory_format=torch.channels_last)
    if inputs.checkpointed:
        inputs.encoder.set_grad_checkpointing()  # type: ignore[operator] # timm's models have it
    optimizer = optimizer_of(model, recipe)
    last: list[torch.Tensor] = []

    def step_loss(batch: Any) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16) if recipe.precision == "bf16" else nullcontext():
            projections = model(batch.images)
        last[:] = [projections.detach()]
        return nt_xent(projections, inputs.temperature)

    def judge() -> dict[str, float]:
        scores = {"spread": spread(last[0])}
        if scores["spread"] < COLLAPSED:
            inputs.notify(
                f"the representation collapsed: the spread of the projections is {scores['spread']:.3f} of 1; a lower "
                f"learning_rate, a longer warmup or a higher temperature may help"
            )
        return scores | (inputs.probe.scores(inputs.encoder, intake) if inputs.probe else {})

    with seeded(stream(inputs.seed, Purpose.DROPOUT), device):
        return fit(
            module=model,
            optimizer=optimizer,
            schedule=schedule_of(recipe),
            batches=lambda number, first: inputs.pairs.epoch(number, recipe.batch_size, first),
            step_loss=step_loss,
            judge=judge,
            length=Length.of(recipe),
            keep="last",
            micro_batch=recipe.batch_size,
            state=StateFile(folder=inputs.scratch, warn=inputs.notify),
            watch=inputs.watch,
            watch_step=inputs.watch_step,
        )


def saved_bytes(encoder: nn.Module, statistics: Statistics, images: torch.Tensor) -> int:
    """Returns the bytes that a forward pass keeps for the backward pass, for each of the images; parameters are not
    counted. A few images tell: all but the loss grows with their number. The encoder is copied, and stays as it is.
    """
    encoder = copy.deepcopy(encoder).train()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*encoder.parameters(), *encoder.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    intake = Normalization(*statistics).to(images.device)
    with seeded(0, images.device), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = encoder(intake(images))
    del features
    return sum(kept.values()) // len(images)
