"""The progress of a grid: how much of it is done, how long it will still take, and what each worker does."""

import time
from collections import defaultdict
from datetime import timedelta
from types import TracebackType

from rich.progress import MofNCompleteColumn, TaskID

from benchmark.api.progress import Event, Lines
from benchmark.cell import Cell
from benchmark.events import EventKind
from benchmark.text import plural

ALMOST = 0.95  # of a cell's work, which is all that is counted before its end


class GridProgress:
    """Shows scheduler events: the grid as a whole, and each cell being worked on with its epoch and scores.

    `metrics`: each task's primary score.
    """

    def __init__(self, cells: list[Cell], metrics: dict[str, str], lines: Lines) -> None:
        self.metrics = metrics
        self.cells = {cell.key: cell for cell in cells}
        self.titles = titles_of(cells)
        self.lines = lines
        self.total = len(cells)
        self.finished = 0
        self.began = time.monotonic()
        self.bar_of: dict[str, TaskID] = {}
        self.together: dict[str, int] = {}  # cells that are trained at once, by the first of them
        self.epochs: dict[str, int] = {}
        self.last_epochs: list[int] = []  # of finished cells
        self.said: set[str] = set()  # lines that are said once, however many cells they are about
        self.bars = lines.bars(MofNCompleteColumn())

    def __enter__(self) -> "GridProgress":  # noqa: PYI034 - typing.Self is of Python 3.11
        self.bars.start()
        self.grid = self.bars.add_task("cells", total=self.total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def show(self, event: Event) -> None:
        """Takes one scheduler event."""
        kind, key = event["event"], event.get("key", "")
        if kind == EventKind.WORKERS:
            self.lines.say(f"{plural(event['count'], 'worker')} on {event['device']}")
        elif kind == EventKind.STARTED:
            self.together[key] = event.get("together", 1)
            maximum = self.cells[key].recipe.most_epochs
            self.bar_of[key] = self.bars.add_task(self._title(key), total=maximum, note="starting")
            self.lines.begin(key)
        elif kind == EventKind.CACHE:
            self._update(key, event["done"], event["total"], f"decoding {event['task']} once")
        elif kind == EventKind.FEATURES:
            self._update(key, event["done"], event["total"], f"features of {event['weights']}, once")
        elif kind == EventKind.EPOCH:
            self.epochs[key] = event["epoch"]
            names = ("loss", self.metrics[self.cells[key].task])
            values = {name: event.get(f"validation_{name}") for name in names}
            scores = ", ".join(f"{name} {value:.3f}" for name, value in values.items() if value is not None)
            self._update(key, event["epoch"], self.cells[key].recipe.most_epochs, f"validation {scores}", "epoch ")
            self._estimate()
        elif kind == EventKind.NOTE:
            self._say_once(event["text"])
        elif kind == EventKind.REQUEUED:
            self._remove_bar(key)
            self.lines.say(f"{self._title(key)}: {event['reason']}; it is tried again from its last epoch")
        elif kind in (EventKind.DONE, EventKind.FAILED, EventKind.PENDING, EventKind.ELSEWHERE):
            self._end(kind, key, event)

    def _title(self, key: str) -> str:
        more = self.together.get(key, 1) - 1
        return self.titles[key] + (f" and {more:,} more" if more else "")

    def _update(self, key: str, done: int, total: int, note: str, unit: str = "") -> None:
        if key in self.bar_of:
            self.bars.update(self.bar_of[key], completed=done, total=total, note=note)
        at_most = "at most " if unit else ""
        self.lines.say_rarely(key, f"{self._title(key)}: {unit}{done} of {at_most}{total}, {note}{self._left()}")

    def _estimate(self) -> None:
        self.bars.update(self.grid, completed=self.finished, note=self._left().removeprefix("; "))

    def _left(self) -> str:
        """Returns how long the grid will still take: by the epochs of the cells that ended, or at most, by the recipe's
        maximum, before the first one did.
        """
        done = float(self.finished)
        for key in self.bar_of:
            usual: float = self.cells[key].recipe.most_epochs
            if self.last_epochs:
                usual = sum(self.last_epochs) / len(self.last_epochs)
            done += self.together.get(key, 1) * min(ALMOST, self.epochs.get(key, 0) / usual)
        if not done or self.finished == self.total:
            return ""
        seconds = (time.monotonic() - self.began) * (self.total - done) / done
        return f"; {'about' if self.finished else 'at most'} {timedelta(seconds=round(max(0.0, seconds)))} left"

    def _remove_bar(self, key: str) -> None:
        if key in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(key))

    def _end(self, kind: EventKind, key: str, event: Event) -> None:
        self._remove_bar(key)
        if kind in (EventKind.DONE, EventKind.FAILED):
            self.finished += 1
            if key in self.epochs:
                self.last_epochs.append(self.epochs[key])
            self._estimate()
        place, title = f"[{self.finished}/{self.total}]", self.titles[key]
        if kind == EventKind.DONE:
            metric = self.metrics[self.cells[key].task]
            value = event["scores"].get(metric)
            self.lines.say(f"{place} {title}: {metric} {'–' if value is None else f'{value:.4f}'}{self._left()}")
        elif kind == EventKind.FAILED:
            self.lines.say(f"{place} failed: {title}: {event['reason']}{self._left()}", style="red")
        elif kind == EventKind.PENDING:
            self._say_once(f"left pending: {event['reason']}")

    def _say_once(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            self.lines.say(line)


def titles_of(cells: list[Cell]) -> dict[str, str]:
    """Returns each cell's title by its key; where several cells have one title, with the recipe fields that differ."""
    same: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        same[cell.title].append(cell)
    titles = {}
    for title, group in same.items():
        recipes = {cell.key: cell.recipe.model_dump() for cell in group}
        differing = [name for name in group[0].recipe.model_dump() if len({str(r[name]) for r in recipes.values()}) > 1]
        for key, recipe in recipes.items():
            titles[key] = " · ".join([title, *(f"{name}={recipe[name]}" for name in differing)])
    return titles
