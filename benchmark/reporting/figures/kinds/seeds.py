"""Figures 1 and 2 of the first paper (Hosseinzadeh Taher 2021): for each task every run, the mean, its sd and whether it
differs from the baseline's; and the published mean and sd where the suite names their table.
"""

from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.selection import Selection, caption_of, runs_text, select_runs, tested, tests_sentence
from benchmark.reporting.figures.specs import Correction, FigureKind, FigureSpec, PublishedTable
from benchmark.reporting.figures.style import (
    BLACK,
    VERDICTS,
    PanelSize,
    Plot,
    annotate_row,
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
from benchmark.reporting.format import OVERLAP
from benchmark.reporting.metric_facts import metric_title

COLUMNS = ["block", "task", "setting", "data", "metric", "model", "seed", "fold", "score", "mean", "sd", "n"]
TESTED = ["difference", "low", "high", "p", "p_adjusted", "overlap"]
WIDTH = 2.2
BELOW = 0.3  # of a row: how far the published stand beneath ours


class Seeds(FigureSpec):
    """Every run, its mean and sd, per task."""

    kind: Literal["seeds"] = "seeds"
    correction: Correction = "none"
    published: PublishedTable | None = None


def plot_seeds(data: ReportData, spec: Seeds) -> Plot:
    """Draws one panel for each block and one row for each model; published numbers only with official images. Raises
    BenchmarkError where nothing was run.
    """
    selection = select_runs(data, spec)
    rows = tested(selection, data.baseline, spec.correction)
    printed = _printed(data, selection, spec.published)
    labels, left, lines = wrapped_row_labels(selection.models)
    row = max(0.3 if len(printed) else 0.21, 0.06 + 0.14 * lines)
    words = {"baseline": f"runs of the baseline {data.baseline}", "better": "runs of a better model (*)"}
    words |= {"worse": "runs of a worse model (*)", "alike": "runs of a model not told apart from it"}
    if rows["p"].isna().all():
        words["alike"] = "runs"
    legend = [
        legend_entry(words[name], color=VERDICTS[name][0], marker=VERDICTS[name][1], markersize=3.5)
        for name in words
        if name in set(rows["verdict"])
    ]
    legend.append(legend_entry("mean ± sd", marker="|", markersize=9, markeredgewidth=2))
    if len(printed):
        legend.append(legend_entry("published mean ± sd", marker="D", markerfacecolor="white", markersize=4))
    figure, panels, columns = grid_of_panels(
        [title_of(selection.block(name), WIDTH) for name in selection.blocks],
        PanelSize(width=WIDTH, height=row * max(len(labels), 2)),
        left=left,
        legend=legend,
    )
    for name, panel in zip(selection.blocks, panels, strict=True):
        of_block = printed[printed["block"] == name].set_index("model") if len(printed) else None
        _draw(panel, selection, name, rows[rows["block"] == name].set_index("model"), of_block)
    share_axis(panels, [selection.block(name)["task"].iloc[0] for name in selection.blocks], columns, "x")
    label_rows(panels, labels, columns)
    return Plot(figure=figure, table=_table(selection, rows, printed), caption=_caption(selection, spec, rows, printed))


def _draw(axes: Axes, selection: Selection, name: str, rows: pd.DataFrame, printed: pd.DataFrame | None) -> None:
    row_of = {model: float(number) for number, model in enumerate(selection.models)}
    runs = selection.block(name).sort_values(["seed", "fold"])
    offsets = runs.groupby("model")["score"].transform(
        lambda of: pd.Series(offsets_about_zero(len(of), 0.44), of.index)
    )
    rows = rows.assign(y=rows.index.map(row_of).astype(float))
    for verdict, (color, marker) in VERDICTS.items():
        alike = rows[rows["verdict"] == verdict]
        dots = runs[runs["model"].isin(alike.index)]
        y = dots["model"].map(row_of).astype(float) + offsets[dots.index]
        axes.scatter(100 * dots["score"], y, s=9, color=color, marker=marker, alpha=0.5, linewidths=0, zorder=2)
        x, y = 100 * alike["mean"], alike["y"]
        axes.errorbar(x, y, xerr=100 * alike["sd"], fmt="none", ecolor=color, capsize=2.5, elinewidth=1.1, zorder=3)
        axes.vlines(x, y - 0.3, y + 0.3, color=color, linewidth=2, zorder=3)
    if rows["is_baseline"].any():
        axes.axvline(100 * rows.loc[rows["is_baseline"], "mean"].iloc[0], color=BLACK, linewidth=0.7, linestyle=":")
    if printed is not None:
        options: Any = {
            "color": BLACK,
            "fmt": "D",
            "markerfacecolor": "white",
            "markersize": 3.6,
            "markeredgewidth": 0.8,
        }
        x, y = 100 * printed["published_mean"], printed.index.map(row_of).astype(float) + BELOW
        axes.errorbar(x, y, xerr=100 * printed["published_sd"], elinewidth=0.7, capsize=2, **options)
    mark_missing(axes, [row_of[model] for model in selection.models if model not in rows.index])
    for row in rows.itertuples():
        marks = ("*" if row.verdict in ("better", "worse") else "") + (OVERLAP if row.overlap else "")
        if marks:
            annotate_row(axes, row_of[str(row.Index)], marks)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.set_xlabel(wrapped(f"100 × {metric_title(runs['metric'].iloc[0])}", WIDTH))


def _printed(data: ReportData, selection: Selection, wanted: PublishedTable | None) -> pd.DataFrame:
    """Block, model, published_mean, published_sd, published_n: of the same task, protocol, metric and share."""
    columns = ["block", "model", "published_mean", "published_sd", "published_ddof", "published_n"]
    if wanted is None:
        return pd.DataFrame(columns=columns)
    numbers = data.published
    numbers = numbers[(numbers["paper"].astype(str) == wanted.paper) & (numbers["table"].astype(str) == wanted.table)]
    numbers = numbers.rename(
        columns={
            "mean": "published_mean",
            "sd": "published_sd",
            "n": "published_n",
            "ddof": "published_ddof",
            "subset": "share",
        }
    )
    ours = selection.frame[selection.frame["data"] == "official"].drop_duplicates(["block", "model"])
    if ours.empty:
        return pd.DataFrame(columns=columns)
    ours = ours.assign(base=ours["members"].map("+".join))
    on = ["task", "protocol", "metric", "share"]
    numbers = numbers[[*on, "model", "published_mean", "published_sd", "published_ddof", "published_n"]].rename(
        columns={"model": "base"}
    )
    return ours[["block", "model", "base", *on]].merge(numbers, on=["base", *on])[columns]


def _table(selection: Selection, rows: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    facts = ["block", "task", "setting", "data", "metric"]
    blocks = selection.frame.drop_duplicates("block")[facts]
    cells = pd.MultiIndex.from_product([selection.blocks, selection.models], names=["block", "model"]).to_frame(
        index=False
    )
    runs = selection.frame[["block", "model", "seed", "fold", "score"]]
    table = cells.merge(blocks, on="block").merge(runs, on=["block", "model"], how="left")
    table = table.merge(rows[["block", "model", "mean", "sd", "n", *TESTED]], on=["block", "model"], how="left")
    table["n"] = table["n"].fillna(0).astype(int)
    table["seed"] = table["seed"].astype("Int64")
    table["fold"] = table["fold"].astype("Int64")
    if len(printed):
        table = table.merge(printed, on=["block", "model"], how="left")
    return table[
        [
            *COLUMNS,
            *TESTED,
            *(["published_mean", "published_sd", "published_ddof", "published_n"] if len(printed) else []),
        ]
    ]


def _caption(selection: Selection, spec: Seeds, rows: pd.DataFrame, printed: pd.DataFrame) -> str:
    sentences = [f"Every run, and its model's mean and sd (n - 1) over {runs_text(rows['n'].tolist())}."]
    sentences.append(tests_sentence(rows, str(rows["baseline"].iloc[0]), spec.correction))
    holes = len(selection.blocks) * len(selection.models) - len(rows)
    sentences.append("– nothing was run." if holes else "")
    if spec.published is not None:
        where = f"table {spec.published.table} of {spec.published.paper}"
        official = (selection.frame["data"] == "official").any()
        if len(printed):
            over_n = (printed["published_ddof"] == 0).any()
            sentences.append(f"Hollow: the mean and sd printed in {where}{' (n in that sd)' if over_n else ''}.")
        elif official:
            sentences.append(f"No number printed in {where} is of what was run here.")
    return caption_of(selection, spec, *sentences)


KINDS = (FigureKind(Seeds, plot_seeds),)
