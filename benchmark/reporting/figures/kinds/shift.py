"""Distribution shift: each model's score on the task that it was trained on, beside that on another task (Azizi 2021)."""

from typing import Any, Literal

import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.quality import t_half
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import (
    BLUE,
    ORANGE,
    PanelSize,
    Plot,
    grid_of_panels,
    keep_in_range,
    label_rows,
    mark_missing,
    share_axis,
    title_of,
    wrapped,
    wrapped_row_labels,
)
from benchmark.reporting.metric_facts import metric_title
from benchmark.results.record import RunRecord

WIDTH, BAR = 2.4, 0.36
# tested on -> color, hatch, the offset of the bar in its row
BARS: dict[str, tuple[str, str, float]] = {
    "the task of the training": (BLUE, "", -0.2),
    "the other task": (ORANGE, "///", 0.2),
}
FACTS = ["block", "task", "data", "model", "tested_on", "metric", "n", "mean", "sd", "low", "high"]


class ShiftBars(FigureSpec):
    """Scores on the task of the training beside those on another task."""

    kind: Literal["shift"] = "shift"


def plot_shift(data: ReportData, spec: ShiftBars) -> Plot:
    """Draws one panel for each block of shifted results, one row for each model, and two bars with their 95 % intervals.

    Raises BenchmarkError where no model was judged on another task.
    """
    selection = select_runs(data, spec)
    frame = selection.frame[selection.frame["key"].map(lambda key: data.records[key].cell.shift is not None)]
    table = _table(frame, data)
    if table.empty:
        raise BenchmarkError("no model was judged on another task: benchmark run … --evaluate-on TASK")
    shown = Selection(
        frame=frame,
        blocks=tuple(block for block in selection.blocks if block in set(table["block"])),
        models=tuple(model for model in selection.models if model in set(table["model"])),
        not_run=selection.not_run,
    )
    labels, left, lines = wrapped_row_labels(shown.models)
    figure, panels, columns = grid_of_panels(
        [title_of(shown.block(block), WIDTH) for block in shown.blocks],
        PanelSize(width=WIDTH, height=max(0.34, 0.06 + 0.14 * lines) * max(len(labels), 2), beneath=0.5),
        left=left,
        legend=[
            (Patch(facecolor=color, edgecolor="white", hatch=hatch), f"tested on {name}")
            for name, (color, hatch, _) in BARS.items()
        ],
    )
    row_of = {model: float(number) for number, model in enumerate(shown.models)}
    for block, axes in zip(shown.blocks, panels, strict=True):
        rows = table[table["block"] == block]
        for name, (color, hatch, offset) in BARS.items():
            bars = rows[rows["tested_on"] == name]
            y = bars["model"].map(row_of) + offset
            options: Any = {"color": color, "edgecolor": "white", "hatch": hatch, "height": BAR}
            axes.barh(y, 100 * bars["mean"], **options)
            known = bars["low"].notna()
            axes.hlines(y[known], 100 * bars["low"][known], 100 * bars["high"][known], color="black", linewidth=1)
        mark_missing(axes, [row_of[model] for model in shown.models if model not in set(rows["model"])])
        keep_in_range(axes, rows["metric"].iloc[0])
        axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.set_xlabel(wrapped(f"100 × {metric_title(rows['metric'].iloc[0])}", WIDTH))
    share_axis(panels, [shown.block(block)["task"].iloc[0] for block in shown.blocks], columns, "x")
    label_rows(panels, labels, columns)
    sentence = (
        "Each model on the test images of the task that it was trained on, and on those of another task, without further "
        f"training: the mean of {runs_text(table['n'].tolist())} with its 95 % interval (Student's t). Mean AUCs are over "
        "the labels that both tasks have; other scores are over all classes of the first task, and over the shared ones of "
        "the other."
    )
    return Plot(figure=figure, table=table[FACTS], caption=caption_of(shown, spec, sentence))


def _table(frame: pd.DataFrame, data: ReportData) -> pd.DataFrame:
    """Returns one row for each block, model and test; of runs alone that have both scores."""
    rows = []
    for run in frame.to_dict("records"):
        record = data.records[run["key"]]
        source = data.records.get(record.cell.source.key)
        if source is None or (score := _score_on_shared(source, record, run["metric"])) is None:
            continue
        facts = {name: run[name] for name in ("block", "task", "data", "model", "metric")}
        rows += [
            facts | {"tested_on": name, "score": value}
            for name, value in zip(BARS, (score, float(run["score"])), strict=True)
        ]
    if not rows:
        return pd.DataFrame(columns=FACTS)
    by = ["block", "task", "data", "model", "tested_on", "metric"]
    table = pd.DataFrame(rows).groupby(by, sort=False)["score"].agg(n="size", mean="mean", sd="std").reset_index()
    half = t_half(table["sd"].to_numpy(), table["n"].to_numpy())
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def _score_on_shared(source: RunRecord, shifted: RunRecord, metric: str) -> float | None:
    """Returns the score of a model on its own task, a mean AUC over the labels that it shares with the other task alone; None
    where it is not known.
    """
    if metric != "mean_auc" or shifted.cell.shift is None:
        return source.scores.get(metric)
    known = [source.per_label.get(own, {}).get("auc") for own, _ in shifted.cell.shift.labels]
    values = [value for value in known if value is not None]
    return sum(values) / len(values) if values else None


KINDS = (FigureKind(ShiftBars, plot_shift),)
