"""How many labels a score costs: score against the number, or the fraction, of training images, per model.

Azizi 2021, figure 5 and supplement B.6, B.8; Truong 2021's sizes S, M and F.
"""

import math
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.line_styles import LineStyle, legend_of, line_styles
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs
from benchmark.reporting.figures.specs import Band, FigureKind, FigureSpec
from benchmark.reporting.figures.style import PanelSize, Plot, grid_of_panels, ticks_that_fit, title_of, wrapped
from benchmark.reporting.metric_facts import metric_title
from benchmark.stats.significance import sample_sd, t_interval

WIDTH, HEIGHT = 2.7, 2.2
STAGGER = 0.035  # how far models of one size stand apart, so that intervals do not cover each other: 3.5 % of the size


class LabelEfficiency(FigureSpec):
    """Score against the number of training images, or their fraction."""

    kind: Literal["label-efficiency"] = "label-efficiency"
    against: Literal["images", "fraction"] = "images"
    band: Band = "interval"


def plot_label_efficiency(data: ReportData, spec: LabelEfficiency) -> Plot:
    """One panel for all sizes of a task (in one protocol, recipe, data and number of folds), one line a model.

    Raises BenchmarkError where no panel has two sizes.
    """
    selection = select_runs(data, spec)
    table = _table(selection, data, spec)
    sizes = table.groupby("panel")["size"].nunique()
    panels = [name for name in dict.fromkeys(table["panel"]) if sizes[name] > 1]
    if not panels:
        raise BenchmarkError(
            "no task was run with two sizes of the training split: benchmark run … --fraction 0.1 (or --subset)"
        )
    table = table[table["panel"].isin(panels)]
    models = tuple(model for model in selection.models if model in set(table["model"]))
    styles = line_styles(selection, models, data.baseline)
    rows = selection.frame.assign(panel=_panels(selection, data)).drop_duplicates("panel").set_index("panel")
    titles = []
    for name in panels:
        row = rows.loc[[name]].copy()
        row["setting"] = table.loc[table["panel"] == name, "setting"].iloc[0]
        titles.append(title_of(row, WIDTH))
    room = PanelSize(width=WIDTH, height=HEIGHT, before=0.6, after=0.2)
    figure, axes, _ = grid_of_panels(titles, room, legend=legend_of(styles))
    for name, panel in zip(panels, axes, strict=True):
        lines = table[table["panel"] == name]
        named = [model for model in models if styles[model].named]
        for model in models:
            offset = named.index(model) - (len(named) - 1) / 2 if model in named else 0.0
            if model in set(lines["model"]):
                _draw(panel, lines[lines["model"] == model], styles[model], offset * STAGGER)
        _scale(panel, lines, spec)
        panel.set_ylabel(wrapped(f"100 × {metric_title(lines['metric'].iloc[0])}", HEIGHT))
    bars = "mean ± sd" if spec.band == "sd" else "the mean with its 95 % interval (Student's t)"
    sentence = (
        f"Score against {_axis(spec)}, on a logarithmic scale: {bars} of {runs_text(table['n'].tolist())} a size."
    )
    pale = [model for model, style in styles.items() if not style.named]
    sentence += f" Pale, without bars: {', '.join(pale)}." if pale else ""
    return Plot(figure=figure, table=table.drop(columns="panel"), caption=caption_of(selection, spec, sentence))


def _axis(spec: LabelEfficiency) -> str:
    return "number of training images" if spec.against == "images" else "share of the training patients, in %"


def _panels(selection: Selection, data: ReportData) -> "pd.Series[str]":
    """What must be alike for sizes to stand on one line: all but weights, seed and the share itself."""
    alike = {"weights": (), "seed": 0, "fold": None, "fraction": 1.0, "subset": None}
    return selection.frame["key"].map(lambda key: data.records[key].cell.model_copy(update=alike).key)


def _table(selection: Selection, data: ReportData, spec: LabelEfficiency) -> pd.DataFrame:
    frame = selection.frame.assign(panel=_panels(selection, data))
    if spec.against == "fraction":
        frame = frame[frame["subset"].isna()]
    order = {name: number for number, name in enumerate(selection.blocks)}
    rows = []
    for (panel, block, model), runs in frame.groupby(["panel", "block", "model"], sort=False):
        first = runs.iloc[0]
        cell = data.records[first["key"]].cell
        values, mean = runs["score"].to_numpy(dtype=float), float(runs["score"].mean())
        low, high = (mean - sample_sd(values), mean + sample_sd(values)) if spec.band == "sd" else t_interval(values)
        size = 100 * cell.fraction if spec.against == "fraction" else float(runs["num_train"].mean())
        facts = {
            "panel": panel,
            "block": block,
            "task": first["task"],
            "data": first["data"],
            "metric": first["metric"],
        }
        facts |= {"setting": _without_share(first), "model": model, "fraction": cell.fraction}
        facts |= {"subset": cell.subset, "size": size, "n": len(runs), "mean": mean, "low": low, "high": high}
        rows.append(facts | {"order": order[str(block)]})
    table = pd.DataFrame(rows)
    if table.empty:
        return pd.DataFrame(columns=["panel", "size"])
    table["subset"] = table["subset"].astype("Int64")
    ordered = table.sort_values(["order", "size"], kind="stable", ignore_index=True)
    return ordered.drop(columns="order")


def _without_share(row: "pd.Series[Any]") -> str:
    """A block's setting without the share of the training split, which is the axis here."""
    folds = "" if pd.isna(row["folds"]) else f"{row['folds']:.0f} folds"
    return ", ".join(filter(None, [row["recipe_setting"], folds]))


def _draw(axes: Axes, line: pd.DataFrame, style: LineStyle, offset: float) -> None:
    line = line.sort_values("size")
    x = line["size"].to_numpy() * math.exp(offset)
    y = 100 * line["mean"].to_numpy()
    drawn = {"color": style.color, "linestyle": style.line, "zorder": 2 + style.front}
    axes.plot(x, y, linewidth=1.3 if style.named else 0.6, marker=style.marker, markersize=4, **drawn)
    if style.named:
        low, high = 100 * line["low"].to_numpy(), 100 * line["high"].to_numpy()
        axes.vlines(x, low, high, color=style.color, linewidth=1, zorder=2)


def _scale(axes: Axes, lines: pd.DataFrame, spec: LabelEfficiency) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0.08)
    sizes = sorted({float(size) for size in lines["size"].round(6)})
    labels = [f"{size:,.0f}" if spec.against == "images" else f"{size:g}" for size in sizes]
    low, high = (math.log(limit) for limit in axes.get_xlim())
    room = WIDTH / (high - low)
    labeled = ticks_that_fit(sizes, labels, lambda size: room * math.log(size))
    axes.set_xticks([sizes[number] for number in labeled], [labels[number] for number in labeled])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(_axis(spec))


KINDS = (FigureKind(LabelEfficiency, plot_label_efficiency),)
