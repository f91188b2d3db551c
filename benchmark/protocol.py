"""What each protocol is, without doing it: what it takes, what it leaves frozen, and the recipe that is its own.

`benchmark.protocols` does them. Frozen encoders of classification tasks are asked for their features once
(`benchmark.features`); everything else sees images.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.fault import Fault, did_you_mean

if TYPE_CHECKING:
    from benchmark.cell import Recipe

# Truong 2021, appendix B.1. Departs: frozen features are of the plain image, its centre: no augmentation, since each
# image is seen once; and rates fall, and training ends, by the validation loss, where the paper goes by the score.
FROZEN: dict[str, Any] = {
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


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """`fuses`: takes two encoders or more, joined by +. `frozen`: the encoders stay as they are. `together`: cells that
    differ in seed, fold, subset and learning rate alone are trained at once. `segments`: serves segmentation too.
    `deterministic`: the same features and labels always give the same answer, whatever the seed. `unused`: recipe fields
    that change nothing here.
    """

    title: str
    fuses: bool = False
    frozen: bool = False
    together: bool = False
    segments: bool = False
    deterministic: bool = False
    unused: frozenset[str] = frozenset()
    recipe: dict[str, Any] = field(default_factory=dict)

    def sees_features(self, kind: str) -> bool:
        """Whether it works on features that are computed once; a frozen encoder under a decoder gives maps, not those."""
        return self.frozen and kind != "segmentation"

    def recipe_for(self, kind: str) -> dict[str, Any]:
        """What it changes in a task's recipe. A decoder over a frozen encoder trains as the task's own recipe says."""
        return {} if kind == "segmentation" else self.recipe


# how a gradient descent goes: nothing to a protocol that solves for its answer
_OF_DESCENT = frozenset({
    "optimizer", "weight_decay", "learning_rate", "batch_size", "min_epochs", "max_epochs", "schedule",
    "plateau_patience", "plateau_factor", "early_stop", "sampling",
})  # fmt: skip
# how images are augmented and kept for it: nothing where features are computed once, of the plain image
_OF_AUGMENTATION = frozenset({"train_resolution", "pixels", "resize"})

KNOWN: dict[str, Protocol] = {
    "finetune": Protocol(title="all of the encoder and a fresh head train", segments=True),
    "linear": Protocol(
        title="a linear layer trains on the frozen encoder's features; in segmentation, the decoder above it",
        frozen=True,
        together=True,
        segments=True,
        recipe=FROZEN,
    ),
    "logistic": Protocol(
        title="logistic regression on the frozen encoder's features, its penalty chosen on validation",
        frozen=True,
        deterministic=True,
        unused=_OF_DESCENT,
        recipe=FROZEN,
    ),
    "knn": Protocol(
        title="nearest neighbours in the frozen encoder's features, their number chosen on validation",
        frozen=True,
        deterministic=True,
        unused=_OF_DESCENT,
        recipe=FROZEN,
    ),
    "dvme": Protocol(
        title="a fusion of frozen encoders with attention trains (Truong 2021)", fuses=True, frozen=True, recipe=FROZEN
    ),
    "dvme-no-attention": Protocol(
        title="a linear classifier on the projected, joined features of frozen encoders trains (Truong 2021)",
        fuses=True,
        frozen=True,
        recipe=FROZEN,
    ),
    "dvme-finetune": Protocol(
        title="the fusion and its encoders train end to end",
        fuses=True,
        recipe={"learning_rate": 1e-4, "batch_size": 16},  # as the paper fine-tunes DINO, appendix B.2
    ),
}


def unused_fields(name: str, kind: str, recipe: "Recipe") -> set[str]:
    """Returns the recipe fields whose value changes no number of a task of that kind under that protocol."""
    protocol = find_protocol(name)
    unused = set(protocol.unused)
    if kind == "segmentation":
        unused |= {"train_resolution", "pixels", "test_crops", "framing"}
    elif protocol.sees_features(kind):
        unused |= _OF_AUGMENTATION
    else:
        unused.add("resize")
        if recipe.augmentation in ("none", "flips"):  # training draws from the images that are kept for evaluation
            unused |= {"train_resolution", "pixels"}
    if recipe.schedule != "plateau":
        unused |= {"plateau_patience", "plateau_factor"}
    if recipe.early_stop is None:
        unused.add("min_epochs")
    return unused


def find_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises Fault with "did you mean"."""
    if name not in KNOWN:
        raise Fault(f"no protocol {name!r}: {did_you_mean(name, KNOWN)}")
    return KNOWN[name]


def unfit(name: str, kind: str, model: str) -> str:
    """Why a model of some encoders (joined by +) cannot be asked so on a task of that kind; empty where it can."""
    protocol, fused = find_protocol(name), "+" in model
    if protocol.fuses and not fused:
        return f"--protocol {name} fuses encoders: wanted two or more joined by +, such as --models {model}+OTHER"
    if fused and not protocol.fuses:
        fusing = ", ".join(known for known, its in KNOWN.items() if its.fuses)
        return f"--protocol {name} takes one encoder, not {model}: wanted one of {fusing} for several"
    if kind == "segmentation" and not protocol.segments:
        return f"--protocol {name} gives vectors, a segmentation needs maps: wanted finetune or linear"
    return ""
