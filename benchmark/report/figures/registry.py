"""Figures of a report, by kind: PNG, SVG and the CSV behind each, from records alone.

`FIGURES[kind](material, spec)` draws one, and raises BenchmarkError with the reason where what it shows does not exist; what a
suite asks for, `figure_specs` checks.
"""

from collections.abc import Callable
from typing import Any

from benchmark.report.figures.attention import plot_attention
from benchmark.report.figures.convergence import plot_convergence, plot_time_to_quality
from benchmark.report.figures.embedding import embed, plot_tsne
from benchmark.report.figures.forest import plot_forest
from benchmark.report.figures.label_efficiency import plot_label_efficiency
from benchmark.report.figures.material import Attention, Drawn, Features, Material, Plot
from benchmark.report.figures.ranks import plot_critical_difference, plot_mean_ranks
from benchmark.report.figures.seeds import plot_seeds
from benchmark.report.figures.specs import SPECS, FigureSpec, figure_specs
from benchmark.report.figures.style import bytes_of, styled
from benchmark.report.figures.subgroups import plot_subgroups
from benchmark.report.figures.sweep import plot_sweep
from benchmark.report.table_writers import frame_csv

PLOTS: dict[str, Callable[[Material, Any], Plot]] = {
    "seeds": plot_seeds,
    "forest": plot_forest,
    "convergence": plot_convergence,
    "time-to-quality": plot_time_to_quality,
    "label-efficiency": plot_label_efficiency,
    "subgroups": plot_subgroups,
    "critical-difference": plot_critical_difference,
    "mean-ranks": plot_mean_ranks,
    "tsne": plot_tsne,
    "attention": plot_attention,
    "sweep": plot_sweep,
}


def plotted(material: Material, spec: FigureSpec) -> Plot:
    """A figure in the one style, not yet written. Raises BenchmarkError where what it shows does not exist."""
    with styled():
        return PLOTS[spec.kind](material, spec)


def drawn(material: Material, spec: FigureSpec) -> Drawn:
    """A figure as PNG (150 dpi), SVG and CSV; the same bytes for the same records. Raises BenchmarkError as `plotted` does."""
    plot = plotted(material, spec)
    with styled():
        png, svg = bytes_of(plot.figure)
    return Drawn(png=png, svg=svg, csv=frame_csv(plot.table).encode(), caption=plot.caption)


FIGURES: dict[str, Callable[[Material, FigureSpec], Drawn]] = dict.fromkeys(PLOTS, drawn)


__all__ = [
    "FIGURES",
    "PLOTS",
    "SPECS",
    "Attention",
    "Drawn",
    "Features",
    "Material",
    "Plot",
    "drawn",
    "embed",
    "figure_specs",
    "plotted",
]
