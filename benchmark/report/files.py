"""Records -> the files of a report: the page, tables and figures; and those of a paper, by name.

Figures and the page are imported where they are made: a table does without matplotlib, which takes its time.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pandas as pd

from benchmark import __version__
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.experiment.overlap import overlap
from benchmark.experiment.selection import seeds_from, select
from benchmark.experiment.suite import Suite
from benchmark.report.against_paper import Papers, compare_with_papers
from benchmark.report.commands import commands_of
from benchmark.report.groups import groups_of
from benchmark.report.paper_cells import Sources, filled
from benchmark.report.paper_grids import csv_of, grid_of
from benchmark.report.paper_tables import chosen, laid_out
from benchmark.report.sweeps import sweep_grid, sweeps_of
from benchmark.report.table_writers import PrintedTable, frame_csv, latex_of, markdown_of
from benchmark.report.tables import block_tables
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry

if TYPE_CHECKING:
    from benchmark.report.figures.registry import Attention, Drawn, Features, Material
    from benchmark.report.figures.specs import FigureSpec

Files = dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What a report is made from. `frame`: the cells that it is about; `records`: all, by key; `unread`: a line for each
    that could not be read; `everything`: what `all` stands for among a suite's models; `suites`: the papers', by name;
    `answer`: a record's key -> its
    predictions; `features`, `attention`: what it keeps beside them.
    """

    frame: pd.DataFrame
    records: Mapping[str, RunRecord]
    unread: list[str]
    tasks: Mapping[str, TaskSpec]
    entries: Mapping[str, ZooEntry]
    everything: list[str] | None
    published: pd.DataFrame
    suites: Mapping[str, Suite]
    answer: Callable[[str], Predictions]
    features: Callable[[str], "Features"]
    attention: Callable[[str], "Attention"]
    suite: Suite | None = None

    def material(self, baseline: str) -> "Material":
        """The same, as figures take it."""
        from benchmark.report.figures.registry import Material

        return Material(
            frame=self.frame,
            records=self.records,
            baseline=baseline,
            published=self.published,
            predictions=self.answer,
            features=self.features,
            attention=self.attention,
        )


@dataclass(kw_only=True)
class OfPaper:
    """A paper's tables and figures: `grids` to print, `files`, `untold`: a line for each figure that has no data yet."""

    files: Files = field(default_factory=dict)
    grids: list[PrintedTable] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


def whole_report(held: ReportData, rows: pd.DataFrame, beside: Iterable[str], bibtex: str) -> Files:
    """report.html and all that it shows, as files. `rows`: of `summary`; `beside`: lines under the table."""
    from benchmark.report.figures.registry import FIGURES
    from benchmark.report.figures.specs import Convergence, Forest, Seeds, Subgroups, SweepCurves, TimeToQuality
    from benchmark.report.page.page import Contents, Figure, page

    baseline = str(rows["baseline"].iloc[0])
    material = held.material(baseline)
    usual: dict[str, FigureSpec] = {
        "seeds": Seeds(),
        "differences": Forest(),
        "curves": Convergence(of="loss"),
        "epochs": TimeToQuality(),
        "groups": Subgroups(),
        "sweep": SweepCurves(),
    }
    figures = {}
    for name, spec in usual.items():
        with suppress(BenchmarkError):  # of what these cells have no data of: one model, no epochs, no subgroups
            figures[name] = FIGURES[spec.kind](material, spec)
    records = [held.records[key] for key in held.frame["key"]]
    run = set(held.frame["task"])
    papers = Papers(suites=held.suites, tasks=held.tasks, records=held.records, load=held.answer)
    contents = Contents(
        title=held.suite.title if held.suite else ", ".join(dict.fromkeys(held.frame["task"])),
        version=__version__,
        time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        frame=held.frame,
        rows=rows,
        records=records,
        tasks=held.tasks,
        entries=held.entries,
        baseline=baseline,
        comparisons=compare_with_papers(rows, held.frame, held.published, papers),
        failed=[r for r in held.records.values() if r.status == "failed" and r.cell.task in run],
        unread=held.unread,
        wanted=_wanted(held),
        figures={name: Figure(svg=drawn.svg, caption=drawn.caption) for name, drawn in figures.items()},
        commands=commands_of(held.frame, held.records, held.tasks),
        bibtex=bibtex,
    )
    shown = printed_grids(held, rows)
    files = {
        "report.html": page(contents),
        "table.md": (markdown_of(*shown) + "".join(f"\n{line}\n" for line in beside)).encode(),
        "table.tex": latex_of(*shown).encode(),
        "table.csv": frame_csv(rows).encode(),
        "cells.csv": frame_csv(held.frame).encode(),
    }
    for name, drawn in figures.items():
        files |= _drawn(name, drawn)
    if len(groups := groups_of(held.frame, records)):
        files["groups.csv"] = frame_csv(groups).encode()
    return files


def printed_grids(held: ReportData, rows: pd.DataFrame) -> list[PrintedTable]:
    """Returns the tables to print: one for each block, and one for each sweep in place of the blocks that it is made of."""
    sweeps = sweeps_of(held.frame, held.records)
    swept = {block for sweep in sweeps for block in sweep.values}
    return [*(sweep_grid(sweep, rows) for sweep in sweeps), *block_tables(rows[~rows["block"].isin(swept)])]


def of_paper(held: ReportData, suite: Suite, tables: list[str], figures: list[str], baseline: str) -> OfPaper:
    """The named tables and figures of a suite (`all`: every one). Raises BenchmarkError for a name that there is not, and for a
    named figure that cannot be drawn; of `all`, such a one is told and left out.
    """
    made = OfPaper()
    wanted = chosen(tables, suite) if tables else {}
    specs = _figures(figures, suite)
    sources = Sources(
        frame=held.frame,
        records=held.records,
        published=held.published,
        tasks=held.tasks,
        entries=held.entries,
        suites=held.suites,
        load=held.answer,
    )
    for name, table in wanted.items():
        numbers = filled(laid_out(name, table, suite, held.tasks), sources)
        grid = grid_of(numbers)
        made.grids.append(grid)
        stem = f"table-{_file(name)}"
        made.files |= {f"{stem}.csv": csv_of(numbers), f"{stem}.md": markdown_of(grid).encode()}
        made.files[f"{stem}.tex"] = latex_of(grid).encode()
    if specs:
        from benchmark.report.figures.registry import FIGURES
    for name, spec in specs.items():
        try:
            made.files |= _drawn(f"figure-{_file(name)}", FIGURES[spec.kind](held.material(baseline), spec))
        except BenchmarkError as fault:
            if name in figures:
                raise BenchmarkError(f"--figure {name}: {fault}") from fault
            made.untold.append(f"figure {name}: {fault}")
    return made


def _figures(asked: list[str], suite: Suite) -> "dict[str, FigureSpec]":
    if not asked:
        return {}
    from benchmark.report.figures.registry import figure_specs

    specs = figure_specs(suite.figures)
    if not specs:
        raise BenchmarkError(f"--figure: the suite {suite.name} describes no figures")
    for name in asked:
        if name != "all" and name not in specs:
            raise BenchmarkError(f"--figure {name}: {suite.name} has no such figure: {did_you_mean(name, specs)}")
    return {name: spec for name, spec in specs.items() if name in asked or "all" in asked}


def _drawn(stem: str, drawn: "Drawn") -> Files:
    told = f"{drawn.caption}\n".encode()
    return {f"{stem}.png": drawn.png, f"{stem}.svg": drawn.svg, f"{stem}.csv": drawn.csv, f"{stem}.txt": told}


def _file(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name)


def _wanted(held: ReportData) -> dict[tuple[str, str], int]:
    """How many runs the suite asks of each task and model; none where the weights saw the task's images."""
    if held.suite is None:
        return {}
    families = {entry.name: entry.family for entry in held.entries.values()}
    coined = lambda name: name if name.startswith("scratch:") else None  # noqa: E731 - a word for `select`
    try:
        models = select(held.suite.models, families, noun="model", everything=held.everything, coin=coined)
        tasks = select(held.suite.tasks, dict.fromkeys(held.tasks, ""), noun="task")
    except BenchmarkError:  # the suite makes a model that is not made yet
        return {}
    phantom = set(held.frame["data"]) == {"phantom"}
    count = len(seeds_from(held.suite.seeds))
    return {
        (task, model): count
        for task in tasks
        for model in models
        if model not in held.entries or not overlap(held.entries[model], held.tasks[task], phantom=phantom)
    }
