"""A training's exact state on disk, after every epoch: what a killed cell continues from, bit for bit.

`state.pt` is replaced whole each epoch. The best weights lie in a file of their own, named by their epoch and written
before the state that speaks of them, only when they are new; the state is thus never ahead of what it needs. Neither
waits for the disk: a power cut may damage them, which costs the training's time. `torch.save` writes a zip archive with a
checksum of each member; `torch.load` does not read the checksums, so `load` does.
"""

import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.checksums import is_whole_zip
from benchmark.files import whole_file

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """The state of one training, in a folder of its own. `warn` is called with a line about a damaged one."""

    folder: Path
    warn: Callable[[str], None] = lambda _: None

    @property
    def path(self) -> Path:
        """The state's file."""
        return self.folder / "state.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state, whole or not at all; older best weights go afterwards."""
        _write(self.path, {"format": FORMAT, **state})
        for file in self.folder.glob("best-*.pt"):
            if file != self._best(state["best_epoch"]):
                file.unlink()

    def save_best(self, epoch: int, weights: dict[str, torch.Tensor]) -> None:
        """Keep the weights of an epoch; the state that follows may name it as the best."""
        _write(self._best(epoch), weights)

    def load(self) -> dict[str, Any] | None:
        """The last state, with its best weights; None where there is none, or one that is damaged or of another format
        (the training then starts anew, which costs time and changes nothing).
        """
        if not self.path.is_file() or (state := self._read(self.path)) is None or state["format"] != FORMAT:
            return None
        if (epoch := state["best_epoch"]) is not None:
            if (best := self._read(self._best(epoch))) is None:
                return None
            state["best_weights"] = best
        return state

    def _read(self, path: Path) -> dict[str, Any] | None:
        # an archive whose directory is damaged is an error of torch's, whichever its parsing meets
        with suppress(OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError):
            if is_whole_zip(path):
                return dict(torch.load(path, map_location="cpu", weights_only=True))
        self.warn(f"{path} was damaged: the training was started anew")
        return None

    def _best(self, epoch: int | None) -> Path:
        return self.folder / f"best-{epoch or 0:05d}.pt"


def _write(path: Path, content: dict[str, Any]) -> None:
    # through a file of ours: torch's own writer makes a RuntimeError of a full disk
    with whole_file(path, durable=False) as partial, partial.open("wb") as file:
        torch.save(content, file)
