"""The one style of all figures: readable in gray, by the color-blind, and the same bytes each time.

Colors are Okabe and Ito's (2008); what they tell, markers, lines and fills tell too. Sizes are in inches.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D

from benchmark.reporting.format import UNKNOWN
from benchmark.reporting.metric_facts import limits
from benchmark.text import printable, shortened

PHANTOM = "phantom images: no clinical meaning"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
GRAY, PALE = "#767676", "#D0D0D0"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 3)), (0, (3, 1, 1, 1, 1, 1)), "-.")
# how a model stands to the baseline: color and marker
VERDICTS = {"baseline": (BLACK, "D"), "better": (BLUE, "^"), "worse": (VERMILION, "v"), "alike": (GRAY, "o")}
SIZE = 8.0  # points
DPI = 150
LINE_HEIGHT = SIZE * 1.45 / 72
WIDEST = 12.0
LONGEST_TEXT = 400  # letters
NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # bytes that XML 1.0 knows in no spelling
ROUNDING = 0.97  # of a room that text may fill: on the canvas, signs stand on whole pixels
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.labelsize": SIZE,
    "xtick.labelsize": SIZE - 1,
    "ytick.labelsize": SIZE,
    "legend.fontsize": SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "axes.linewidth": 0.7,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "medical-transfer-benchmark",
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure before it is written: `table` holds every number that is drawn."""

    figure: Figure
    table: pd.DataFrame
    caption: str


@dataclass(frozen=True, kw_only=True)
class FigureFiles:
    """A figure as files, and the caption that must stand with it."""

    png: bytes
    svg: bytes
    csv: bytes
    caption: str


def styled() -> Any:
    """Returns the context in which figures are drawn and written: this style, whatever the user's own matplotlibrc says."""
    return matplotlib.style.context(["default", STYLE])


def image_bytes(figure: Figure) -> tuple[bytes, bytes]:
    """Returns a figure as PNG and SVG, without dates and versions."""
    written = []
    for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata=metadata)
        written.append(buffer.getvalue() if form == "png" else NO_XML.sub(b"?", buffer.getvalue()))
    return written[0], written[1]


@lru_cache(maxsize=4096)
def width_of(text: str, size: float = SIZE) -> float:
    """Returns the width of a text's longest line, in inches."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    font.set_size(size, 72)
    widest = 0.0
    for line in text.replace(r"\$", "$").split("\n"):
        font.set_text(line, 0, flags=LoadFlags.NO_HINTING)
        widest = max(widest, font.get_width_height()[0] / 64 / 72)
    return widest


def wrapped(text: str, width: float, size: float = SIZE) -> str:
    """Returns the text in lines of at most that width, broken after spaces and the signs that names have, else anywhere.

    A sign that begins mathematics in matplotlib stays a sign; what is longer than any name is cut off.
    """
    width *= ROUNDING
    text = shortened(printable(text), LONGEST_TEXT).replace("$", r"\$")
    for sign in "-_:+@,/=":
        text = text.replace(sign, sign + "\0")
    pieces = [piece + end for words in text.split(" ") for piece, end in _ends(words.split("\0"))]
    lines = [""]
    for next_piece in pieces:
        piece = next_piece
        if lines[-1] and width_of((lines[-1] + piece).rstrip(), size) > width:
            lines.append("")
        while len(piece) > 1 and width_of(piece.rstrip(), size) > width:
            fitting = next(n for n in range(len(piece) - 1, 0, -1) if n == 1 or width_of(piece[:n], size) <= width)
            lines[-1:] = [piece[:fitting], ""]
            piece = piece[fitting:]
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _ends(pieces: list[str]) -> list[tuple[str, str]]:
    return [(piece, " " if number == len(pieces) - 1 else "") for number, piece in enumerate(pieces)]


def title_of(block: pd.DataFrame, width: float, *further: str) -> str:
    """Returns a panel's title: the task, its protocol where it is no fine-tuning, what its recipe changes, and whether its
    images are phantoms.
    """
    first = block.iloc[0]
    lines = [str(first["task"]), *further]
    setting = [first["protocol"] if first["protocol"] != "finetune" else "", first["setting"]]
    lines += [", ".join(filter(None, setting))]
    lines += [PHANTOM] if first["data"] == "phantom" else []
    return "\n".join(wrapped(line, width) for line in lines if line)


def legend_entry(label: str, **properties: Any) -> tuple[Artist, str]:
    """Returns an entry of a legend: a line or marker with these properties, and its label."""
    return Line2D([], [], **{"linestyle": "none", "color": BLACK, **properties}), label


@dataclass(frozen=True, kw_only=True)
class PanelSize:
    """A panel in inches: `width` and `height` of its axes; `before`, `after` and `beneath` them is what labels need."""

    width: float
    height: float
    before: float = 0.05
    after: float = 0.3
    beneath: float = 0.42


def grid_of_panels(
    titles: Sequence[str], room: PanelSize, *, left: float = 0.1, legend: Sequence[tuple[Artist, str]] = ()
) -> tuple[Figure, list[Axes], int]:
    """Returns a figure, its panels and their number of columns, which is as many as fit; `left` is the room for labels
    before the first column. The legend is below all panels, in as many columns as fit.

    Sizes are computed from the widths of the texts, so that axes have the given size: matplotlib's own layouts shrink axes
    to make room for texts, and take no account of the width of titles.
    """
    each = room.before + room.width + room.after
    fitting = max(1, min(len(titles), int((WIDEST - left) / each)))
    columns = -(-len(titles) // -(-len(titles) // fitting))  # lines of panels alike long
    rows = [titles[start : start + columns] for start in range(0, len(titles), columns)]
    total = max(left + columns * each, 3.6)
    labels = [wrapped(label, total - 1.0) for _, label in legend]
    num_columns = max(1, min(len(labels), int((total - 0.1) / (max(map(width_of, labels), default=1.0) + 0.6))))
    lines = max((label.count("\n") + 1 for label in labels), default=0)
    foot = -(-len(labels) // num_columns) * lines * 1.25 * LINE_HEIGHT + 0.15 if labels else 0.0
    heads = [max(title.count("\n") + 1 for title in row) * LINE_HEIGHT + 0.14 for row in rows]
    height = sum(heads) + len(rows) * (room.height + room.beneath) + foot
    figure = Figure(figsize=(total, height))
    panels, top = [], height
    for row, head in zip(rows, heads, strict=True):
        top -= head + room.height
        for column, title in enumerate(row):
            start = left + column * each + room.before
            panel = figure.add_axes((start / total, top / height, room.width / total, room.height / height))
            panel.set_title(title, pad=3, linespacing=1.25)
            panels.append(panel)
        top -= room.beneath
    if labels:
        options: Any = {"ncols": num_columns, "columnspacing": 1.4, "handlelength": 2.2, "borderaxespad": 0.3}
        figure.legend([handle for handle, _ in legend], labels, loc="lower center", **options)
    return figure, panels, columns


def label_rows(panels: Sequence[Axes], labels: Sequence[str], columns: int) -> None:
    """Labels rows from the top down, in the first panel of each line of panels only."""
    for number, panel in enumerate(panels):
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set_yticks(range(len(labels)) if number % columns == 0 else [], labels if number % columns == 0 else [])
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x")
        between = np.arange(1, len(labels)) - 0.5
        panel.hlines(between, 0, 1, transform=panel.get_yaxis_transform(), colors="#F0F0F0", linewidth=0.6, zorder=0)


def wrapped_row_labels(models: Sequence[str], width: float = 1.7) -> tuple[list[str], float, int]:
    """Returns names of rows, wrapped; the width that they need, and the number of lines of the longest."""
    labels = [wrapped(model, width) for model in models]
    return labels, max(map(width_of, labels)) + 0.2, max(label.count("\n") + 1 for label in labels)


def annotate_row(axes: Axes, position: float, marks: str) -> None:
    """Writes marks of a row after the panel's right edge."""
    axes.annotate(
        marks, (1, position), (3, 0), axes.get_yaxis_transform(), "offset points", va="center", annotation_clip=False
    )


def mark_missing(axes: Axes, positions: Sequence[float]) -> None:
    """Writes a dash into rows of which nothing was run, in front of the baseline's line."""
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    for position in positions:
        options: Any = {"ha": "center", "va": "center", "bbox": paper, "zorder": 4}
        axes.text(0.5, position, UNKNOWN, transform=axes.get_yaxis_transform(), **options)


def share_axis(panels: Sequence[Axes], groups: Sequence[Any], columns: int, axis: Literal["x", "y"]) -> None:
    """Gives panels of one group that stand in one row of panels the same limits."""
    together: dict[Any, list[Axes]] = {}
    for number, (panel, group) in enumerate(zip(panels, groups, strict=True)):
        together.setdefault((number // columns, group), []).append(panel)
    for row in together.values():
        limits_of = [panel.get_xlim() if axis == "x" else panel.get_ylim() for panel in row]
        low, high = min(low for low, _ in limits_of), max(high for _, high in limits_of)
        for panel in row:
            (panel.set_xlim if axis == "x" else panel.set_ylim)(low, high)


def keep_in_range(axes: Axes, metric: str) -> None:
    """Ends the horizontal axis where the scores of the metric end."""
    low, high = axes.get_xlim()
    lowest, highest = limits(metric)
    axes.set_xlim(
        low if lowest is None else max(low, 100 * lowest), high if highest is None else min(high, 100 * highest)
    )


def ticks_that_fit(positions: Sequence[float], labels: Sequence[str], inches: Callable[[float], float]) -> list[int]:
    """Returns which of the ticks, in ascending order, can be labeled without two labels that meet; the last always is."""
    labeled: list[int] = []
    for number in reversed(range(len(positions))):
        room = (
            (width_of(labels[number], SIZE - 1) + width_of(labels[labeled[-1]], SIZE - 1)) / 2 + 0.08 if labeled else 0
        )
        if not labeled or inches(positions[labeled[-1]]) - inches(positions[number]) >= room:
            labeled.append(number)
    return labeled[::-1]


def offsets_about_zero(num: int, room: float) -> Any:
    """Returns offsets of that many marks about the middle of a row."""
    return np.linspace(-room / 2, room / 2, num) if num > 1 else np.zeros(1)
