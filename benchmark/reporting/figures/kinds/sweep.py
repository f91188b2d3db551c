"""Recipe fields that were swept or searched: the validation score of each value, the chosen one marked, the test too.

One field is a curve per model; two are a heat map per model, of validation alone.
"""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.line_styles import LineStyle, legend_of, line_styles
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import PanelSize, Plot, grid_of_panels, legend_entry, title_of, wrapped
from benchmark.reporting.metric_facts import metric_title
from benchmark.reporting.sweeps import Sweep, sweep_rows, sweeps_of, value_text
from benchmark.reporting.tables import summary

WIDTH, HEIGHT = 2.6, 1.8
FACTS = ["block", "task", "data", "metric", "model"]


class SweepCurves(FigureSpec):
    """Validation scores of the values of a recipe field that was swept or searched, the chosen ones marked."""

    kind: Literal["sweep"] = "sweep"


def plot_sweep(data: ReportData, spec: SweepCurves) -> Plot:
    """One panel for each sweep or search; of two fields, one for each model too. Raises BenchmarkError where nothing
    was swept.
    """
    selection = select_runs(data, spec)
    tables = [*_of_sweeps(selection, data), *_of_searches(selection, data)]
    if not tables:
        raise BenchmarkError("nothing was swept or searched: benchmark run … --sweep FIELD=A,B or --search FIELD=A,B")
    panels: list[tuple[str, pd.DataFrame, tuple[str, ...]]] = []
    for title, table, fields in tables:
        if len(fields) == 1:
            panels.append((title, table, fields))
        else:
            panels += [
                (f"{title}\n{wrapped(str(model), WIDTH)}", of, fields)
                for model, of in table.groupby("model", sort=False)
            ]
    models = tuple(model for model in selection.models if any(model in set(table["model"]) for _, table, _ in tables))
    styles = line_styles(selection, models, data.baseline)
    curves = any(len(fields) == 1 for *_, fields in panels)
    legend = (
        [*legend_of(styles), legend_entry("test", color="#000000", linestyle="", marker="_", markersize=8)]
        if curves
        else []
    )
    room = PanelSize(width=WIDTH, height=HEIGHT, before=0.75, after=0.2, beneath=0.5)
    figure, axes, _ = grid_of_panels([title for title, *_ in panels], room, legend=legend)
    for (_, table, fields), panel in zip(panels, axes, strict=True):
        if len(fields) == 1:
            _draw_curves(panel, table, fields[0], styles)
        else:
            _draw_map(panel, table, fields)
    everything = pd.concat([table for _, table, _ in tables], ignore_index=True)
    return Plot(figure=figure, table=everything, caption=_caption(selection, spec, everything))


def _of_sweeps(selection: Selection, data: ReportData) -> list[tuple[str, pd.DataFrame, tuple[str, ...]]]:
    rows = summary(selection.frame, data.baseline)
    return [
        (_title(selection, sweep), _swept(sweep, rows), sweep.fields)
        for sweep in sweeps_of(selection.frame, data.records)
    ]


def _title(selection: Selection, sweep: Sweep) -> str:
    block = selection.block(next(iter(sweep.values))).copy()
    return title_of(block.assign(setting=f"sweep of {' and '.join(sweep.fields)}"), WIDTH)


def _swept(sweep: Sweep, rows: pd.DataFrame) -> pd.DataFrame:
    table = sweep_rows(sweep, rows)
    columns = [*FACTS, *sweep.fields, "validation", "validation_sd", "mean", "sd", "n", "chosen"]
    return table[columns].rename(columns={"mean": "test", "sd": "test_sd"}).assign(searched=False)


def _of_searches(selection: Selection, data: ReportData) -> list[tuple[str, pd.DataFrame, tuple[str, ...]]]:
    """A table for each block of searching cells: the trials' validation scores, their mean over the runs."""
    tables_of_blocks = []
    for block in selection.blocks:
        runs = selection.block(block)
        search = data.records[runs["key"].iloc[0]].cell.search
        if search is None or len(search) > 2:
            continue
        fields, rows = tuple(sorted(search)), []
        for run in runs.to_dict("records"):
            for number, trial in enumerate(data.records[run["key"]].search):
                facts = {name: run[name] for name in FACTS}
                rows.append(
                    {
                        **facts,
                        **{name: value_text(value) for name, value in trial.settings.items()},
                        "candidate": number,
                        "validation": trial.score,
                        "chosen": trial.chosen,
                    }
                )
        if not rows:
            continue
        trials = pd.DataFrame(rows).astype({"validation": float})
        by = trials.groupby([*FACTS, "candidate"], sort=False)
        table = by[list(fields)].first()
        table["validation"], table["validation_sd"] = by["validation"].mean(), by["validation"].std(ddof=1)
        table["n"], table["num_chosen"] = by["validation"].size(), by["chosen"].sum()
        table = table.reset_index().assign(chosen=lambda t: t["num_chosen"] > 0, searched=True)
        tables_of_blocks.append((title_of(runs, WIDTH), table.drop(columns="candidate"), fields))
    return tables_of_blocks


def _draw_curves(axes: Axes, table: pd.DataFrame, field: str, styles: dict[str, LineStyle]) -> None:
    values = list(dict.fromkeys(table[field]))
    position_of = {value: float(number) for number, value in enumerate(values)}
    for model, line in table.groupby("model", sort=False):
        style = styles[str(model)]
        x = np.array([position_of[value] for value in line[field]])
        options: dict[str, Any] = {"color": style.color, "zorder": 2 + style.front}
        axes.plot(
            x,
            100 * line["validation"],
            linestyle=style.line,
            linewidth=1.2,
            marker=style.marker,
            markersize=3,
            **options,
        )
        picked = line["chosen"].to_numpy(dtype=bool)
        axes.plot(
            x[picked],
            100 * line["validation"][picked],
            linestyle="",
            marker="o",
            markersize=9,
            fillstyle="none",
            **options,
        )
        if "test" in line:
            axes.plot(x, 100 * line["test"], linestyle="", marker="_", markersize=8, **options)
    axes.set_xticks(range(len(values)), [_short(value) for value in values])
    axes.margins(x=0.08, y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(field)
    axes.set_ylabel(wrapped(f"100 × {metric_title(table['metric'].iloc[0])}", HEIGHT))


def _draw_map(axes: Axes, table: pd.DataFrame, fields: tuple[str, ...]) -> None:
    across, down = (list(dict.fromkeys(table[name])) for name in fields)
    scores = np.full((len(down), len(across)), np.nan)
    for row in table.to_dict("records"):
        scores[down.index(row[fields[1]]), across.index(row[fields[0]])] = 100 * row["validation"]
    axes.imshow(scores, cmap="Greys", aspect="auto", alpha=0.55)
    for row in table.to_dict("records"):
        at = across.index(row[fields[0]]), down.index(row[fields[1]])
        times = f" ({row['num_chosen']}×)" if row.get("num_chosen", 0) > 1 else ""
        text = "–" if np.isnan(scores[at[1], at[0]]) else f"{scores[at[1], at[0]]:.1f}"
        weight = "bold" if row["chosen"] else "normal"
        axes.text(
            *at, text + (" ✓" if row["chosen"] else "") + times, ha="center", va="center", fontsize=6, weight=weight
        )
    axes.set_xticks(range(len(across)), [_short(value) for value in across])
    axes.set_yticks(range(len(down)), [_short(value) for value in down])
    axes.set_xlabel(fields[0])
    axes.set_ylabel(fields[1])


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _caption(selection: Selection, spec: SweepCurves, table: pd.DataFrame) -> str:
    sentences = [f"Validation score of each value, the mean over {runs_text(table['n'].tolist())}."]
    if (~table["searched"]).any():
        sentences.append(
            "Circles: the value that the mean validation score chooses; bars: the test score of each value, which chooses "
            "nothing."
        )
    if table["searched"].any():
        sentences.append(
            "Searches: circles and ✓ mark values that validation chose for some run, which alone were tested."
        )
    return caption_of(selection, spec, *sentences)


KINDS = (FigureKind(SweepCurves, plot_sweep),)
