"""How a fusion's encoders attend to each other: Truong 2021, figure F1, with the numbers in the cells."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.selection import caption_of, runs_text, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import (
    LINE_HEIGHT,
    SIZE,
    PanelSize,
    Plot,
    grid_of_panels,
    title_of,
    width_of,
    wrapped,
)
from benchmark.stats.significance import sample_sd

CELL = 0.75  # inches at least; two numbers fit


class AttentionMatrix(FigureSpec):
    """How a fusion's encoders attend to each other."""

    kind: Literal["attention"] = "attention"


def plot_attention(data: ReportData, spec: AttentionMatrix) -> Plot:
    """Draws one panel for each block and fusion: the mean over its runs. Raises BenchmarkError where no attention is kept."""
    selection = select_runs(data, spec)
    rows, matrices = [], []
    for block in selection.blocks:
        for model in selection.models:
            runs = selection.block(block)
            of_models_runs = [data.attention(key) for key in runs.loc[runs["model"] == model, "key"]]
            if not of_models_runs:
                continue
            names = of_models_runs[0].encoders
            if any(one.encoders != names or one.weights.shape != (len(names), len(names)) for one in of_models_runs):
                raise BenchmarkError(
                    f"attention of {model}: wanted {len(names)} x {len(names)} weights of the same encoders in all runs"
                )
            of_runs = np.stack([one.weights for one in of_models_runs])
            matrices.append((block, model, names, of_runs))
            first = runs.iloc[0]
            facts = {
                "block": block,
                "task": first["task"],
                "data": first["data"],
                "model": model,
                "n": len(of_models_runs),
            }
            rows += [
                {**facts, "from": one, "to": other, "mean": of_runs[:, i, j].mean(), "sd": sample_sd(of_runs[:, i, j])}
                for i, one in enumerate(names)
                for j, other in enumerate(names)
            ]
    labels = [wrapped(name, 1.0) for _, _, names, _ in matrices for name in names]
    cell = max(CELL, max(map(width_of, labels)) + 0.12)
    most = max(len(names) for _, _, names, _ in matrices)
    figure, panels, _ = grid_of_panels(
        [title_of(selection.block(block), most * cell, str(model)) for block, model, _, _ in matrices],
        PanelSize(
            width=most * cell,
            height=most * 0.5,
            before=max(map(width_of, labels)) + 0.35,
            after=0.2,
            beneath=0.45 + LINE_HEIGHT * max(label.count("\n") for label in labels),
        ),
    )
    for (_, _, names, of_runs), panel in zip(matrices, panels, strict=True):
        _draw(panel, names, of_runs)
    sentence = (
        "Attention of the encoder of each row to that of each column, the mean over the test images (a row sums to 1); "
        f"mean, and sd where there are more, of {runs_text([len(of_runs) for *_, of_runs in matrices])}."
    )
    return Plot(figure=figure, table=pd.DataFrame(rows), caption=caption_of(selection, spec, sentence, of_runs=False))


def _draw(axes: Axes, names: tuple[str, ...], of_runs: NDArray[np.floating[Any]]) -> None:
    mean = of_runs.mean(axis=0)
    axes.imshow(mean, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for i in range(len(names)):
        for j in range(len(names)):
            sd = sample_sd(of_runs[:, i, j])
            text = f"{mean[i, j]:.2f}" + ("" if np.isnan(sd) else f"\n± {sd:.2f}")
            axes.text(
                j, i, text, ha="center", va="center", color="white" if mean[i, j] > 0.55 else "black", fontsize=SIZE - 1
            )
    labels = [wrapped(name, 1.0) for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("to")
    axes.set_ylabel("from")


KINDS = (FigureKind(AttentionMatrix, plot_attention),)
