"""Logging of a run, as it goes, to TensorBoard, MLflow or Weights & Biases; off unless `--track` asks for it.

A tracker receives the scheduler's events in the parent process, in a thread of its own: one that is slow or fails (one
warning line, then it is off) neither delays nor harms the run, and no record depends on it. Each cell is a run, known by
the cell's key; a resumed cell continues its run. `TRACKERS` names the modules; each has `open_tracker(where)`.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError, did_you_mean, install_extra
from benchmark.events import Event, EventKind
from benchmark.text import first_few, plural

TRACKERS = {
    "tensorboard": "benchmark.tracking.on_tensorboard",
    "mlflow": "benchmark.tracking.on_mlflow",
    "wandb": "benchmark.tracking.on_wandb",
}
_LOGGED = (EventKind.EPOCH, EventKind.DONE, EventKind.FAILED)
LAST_SECONDS = 30.0  # for what is not yet logged, when the run has ended
INTERRUPTED_SECONDS = 5.0


class Tracker(Protocol):
    """Where runs are logged. Any method may raise anything: the tracker is then off."""

    def begin(self, cell: Cell) -> None:
        """Opens the cell's run, or continues it."""

    def epoch(self, key: str, epoch: int, values: dict[str, float]) -> None:
        """Logs one epoch, counted from 1: losses, learning rate, validation scores."""

    def end(self, key: str, scores: dict[str, float], failure: str) -> None:
        """Logs the scores on the test split, or the reason of a failure, and closes the run."""

    def close(self) -> None:
        """Ends; runs that are open stay resumable."""


@dataclass(kw_only=True)
class _EventQueue:
    """A tracker, the events that it has still to log, and what its thread does."""

    name: str
    cells: dict[str, Cell]
    warn: Callable[[str], None]
    tracker: Tracker | None = None
    events: "queue.SimpleQueue[Event | None]" = field(default_factory=queue.SimpleQueue)
    begun: set[str] = field(default_factory=set)

    def work(self, where: str) -> None:
        try:
            self.tracker = import_module(TRACKERS[self.name]).open_tracker(where)
            while (event := self.events.get()) is not None:
                self._take(event, self.tracker)
            self.tracker.close()
        except Exception as error:  # noqa: BLE001 - of whatever kind: a tracker must not harm the run
            reason = " ".join((str(error) or type(error).__name__).split())[:300]
            self.warn(f"--track {self.name} is off from here on: {reason}")

    def _take(self, event: Event, tracker: Tracker) -> None:
        kind, key = event["event"], event.get("key", "")
        if kind not in _LOGGED or key not in self.cells:
            return
        # not at `started`: another process may have the cell
        if key not in self.begun:
            tracker.begin(self.cells[key])
            self.begun.add(key)
        if kind == EventKind.EPOCH:
            values = {name: float(v) for name, v in event.items() if name not in ("event", "key", "training", "epoch")}
            tracker.epoch(key, int(event["epoch"]), values)
        else:
            scores = {name: value for name, value in event.get("scores", {}).items() if value is not None}
            tracker.end(key, scores, event["reason"] if kind == EventKind.FAILED else "")
            self.begun.discard(key)


def check_trackers(wanted: list[str]) -> None:
    """Raises BenchmarkError for a tracker that is not known or not installed."""
    for text in wanted:
        name = text.partition(":")[0]
        if name not in TRACKERS:
            raise BenchmarkError(f"--track {text}: {did_you_mean(name, TRACKERS)}")
        # a folder of that name here, such as wandb makes for its files, is no package
        if (spec := find_spec(name)) is None or spec.origin is None:
            raise BenchmarkError(f"--track {name}: it is not installed: {install_extra('track')}")
    names = [text.partition(":")[0] for text in wanted]
    if len(set(names)) < len(names):
        raise BenchmarkError(f"--track names one tracker twice ({first_few(names)}): wanted each once")


@contextmanager
def tracked(wanted: list[str], cells: list[Cell], warn: Callable[[str], None]) -> Iterator[Callable[[Event], None]]:
    """Yields a function that takes the scheduler's events; it never raises and never waits. `wanted`: NAME or NAME:WHERE."""
    known = {cell.key: cell for cell in cells}
    lines: list[_EventQueue] = []

    def tell(event: Event) -> None:
        for line in lines:
            line.events.put(dict(event))

    with ExitStack() as stack:
        for text in wanted:
            name, _, where = text.partition(":")
            line = _EventQueue(name=name, cells=known, warn=warn)
            thread = threading.Thread(target=line.work, args=(where,), name=f"track-{name}", daemon=True)
            thread.start()
            stack.push(_leaving(line, thread))
            lines.append(line)
        yield tell


def _leaving(line: _EventQueue, thread: threading.Thread) -> Callable[..., None]:
    def leave(kind: type[BaseException] | None, _error: BaseException | None, _trace: object) -> None:
        line.events.put(None)
        thread.join(INTERRUPTED_SECONDS if kind else LAST_SECONDS)
        if thread.is_alive():
            left = plural(line.events.qsize(), "event")
            line.warn(f"--track {line.name} does not keep up: {left} not logged")

    return leave
