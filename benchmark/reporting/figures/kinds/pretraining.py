"""How encoders that were made here learned: the loss, a linear probe and nearest neighbors over the steps."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.line_styles import LineStyle, legend_of, line_styles
from benchmark.reporting.figures.selection import Selection, caption_of, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import PHANTOM, PanelSize, Plot, grid_of_panels, wrapped
from benchmark.zoo.catalog import ZooEntry

WIDTH, HEIGHT = 2.6, 2.0
COLUMNS = ("encoder", "images", "data", "step", "loss", "linear", "knn")
# column of the table -> name of the panel, and its axis
MEASURES = {
    "loss": ("training loss", "NT-Xent loss"),
    "linear": ("linear probe", "100 × validation score"),
    "knn": ("nearest neighbors", "100 × validation score"),
}


class Pretraining(FigureSpec):
    """Loss and probes of the encoders that were made by SimCLR or MICLe here, over the steps."""

    kind: Literal["pretraining"] = "pretraining"


def plot_pretraining(data: ReportData, spec: Pretraining) -> Plot:
    """Draws up to three panels for each set of images, and one line for each encoder that was pre-trained on them. Raises
    BenchmarkError where no encoder of the runs has such a history.
    """
    selection = _by_encoder(select_runs(data, spec))
    table = _table(selection, data)
    if table.empty:
        raise BenchmarkError("no encoder of these runs was made here by SimCLR or MICLe: benchmark pretrain simclr …")
    encoders = tuple(dict.fromkeys(table["encoder"]))
    styles = line_styles(selection, encoders, data.baseline)
    panels = [
        (measure, lines)
        for _, lines in table.groupby(["images", "data"], sort=False)
        for measure in MEASURES
        if lines[measure].notna().any()
    ]
    figure, axes, _ = grid_of_panels(
        [_title(lines, measure) for measure, lines in panels],
        PanelSize(width=WIDTH, height=HEIGHT, before=0.65, after=0.15),
        legend=legend_of(styles),
    )
    for (measure, lines), panel in zip(panels, axes, strict=True):
        for encoder, line in lines.groupby("encoder", sort=False):
            _draw(panel, line, measure, styles[str(encoder)])
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(5))
        panel.set_xlabel("step")
        panel.set_ylabel(MEASURES[measure][1])
    sentence = (
        "Pre-training, by the images that it used: the mean training loss since the point before, which depends on the batch "
        "size; and how well labels of validation images are predicted from the encoder's features (accuracy where classes "
        "exclude each other, else the mean AUC), by a linear probe and by the 20 nearest training images. No label changes "
        "the encoder."
    )
    return Plot(figure=figure, table=table, caption=caption_of(selection, spec, sentence, of_runs=False))


def _by_encoder(selection: Selection) -> Selection:
    """Returns the runs once for each of their encoders, which takes the place of the model."""
    frame = selection.frame.assign(model=selection.frame["members"]).explode("model", ignore_index=True)
    return replace(selection, frame=frame, models=tuple(dict.fromkeys(frame["model"])))


def _table(selection: Selection, data: ReportData) -> pd.DataFrame:
    """Returns a row for each encoder and step of its history."""
    rows = [
        {
            "encoder": name,
            "images": _images_of(entry),
            "data": (entry.made_by or {}).get("data", ""),
            "step": line["step"],
            "loss": line["train_loss"],
            "linear": line.get("validation_linear", np.nan),
            "knn": line.get("validation_knn", np.nan),
        }
        for name, entry in ((name, data.entries[name]) for name in selection.models if name in data.entries)
        for line in (entry.made_by or {}).get("history", ())
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _images_of(entry: ZooEntry) -> str:
    """Returns the task, or the folder's name, whose images the encoder was made from."""
    made_by = entry.made_by or {}
    return str(made_by["task"] if "task" in made_by else Path(made_by["images"]).name)


def _title(lines: pd.DataFrame, measure: str) -> str:
    first = lines.iloc[0]
    title = [f"{first['images']}: {MEASURES[measure][0]}"] + ([PHANTOM] if first["data"] == "phantom" else [])
    return "\n".join(wrapped(line, WIDTH) for line in title)


def _draw(axes: Axes, line: pd.DataFrame, measure: str, style: LineStyle) -> None:
    values = line[measure].to_numpy(dtype=float) * (1 if measure == "loss" else 100)
    axes.plot(
        line["step"],
        values,
        color=style.color,
        linestyle=style.line,
        linewidth=1.3 if style.named else 0.5,
        marker=style.marker,
        markersize=3.5,
        markevery=max(1, len(line) // 6),
        zorder=2 + style.front,
    )


KINDS = (FigureKind(Pretraining, plot_pretraining),)
