"""Lines of models in one panel. Up to seven have a color each; of more, the baseline and the six that rank best have one
and the others are pale, because nobody can tell 22 lines apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist

from benchmark.reporting.figures.selection import Selection
from benchmark.reporting.figures.style import BLACK, COLORS, LINES, MARKERS, PALE, VERDICTS, legend_entry
from benchmark.reporting.metric_facts import directions

MAX_COLORED = 7
BASELINE = VERDICTS["baseline"][1]
OTHERS = [marker for marker in MARKERS if marker != BASELINE]


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """How a model's line is drawn; `front`: lines with a higher one cover the others; `named`: whether the legend names it."""

    color: str
    marker: str
    line: Any
    front: float
    named: bool


def line_styles(shown: Selection, models: Sequence[str], baseline: str) -> dict[str, LineStyle]:
    """Returns each model's style: the baseline is black. Models are ranked by the mean, over blocks, of the rank of their mean
    score.
    """
    goodness = shown.frame["score"].astype(float) * directions(shown.frame["metric"])
    means = goodness.groupby([shown.frame["block"], shown.frame["model"]]).mean()
    ranks = means.groupby("block").rank(ascending=False).groupby("model").mean()
    best = sorted((model for model in models if model != baseline), key=lambda model: (ranks[model], model))
    first = [baseline] if baseline in models else []
    named = models if len(models) <= MAX_COLORED else [*first, *best[: MAX_COLORED - len(first)]]
    styles, number = {}, 0
    others = [color for color in COLORS if color != BLACK]
    for model in models:
        if model not in named:
            styles[model] = LineStyle(color=PALE, marker="", line="-", front=0, named=False)
        elif model == baseline:
            styles[model] = LineStyle(color=BLACK, marker=BASELINE, line="-", front=2, named=True)
        else:
            color = others[number % len(others)]
            styles[model] = LineStyle(
                color=color, marker=OTHERS[number % 6], line=LINES[number % 6], front=1, named=True
            )
            number += 1
    return styles


def legend_of(styles: dict[str, LineStyle]) -> list[tuple[Artist, str]]:
    """Returns the legend: the models with a color, and one entry for all pale ones."""
    entries = [
        legend_entry(model, color=style.color, marker=style.marker, linestyle=style.line, markersize=3.5)
        for model, style in styles.items()
        if style.named
    ]
    if num := sum(not style.named for style in styles.values()):
        entries.append(legend_entry(f"{num} others", color=PALE, linestyle="-"))
    return entries
