"""What a suite's `figures:` may ask for: one model a kind, checked before anything is drawn."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.strict import StrictModel, explain

Correction = Literal["none", "holm", "benjamini-hochberg"]
Band = Literal["sd", "interval"]  # interval: of the mean, 95 %, Student's t


class FigureSpec(StrictModel):
    """What all kinds have. `tasks` and `models` are shown in their order, all that there are where none is named;
    `share` keeps cells of one share of the training part, in the words of the published numbers ("" all, "50", "10%").
    """

    kind: str
    title: str = ""
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    share: str | None = None


class PublishedTable(StrictModel):
    """Whose printed numbers stand beside ours."""

    paper: str
    table: str


class Seeds(FigureSpec):
    """Every run, its mean and sd, per task."""

    kind: Literal["seeds"] = "seeds"
    correction: Correction = "none"
    published: PublishedTable | None = None


class Convergence(FigureSpec):
    """Validation by epoch: the task's score, or the loss."""

    kind: Literal["convergence"] = "convergence"
    of: Literal["score", "loss"] = "score"
    band: Band = "interval"


class TimeToQuality(FigureSpec):
    """When each run reaches these percentages of the baseline's best validation score."""

    kind: Literal["time-to-quality"] = "time-to-quality"
    percentages: Annotated[tuple[PositiveFloat, ...], Field(min_length=1, max_length=4)] = (90, 95, 99)
    unit: Literal["epochs", "seconds"] = "epochs"


class LabelEfficiency(FigureSpec):
    """Score against the number of training images, or their fraction."""

    kind: Literal["label-efficiency"] = "label-efficiency"
    against: Literal["images", "fraction"] = "images"
    band: Band = "interval"


class Subgroups(FigureSpec):
    """Scores of a group's values (sex, age, site …); `groups`: which, all where none is named."""

    kind: Literal["subgroups"] = "subgroups"
    groups: tuple[str, ...] = ()


class Ranks(FigureSpec):
    """Ranks over tasks. `leave_out`: where models lack tasks, those tasks, or those models."""

    leave_out: Literal["tasks", "models"] = "tasks"


class CriticalDifference(Ranks):
    """Mean ranks over tasks, and which of them cannot be told apart."""

    kind: Literal["critical-difference"] = "critical-difference"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05


class MeanRanks(Ranks):
    """Mean ranks over tasks with bootstrap intervals."""

    kind: Literal["mean-ranks"] = "mean-ranks"
    replicates: PositiveInt = 1000
    seed: int = 0


class Forest(FigureSpec):
    """Differences from the baseline with their intervals, over tasks."""

    kind: Literal["forest"] = "forest"
    correction: Correction = "none"


class Tsne(FigureSpec):
    """Features of test examples in the plane; `examples`: how many at most, drawn with `seed`."""

    kind: Literal["tsne"] = "tsne"
    perplexity: PositiveFloat = 30
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    examples: PositiveInt = 2000


class AttentionMatrix(FigureSpec):
    """How a fusion's encoders attend to each other."""

    kind: Literal["attention"] = "attention"


class SweepCurves(FigureSpec):
    """Validation scores of the values of a recipe field that was swept or searched, the chosen ones marked."""

    kind: Literal["sweep"] = "sweep"


SPECS: dict[str, type[FigureSpec]] = {
    model.model_fields["kind"].default: model
    for model in (
        Seeds, Convergence, TimeToQuality, LabelEfficiency, Subgroups, CriticalDifference, MeanRanks, Forest, Tsne,
        AttentionMatrix, SweepCurves,
    )
}  # fmt: skip


def figure_specs(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, FigureSpec]:
    """A suite's `figures:`, checked. Raises BenchmarkError that names the figure and what is wrong with it."""
    specs = {}
    for name, told in figures.items():
        kind = told.get("kind")
        if kind not in SPECS:
            raise BenchmarkError(f"figure {name}: kind {kind!r}: {did_you_mean(str(kind), SPECS)}")
        try:
            specs[name] = TypeAdapter(SPECS[kind]).validate_python(dict(told))
        except ValidationError as error:
            raise BenchmarkError(f"figure {name}: {explain(error, SPECS[kind])}") from error
    return specs
