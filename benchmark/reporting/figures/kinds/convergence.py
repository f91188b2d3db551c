"""How fast: validation curves with bands, and the epochs or seconds to a share of the baseline's best.

The first paper's appendix E counts epochs until early stopping; this counts until a score is reached, so that a model
that stops early and low is not called fast.
"""

import math
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from pydantic import Field, PositiveFloat

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.line_styles import LineStyle, legend_of, line_styles
from benchmark.reporting.figures.quality import curves, histories, median_with_censored, reached
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs
from benchmark.reporting.figures.specs import Band, FigureKind, FigureSpec
from benchmark.reporting.figures.style import (
    COLORS,
    MARKERS,
    PanelSize,
    Plot,
    grid_of_panels,
    label_rows,
    legend_entry,
    mark_missing,
    offsets_about_zero,
    share_axis,
    title_of,
    wrapped,
    wrapped_row_labels,
)
from benchmark.reporting.metric_facts import is_higher_better, metric_title
from benchmark.text import first_few, plural

WIDTH, HEIGHT = 2.8, 2.2
REACHED_WIDTH = 2.3
MIN_RUNS = 3  # of a band that is drawn: an interval of two is as wide as the panel


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


def plot_convergence(data: ReportData, spec: Convergence) -> Plot:
    """Draws one panel for each block and one line for each model: the mean over the runs that still train. Raises
    BenchmarkError where no record has a history.
    """
    selection = select_runs(data, spec)
    runs = histories(selection, data.records, spec.of)
    if runs.empty:
        raise BenchmarkError(f"no record has its validation {spec.of} by epoch")
    table = curves(runs, spec.band)
    blocks = [name for name in selection.blocks if name in set(table["block"])]
    models = tuple(model for model in selection.models if model in set(table["model"]))
    styles = line_styles(selection, models, data.baseline)
    figure, panels, columns = grid_of_panels(
        [title_of(selection.block(name), WIDTH) for name in blocks],
        PanelSize(width=WIDTH, height=HEIGHT, before=0.75, after=0.1),
        legend=legend_of(styles),
    )
    scale = 1 if spec.of == "loss" else 100
    for name, panel in zip(blocks, panels, strict=True):
        for model in sorted(models, key=lambda model: styles[model].front):
            line = table[(table["block"] == name) & (table["model"] == model)]
            if len(line):
                _draw_curve(panel, line, styles[model], scale)
        _fit(panel, table[(table["block"] == name) & table["model"].isin(models)], styles, scale)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(5))
        panel.set_xlabel("epoch")
        metric = selection.block(name)["metric"].iloc[0]
        panel.set_ylabel(
            "validation loss" if spec.of == "loss" else wrapped(f"100 × validation {metric_title(metric)}", HEIGHT)
        )
    share_axis(panels, [selection.block(name)["task"].iloc[0] for name in blocks], columns, "y")
    band = "mean ± sd" if spec.band == "sd" else "95 % interval of the mean (Student's t)"
    counts = runs_text(runs.groupby(["block", "model"])["key"].nunique().tolist())
    sentence = (
        f"Mean validation {spec.of} of {counts}, over those still training at the epoch; band: {band}. Thin from the "
        "epoch on at which the first run has stopped: what remains is no random part of the runs. Bands from "
        f"{MIN_RUNS} runs on; all are in the table."
    )
    lacking = selection.frame["key"].nunique() - runs["key"].nunique()
    left_out = f"{plural(lacking, 'run')} without it in the history left out." if lacking else ""
    pale = _pale_models(styles)
    return Plot(figure=figure, table=table, caption=caption_of(selection, spec, sentence, pale, left_out))


def _draw_curve(axes: Axes, line: pd.DataFrame, style: LineStyle, scale: int) -> None:
    x, y = line["epoch"].to_numpy(), scale * line["mean"].to_numpy()
    num_complete = int((line["running"] == line["n"]).sum())
    drawn = {"color": style.color, "linestyle": style.line, "zorder": 2 + style.front}
    if style.named:
        low, high = scale * line["low"].to_numpy(), scale * line["high"].to_numpy()
        enough = (line["running"] >= MIN_RUNS).to_numpy()
        axes.fill_between(x[enough], low[enough], high[enough], color=style.color, alpha=0.13, linewidth=0, zorder=1)
        every = max(1, len(x) // 6)
        axes.plot(
            x[:num_complete],
            y[:num_complete],
            linewidth=1.5,
            marker=style.marker,
            markersize=3.5,
            markevery=every,
            **drawn,
        )
        axes.plot(x[max(num_complete - 1, 0) :], y[max(num_complete - 1, 0) :], linewidth=0.7, **drawn)
    else:
        axes.plot(x, y, linewidth=0.5, **drawn)


def _fit(axes: Axes, lines: pd.DataFrame, styles: dict[str, LineStyle], scale: int) -> None:
    """Limits that hold all means, and the bands while all runs train: intervals of the last two runs are huge."""
    complete = lines[(lines["running"] == lines["n"]) & lines["model"].map(lambda model: styles[model].named)]
    low = scale * np.nanmin([lines["mean"].min(), complete["low"].min()])
    high = scale * np.nanmax([lines["mean"].max(), complete["high"].max()])
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)


def _pale_models(styles: dict[str, LineStyle]) -> str:
    pale = [model for model, style in styles.items() if not style.named]
    return f"Pale, without bands: {', '.join(pale)}." if pale else ""


def plot_time_to_quality(data: ReportData, spec: TimeToQuality) -> Plot:
    """Draws one panel for each block and one row for each model, with each run's first epoch (or second) at each percentage
    of the baseline's best.

    Raises BenchmarkError without validation scores by epoch, without the baseline, and where its best is not above 0.
    """
    selection = select_runs(data, spec)
    runs = histories(selection, data.records, "score")
    if runs.empty:
        raise BenchmarkError("no record has its validation score by epoch")
    runs = runs[runs["block"].isin(_blocks_where_higher_is_better(selection))]
    table = reached(runs, data.records, data.baseline, spec.percentages)
    if table.empty:
        raise BenchmarkError(f"no task has validation scores of the baseline {data.baseline}: nothing to reach")
    if len(below := table[table["target"] <= 0]):
        tasks = first_few(below["task"].unique())
        raise BenchmarkError(
            f"the baseline's best validation score is not above 0 on {tasks}: a share of it means nothing"
        )
    unit = "epoch" if spec.unit == "epochs" else "seconds"
    timed = table[table[unit].notna()]
    if timed.empty:
        raise BenchmarkError("no record has the seconds of its epochs")
    blocks = [name for name in selection.blocks if name in set(timed["block"])]
    labels, left, lines = wrapped_row_labels(selection.models)
    row = max(0.1 * len(spec.percentages) + 0.08, 0.06 + 0.14 * lines)
    marks = {share: (COLORS[number], MARKERS[number]) for number, share in enumerate(sorted(spec.percentages))}
    legend = [
        legend_entry(f"reaches {share:g} %", marker=marker, color=color, markersize=4)
        for share, (color, marker) in marks.items()
    ]
    legend += [legend_entry("median", marker="|", markersize=9, markeredgewidth=2)]
    legend += [legend_entry("never (its last epoch)", marker=">", markerfacecolor="white", markersize=5)]
    figure, panels, columns = grid_of_panels(
        [title_of(selection.block(name), REACHED_WIDTH) for name in blocks],
        PanelSize(width=REACHED_WIDTH, height=row * max(len(labels), 2)),
        left=left,
        legend=legend,
    )
    for name, panel in zip(blocks, panels, strict=True):
        _draw_reached(panel, timed[timed["block"] == name], selection.models, marks, unit)
    share_axis(panels, [selection.block(name)["task"].iloc[0] for name in blocks], columns, "x")
    label_rows(panels, labels, columns)
    return Plot(
        figure=figure, table=table, caption=caption_of(selection, spec, *_sentences(spec, table, timed, data.baseline))
    )


def _blocks_where_higher_is_better(selection: Selection) -> list[str]:
    """Returns the blocks whose metric has shares to reach: 90 % of the lowest error is no goal."""
    return [name for name in selection.blocks if is_higher_better(selection.block(name)["metric"].iloc[0])]


def _draw_reached(
    axes: Axes, timed: pd.DataFrame, models: tuple[str, ...], marks: dict[float, tuple[str, str]], unit: str
) -> None:
    row_of = {model: float(number) for number, model in enumerate(models)}
    for offset, (share, (color, marker)) in zip(offsets_about_zero(len(marks), 0.62), marks.items(), strict=True):
        at = timed[timed["percentage"] == share]
        y = at["model"].map(row_of).astype(float) + offset
        never = at["censored"]
        axes.plot(at[unit][~never], y[~never], marker, color=color, markersize=3, alpha=0.5, markeredgewidth=0)
        options: Any = {"color": color, "markerfacecolor": "white", "markersize": 4.2, "markeredgewidth": 0.8}
        axes.plot(at[unit][never], y[never], ">", **options)
        medians = {
            row_of[str(model)] + offset: median_with_censored(of[unit].tolist(), of["censored"].tolist())
            for model, of in at.groupby("model")
        }
        drawn = np.array([(x, y) for y, x in medians.items() if not math.isnan(x)]).reshape(-1, 2)
        axes.vlines(drawn[:, 0], drawn[:, 1] - 0.13, drawn[:, 1] + 0.13, color=color, linewidth=2)
    mark_missing(axes, [row_of[model] for model in models if model not in set(timed["model"])])
    axes.set_xlim(left=0)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=unit == "epoch", min_n_ticks=2))
    axes.set_xlabel("epochs" if unit == "epoch" else "seconds of training and validating")


def _sentences(spec: TimeToQuality, table: pd.DataFrame, timed: pd.DataFrame, baseline: str) -> list[str]:
    percentages = ", ".join(f"{share:g}" for share in sorted(spec.percentages))
    sentences = [
        (
            f"The first epoch at which a run's validation score is {percentages} % of the mean of {baseline}'s runs' best; a "
            "run that never reaches it is a triangle at its last epoch, and counts as later than all others in the median, "
            "which is not drawn where it is one of these."
        )
    ]
    never = timed[timed["censored"]]
    sentences.append(f"{len(never)} of {len(timed)} (each run at each percentage) never do.")
    if spec.unit == "seconds":
        sentences.append("Seconds: those of training and validating, shared equally over a run's epochs.")
        devices = sorted(set(timed["device"]) - {""})
        if len(devices) > 1:
            sentences.append(
                f"Of {len(devices)} kinds of device ({', '.join(devices)}): seconds of these do not compare."
            )
        elif devices:
            sentences.append(f"Device: {devices[0]}.")
        if lacking := len(table) - len(timed):
            sentences.append(f"{lacking} without timings left out.")
    return sentences


KINDS = (FigureKind(Convergence, plot_convergence), FigureKind(TimeToQuality, plot_time_to_quality))
