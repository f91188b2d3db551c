"""Figures of a report: every seed's score beside its mean, and the validation curves. PNG, and the data behind each is
in the report's CSV files.
"""

import io
import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.record import RunRecord
from benchmark.report.tables import SIGNIFICANT

# Okabe and Ito (2008): told apart by the colour-blind; markers tell them apart in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "figure.dpi": 150,
    "legend.frameon": False,
}
PHANTOM = "phantom images: no clinical meaning"


def seeds_figure(frame: pd.DataFrame, rows: pd.DataFrame) -> bytes:
    """One panel per block: each seed a dot, the mean a line with its sd; a star where p < 0.05 against the baseline."""

    def draw(axes: Axes, block: pd.DataFrame) -> None:
        models = list(dict.fromkeys(block["model"]))
        for place, model in enumerate(models):
            runs = block[block["model"] == model].sort_values("seed")
            row = rows[(rows["block"] == runs["block"].iloc[0]) & (rows["model"] == model)].iloc[0]
            colour = COLOURS[place % len(COLOURS)]
            beside = place + np.linspace(-0.22, 0.22, len(runs)) if len(runs) > 1 else np.array([float(place)])
            axes.scatter(
                beside,
                100 * runs["score"],
                s=16,
                color=colour,
                marker=MARKERS[place % len(MARKERS)],
                alpha=0.65,
                linewidths=0,
            )
            axes.hlines(100 * row["mean"], place - 0.32, place + 0.32, color=colour, linewidth=2)
            if row["n"] > 1:
                axes.errorbar(place + 0.38, 100 * row["mean"], 100 * row["sd"], color=colour, capsize=3, linewidth=1.2)
            if row["p"] < SIGNIFICANT:
                top = 100 * max(runs["score"].max(), row["mean"] + (row["sd"] if row["n"] > 1 else 0))
                axes.annotate("*", (place, top), ha="center", va="bottom", fontsize=13)
        axes.set_xticks(
            range(len(models)), [_wrapped(model) for model in models], rotation=0 if len(models) < 5 else 40
        )
        axes.set_xlim(-0.6, len(models) - 0.3)
        axes.margins(y=0.12)
        axes.set_ylabel(f"100 × {block['metric'].iloc[0]}")

    return _panels(frame, draw, width=lambda block: 1.6 + 1.15 * block["model"].nunique(), height=3.0)


def curves_figure(frame: pd.DataFrame, records: list[RunRecord]) -> bytes:
    """One panel per block: each seed's validation loss by epoch, its best epoch a dot."""
    by_key = {record.key: record for record in records}

    def draw(axes: Axes, block: pd.DataFrame) -> None:
        for place, model in enumerate(dict.fromkeys(block["model"])):
            colour = COLOURS[place % len(COLOURS)]
            for number, key in enumerate(block.loc[block["model"] == model, "key"]):
                history = by_key[key].history
                epochs = [line["epoch"] for line in history]
                losses = [line["validation_loss"] for line in history]
                axes.plot(epochs, losses, color=colour, linewidth=0.8, alpha=0.6, label=model if number == 0 else None)
                best = int(np.argmin(losses))
                axes.plot(epochs[best], losses[best], MARKERS[place % len(MARKERS)], color=colour, markersize=3.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch (dot: the best)")
        axes.set_ylabel("validation loss")
        axes.legend(fontsize=8)

    return _panels(frame, draw, width=lambda _: 4.2, height=3.0)


def _panels(
    frame: pd.DataFrame,
    draw: Callable[[Axes, pd.DataFrame], None],
    width: Callable[[pd.DataFrame], float],
    height: float,
) -> bytes:
    blocks = [block for _, block in frame.groupby("block", sort=False)]
    widths = [width(block) for block in blocks]
    columns = min(3, len(blocks))
    num_rows = -(-len(blocks) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.0, columns * max(widths)), num_rows * (height + 0.5)), layout="constrained")
        for place, block in enumerate(blocks):
            axes = figure.add_subplot(num_rows, columns, place + 1)
            draw(axes, block)
            first = block.iloc[0]
            told = [first["task"], *textwrap.wrap(first["setting"], 44, break_long_words=False)]
            if first["data"] == "phantom":
                told.append(PHANTOM)
            axes.set_title("\n".join(told))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _wrapped(name: str, width: int = 14) -> str:
    """Broken after signs that names have, so that neighbours do not overlap."""
    lines, line = [], ""
    for piece in name.replace("-", "-\0").replace(":", ":\0").replace("_", "_\0").split("\0"):
        if line and len(line) + len(piece) > width:
            lines.append(line)
            line = ""
        line += piece
    return "\n".join([*lines, line])
