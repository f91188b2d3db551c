"""Lines of models in one panel: up to seven are told apart, of more the baseline and the six that rank best, the others
pale; nobody tells 22 lines apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist

from benchmark.report.figures.selection import Selection
from benchmark.report.figures.style import BLACK, COLORS, LINES, MARKERS, PALE, VERDICTS, legend_entry

MOST = 7
BASELINE = VERDICTS["baseline"][1]
OTHERS = [marker for marker in MARKERS if marker != BASELINE]


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """How a model's line line_styles; `front`: what is drawn over what; `named`: whether the legend has it."""

    color: str
    marker: str
    line: Any
    front: float
    named: bool


def line_styles(shown: Selection, models: Sequence[str], baseline: str) -> dict[str, LineStyle]:
    """Each model's look: the baseline black. Models are ranked by the mean, over blocks, of the rank of their mean
    score.
    """
    means = shown.frame.groupby(["block", "model"])["score"].mean()
    ranks = means.groupby("block").rank(ascending=False).groupby("model").mean()
    best = sorted((model for model in models if model != baseline), key=lambda model: (ranks[model], model))
    held = [baseline] if baseline in models else []
    named = models if len(models) <= MOST else [*held, *best[: MOST - len(held)]]
    found, place = {}, 0
    others = [color for color in COLORS if color != BLACK]
    for model in models:
        if model not in named:
            found[model] = LineStyle(color=PALE, marker="", line="-", front=0, named=False)
        elif model == baseline:
            found[model] = LineStyle(color=BLACK, marker=BASELINE, line="-", front=2, named=True)
        else:
            color = others[place % len(others)]
            found[model] = LineStyle(color=color, marker=OTHERS[place % 6], line=LINES[place % 6], front=1, named=True)
            place += 1
    return found


def legend_of(found: dict[str, LineStyle]) -> list[tuple[Artist, str]]:
    """The named ones, and one entry for all pale ones."""
    entries = [
        legend_entry(model, color=look.color, marker=look.marker, linestyle=look.line, markersize=3.5)
        for model, look in found.items()
        if look.named
    ]
    if num := sum(not look.named for look in found.values()):
        entries.append(legend_entry(f"{num} others", color=PALE, linestyle="-"))
    return entries
