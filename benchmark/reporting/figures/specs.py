"""What a suite may say of any figure, and what a kind of figure is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.style import Plot
from benchmark.strict import StrictModel

Correction = Literal["none", "holm", "benjamini-hochberg"]
Band = Literal["sd", "interval"]  # interval: of the mean, 95 %, Student's t


class FigureSpec(StrictModel):
    """What a suite's `figures:` may say of every kind. `tasks` and `models` are shown in their order, all that were run
    where none is named; `share` keeps cells of one share of the training split, in the words of the published numbers
    ("" all, "50", "10%").
    """

    kind: str
    title: str = ""
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    share: str | None = None


class PublishedTable(StrictModel):
    """The table of a paper whose printed numbers are drawn with ours."""

    paper: str
    table: str


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure: `spec` checks what a suite says of it, `plot` draws it from a report's data and such a spec, and
    raises BenchmarkError with the reason where its data do not exist.
    """

    spec: type[FigureSpec]
    plot: Callable[[ReportData, Any], Plot]

    @property
    def name(self) -> str:
        """The kind's name in a suite."""
        return str(self.spec.model_fields["kind"].default)
