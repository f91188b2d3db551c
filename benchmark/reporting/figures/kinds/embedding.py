"""Features of test examples in the plane by t-SNE (van der Maaten and Hinton 2008), as in Truong 2021, figures 2, D1, D2.

Distances between clusters and their sizes mean nothing in such a picture; the caption says so.
"""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import Features, ReportData
from benchmark.reporting.figures.selection import caption_of, select_runs
from benchmark.reporting.figures.specs import FigureKind, FigureSpec
from benchmark.reporting.figures.style import COLORS, MARKERS, PanelSize, Plot, grid_of_panels, legend_entry, title_of
from benchmark.results.predictions import Predictions

WIDTH, HEIGHT = 2.4, 2.2
MAX_CLASSES = 7  # with a color of their own; the others are one


class Tsne(FigureSpec):
    """Features of test examples in the plane; `examples`: how many at most, drawn with `seed`."""

    kind: Literal["tsne"] = "tsne"
    perplexity: PositiveFloat = 30
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    examples: PositiveInt = 2000


def embed(values: NDArray[np.floating[Any]], *, perplexity: float, seed: int) -> NDArray[np.float64]:
    """N x D -> N x 2 by scikit-learn's t-SNE, started from the principal components; the same for the same seed.

    Raises BenchmarkError where perplexity is not below N, or a value is no finite number.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not perplexity < len(values):
        raise BenchmarkError(f"t-SNE: perplexity {perplexity:g} wants more examples than that, found {len(values)}")
    if not np.isfinite(values).all():
        raise BenchmarkError("t-SNE: a feature is no finite number")
    made = TSNE(perplexity=perplexity, random_state=seed, init="pca", learning_rate="auto", n_jobs=1)
    with threadpool_limits(1):  # on a busy machine its threads wait for each other: minutes in position of a second
        return np.asarray(made.fit_transform(np.asarray(values, dtype=np.float64)), dtype=np.float64)


def classes_of(predictions: Predictions) -> NDArray[np.str_]:
    """Returns each example's class as a text: that of its truth; `none` or `several` where labels do not exclude each other,
    `unknown` where it is not known. Raises BenchmarkError for masks.
    """
    if predictions.has_masks:
        raise BenchmarkError("t-SNE: the images of a segmentation have no class")
    truth = predictions.truth
    positive = truth == 1
    names = np.array(predictions.columns, dtype=object)[positive.argmax(axis=1)]
    names = np.where(positive.sum(axis=1) > 1, "several", np.where(positive.any(axis=1), names, "none"))
    if truth.shape[1] == 1:
        names = np.where(positive[:, 0], predictions.columns[0], f"no {predictions.columns[0]}")
    return np.where(np.isnan(truth).any(axis=1) & ~positive.any(axis=1), "unknown", names).astype(str)


def plot_tsne(data: ReportData, spec: Tsne) -> Plot:
    """Draws one panel for each block and model: the features of its first run. Raises BenchmarkError where none are kept."""
    selection = select_runs(data, spec)
    parts = []
    for block in selection.blocks:
        for model in selection.models:
            runs = selection.block(block)
            runs = runs[runs["model"] == model].sort_values(["seed", "fold"])
            if runs.empty:
                continue
            run = runs.iloc[0]
            part = _points(data.features(run["key"]), data.predictions(run["key"]), spec)
            facts = {name: run[name] for name in ("block", "task", "data", "model", "seed")}
            parts.append(part.assign(**facts, perplexity=spec.perplexity, tsne_seed=spec.seed))
    table = pd.concat(parts, ignore_index=True)
    commonest = table["class"].value_counts()
    if len(commonest) > MAX_CLASSES:
        named = sorted(commonest.index[: MAX_CLASSES - 1])
        table["shown_as"] = table["class"].where(table["class"].isin(named), "other")
        names = [*named, "other"]
    else:
        table["shown_as"] = table["class"]
        names = sorted(commonest.index)
    styles = {name: (COLORS[position], MARKERS[position]) for position, name in enumerate(names)}
    panels = table.drop_duplicates(["block", "model"])[["block", "model"]].to_records(index=False).tolist()
    figure, axes, _ = grid_of_panels(
        [title_of(selection.block(block), WIDTH, str(model)) for block, model in panels],
        PanelSize(width=WIDTH, height=HEIGHT, after=0.2, beneath=0.15),
        legend=[
            legend_entry(name, color=color, marker=marker, markersize=4) for name, (color, marker) in styles.items()
        ],
    )
    for (block, model), panel in zip(panels, axes, strict=True):
        points = table[(table["block"] == block) & (table["model"] == model)]
        for name, (color, marker) in styles.items():
            of_class = points[points["shown_as"] == name]
            panel.scatter(of_class["x"], of_class["y"], s=7, color=color, marker=marker, alpha=0.7, linewidths=0)
        panel.set(xticks=[], yticks=[])
        panel.spines[["top", "right"]].set_visible(True)
    first = table.groupby(["block", "model"]).size()
    sentence = (
        f"t-SNE of {first.min():,} to {first.max():,} test images' features, perplexity {spec.perplexity:g}, seed "
        f"{spec.seed}, started from the principal components. Who is near whom is shown; how far clusters lie apart and "
        "how large they are means nothing."
    )
    columns = ["block", "task", "data", "model", "seed", "perplexity", "tsne_seed", "id", "class", "x", "y"]
    return Plot(figure=figure, table=table[columns], caption=caption_of(selection, spec, sentence, of_runs=False))


def _points(features: Features, predictions: Predictions, spec: Tsne) -> pd.DataFrame:
    """id, class, x, y of at most `examples` images, drawn with the seed, in the order of the features."""
    position = pd.Series(np.arange(len(predictions.ids)), index=predictions.ids)
    if strangers := sorted(set(features.ids.tolist()) - set(position.index)):
        raise BenchmarkError(
            f"t-SNE: features of {strangers[0]}, which the predictions do not have: features of another cell"
        )
    which = np.arange(len(features.ids))
    if len(which) > spec.examples:
        which = np.sort(np.random.default_rng(spec.seed).permutation(len(which))[: spec.examples])
    ids = features.ids[which]
    points = embed(features.values[which], perplexity=spec.perplexity, seed=spec.seed)
    classes = classes_of(predictions)[position[ids].to_numpy()]
    return pd.DataFrame({"id": ids, "class": classes, "x": points[:, 0], "y": points[:, 1]})


KINDS = (FigureKind(Tsne, plot_tsne),)
