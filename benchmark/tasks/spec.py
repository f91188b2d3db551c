"""The task registry: one fact sheet (YAML) per task, read, checked and digested. Facts here, code in data/readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import digest_of
from benchmark.recipe import Recipe
from benchmark.strict import Name, StrictModel
from benchmark.tasks.kinds import KINDS, KindName, TaskKind

# fields that a table shows but that change no number: correcting them leaves every cell's key alone
_FACTS_ONLY = {
    "title",
    "about",
    "counts",
    "licence",
    "cite",
    "get",
    "root",
    "images_of",
    "shares_images_with",
    "groups",
    "subsets",
    "keep_pixels",
    "shared_labels",
}
OTHER = "Other"  # the class that joins all conditions that are not among the `commonest`
Share = Annotated[float, Field(gt=0, lt=1)]


class SplitRule(StrictModel):
    """Says how examples are split. `official` follows the data set's own lists; `random` splits the patients by `seed`,
    except where a copy comes with a labeled test of its own: that stays the test.

    `test` is a share of the patients, or a number of images; `validation` the same of the rest. `of`: how many images
    the complete set has; in a copy with fewer, numbers of images shrink in proportion.
    """

    method: Literal["official", "random"]
    test: Share | PositiveInt | None = None
    validation: Share | PositiveInt = 0.1
    of: PositiveInt | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _test_where_random(self) -> "SplitRule":
        if (self.method == "random") != (self.test is not None):
            raise ValueError("a random split needs `test` (a share of the patients), an official one has none")
        return self


@dataclass(frozen=True, kw_only=True)
class ScoringRules:
    """Says how predictions are scored. Means are over all labels, over those in `scored`, or over all but those in
    `unscored`. `case`: the group whose images are scored as one, by the mean of their probabilities. `exam`: the group
    that is scored in addition to its images.
    """

    scored: tuple[str, ...] | None = None
    unscored: tuple[str, ...] | None = None
    case: str | None = None
    exam: str | None = None

    def scored_labels(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Returns the labels, of those that the predictions have, that means are over."""
        return tuple(self.scored or (label for label in labels if label not in (self.unscored or ())))


class TaskSpec(StrictModel):
    """Describes one task: what is predicted from which data set, how it is split, trained and scored.

    `root` is the data set's folder under the data folder; `images_of` are other names of the data sets whose images it
    uses, by which weights may say that they were trained on them, and `shares_images_with` data sets that have some of
    its images (benchmark.experiment.overlap); `layout` holds the reader's options (the reader's docstring lists them).
    `labels` may be empty where the data name their classes; `commonest` keeps that many of them, by the training split,
    and joins the rest as Other. `scored`, `unscored`, `case` and `exam` are those of ScoringRules: which classes count
    is said here, never by their names. `windows` are (width, level) of a CT's channels, in Hounsfield units.
    `unreadable: leave out`: images that cannot be decoded are counted and left out; without it they are an error;
    `keep_pixels: false`: images are decoded anew each time, where a cache would be too large. `metric` is the primary
    score's name in `benchmark.scoring.evaluate`; `recipe` is what departs from Recipe's defaults; `groups` are the
    columns carried to the predictions for subgroup scores; `subsets` name sizes of the training split; `counts` are the
    published ones. `shared_labels` maps the name of a vocabulary to the labels that have a word in it, each with its word:
    labels of two tasks with the same word mean the same (benchmark.tasks.shift).
    """

    name: Name
    version: int = 1
    title: str = ""
    about: str = ""
    reader: str
    root: str
    images_of: tuple[str, ...] = ()
    shares_images_with: tuple[str, ...] = ()
    layout: dict[str, Any] | None = None
    kind: KindName
    labels: tuple[str, ...] = ()
    commonest: PositiveInt | None = None
    scored: tuple[str, ...] | None = None
    unscored: tuple[str, ...] | None = None
    shared_labels: dict[str, dict[str, str]] = {}
    case: str | None = None
    exam: str | None = None
    windows: tuple[tuple[PositiveFloat, float], ...] | None = None
    unreadable: Literal["leave out"] | None = None
    keep_pixels: bool = True
    split: SplitRule
    metric: str = ""
    recipe: dict[str, Any] = {}
    groups: tuple[str, ...] = ()
    subsets: dict[str, PositiveInt | Literal["all"]] = {}
    counts: dict[str, int] = {}
    licence: str = ""
    cite: str = ""
    get: str = ""

    @model_validator(mode="before")
    @classmethod
    def _usual_metric(cls, sheet: Any) -> Any:
        kind = sheet.get("kind") if isinstance(sheet, dict) else None
        if isinstance(kind, str) and kind in KINDS and not sheet.get("metric"):
            return {**sheet, "metric": KINDS[kind].metrics[0]}
        return sheet

    @model_validator(mode="after")
    def _labels_fit_the_kind(self) -> "TaskSpec":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label is listed twice")
        if self.scored and self.unscored:
            raise ValueError("scored and unscored: wanted one of them")
        for name in ("scored", "unscored"):
            unknown = sorted({*(getattr(self, name) or ())} - {*self.labels})
            if unknown and (self.labels or name == "scored"):  # where the data name the classes, any may be left out
                raise ValueError(f"{name} {unknown[0]!r} is not among the labels")
        for vocabulary, words in self.shared_labels.items():
            if len({*words.values()}) != len(words):
                raise ValueError(f"shared_labels {vocabulary}: two labels have one word")
            if self.labels and (unknown := sorted({*words} - {*self.labels})):
                raise ValueError(f"shared_labels {vocabulary}: {unknown[0]!r} is not among the labels")
        if self.labels and not self.judging.scored_labels(self.labels):
            raise ValueError("unscored leaves no label to score")
        if self.kind_facts.one_label and len(self.labels) != 1:
            raise ValueError(f"a {self.kind} task has one label, {len(self.labels)} are listed")
        if self.is_exclusive and len(self.labels) == 1:
            raise ValueError(f"a {self.kind} task has two classes or more, one is listed")
        if self.kind_facts.lists_labels and not self.labels:
            order = " in their order" if self.is_exclusive else ""
            raise ValueError(f"a {self.kind} task lists its labels{order}")
        if self.commonest is not None and (not self.is_exclusive or self.labels):
            raise ValueError("commonest is for multiclass tasks that list no labels")
        if self.windows is not None and len(self.windows) not in (1, 3):
            raise ValueError(f"windows: wanted one (grey) or three (red, green, blue), {len(self.windows)} are listed")
        if self.metric not in (metrics := self.kind_facts.metrics):
            raise ValueError(f"metric {self.metric!r} of a {self.kind} task: {did_you_mean(self.metric, metrics)}")
        if self.metric.startswith("exam") and self.exam is None:
            raise ValueError(f"metric {self.metric} needs `exam`, the group whose images are one exam's")
        if self.unreadable and self.has_masks:
            raise ValueError("unreadable: images of a segmentation task cannot be left out")
        return self

    @property
    def kind_facts(self) -> TaskKind:
        """Returns the targets, losses and metrics of its kind."""
        return KINDS[self.kind]

    @property
    def is_exclusive(self) -> bool:
        """Returns whether an image has one of the labels and no other."""
        return self.kind_facts.exclusive

    @property
    def has_masks(self) -> bool:
        """Returns whether its targets are masks."""
        return self.kind_facts.masks

    @property
    def is_binary(self) -> bool:
        """Returns whether its targets are one label, present or absent."""
        return self.kind_facts.one_label and not self.has_masks

    @property
    def is_multilabel(self) -> bool:
        """Returns whether its targets are labels that do not exclude each other."""
        return not (self.is_exclusive or self.has_masks or self.is_binary)

    @property
    def judging(self) -> ScoringRules:
        """Returns how its predictions are scored."""
        return ScoringRules(scored=self.scored, unscored=self.unscored, case=self.case, exam=self.exam)

    @property
    def num_published(self) -> int | None:
        """Returns how many images the complete data set has, as it was published; None where the sheet does not say."""
        parts = [self.counts[name] for name in ("train", "validation", "test") if name in self.counts]
        return self.counts.get("images") or (sum(parts) if "test" in self.counts else None)

    @cached_property
    def digest(self) -> str:
        """Returns 16 hex digits of a hash over all fields that change the numbers."""
        return digest_of(self.model_dump(mode="json", exclude=_FACTS_ONLY, exclude_none=True))[:16]

    def subset_size(self, subset: str) -> int | None:
        """Returns the size that a subset's name or number stands for; None for the complete training split (F, of every
        task). Raises BenchmarkError.
        """
        if subset in self.subsets:
            size = self.subsets[subset]
            return None if size == "all" else size
        if subset == "F":
            return None
        if not subset.isdecimal() or int(subset) < 1:
            named = f", or one of {', '.join(self.subsets)}" if self.subsets else " (it names none)"
            raise BenchmarkError(f"{self.name}: --subset {subset}: wanted a number of training images{named}")
        return int(subset)

    def complete_recipe(self, *layers: dict[str, Any], settings: tuple[str, ...] = ()) -> Recipe:
        """Returns this task's recipe, changed by a suite's layers and by `--set`. Raises BenchmarkError where it does
        not fit the kind.
        """
        recipe = Recipe.complete(self.kind_facts.recipe, self.recipe, *layers, settings=settings)
        segmentation, one_answer = self.has_masks, self.kind_facts.one_answer
        for_segmentation = recipe.augmentation.endswith("-segmentation")
        unfit = ""
        if recipe.augmentation != "none" and segmentation != for_segmentation:
            unfit = (
                f"augmentation={recipe.augmentation} is for {'segmentation' if for_segmentation else 'classification'}"
            )
        elif segmentation and recipe.pixels == "exact":
            unfit = "pixels=exact is for classification: segmentation is augmented by albumentations"
        elif recipe.loss == "dice" and not segmentation:
            unfit = "loss=dice is for segmentation"
        elif recipe.loss == "ce" and not one_answer:
            unfit = "loss=ce is for tasks with one answer out of several"
        elif recipe.loss != "ce" and self.is_exclusive:
            unfit = f"loss={recipe.loss} is for labels that do not exclude each other: wanted ce"
        elif recipe.sampling and not one_answer:
            unfit = f"sampling={recipe.sampling} is for tasks with one answer out of several"
        elif recipe.framing == "whole" and recipe.test_crops != 1 and not segmentation:
            unfit = "framing=whole leaves no crops to cut: wanted test_crops=1"
        elif (recipe.uncertain is None) == ("uncertain" in self.recipe):
            unfit = (
                "it has uncertain labels: uncertain must say what they train as"
                if recipe.uncertain is None
                else f"uncertain={recipe.uncertain} is for tasks that have uncertain labels"
            )
        if unfit:
            raise BenchmarkError(f"{self.name} is a {self.kind} task: {unfit}")
        return recipe
