"""Models ranked over tasks: the critical-difference diagram of Demšar 2006, and mean ranks with their intervals."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.selection import Selection, caption_of, require_one_block_per_task, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import (
    BLACK,
    BLUE,
    GRAY,
    LINE_HEIGHT,
    PHANTOM,
    PanelSize,
    Plot,
    grid_of_panels,
    label_rows,
    width_of,
    wrapped,
    wrapped_row_labels,
)
from benchmark.reporting.format import OVERLAP
from benchmark.reporting.metric_facts import direction
from benchmark.stats.ranking import cliques, critical_distance, friedman, mean_ranks, mean_ranks_of_runs
from benchmark.text import first_few

AXIS = 5.0  # inches, of the ranks


class Ranks(FigureSpec):
    """Ranks over tasks. `leave_out`: where models lack tasks, those tasks, or those models."""

    leave_out: Literal["tasks", "models"] = "tasks"


class CriticalDifference(Ranks):
    """Mean ranks over tasks, and which of them cannot be told apart."""

    kind: Literal["critical-difference"] = "critical-difference"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05


class MeanRanks(Ranks):
    """Mean ranks over tasks with bootstrap intervals."""

    kind: Literal["mean-ranks"] = "mean-ranks"
    replicates: PositiveInt = 1000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ResultMatrix:
    """`scores` runs x models x tasks, negative where the lower
    of two is the better one; NaN where a model has fewer runs; `left_out`: what was left out, for the caption;
    `overlapping`: models whose weights were trained on images of a task.
    """

    scores: NDArray[np.float64]
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    left_out: str
    overlapping: frozenset[str]

    def label(self, number: int) -> str:
        """Returns a model's name, marked where its weights were trained on images of a task."""
        return f"{self.models[number]} {OVERLAP}" if self.models[number] in self.overlapping else self.models[number]

    @property
    def means(self) -> NDArray[np.float64]:
        """Models x tasks."""
        return np.asarray(np.nanmean(self.scores, axis=0))


def _grid(data: ReportData, spec: Ranks) -> tuple[Selection, ResultMatrix]:
    """Without the tasks (or models) that have holes. Raises BenchmarkError where fewer than two of each are left."""
    selection = select_runs(data, spec)
    require_one_block_per_task(selection)
    frame = selection.frame
    tasks = tuple(frame.loc[frame["block"] == block, "task"].iloc[0] for block in selection.blocks)
    num_runs = frame.pivot_table(index="model", columns="task", values="score", aggfunc="size").reindex(
        index=list(selection.models), columns=list(tasks)
    )
    complete = num_runs.notna().all(axis=0 if spec.leave_out == "tasks" else 1)
    lacking = [str(name) for name in complete.index[~complete]]
    used = frame[frame["task" if spec.leave_out == "tasks" else "model"].isin(complete.index[complete])]
    models = tuple(model for model in selection.models if model in set(used["model"]))
    tasks = tuple(task for task in tasks if task in set(used["task"]))
    if len(models) < 2 or len(tasks) < 2:
        gone = f" ({spec.leave_out} with holes left out: {first_few(lacking)})" if lacking else ""
        raise BenchmarkError(f"ranks need two models on two tasks, found {len(models)} on {len(tasks)}{gone}")
    scores = np.full((int(num_runs.max().max()), len(models), len(tasks)), np.nan)
    for (model, task), runs in used.groupby(["model", "task"]):
        values = direction(runs["metric"].iloc[0]) * runs.sort_values(["seed", "fold"])["score"].to_numpy()
        scores[: len(values), models.index(str(model)), tasks.index(str(task))] = values
    overlapping = frozenset(used.loc[used["overlap"].astype(bool), "model"])
    left_out = f"Left out, since cells of it are missing: {', '.join(lacking)}." if lacking else ""
    return selection, ResultMatrix(
        scores=scores, models=models, tasks=tasks, left_out=left_out, overlapping=overlapping
    )


def plot_critical_difference(data: ReportData, spec: CriticalDifference) -> Plot:
    """Draws mean ranks on one axis, 1 the best; a bar joins models that do not differ by Nemenyi's test. Raises
    BenchmarkError where fewer than two models have two tasks in common.
    """
    selection, grid = _grid(data, spec)
    ranks, _ = mean_ranks(grid.means)
    distance = critical_distance(len(grid.models), len(grid.tasks), spec.alpha)
    groups = cliques(ranks, distance)
    order = np.argsort(ranks, kind="stable")
    figure = _diagram(
        [(grid.label(n), float(ranks[n])) for n in order], groups, ranks, distance, spec.alpha, _mark(selection)
    )
    table = pd.DataFrame({"model": np.array(grid.models, dtype=object)[order], "mean_rank": ranks[order]})
    for number, group in enumerate(groups, 1):
        table[f"group_{number}"] = [int(model in group) for model in order]
    data = selection.frame["data"].iloc[0]
    table = table.assign(critical_distance=distance, alpha=spec.alpha, tasks=len(grid.tasks), data=data)
    test = friedman(grid.means)
    omnibus = f" Friedman's test: p = {test.p:.2g}." if np.isfinite(test.p) else ""
    sentence = (
        f"Mean ranks of the mean scores over {len(grid.tasks)} tasks ({', '.join(grid.tasks)}), 1 the best; joined: not "
        f"told apart by Nemenyi's test at α = {spec.alpha:g} (critical distance {distance:.2f}).{omnibus}"
    )
    return Plot(figure=figure, table=table, caption=caption_of(selection, spec, sentence, grid.left_out))


def _mark(selection: Selection) -> str:
    return PHANTOM if (selection.frame["data"] == "phantom").any() else ""


def _diagram(
    ranked: list[tuple[str, float]],
    groups: list[tuple[int, ...]],
    ranks: NDArray[np.float64],
    distance: float,
    alpha: float,
    mark: str,
) -> Figure:
    """Returns the diagram: one axes over all of the canvas, whose unit is an inch."""
    num = len(ranked)
    half = -(-num // 2)
    labels = [f"{wrapped(name, 2.0)} ({rank:.2f})" for name, rank in ranked]
    room = max(map(width_of, labels)) + 0.3
    lines = max(label.count("\n") + 1 for label in labels)
    each = lines * LINE_HEIGHT + 0.06
    span = max(num - 1.0, distance)
    text = f"critical distance {distance:.2f} (α = {alpha:g})"
    bars, head = 0.11 * len(groups), 0.85 + (LINE_HEIGHT if mark else 0)
    width = max(2 * room + AXIS, room + 0.3 + max(width_of(text), width_of(mark)))
    height = head + bars + 0.25 + half * each + 0.1
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(-height, 0))
    axes.set_axis_off()

    def x(rank: float) -> float:
        return room + (rank - 1) / span * AXIS

    if mark:
        axes.text(room, -0.12, mark, va="top")
    axes.plot([x(1), x(1 + distance)], [-head + 0.42] * 2, color=BLACK, linewidth=1.2, marker="|", markersize=5)
    axes.text(x(1), -head + 0.47, text, va="bottom")
    axes.plot([x(1), x(num)], [-head, -head], color=BLACK, linewidth=1)
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (s / span) * AXIS > 0.3)
    for rank in sorted({1, *range(step, num + 1, step)} if step > 1 else range(1, num + 1)):
        if rank > 1 and (rank - 1) / span * AXIS < 0.25:
            continue
        axes.plot([x(rank)] * 2, [-head, -head + 0.07], color=BLACK, linewidth=1)
        axes.text(x(rank), -head + 0.1, str(rank), ha="center", va="bottom", fontsize=7)
    for number, group in enumerate(groups):
        ends = [x(min(ranks[list(group)])) - 0.04, x(max(ranks[list(group)])) + 0.04]
        axes.plot(ends, [-head - 0.12 - 0.11 * number] * 2, color=BLUE, linewidth=3.2, solid_capstyle="butt")
    for number, (label, (_, rank)) in enumerate(zip(labels, ranked, strict=True)):
        left = number < half
        row = number if left else num - 1 - number
        y = -head - bars - 0.25 - (row + 0.5) * each
        edge = room - 0.08 if left else x(max(num, 1)) + 0.08
        axes.plot([x(rank), x(rank), edge], [-head, y, y], color=GRAY, linewidth=0.7, zorder=1)
        axes.text(edge + (-0.06 if left else 0.06), y, label, ha="right" if left else "left", va="center")
    return figure


def plot_mean_ranks(data: ReportData, spec: MeanRanks) -> Plot:
    """Draws one row for each model, the best first: its mean rank over tasks, with its interval over runs. Raises
    BenchmarkError where fewer than two models have two tasks in common.
    """
    selection, grid = _grid(data, spec)
    ranked = mean_ranks_of_runs(grid.scores, replicates=spec.replicates, seed=spec.seed)
    order = np.argsort(ranked.value, kind="stable")
    labels, left, lines = wrapped_row_labels([grid.label(number) for number in order])
    title = "\n".join(filter(None, [wrapped(f"mean rank over {len(grid.tasks)} tasks", 3.3), _mark(selection)]))
    room = PanelSize(width=3.3, height=max(0.21, 0.06 + 0.14 * lines) * max(len(labels), 2))
    figure, (panel,), _ = grid_of_panels([title], room, left=left)
    _draw(panel, ranked.value[order], ranked.low[order], ranked.high[order])
    label_rows([panel], labels, 1)
    table = pd.DataFrame(
        {
            "model": np.array(grid.models, dtype=object)[order],
            "mean_rank": ranked.value[order],
            "low": ranked.low[order],
            "high": ranked.high[order],
        }
    )
    facts = {"replicates": spec.replicates, "bootstrap_seed": spec.seed, "tasks": len(grid.tasks)}
    sentence = (
        f"Mean ranks of the mean scores over {len(grid.tasks)} tasks ({', '.join(grid.tasks)}), 1 the best, with "
        f"percentile intervals (95 %) over {spec.replicates:,} resamples of each model's runs (seed {spec.seed}): what "
        "other seeds could have given on these tasks."
    )
    table = table.assign(**facts, data=selection.frame["data"].iloc[0])
    return Plot(figure=figure, table=table, caption=caption_of(selection, spec, sentence, grid.left_out))


def _draw(axes: Axes, value: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    positions = np.arange(len(value))
    axes.hlines(positions, low, high, color=BLUE, linewidth=1.3)
    axes.plot(value, positions, "o", color=BLUE, markersize=4)
    axes.set_xlim(0.5, len(value) + 0.5)
    axes.xaxis.set_major_locator(MultipleLocator(1 if len(value) <= 12 else 5))
    axes.set_xlabel("rank (1 the best)")


KINDS = (FigureKind(CriticalDifference, plot_critical_difference), FigureKind(MeanRanks, plot_mean_ranks))
