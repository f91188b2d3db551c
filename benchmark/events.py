"""Events: what a run reports while it works, from a worker to its scheduler, and from there to bars and trackers.

An event is a dict with its kind under `event` and, where it is about a cell, the cell's key under `key`:

| kind | further keys |
|---|---|
| workers | count, device, cores |
| started | together: cells trained at once |
| cache | task, done, total: images decoded |
| features | weights, done, total: images seen by a frozen encoder |
| epoch | training (its folder's name) and the line of the history: epoch, train_loss, validation_… |
| note | text |
| done | scores |
| failed, pending, requeued | reason; of requeued also together |
| elsewhere | none: another process works on the cell |
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

Event = dict[str, Any]
Watch = Callable[[Event], None]


class EventKind(str, Enum):
    """What an event is about; equal to its own text."""

    READY = "ready"  # a worker can take cells; it is not handed on
    WORKERS = "workers"
    STARTED = "started"
    CACHE = "cache"
    FEATURES = "features"
    EPOCH = "epoch"
    NOTE = "note"
    DONE = "done"
    FAILED = "failed"
    PENDING = "pending"
    REQUEUED = "requeued"
    ELSEWHERE = "elsewhere"


ENDINGS = frozenset({EventKind.DONE, EventKind.FAILED, EventKind.PENDING, EventKind.ELSEWHERE})  # of a worker's cell
