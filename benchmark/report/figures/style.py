"""The one style of all figures: readable in gray, by the color-blind, and the same bytes each time.

Colors are Okabe and Ito's (2008); what they tell, markers, lines and fills tell too. Sizes are in inches.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D

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
VERDICTS = {"baseline": (BLACK, "D"), "above": (BLUE, "^"), "below": (VERMILION, "v"), "alike": (GRAY, "o")}
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
    """The context in which figures are drawn and written: this style, whatever the user's own matplotlibrc says."""
    return matplotlib.style.context(["default", STYLE])


def image_bytes(figure: Figure) -> tuple[bytes, bytes]:
    """PNG and SVG, without dates and versions."""
    written = []
    for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata=metadata)
        written.append(buffer.getvalue() if form == "png" else NO_XML.sub(b"?", buffer.getvalue()))
    return written[0], written[1]


@lru_cache(maxsize=4096)
def width_of(text: str, size: float = SIZE) -> float:
    """How wide the longest line of a text is, in inches."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    font.set_size(size, 72)
    widest = 0.0
    for line in text.replace(r"\$", "$").split("\n"):
        font.set_text(line, 0, flags=LoadFlags.NO_HINTING)
        widest = max(widest, font.get_width_height()[0] / 64 / 72)
    return widest


def wrapped(text: str, width: float, size: float = SIZE) -> str:
    """Broken to lines of at most that width: after spaces and the signs that names have, else anywhere.

    What matplotlib would take for mathematics is kept as it is written; what is longer than any name is cut off.
    """
    width *= ROUNDING
    text = shortened(printable(text), LONGEST_TEXT).replace("$", r"\$")
    for sign in "-_:+@,/=":
        text = text.replace(sign, sign + "\0")
    pieces = [piece + end for words in text.split(" ") for piece, end in _ends(words.split("\0"))]
    lines = [""]
    for whole in pieces:
        piece = whole
        if lines[-1] and width_of((lines[-1] + piece).rstrip(), size) > width:
            lines.append("")
        while len(piece) > 1 and width_of(piece.rstrip(), size) > width:
            fitting = next(n for n in range(len(piece) - 1, 0, -1) if n == 1 or width_of(piece[:n], size) <= width)
            lines[-1:] = [piece[:fitting], ""]
            piece = piece[fitting:]
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _ends(pieces: list[str]) -> list[tuple[str, str]]:
    return [(piece, " " if place == len(pieces) - 1 else "") for place, piece in enumerate(pieces)]


def title_of(block: pd.DataFrame, width: float, *further: str) -> str:
    """A panel's title: the task, its protocol where it is no fine-tuning, what its recipe changes; phantoms words."""
    first = block.iloc[0]
    words = [str(first["task"]), *further]
    setting = [first["protocol"] if first["protocol"] != "finetune" else "", first["setting"]]
    words += [", ".join(filter(None, setting))]
    words += [PHANTOM] if first["data"] == "phantom" else []
    return "\n".join(wrapped(line, width) for line in words if line)


def legend_entry(label: str, **look: Any) -> tuple[Artist, str]:
    """An entry of a legend: a line or marker that looks like that."""
    return Line2D([], [], **{"linestyle": "none", "color": BLACK, **look}), label


@dataclass(frozen=True, kw_only=True)
class PanelSize:
    """A panel in inches: the axes so wide and high; before it, after it and beneath it what ticks and labels need."""

    width: float
    height: float
    before: float = 0.05
    after: float = 0.3
    beneath: float = 0.42


def grid_of_panels(
    titles: Sequence[str], room: PanelSize, *, left: float = 0.1, legend: Sequence[tuple[Artist, str]] = ()
) -> tuple[Figure, list[Axes], int]:
    """A figure of panels, as many beside each other as fit; `left` is for labels before the first column. The legend
    stands beneath all, in as many columns as fit.

    All places are reckoned from the widths of the texts: no layout is searched for at each drawing.
    """
    each = room.before + room.width + room.after
    fitting = max(1, min(len(titles), int((WIDEST - left) / each)))
    columns = -(-len(titles) // -(-len(titles) // fitting))  # lines of panels alike long
    rows = [titles[start : start + columns] for start in range(0, len(titles), columns)]
    total = max(left + columns * each, 3.6)
    labels = [wrapped(label, total - 1.0) for _, label in legend]
    beside = max(1, min(len(labels), int((total - 0.1) / (max(map(width_of, labels), default=1.0) + 0.6))))
    lines = max((label.count("\n") + 1 for label in labels), default=0)
    foot = -(-len(labels) // beside) * lines * 1.25 * LINE_HEIGHT + 0.15 if labels else 0.0
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
        look: Any = {"ncols": beside, "columnspacing": 1.4, "handlelength": 2.2, "borderaxespad": 0.3}
        figure.legend([handle for handle, _ in legend], labels, loc="lower center", **look)
    return figure, panels, columns


def label_rows(panels: Sequence[Axes], labels: Sequence[str], columns: int) -> None:
    """Rows of names, from the top down, written before the first panel of each line alone."""
    for place, panel in enumerate(panels):
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set_yticks(range(len(labels)) if place % columns == 0 else [], labels if place % columns == 0 else [])
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x")
        between = np.arange(1, len(labels)) - 0.5
        panel.hlines(between, 0, 1, transform=panel.get_yaxis_transform(), colors="#F0F0F0", linewidth=0.6, zorder=0)


def wrapped_row_labels(models: Sequence[str], width: float = 1.7) -> tuple[list[str], float, int]:
    """Names of rows, wrapped; the room that they take, and the lines of the longest."""
    labels = [wrapped(model, width) for model in models]
    return labels, max(map(width_of, labels)) + 0.2, max(label.count("\n") + 1 for label in labels)


def annotate_row(axes: Axes, place: float, marks: str) -> None:
    """Marks of a row, after the panel's right edge."""
    axes.annotate(
        marks, (1, place), (3, 0), axes.get_yaxis_transform(), "offset points", va="center", annotation_clip=False
    )


def mark_missing(axes: Axes, positions: Sequence[float]) -> None:
    """Rows of which nothing was run; in front of the baseline's line."""
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    for place in positions:
        look: Any = {"ha": "center", "va": "center", "bbox": paper, "zorder": 4}
        axes.text(0.5, place, "–", transform=axes.get_yaxis_transform(), **look)


def ticks_that_fit(positions: Sequence[float], labels: Sequence[str], inches: Callable[[float], float]) -> list[int]:
    """Which of the ticks, in ascending order, can be labelled without their labels meeting; the last always is."""
    kept: list[int] = []
    for number in reversed(range(len(positions))):
        room = (width_of(labels[number], SIZE - 1) + width_of(labels[kept[-1]], SIZE - 1)) / 2 + 0.08 if kept else 0
        if not kept or inches(positions[kept[-1]]) - inches(positions[number]) >= room:
            kept.append(number)
    return kept[::-1]


def offsets_about_zero(num: int, room: float) -> Any:
    """Offsets of so many marks about the middle of a row."""
    return np.linspace(-room / 2, room / 2, num) if num > 1 else np.zeros(1)
