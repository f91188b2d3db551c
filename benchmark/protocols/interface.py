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

# of images or of features, as `uses_features` says: the runner gives either
Train = Callable[["TrainingInput[Any]"], "TrainingResult"]
TrainTogether = Callable[[list["TrainingInput[Any]"]], list["TrainingResult | Diverged"]]

# Truong 2021, appendix B.1. Departs: frozen features are of the plain image, its centre: no augmentation, since each
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

    `rank` is its place in lists and tables. `frozen`: the encoders stay as they are; `fuses`: it takes two encoders or
    more, joined by +; `deterministic`: the same features and labels give the same answer, whatever the seed; `unused`:
    recipe fields that change nothing; `recipe`: what it changes in a task's recipe; `allowed`: the values that it takes
    of some recipe fields. `train` trains one cell, on images or, of a frozen encoder, on its features; `train_together`
    several cells that differ in seed, fold, subset and learning rate alone; `train_segmentation` a segmentation (None:
    the protocol serves none).
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
        """Returns whether it works on features that are computed once; a decoder over a frozen encoder needs maps."""
        return self.frozen and not KINDS[kind].masks

    def recipe_for(self, kind: str) -> dict[str, Any]:
        """Returns what it changes in the recipe of a task of that kind; a decoder trains by the task's own recipe."""
        return {} if KINDS[kind].masks else dict(self.recipe)
