"""Differences from the baseline with their 95 % intervals, all models on all tasks: what is better at a glance."""

from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs, tested, tests_sentence
from benchmark.reporting.figures.specs import Correction, FigureKind, FigureSpec
from benchmark.reporting.figures.style import (
    BLACK,
    LINE_HEIGHT,
    VERDICTS,
    PanelSize,
    Plot,
    annotate_row,
    grid_of_panels,
    label_rows,
    legend_entry,
    mark_missing,
    share_axis,
    title_of,
    wrapped,
    wrapped_row_labels,
)
from benchmark.reporting.format import OVERLAP
from benchmark.reporting.metric_facts import metric_title

WIDTH = 1.2
FACTS = ["block", "task", "setting", "data", "metric", "model", "baseline", "n"]
TESTED = ["difference", "low", "high", "p", "p_adjusted", "overlap"]


class Forest(FigureSpec):
    """Differences from the baseline with their intervals, over tasks."""

    kind: Literal["forest"] = "forest"
    correction: Correction = "none"


def plot_forest(data: ReportData, spec: Forest) -> Plot:
    """Draws one panel for each block and one row for each model. Raises BenchmarkError where no block has the baseline and
    another model.
    """
    selection = select_runs(data, spec)
    rows = tested(selection, data.baseline, spec.correction)
    others = tuple(model for model in selection.models if model != data.baseline)
    compared = rows[rows["difference"].notna()]
    if compared.empty:
        raise BenchmarkError(
            f"no task has both {data.baseline} and another model: nothing to compare with the baseline"
        )
    blocks = tuple(name for name in selection.blocks if name in set(compared["block"]))
    labels, left, lines = wrapped_row_labels(others)
    words = {"better": "better than", "worse": "worse than", "alike": "not different from"}
    legend = [
        legend_entry(
            f"{words[name]} {data.baseline}",
            marker=VERDICTS[name][1],
            color=VERDICTS[name][0],
            linestyle="-",
            markersize=4,
        )
        for name in words
        if name in set(compared["verdict"])
    ]
    if compared["low"].isna().any():
        legend.append(legend_entry("too few runs for an interval", marker="o", markerfacecolor="white", markersize=4))
    num_lines = max(_axis_label(metric).count("\n") + 1 for metric in set(rows["metric"]))
    beneath = 0.35 + LINE_HEIGHT * num_lines
    figure, panels, columns = grid_of_panels(
        [title_of(selection.block(name), WIDTH) for name in blocks],
        PanelSize(width=WIDTH, height=max(0.2, 0.06 + 0.14 * lines) * max(len(labels), 2), after=0.22, beneath=beneath),
        left=left,
        legend=legend,
    )
    for name, panel in zip(blocks, panels, strict=True):
        _draw(panel, others, rows[rows["block"] == name].set_index("model"))
    share_axis(panels, [None] * len(panels), columns, "x")
    label_rows(panels, labels, columns)
    counts = runs_text(rows["n"].tolist())
    sentence = f"Mean minus that of {data.baseline} with its 95 % interval, over {counts} of each model."
    holes = "– nothing was run." if len(compared) < len(blocks) * len(others) else ""
    tests = tests_sentence(rows, data.baseline, spec.correction)
    return Plot(
        figure=figure,
        table=_table(selection, rows, blocks, others),
        caption=caption_of(selection, spec, sentence, tests, holes),
    )


def _draw(axes: Axes, models: tuple[str, ...], rows: pd.DataFrame) -> None:
    row_of = {model: float(number) for number, model in enumerate(models)}
    rows = rows[rows.index.isin(models)]
    rows = rows.assign(y=rows.index.map(row_of).astype(float))
    axes.axvline(0, color=BLACK, linewidth=0.7, linestyle=":")
    bare = rows[rows["low"].isna()]
    axes.plot(100 * bare["difference"], bare["y"], "o", color=BLACK, markerfacecolor="white", markersize=4)
    for verdict, (color, marker) in VERDICTS.items():
        alike = rows[(rows["verdict"] == verdict) & rows["low"].notna()]
        axes.hlines(alike["y"], 100 * alike["low"], 100 * alike["high"], color=color, linewidth=1.3)
        axes.plot(100 * alike["difference"], alike["y"], marker, color=color, markersize=4)
    mark_missing(axes, [row_of[model] for model in models if model not in rows.index])
    for model in rows.index[rows["overlap"].astype(bool)]:
        annotate_row(axes, row_of[model], OVERLAP)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
    axes.set_xlabel(_axis_label(rows["metric"].iloc[0]))


def _axis_label(metric: str) -> str:
    return f"Δ 100 ×\n{wrapped(metric_title(metric), WIDTH)}"


def _table(selection: Selection, rows: pd.DataFrame, blocks: tuple[str, ...], models: tuple[str, ...]) -> pd.DataFrame:
    cells = pd.MultiIndex.from_product([blocks, models], names=["block", "model"]).to_frame(index=False)
    facts = selection.frame.drop_duplicates("block")[["block", "task", "setting", "data", "metric"]]
    table = cells.merge(facts, on="block").merge(
        rows[["block", "model", "baseline", "n", *TESTED]], on=["block", "model"], how="left"
    )
    table["n"] = table["n"].fillna(0).astype(int)
    return table[[*FACTS, *TESTED]]


KINDS = (FigureKind(Forest, plot_forest),)
