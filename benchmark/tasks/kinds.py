"""The kinds of task: what their targets are, which losses and metrics fit them. Each kind is one entry of KINDS."""

from dataclasses import dataclass, field
from typing import Any, Literal

KindName = Literal["binary", "multilabel", "multiclass", "ordinal", "segmentation"]
PredictionKind = Literal["classification", "multiclass", "ordinal", "segmentation"]


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """Describes one kind of task.

    `masks`: the targets are masks, not labels; `exclusive`: an image has exactly one of the labels; `one_label`: a task
    of the kind has exactly one label; `lists_labels`: its sheet must list them. `predictions`: the kind of its
    predictions. `losses`: those that fit, the default first. `metrics`: those that can be a task's primary score; all
    are computed on validation after every epoch; the first is the default. `recipe`: its changes of the default recipe.
    """

    name: KindName
    predictions: PredictionKind = "classification"
    masks: bool = False
    exclusive: bool = False
    one_label: bool = False
    lists_labels: bool = False
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def one_answer(self) -> bool:
        """Returns whether an image has one answer out of several, so that classes can be balanced and cross-entropy fits."""
        return "ce" in self.losses


_OF_CLASSES = ("accuracy", "mean_sensitivity", "mean_auc", "top3_accuracy", "mean_sensitivity_top3")

KINDS: dict[str, TaskKind] = {
    kind.name: kind
    for kind in (
        TaskKind(
            name="binary",
            one_label=True,
            losses=("bce", "ce"),
            metrics=("auc", "mean_auc", "exam_auc_max", "exam_auc_top10"),
        ),
        TaskKind(name="multilabel", lists_labels=True, losses=("bce",), metrics=("mean_auc",)),
        TaskKind(
            name="multiclass",
            predictions="multiclass",
            exclusive=True,
            losses=("ce",),
            metrics=_OF_CLASSES,
            recipe={"loss": "ce"},
        ),
        TaskKind(
            name="ordinal",
            predictions="ordinal",
            exclusive=True,
            lists_labels=True,
            losses=("ce",),
            metrics=("kappa", "kappa_expected", *_OF_CLASSES),
            recipe={"loss": "ce"},
        ),
        TaskKind(
            name="segmentation",
            predictions="segmentation",
            masks=True,
            one_label=True,
            losses=("dice", "bce"),
            metrics=("dice_per_image", "dice_pooled", "dice_positive"),
            recipe={
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "early_stop": 20,
                "loss": "dice",
                "augmentation": "xray-segmentation",
            },
        ),
    )
}
