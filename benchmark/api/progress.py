"""How the progress of a run is shown: not at all, or as bars on a terminal and plain lines elsewhere and in a log file."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBars
from rich.table import Column

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.text import printable

PLAIN_SECONDS = 30.0  # between two plain lines about one thing
NARROW = 110  # columns; below, a bar's text stands on lines of its own, without the bar
Event = dict[str, Any]


class Progress:
    """What a run calls while it works. This class shows nothing; a subclass overrides the methods that it needs."""

    def say(self, line: str) -> None:
        """Takes a line that a user should read."""

    def download(self, name: str) -> AbstractContextManager[Callable[[int, int | None], None]]:  # noqa: ARG002 - for subclasses
        """Returns a context in which a weight file is downloaded; its value takes the bytes so far and the bytes in all."""
        return nullcontext(lambda _done, _total: None)

    def cells(self, cells: list[Cell], metrics: dict[str, str]) -> AbstractContextManager[Callable[[Event], None]]:  # noqa: ARG002 - for subclasses
        """Returns a context in which cells are trained; its value takes the scheduler's events (`benchmark.events`).

        `metrics`: each task's primary score.
        """
        return nullcontext(lambda _event: None)

    def steps(self, name: str, total: int) -> AbstractContextManager[Callable[[dict[str, float]], None]]:  # noqa: ARG002 - for subclasses
        """Returns a context in which an encoder is trained for `total` steps; its value takes, now and then, the step with
        its `loss`, `learning_rate` and `seconds_left`.
        """
        return nullcontext(lambda _step: None)


class Lines:
    """Prints lines on standard error, and appends them with their time to a log file, if there is one.

    Raises BenchmarkError where the log file cannot be written.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.console = Console(stderr=True)
        self.log = log
        self.seconds: dict[str, float] = {}
        self._append("")

    def say(self, line: str, style: str | None = None) -> None:
        """Prints and logs a line in one piece, whatever the terminal's width is."""
        self.console.print(printable(line), style=style, markup=False, highlight=False, soft_wrap=True)
        self._append(line)

    def begin(self, key: str) -> None:
        """Starts the time after which `say_rarely` says the first line about a thing."""
        self.seconds[key] = time.monotonic()

    def say_rarely(self, key: str, line: str) -> None:
        """Logs a line about a thing at most every PLAIN_SECONDS, and prints it where no bar shows the same."""
        if time.monotonic() - self.seconds.get(key, 0.0) > PLAIN_SECONDS:
            self.begin(key)
            if self.console.is_terminal:
                self._append(line)
            else:
                self.say(line)

    def _append(self, line: str) -> None:
        if self.log is None:
            return
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{now} {printable(line)}\n" if line else "")
        except OSError as error:
            raise BenchmarkError(f"--log {self.log}: cannot be written: {error.strerror}") from error

    def bars(self, *columns: Any, transient: bool = False) -> ProgressBars:
        """Returns bars, or what goes without them where the terminal is narrow: a description, how much is done, a note."""
        shown: list[Any]
        is_narrow = self.console.width < NARROW
        if is_narrow:
            text = "{task.description}  {task.fields[note]}"
            shown = [TextColumn(text, markup=False, table_column=Column(overflow="fold", ratio=1)), *columns]
        else:
            description = TextColumn("{task.description}", markup=False)
            note = TextColumn("{task.fields[note]}", markup=False)
            shown = [description, BarColumn(bar_width=24), *columns, note]
        disable = not self.console.is_terminal
        return ProgressBars(*shown, console=self.console, transient=transient, disable=disable, expand=is_narrow)


class TerminalProgress(Progress):
    """Shows lines and bars on standard error; `log`: a file to which the lines are appended too."""

    def __init__(self, log: Path | None = None) -> None:
        self.lines = Lines(log)

    def say(self, line: str) -> None:
        """Prints the line in one piece."""
        self.lines.say(line)

    def download(self, name: str) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Shows a bar of bytes."""
        return bytes_bar(name)

    @contextmanager
    def cells(self, cells: list[Cell], metrics: dict[str, str]) -> Iterator[Callable[[Event], None]]:
        """Shows a bar for the grid and one for each cell that is trained."""
        from benchmark.api.grid_progress import GridProgress

        with GridProgress(cells, metrics, self.lines) as grid:
            yield grid.show

    @contextmanager
    def steps(self, name: str, total: int) -> Iterator[Callable[[dict[str, float]], None]]:
        """Shows a bar of steps with the loss, or a line now and then where there is no terminal."""
        with self.lines.bars(MofNCompleteColumn()) as bars:
            bar = bars.add_task(name, total=total, note="")

            def show(step: dict[str, float]) -> None:
                left = timedelta(seconds=round(step["seconds_left"]))
                note = f"loss {step['loss']:.4f}, learning rate {step['learning_rate']:.4g}, {left} left"
                bars.update(bar, completed=step["step"], note=note)
                self.lines.say_rarely(name, f"{name}: step {step['step']:,} of {total:,}, {note}")

            self.lines.begin(name)
            yield show


@contextmanager
def count_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how many of something are done: call its value with the number done and in all."""
    lines = Lines()
    with lines.bars(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as bars:
        bar = bars.add_task(name, total=None, note="")

        def show(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)
            lines.say_rarely(name, f"{name}: {done:,} of {total:,}")

        lines.begin(name)
        yield show


@contextmanager
def bytes_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows a download: call its value with the bytes so far and in all."""
    lines = Lines()
    with lines.bars(DownloadColumn(), transient=True) as bars:
        bar = bars.add_task(name, total=None, note="")

        def show(done: int, total: int | None) -> None:
            bars.update(bar, completed=done, total=total)

        yield show
    if lines.console.is_terminal:
        lines.say(f"{name}: here")
