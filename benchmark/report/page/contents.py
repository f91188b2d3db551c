"""What the HTML report is made from: the contract between who gathers it and the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from benchmark.report.against_paper import PaperComparison
from benchmark.results.record import RunRecord
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing and the words under it."""

    svg: bytes
    caption: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that the page tells; scores in 0..1.

    `frame`: `report.frame.frame_of`; `rows`: `report.tables.summary` of it; `records`: at least those behind the frame's
    rows; `comparisons`: with the papers' printed numbers; `failed`: failed records; `unread`: a line for each record
    that could not be read; `wanted`: how many runs a grid asks of (task, model) in each table, empty where no grid was
    named; `bibtex`: the citations of what was run; `commands`: what makes these results again; `time`: of the report,
    in UTC, ISO 8601.
    """

    title: str
    version: str
    time: str
    frame: pd.DataFrame
    rows: pd.DataFrame
    records: list[RunRecord]
    tasks: Mapping[str, TaskSpec]
    entries: Mapping[str, ZooEntry]
    baseline: str
    comparisons: list[PaperComparison] = field(default_factory=list)
    failed: list[RunRecord] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    wanted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    bibtex: str = ""

    @cached_property
    def members(self) -> dict[str, tuple[str, ...]]:
        """The zoo's names in each model: as its cells say; of a model that is wanted and was not run, as it is named."""
        run = dict(zip(self.frame["model"], self.frame["members"], strict=True))
        wanted = {model: tuple(model.split("+")) for _, model in self.wanted}
        failed = {record.cell.model: tuple(w.name for w in record.cell.weights) for record in self.failed}
        return wanted | failed | run
