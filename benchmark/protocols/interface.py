"""What a protocol is: how the weights of a cell are used on a task, and which part of the recipe that changes.

A module of this package holds one protocol or a few that belong together, in its tuple PROTOCOLS; the registry finds them
there. Planning and reports read these descriptions without torch, so a module imports what trains inside its functions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.tasks.kinds import KINDS

if TYPE_CHECKING:
    from benchmark.training.interface import TrainingInput, TrainingResult
    from benchmark.training.loop import Diverged

# the inputs are of images or of features, as `uses_features` says
Train = Callable[["TrainingInput[Any]"], "TrainingResult"]
TrainTogether = Callable[[list["TrainingInput[Any]"]], list["TrainingResult | Diverged"]]

# Truong 2021, appendix B.1. Departs: frozen features are of the plain image, its center: no augmentation, since each
# image is seen once; and rates fall, and training ends, by the validation loss, where the paper goes by the score.
FROZEN_RECIPE: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 64,
    "schedule": "plateau",
    "plateau_factor": 0.1,
    "plateau_patience": 5,
    "min_epochs": 30,
    "max_epochs": 50,
    "early_stop": 10,
    "augmentation": "none",
    "test_crops": 1,
}
# recipe fields of gradient descent: a protocol that solves for its answer does not use them
DESCENT_FIELDS = frozenset({
    "optimizer", "weight_decay", "learning_rate", "batch_size", "min_epochs", "max_epochs", "max_steps", "warmup", "schedule",
    "plateau_patience", "plateau_factor", "early_stop", "sampling",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way of using weights on a task.

    `rank` orders the protocols in lists and tables. `frozen`: the encoders do not train. `fuses`: it takes two encoders or
    more, joined by +. `deterministic`: the same features and labels give the same result, whatever the seed. `unused` are
    recipe fields that change nothing, `recipe` is what it changes in a task's recipe, `allowed` are the values that it
    supports of some recipe fields. `train` trains one cell, on images or, where the encoder is frozen, on its features;
    `train_together` trains several cells that differ only in seed, fold, subset and learning rate; `train_segmentation`
    trains a segmentation (None: the protocol supports none).
    """

    name: str
    title: str
    rank: int
    fuses: bool = False
    frozen: bool = False
    deterministic: bool = False
    unused: frozenset[str] = frozenset()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    allowed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    train: Train | None = None
    train_together: TrainTogether | None = None
    train_segmentation: Train | None = None

    def uses_features(self, kind: str) -> bool:
        """Returns whether it trains on features that are computed once (a decoder over a frozen encoder needs feature maps)."""
        return self.frozen and not KINDS[kind].masks

    def recipe_for(self, kind: str) -> dict[str, Any]:
        """Returns what it changes in the recipe of a task of that kind: nothing for a decoder."""
        return {} if KINDS[kind].masks else dict(self.recipe)
