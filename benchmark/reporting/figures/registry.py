"""All kinds of figures: FIGURES finds each in its file of `figures/kinds`, so that a new kind is one new file.

A figure is made as PNG, SVG and the CSV of every number in it, from records alone.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures import kinds
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import FigureFiles, Plot, image_bytes, styled
from benchmark.reporting.table_writers import frame_csv
from benchmark.strict import explain


def _found() -> dict[str, FigureKind]:
    modules = [import_module(f"{kinds.__name__}.{module.name}") for module in pkgutil.iter_modules(kinds.__path__)]
    return {kind.name: kind for module in modules for kind in module.KINDS}


FIGURES: dict[str, FigureKind] = _found()


def plot(data: ReportData, spec: FigureSpec) -> Plot:
    """Returns a figure that is drawn and not yet written. Raises BenchmarkError where its data do not exist."""
    with styled():
        return FIGURES[spec.kind].plot(data, spec)


def draw(data: ReportData, spec: FigureSpec) -> FigureFiles:
    """Returns a figure as PNG (150 dpi), SVG and CSV: the same bytes for the same records. Raises BenchmarkError as `plot`
    does.
    """
    plotted = plot(data, spec)
    with styled():
        png, svg = image_bytes(plotted.figure)
    return FigureFiles(png=png, svg=svg, csv=frame_csv(plotted.table).encode(), caption=plotted.caption)


def figure_specs(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, FigureSpec]:
    """Returns a suite's `figures:`, checked. Raises BenchmarkError that names the figure and what is wrong with it."""
    specs = {}
    for name, fields in figures.items():
        kind = fields.get("kind")
        if kind not in FIGURES:
            raise BenchmarkError(f"figure {name}: kind {kind!r}: {did_you_mean(str(kind), FIGURES)}")
        try:
            specs[name] = FIGURES[kind].spec.model_validate(dict(fields))
        except ValidationError as error:
            raise BenchmarkError(f"figure {name}: {explain(error, FIGURES[kind].spec)}") from error
    return specs
