"""Scores of subgroups (sex, age, skin type, site …) per model, as in Azizi 2021, supplement figure B.7."""

from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.quality import t_half
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import (
    BLACK,
    COLORS,
    DPI,
    MARKERS,
    PanelSize,
    Plot,
    annotate_row,
    grid_of_panels,
    keep_in_range,
    label_rows,
    legend_entry,
    mark_missing,
    offsets_about_zero,
    share_axis,
    title_of,
    width_of,
    wrapped,
    wrapped_row_labels,
)
from benchmark.reporting.format import OVERLAP
from benchmark.reporting.groups import groups_of
from benchmark.reporting.metric_facts import metric_title

WIDTH = 2.3
FACTS = ["block", "task", "data", "model", "group", "value", "metric", "num_examples", "n", "mean", "sd", "low", "high"]


class Subgroups(FigureSpec):
    """Scores of a group's values (sex, age, site …); `groups`: which, all where none is named."""

    kind: Literal["subgroups"] = "subgroups"
    groups: tuple[str, ...] = ()


def plot_subgroups(data: ReportData, spec: Subgroups) -> Plot:
    """Draws one panel for each block and group, one row for each model, and a mark for each value of the group with its
    95 % interval over runs.

    Raises BenchmarkError where no record has scores of subgroups.
    """
    selection = select_runs(data, spec)
    records = [data.records[name] for name in selection.frame["key"]]
    table = groups_of(selection.frame, records)
    if spec.groups:
        table = table[table["group"].isin(spec.groups)]
    if table.empty:
        what = f"of {', '.join(spec.groups)}" if spec.groups else "of subgroups"
        raise BenchmarkError(f"no record has scores {what}: their tasks name no such `groups`")
    half = t_half(table["sd"].to_numpy(), table["n"].to_numpy())
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)
    table = table.merge(selection.frame.drop_duplicates("block")[["block", "data"]], on="block")
    pairs = [
        (block, group)
        for block in selection.blocks
        for group in dict.fromkeys(table.loc[table["block"] == block, "group"])
    ]
    most = max(table[(table["block"] == b) & (table["group"] == g)]["value"].nunique() for b, g in pairs)
    labels, left, lines = wrapped_row_labels(selection.models)
    row = max(0.1 * most + 0.1, 0.06 + 0.14 * lines, 0.2)
    figure, panels, columns = grid_of_panels(
        [title_of(selection.block(block), WIDTH, f"by {group}") for block, group in pairs],
        PanelSize(width=WIDTH, height=row * max(len(labels), 2), beneath=0.5 + 0.17 * most),
        left=left,
        legend=[legend_entry("all test images", marker="|", markersize=9, markeredgewidth=2)],
    )
    for (block, group), panel in zip(pairs, panels, strict=True):
        _draw(panel, selection, block, table[(table["block"] == block) & (table["group"] == group)])
    share_axis(panels, [selection.block(block)["task"].iloc[0] for block, _ in pairs], columns, "x")
    label_rows(panels, labels, columns)
    sentence = (
        f"Score of each subgroup's test images: the mean of {runs_text(table['n'].tolist())} with its 95 % interval "
        "(Student's t); it is about training again, not about the subgroup's few images, whose number the legend gives."
    )
    return Plot(figure=figure, table=table[FACTS], caption=caption_of(selection, spec, sentence))


def _draw(axes: Axes, selection: Selection, name: str, table: pd.DataFrame) -> None:
    block = selection.block(name)
    values = list(dict.fromkeys(table["value"].sort_values()))
    offsets = offsets_about_zero(len(values), min(0.7, 0.24 * len(values)))
    handles = []
    row_of = {model: float(number) for number, model in enumerate(selection.models)}
    for number, value in enumerate(values):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        options: Any = {"color": color, "markerfacecolor": color if number < len(COLORS) else "white", "marker": marker}
        rows = table[table["value"] == value]
        handles.append(legend_entry(f"{value} ({rows['num_examples'].mean():,.0f} images)", markersize=4, **options))
        y = rows["model"].map(row_of).astype(float) + offsets[number]
        known = rows["low"].notna()
        axes.hlines(y[known], 100 * rows["low"][known], 100 * rows["high"][known], color=color, linewidth=1)
        axes.plot(100 * rows["mean"], y, linestyle="none", markersize=3.6, **options)
    means = block.groupby("model")["score"].mean()
    at = means.index.map(row_of).astype(float)
    axes.vlines(100 * means, at - 0.4, at + 0.4, color=BLACK, linewidth=1.5, zorder=1)
    mark_missing(axes, [row_of[model] for model in selection.models if model not in set(table["model"])])
    for model in block.loc[block["overlap"].astype(bool), "model"].unique():
        annotate_row(axes, row_of[model], OVERLAP)
    axes.margins(x=0.06)
    metric = block["metric"].iloc[0]
    keep_in_range(axes, metric)
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.set_xlabel(wrapped(f"100 × {metric_title(metric)}", WIDTH))
    texts = [wrapped(label, WIDTH - 0.3) for _, label in handles]
    columns = max(1, int((WIDTH + 0.2) / (max(map(width_of, texts)) + 0.3)))
    beneath = 0.42 * DPI / axes.bbox.height  # inches: clear of the axis's own label
    axes.legend(
        [handle for handle, _ in handles],
        texts,
        loc="upper left",
        bbox_to_anchor=(0, -beneath),
        borderaxespad=0,
        ncols=columns,
        handlelength=1,
        columnspacing=1,
        borderpad=0,
    )


KINDS = (FigureKind(Subgroups, plot_subgroups),)
