"""ReportData -> the files of a report: the page, tables and figures; and the tables and figures of a suite's paper.

Figures and the page are imported where they are made: a table needs no matplotlib, which takes a second to import.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.experiment.suite import Suite
from benchmark.reporting.answers import block_answers, matrix_csv, results_table
from benchmark.reporting.commands import all_commands
from benchmark.reporting.data import ReportData
from benchmark.reporting.groups import groups_of
from benchmark.reporting.paper_cells import table_numbers
from benchmark.reporting.paper_grids import csv_of, paper_table
from benchmark.reporting.paper_tables import layout_of, tables_named
from benchmark.reporting.recipes import name_recipes
from benchmark.reporting.sweeps import join_sweeps, sweep_table, sweeps_of
from benchmark.reporting.table_writers import PrintedTable, frame_csv, latex_of, markdown_of
from benchmark.reporting.tables import block_tables

if TYPE_CHECKING:
    from benchmark.reporting.figures.specs import FigureSpec
    from benchmark.reporting.figures.style import FigureFiles

Files = dict[str, bytes]
# name -> kind of the figures that every report has, where their data exist
USUAL_FIGURES: dict[str, dict[str, object]] = {
    "seeds": {"kind": "seeds"},
    "differences": {"kind": "forest"},
    "curves": {"kind": "convergence", "of": "loss"},
    "epochs": {"kind": "time-to-quality"},
    "groups": {"kind": "subgroups"},
    "shift": {"kind": "shift"},
    "sweep": {"kind": "sweep"},
    "pretraining": {"kind": "pretraining"},
}


@dataclass(kw_only=True)
class PaperReport:
    """A paper's tables and figures: `tables` to print, `files` by name, and a line for each figure that has no data yet."""

    files: Files = field(default_factory=dict)
    tables: list[PrintedTable] = field(default_factory=list)
    not_drawn: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What a reader sees: `data` and `rows` with each sweep as one block and with recipes by their names, which `recipes`
    explains; `sweeps`: the tables of all their values.
    """

    data: ReportData
    rows: pd.DataFrame
    recipes: list[str]
    sweeps: list[PrintedTable]


def _shown(data: ReportData, rows: pd.DataFrame) -> _Shown:
    sweeps = [sweep_table(sweep, rows) for sweep in sweeps_of(data.frame, data.records)]
    joined_data, joined = join_sweeps(data, rows)
    named, recipes = name_recipes(joined_data)
    settings = named.frame.drop_duplicates("block").set_index("block")["setting"]
    joined = joined.assign(setting=joined["block"].map(settings))
    return _Shown(data=named, rows=joined, recipes=recipes, sweeps=sweeps)


def report_answers(data: ReportData, rows: pd.DataFrame) -> list[str]:
    """Returns what the report answers first: a sentence or two for each task and setting, then the names of recipes."""
    shown = _shown(data, rows)
    return [*block_answers(shown.rows), *shown.recipes]


def whole_report(data: ReportData, rows: pd.DataFrame, notes: Iterable[str], bibtex: str) -> Files:
    """Returns report.html and all that it shows, as files by name. `rows`: of `summary`; `notes`: lines below the table."""
    from benchmark.reporting.figures.registry import draw, figure_specs
    from benchmark.reporting.page.page import page

    shown, figures = _shown(data, rows), {}
    for name, spec in figure_specs(USUAL_FIGURES).items():
        with suppress(BenchmarkError):  # there is no data for it: one model, no epochs, no subgroups
            figures[name] = draw(data if spec.kind == "sweep" else shown.data, spec)
    tables = printed_tables(data, rows)
    answers = "".join(f"{answer}\n\n" for answer in report_answers(data, rows))
    matrix = results_table(shown.data.frame, shown.rows)
    html = page(
        shown.data,
        shown.rows,
        figures=figures,
        bibtex=bibtex,
        latex=latex_of(*tables),
        recipes=shown.recipes,
        num_runs=len(data.frame),
        sweeps=shown.sweeps,
        matrix_table=matrix,
        commands=all_commands(data, rows),
    )
    files = {
        "report.html": html,
        "matrix.csv": matrix_csv(shown.data.frame, shown.rows).encode(),
        "table.md": (answers + markdown_of(*tables) + "".join(f"\n{line}\n" for line in notes)).encode(),
        "table.tex": latex_of(*tables).encode(),
        "table.csv": frame_csv(rows).encode(),
        "cells.csv": frame_csv(data.frame).encode(),
    }
    for name, figure in figures.items():
        files |= _figure_files(name, figure)
    if len(groups := groups_of(data.frame, data.frame_records)):
        files["groups.csv"] = frame_csv(groups).encode()
    return files


def printed_tables(data: ReportData, rows: pd.DataFrame) -> list[PrintedTable]:
    """Returns the tables to print: all models on all tasks, where there is more than one; then one for each sweep, and one for
    each block that belongs to no sweep.
    """
    shown = _shown(data, rows)
    swept = {block for sweep in sweeps_of(data.frame, data.records) for block in sweep.values}
    tables = [*shown.sweeps, *block_tables(shown.rows[shown.rows["block"].isin(set(rows["block"]) - swept)])]
    return [results_table(shown.data.frame, shown.rows), *tables] if len(tables) > 1 else tables


def paper_report(data: ReportData, suite: Suite, tables: list[str], figures: list[str]) -> PaperReport:
    """Returns the named tables and figures of a suite (`all`: every one). Raises BenchmarkError for an unknown name, and for
    a named figure that cannot be drawn; of `all`, such a figure is left out and named in `not_drawn`.
    """
    report = PaperReport()
    for name, table in (tables_named(tables, suite) if tables else {}).items():
        numbers = table_numbers(layout_of(name, table, suite, data.tasks), data)
        printed = paper_table(numbers)
        report.tables.append(printed)
        stem = f"table-{_file_name(name)}"
        report.files[f"{stem}.csv"] = csv_of(numbers)
        report.files[f"{stem}.md"] = markdown_of(printed).encode()
        report.files[f"{stem}.tex"] = latex_of(printed).encode()
    for name, spec in _figures_named(figures, suite).items():
        from benchmark.reporting.figures.registry import draw

        try:
            report.files |= _figure_files(f"figure-{_file_name(name)}", draw(data, spec))
        except BenchmarkError as error:
            if name in figures:
                raise BenchmarkError(f"--figure {name}: {error}") from error
            report.not_drawn.append(f"figure {name}: {error}")
    return report


def _figures_named(names: list[str], suite: Suite) -> "dict[str, FigureSpec]":
    if not names:
        return {}
    from benchmark.reporting.figures.registry import figure_specs

    specs = figure_specs(suite.figures)
    if not specs:
        raise BenchmarkError(f"--figure: the suite {suite.name} describes no figures")
    for name in names:
        if name != "all" and name not in specs:
            raise BenchmarkError(f"--figure {name}: {suite.name} has no such figure: {did_you_mean(name, specs)}")
    return {name: spec for name, spec in specs.items() if name in names or "all" in names}


def _figure_files(stem: str, figure: "FigureFiles") -> Files:
    caption = f"{figure.caption}\n".encode()
    return {f"{stem}.png": figure.png, f"{stem}.svg": figure.svg, f"{stem}.csv": figure.csv, f"{stem}.txt": caption}


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name)
