"""Draws contact sheets: images of a task with their labels and outlined masks, and what the network gets of them."""

import io
import textwrap
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.cache import UncachedImages
from benchmark.data.image_files import RLE, Pixels, read_image, read_mask
from benchmark.data.index import MASKS, SPLITS, UNCERTAIN, Index
from benchmark.data.labels import settle_classes
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.text import plural, printable, shortened

# of Okabe and Ito (2008), which the color-blind can distinguish and light enough for radiographs; line widths in points
OUTLINES = {
    "mask": ("#E69F00", 1.0, "observer 1"),
    "mask_observer2": ("#56B4E9", 0.5, "observer 2"),
    "field_of_view": ("#F0E442", 0.4, "field of view"),
}
EPOCHS = (1, 2, 3)
COLUMNS = 4  # images in a row, where no augmented views follow each
MAX_PANEL = 600  # pixels of a panel's longer side
SIDE, LINE = 2.2, 0.125  # a panel and a caption's line, in inches
LETTERS = 38  # of such a line
LONGEST_LINE = 400  # letters of a text from a table or a sheet, before it is fitted or wrapped
STYLE: Any = {"font.size": 7, "figure.dpi": 150, "axes.titlesize": 7, "text.parse_math": False}
Masks = dict[str, NDArray[np.uint8]]
View = tuple[Pixels, Masks]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Holds a sheet as PNG bytes, the ids on it, and its title in one line."""

    png: bytes
    ids: tuple[str, ...]
    title: str


def contact_sheet(index: Index, task: TaskSpec, recipe: Recipe, *, num: int, seed: int, augmented: bool) -> Sheet:
    """Returns a sheet of `num` images drawn by the seed, every label among them where there is room.

    With `augmented`, only training images are drawn, since others are not augmented: each as it is, as evaluation sees
    it, and as the first epochs of the cell of that seed see it. Raises BenchmarkError for an unreadable image or mask.
    """
    splits = assign_splits(index, task.split)
    index = settle_classes(index, task, splits)
    candidates = splits[splits == "train"].index if augmented else index.table.index
    rows = pick(index, candidates, num, seed)
    originals = [_original(index, task, row) for row in rows]
    captions = [
        _caption(index, task, row, str(splits[row]), unreadable=view is None)
        for row, view in zip(rows, originals, strict=True)
    ]
    panels = [[view or (np.zeros((64, 64, 1), np.uint8), {})] for view in originals]
    heads = ["original"]
    if augmented:
        heads += [f"evaluation, {recipe.image_size} pixels", *(f"training, epoch {epoch}" for epoch in EPOCHS)]
        channels = max(panel[0].shape[2] for (panel,) in panels)
        inputs = network_inputs(index, task, recipe, splits, rows, seed, channels)
        panels = [panel + views for panel, views in zip(panels, inputs, strict=True)]
    sizes = ", ".join(f"{split} {(splits == split).sum():,}" for split in SPLITS)
    summary = f"{len(rows):,} of {plural(len(candidates), 'training image' if augmented else 'image')}, seed {seed}"
    lines = [f"{task.name}: {task.title}" if task.title else task.name, f"{summary} ({sizes})"]
    if index.phantom:
        lines.append("phantom images: no clinical meaning")
    figure = _figure(panels, captions, heads if augmented else [], lines, only=task.labels[0] if task.labels else "")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png")
    return Sheet(
        png=buffer.getvalue(), ids=tuple(index.table.loc[rows, "id"]), title=summary + ", phantoms" * index.phantom
    )


def pick(index: Index, candidates: pd.Index, num: int, seed: int) -> list[Any]:
    """Returns `num` rows in the order of their ids: each label appears once, the rarest first, before any appears
    again.
    """
    table = index.table.loc[candidates]
    if "mask" in table:
        with_it = (~table["mask"].isin(["", RLE])).to_numpy()[:, None]
    else:
        with_it = (table[list(index.labels)] == 1).to_numpy()
    has = np.concatenate([with_it, ~with_it.any(axis=1, keepdims=True)], axis=1)  # the last: none of the labels
    order = np.random.default_rng(seed).permutation(len(table))
    has, groups = has[order], np.flatnonzero(has.any(axis=0))
    frequency, times_shown = has.sum(axis=0), np.zeros(has.shape[1], dtype=int)
    free = np.ones(len(table), dtype=bool)
    picked: list[int] = []
    while len(picked) < min(num, len(table)):
        left = [group for group in groups if (free & has[:, group]).any()]
        wanted = min(left, key=lambda group: (times_shown[group], frequency[group]))
        with_wanted = np.flatnonzero(free & has[:, wanted])
        new = has[with_wanted][:, times_shown == 0].sum(axis=1)  # one that shows further labels leaves room for others
        place = with_wanted[new.argmax()]
        free[place] = False
        times_shown += has[place]
        picked.append(int(order[place]))
    chosen = table.iloc[picked]
    return list(chosen.sort_values("id", kind="stable").index)


@dataclass(frozen=True, kw_only=True)
class _Picked(UncachedImages):
    """Decodes images for the sheet alone, with as many channels as a cache of them would have."""

    widest: int

    @property
    def channels(self) -> int:
        return self.widest


def network_inputs(
    index: Index, task: TaskSpec, recipe: Recipe, splits: pd.Series, rows: list[Any], seed: int, channels: int
) -> list[list[View]]:
    """Returns, for each of these training rows, its evaluation view and its views in EPOCHS, by the code and the random
    streams of training.

    `channels` is the number that the widest image has. A stream depends on an image's position among the images that
    training caches: all of them for segmentation, those of the training split otherwise.
    """
    from benchmark.data.datasets import image_files_of, stored_sizes
    from benchmark.data.rendering import EpochRender, PixelSource

    cached = index.table.index if task.has_masks else index.table.index[splits == "train"]
    training, evaluation = stored_sizes(index, task, recipe)

    def opened(stored_size: Any, where: NDArray[np.int64]) -> PixelSource:
        files = image_files_of(index, task, cached, stored_size)
        cache = (
            _Picked(source=files, stored_size=stored_size, widest=channels)
            if task.keep_pixels
            else UncachedImages(source=files, stored_size=stored_size)
        )
        targets = None if stored_size.masks else np.zeros((len(where), 1), np.float32)
        return PixelSource(cache=cache, positions=where, targets=targets)

    where = cached.get_indexer(pd.Index(rows)).astype(np.int64)
    renders = [opened(evaluation, where).plain(crop=recipe.image_size)]
    trained = EpochRender(pixels=opened(training, where), recipe=recipe, seed=seed)
    renders += [trained.of(epoch) for epoch in EPOCHS]
    inputs = []
    for number in range(len(rows)):
        batches = [render(np.array([number])) for render in renders]
        images = [batch.images[0].permute(1, 2, 0).numpy() for batch in batches]
        masks = [
            dict(zip(training.masks, batch.targets[0].numpy(), strict=True)) if training.masks else {}
            for batch in batches
        ]
        inputs.append(list(zip(images, masks, strict=True)))
    return inputs


def _original(index: Index, task: TaskSpec, row: Any) -> View | None:
    """Returns an image and its masks, reduced to the size of a panel; None for one that cannot be read and may be left
    out.
    """
    line = index.table.loc[row]
    path = index.root / line["image"]
    try:
        pixels, _ = read_image(path, task.windows)
    except BenchmarkError:
        if task.unreadable is None:
            raise
        return None
    masks = {}
    for column in MASKS:
        if task.has_masks and line.get(column):
            try:
                masks[column] = _small(
                    (read_mask(line[column], index.root, pixels.shape[:2]) * np.uint8(255))[..., None]
                )[..., 0]
            except BenchmarkError as fault:
                raise BenchmarkError(f"{path}: its mask: {fault}") from fault
    return _small(pixels), {column: (mask > 127).astype(np.uint8) for column, mask in masks.items()}


def _small(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((MAX_PANEL, MAX_PANEL), Image.Resampling.BILINEAR, reducing_gap=None)
    small = np.asarray(image)
    return small[..., None] if small.ndim == 2 else small


def _caption(index: Index, task: TaskSpec, row: Any, split: str, *, unreadable: bool) -> str:
    line = index.table.loc[row]
    if task.has_masks:
        labels = task.labels[0] if line["mask"] not in ("", RLE) else f"no {task.labels[0]}"
    else:
        values = line[list(index.labels)]
        named = [str(label) for label in index.labels if values[label] == 1]
        named += [f"{label}?" for label in index.labels if values[label] == UNCERTAIN]
        none = (
            "not labeled"
            if values.isna().all()
            else f"no {index.labels[0]}"
            if len(index.labels) == 1
            else "none of the labels"
        )
        labels = ", ".join(named) or none
    patient = "" if line["patient"] == line["id"] else f"patient {line['patient']}, "
    lines = [str(line["id"]), *textwrap.wrap(labels, LETTERS, max_lines=3, placeholder=" …"), f"{patient}{split}"]
    return "\n".join(_fitted(line) for line in [*lines, *(["cannot be decoded: left out"] if unreadable else [])])


def _fitted(text: str) -> str:
    """Returns the text, with its middle replaced by … where it is wider than a panel."""
    text = shortened(printable(text), LONGEST_LINE)
    font, fitted = FontProperties(size=STYLE["font.size"]), text
    while text_to_path.get_text_width_height_descent(fitted, font, ismath=False)[0] > 72 * SIDE:
        half = (len(fitted) - 2) // 2
        fitted = f"{text[:half]}…{text[-half:]}"
    return fitted


def _figure(panels: list[list[View]], captions: list[str], heads: list[str], lines: list[str], *, only: str) -> Figure:
    """Returns the figure of all panels. `only` is the legend's entry where just one column of masks is outlined."""
    columns = len(heads) or min(COLUMNS, len(panels))
    cells = [[view] for (view,) in panels] if not heads else panels
    num_rows = len(panels) if heads else -(-len(panels) // columns)
    outlined = [column for column in OUTLINES if any(column in masks for row in cells for _, masks in row)]
    side = 1.3 * SIDE if outlined else SIDE  # vessels want more
    height = side + LINE * max(caption.count("\n") + 1 for caption in captions) + 0.15
    width = max(4.6, columns * (side + 0.1))
    short_lines = [shortened(printable(line), LONGEST_LINE) for line in lines]
    wrapped = [piece for line in short_lines for piece in textwrap.wrap(line, int(width * 13))]
    spaced = ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.05)  # inches
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, num_rows * height + 0.18 * len(wrapped) + 0.7), layout=spaced)
        grid = figure.subplots(num_rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, (row, caption) in enumerate(zip(cells, captions, strict=True)):
            for place, view in enumerate(row):
                axes = grid[number, place] if heads else grid[divmod(number, columns)]
                _draw(axes, view, caption if place == 0 else "")
                if heads and number == 0:
                    axes.set_title(heads[place])
        figure.suptitle("\n".join(wrapped), fontsize=9)
        if outlined:
            names = {column: OUTLINES[column][2] for column in outlined} if len(outlined) > 1 else {outlined[0]: only}
            colors = [Line2D([], [], color=OUTLINES[column][0], label=name) for column, name in names.items()]
            figure.legend(handles=colors, loc="outside lower center", ncols=len(colors), frameon=False)
    return figure


def _draw(axes: Axes, view: View, caption: str) -> None:
    pixels, masks = view
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
    for column, mask in masks.items():
        color, width, _ = OUTLINES[column]
        if mask.any() and not mask.all():  # else there is no outline to draw
            axes.contour(mask, levels=[0.5], colors=[color], linewidths=width)
    axes.set_xlabel(caption)
