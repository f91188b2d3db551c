"""Gives all images of a task at evaluation size, of all splits: the input of frozen encoders, which read each image
once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.data.batches import Batch, Rows, rendered_ahead
from benchmark.data.cache import Images, Notify
from benchmark.data.cache_build import Progress
from benchmark.data.datasets import image_files_of, images_of, notes_of, stored_sizes, unreadable_of
from benchmark.data.decoding import ImageFiles
from benchmark.data.index import Index
from benchmark.data.rendering import PixelSource
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class EvaluationImages:
    """Gives the table's images, then those of a challenge's test without labels, each by its row in that order.

    `unreadable()` returns image -> why it could not be decoded, of those read so far; `notes()` returns lines about
    what was damaged in the pixel caches and decoded again.
    """

    ids: list[str]
    num_labelled: int
    num: int
    device: torch.device
    threads: int
    unreadable: Callable[[], dict[str, str]]
    notes: Callable[[], list[str]]
    _opened: tuple[tuple[Images, ImageFiles], ...]

    def batches(self, rows: Rows, size: int) -> Iterator[tuple[Rows, torch.Tensor]]:
        """Yields rows and their images (uint8, `size` x channels x side x side); the last batch is filled with copies."""
        for images, start in zip(self._opened, (0, self.num_labelled), strict=False):
            own = rows[(rows >= start) & (rows < start + len(images[1].images))]
            cut = [own[place : place + size] for place in range(0, len(own), size)]
            filled = [np.concatenate([some, np.repeat(some[-1:], size - len(some))]) - start for some in cut]
            source = PixelSource(
                cache=images[0],
                positions=np.arange(len(images[1].images)),
                targets=np.zeros((len(images[1].images), 0), dtype=np.float32),
            )
            for some, batch in zip(cut, self._rendered(source, filled), strict=True):
                yield some, batch.images

    def _rendered(self, source: PixelSource, rows: list[Rows]) -> Iterator[Batch]:
        return rendered_ahead(source.plain(), rows, self.device, self.threads)

    def is_unreadable(self) -> NDArray[np.bool_]:
        """Returns which of the images read so far could not be decoded, num booleans."""
        unreadable_rows = np.zeros(self.num, dtype=bool)
        for (images, _), start in zip(self._opened, (0, self.num_labelled), strict=False):
            unreadable_rows[[start + row for row in images.unreadable]] = True
        return unreadable_rows


def open_evaluation_images(
    *,
    index: Index,
    task: TaskSpec,
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    threads: int,
    progress: Progress,
    notify: Notify = lambda _: None,
) -> EvaluationImages:
    """Returns a task's images at evaluation size, from the cache that folds use; builds it first if it does not exist."""
    _, evaluation = stored_sizes(index, task, recipe)
    source = image_files_of(index, task, index.table.index, evaluation)
    opened = [
        (images_of(source, evaluation, task, workspace, threads=threads, progress=progress, notify=notify), source)
    ]
    if index.unlabelled is not None:
        more = replace(source, images=list(index.unlabelled["image"]))
        opened.append(
            (images_of(more, evaluation, task, workspace, threads=threads, progress=progress, notify=notify), more)
        )
    more_ids = [] if index.unlabelled is None else list(index.unlabelled["id"])
    return EvaluationImages(
        ids=[*index.table["id"], *more_ids],
        num_labelled=len(index.table),
        num=sum(len(opened_images.images) for _, opened_images in opened),
        device=device,
        threads=threads,
        unreadable=lambda: unreadable_of(opened),
        notes=lambda: notes_of(opened),
        _opened=tuple(opened),
    )
