"""Signals that end a process, held back until a training's state is written."""

import signal
import threading
from types import FrameType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While it is entered, a first SIGTERM or Ctrl-C is only noted: `received`. `pass_on` hands it to whoever handled
    signals before, by default the end of the process or a KeyboardInterrupt; a second one goes there at once.

    Python handles signals in the main thread alone: in another one nothing is held back.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":  # noqa: PYI034 - typing.Self is of Python 3.11
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def pass_on(self) -> None:
        """Hands on the signal that was received; does nothing where there was none."""
        if self.received is not None:
            number, self.received = self.received, None
            self._restore()
            signal.raise_signal(number)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
