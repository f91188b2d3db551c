"""How the progress of a run is shown: not at all, or as bars on a terminal and plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from benchmark.cell import Cell
from benchmark.text import plural, printable

PLAIN_SECONDS = 30.0  # between two plain lines about one cell
Event = dict[str, Any]


class Progress:
    """What a run calls while it works. This class shows nothing; a subclass overrides the methods that it needs."""

    def say(self, line: str) -> None:
        """Takes a line that a user should read."""

    def download(self, name: str) -> AbstractContextManager[Callable[[int, int | None], None]]:  # noqa: ARG002 - for subclasses
        """Returns a context in which a weight file is downloaded; its value takes the bytes so far and the bytes in all."""
        return nullcontext(lambda _done, _total: None)

    def cells(self, cells: list[Cell], metrics: dict[str, str]) -> AbstractContextManager[Callable[[Event], None]]:  # noqa: ARG002 - for subclasses
        """Returns a context in which cells are trained; its value takes the scheduler's events (`benchmark.scheduler`).

        `metrics`: each task's primary score.
        """
        return nullcontext(lambda _event: None)

    def steps(self, name: str, total: int) -> AbstractContextManager[Callable[[dict[str, float]], None]]:  # noqa: ARG002 - for subclasses
        """Returns a context in which an encoder is trained for `total` steps; its value takes, now and then, the step with
        its `loss`, `learning_rate` and `seconds_left`.
        """
        return nullcontext(lambda _step: None)


class TerminalProgress(Progress):
    """Shows lines and bars on standard error."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    def say(self, line: str) -> None:
        """Prints the line in one piece, whatever the terminal's width is."""
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def download(self, name: str) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Shows a bar of bytes."""
        return bytes_bar(name)

    @contextmanager
    def cells(self, cells: list[Cell], metrics: dict[str, str]) -> Iterator[Callable[[Event], None]]:
        """Shows a bar for the grid and one for each cell that is trained."""
        with GridProgress(cells, metrics, self.console) as bars:
            yield bars.tell

    @contextmanager
    def steps(self, name: str, total: int) -> Iterator[Callable[[dict[str, float]], None]]:
        """Shows a bar of steps with the loss, or a line now and then where there is no terminal."""
        columns = (TextColumn(name), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
        spoken = time.monotonic()
        with ProgressBars(*columns, console=self.console, disable=not self.console.is_terminal) as bars:
            line = bars.add_task(name, total=total, note="")

            def show(step: dict[str, float]) -> None:
                nonlocal spoken
                left = timedelta(seconds=round(step["seconds_left"]))
                note = f"loss {step['loss']:.4f}, learning rate {step['learning_rate']:.4g}, {left} left"
                bars.update(line, completed=step["step"], note=note)
                if not self.console.is_terminal and time.monotonic() - spoken > PLAIN_SECONDS:
                    spoken = time.monotonic()
                    self.say(f"{name}: step {step['step']:,} of {total:,}, {note}")

            yield show


class GridProgress:
    """Shows scheduler events: the grid as a whole, and each cell being worked on with its epoch and scores.

    `metrics`: each task's primary score.
    """

    def __init__(self, cells: list[Cell], metrics: dict[str, str], console: Console) -> None:
        self.metrics = metrics
        self.cells = {cell.key: cell for cell in cells}
        self.console = console
        self.total = len(cells)
        self.finished = 0
        self.spoken: dict[str, float] = {}
        self.lines: dict[str, TaskID] = {}
        self.reasons: set[str] = set()  # for which cells stay pending
        self.said: set[str] = set()  # lines that are said once, however many cells they are about
        self.bars = ProgressBars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=False,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "GridProgress":  # noqa: PYI034 - typing.Self is of Python 3.11
        self.bars.start()
        self.grid = self.bars.add_task("cells", total=self.total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def tell(self, event: dict[str, Any]) -> None:
        """Take one scheduler event."""
        kind, key = event["event"], event.get("key", "")
        if kind == "workers":
            self._say(f"{plural(event['count'], 'worker')} on {event['device']}")
        elif kind == "started":
            recipe = self.cells[key].recipe
            more = event.get("together", 1) - 1
            title = self.cells[key].title + f" and {more:,} more" * bool(more)
            self.lines[key] = self.bars.add_task(title, total=recipe.most_epochs, note="starting")
            self.spoken[key] = time.monotonic()
        elif kind == "cache":
            self._update(key, event["done"], event["total"], f"decoding {event['task']} once")
        elif kind == "features":
            self._update(key, event["done"], event["total"], f"features of {event['weights']}, once")
        elif kind == "epoch":
            shown = ("loss", self.metrics[self.cells[key].task])
            told = {name: event.get(f"validation_{name}") for name in shown}
            scores = ", ".join(f"{name} {value:.3f}" for name, value in told.items() if value is not None)
            self._update(key, event["epoch"], self.cells[key].recipe.most_epochs, f"validation {scores}", "epoch ")
        elif kind == "note":
            self._say_once(event["text"])
        elif kind in ("done", "failed", "pending", "elsewhere", "requeued"):
            self._end(kind, key, event)

    def _update(self, key: str, done: int, total: int, note: str, unit: str = "") -> None:
        if key in self.lines:
            self.bars.update(self.lines[key], completed=done, total=total, note=note)
        if not self.console.is_terminal and time.monotonic() - self.spoken.get(key, 0) > PLAIN_SECONDS:
            self.spoken[key] = time.monotonic()
            self._say(f"{self.cells[key].title}: {unit}{done} of {'at most ' if unit else ''}{total}, {note}")

    def _end(self, kind: str, key: str, event: dict[str, Any]) -> None:
        if key in self.lines:
            self.bars.remove_task(self.lines.pop(key))
        name = self.cells[key].title
        if kind in ("done", "failed"):
            self.finished += 1
            self.bars.update(self.grid, completed=self.finished)
        if kind == "done":
            metric = self.metrics[self.cells[key].task]
            value = event["scores"].get(metric)
            self._say(f"[{self.finished}/{self.total}] {name}: {metric} {'–' if value is None else f'{value:.4f}'}")
        elif kind == "failed":
            self._say(f"[{self.finished}/{self.total}] {name}: FAILED: {event['reason']}")
        elif kind == "pending":
            if event["reason"] not in self.reasons:
                self.reasons.add(event["reason"])
                self._say(f"{name}: left pending: {event['reason']}")
        elif kind == "requeued":
            more = event.get("together", 1) - 1
            name += f" and {more:,} more" * bool(more)
            self._say(f"{name}: {event['reason']}; it is tried again from its last epoch")

    def _say_once(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            self._say(line)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def counted(name: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar of images done: call with the number done and in all; plain lines, now and then, where there is no terminal."""
    spoken = time.monotonic()
    columns = (
        TextColumn(name),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with ProgressBars(*columns, console=console, disable=not console.is_terminal) as bars:
        line = bars.add_task(name, total=None)

        def show(done: int, total: int) -> None:
            nonlocal spoken
            bars.update(line, completed=done, total=total)
            if not console.is_terminal and time.monotonic() - spoken > PLAIN_SECONDS:
                spoken = time.monotonic()
                console.print(f"{name}: {done:,} of {total:,}", markup=False, highlight=False)

        yield show


@contextmanager
def bytes_bar(name: str) -> Iterator[Any]:
    """A download's progress: call with bytes so far and in all."""
    console = Console(stderr=True)
    with ProgressBars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        line = bars.add_task(name, total=None, note="")

        def show(done: int, total: int | None) -> None:
            note = f"{done / 1e6:,.1f}" + (f" of {total / 1e6:,.1f} MB" if total else " MB")
            bars.update(line, completed=done, total=total, note=note)

        yield show
    if console.is_terminal:
        console.print(f"{name}: here", markup=False, highlight=False)
