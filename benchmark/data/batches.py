"""Batches, rendered ahead by threads of this process and handed over on the device.

Threads, since a render spends its time in OpenCV or Pillow, which let go of Python's lock; and since worker processes
started anew each epoch cost small sets more than their whole epoch.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Holds one batch. `images`: uint8, B x channels x height x width, 1 or 3 channels. `targets`: float, B x labels,
    NaN where not labeled; or uint8 masks, B x masks x height x width, 0 or 1. `rows`: B positions in the split.
    """

    images: torch.Tensor
    targets: torch.Tensor
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def pieces(self, size: int) -> Iterator["Batch"]:
        """Yields the batch in pieces of `size` images; a last piece of one image joins the piece before."""
        starts = [piece[0] for piece in cut(np.arange(len(self)), size)]
        for start, end in zip(starts, [*starts[1:], len(self)], strict=True):
            within = slice(start, end)
            yield Batch(images=self.images[within], targets=self.targets[within], rows=self.rows[within])


Render = Callable[[Rows], Batch]


def cut(order: Rows, size: int) -> list[Rows]:
    """Returns an order as batches. A last batch of one joins the batch before: batch norm cannot learn from one value."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def rendered_ahead(render: Render, batches: Sequence[Rows], device: torch.device, threads: int) -> Iterator[Batch]:
    """Yields rendered batches in order; `threads` render a few batches ahead, and copies to a GPU overlap with its work."""
    on_gpu = device.type == "cuda"

    def prepare(rows: Rows) -> Batch:
        batch = render(rows)
        if not on_gpu:
            return batch
        return replace(batch, images=batch.images.pin_memory(), targets=batch.targets.pin_memory())

    pool = ThreadPoolExecutor(threads, thread_name_prefix="render")
    pending: deque[Future[Batch]] = deque()
    upcoming = iter(batches)
    try:
        for rows in upcoming:
            pending.append(pool.submit(prepare, rows))
            if len(pending) > threads + 1:
                yield _on_device(pending.popleft().result(), device)
        while pending:
            yield _on_device(pending.popleft().result(), device)
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def _on_device(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    images = batch.images.to(device, non_blocking=True)
    return replace(batch, images=images, targets=batch.targets.to(device, non_blocking=True))
