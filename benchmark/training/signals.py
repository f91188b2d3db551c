"""Delays the signals that end a process until the state of a training is written."""

import signal
import threading
from types import FrameType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """A context in which a first SIGTERM or Ctrl-C is only stored in `received`, until `pass_on` is called.

    `pass_on` raises the signal again for the earlier handler, which by default ends the process or raises
    KeyboardInterrupt. A second signal goes to the earlier handler at once. Python handles signals in the main thread only: in
    another thread nothing is delayed.
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
