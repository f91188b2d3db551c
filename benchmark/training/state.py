"""A training's exact state on disk: what a killed training continues from, bit for bit.

`state.pt` is replaced whole. The best weights lie in a file of their own, named by their epoch and written before the
state that names them, only when they are new; the state is thus never ahead of what it needs. Neither waits for the
disk: a power cut may damage them, which costs the training's time. `torch.save` writes a zip archive with a checksum of
each member; `torch.load` does not read the checksums, so `load` does.
"""

import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.checksums import is_intact_zip
from benchmark.files import atomic_file
from benchmark.training.optimizers import Schedule

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """The state of one training, in a folder of its own. `warn` is called with a line about a damaged one."""

    folder: Path
    warn: Callable[[str], None] = lambda _: None
    _whole: set[int] = field(default_factory=set)  # epochs whose weights this process wrote, or read whole

    @property
    def path(self) -> Path:
        """The state's file."""
        return self.folder / "state.pt"

    def save(self, state: dict[str, Any], best_weights: dict[str, torch.Tensor] | None = None) -> None:
        """Replaces the state, whole or not at all. `best_weights`, of the epoch `state["best_epoch"]`, are written first
        where they are not there yet; older ones are removed afterwards.
        """
        epoch = state["best_epoch"]
        best = self._best(epoch)
        if best_weights and epoch not in self._whole:
            _write(best, best_weights)
            self._whole.add(epoch)
        _write(self.path, {"format": FORMAT, **state})
        for file in self.folder.glob("best-*.pt"):
            if file != best:
                file.unlink()

    def load(self) -> dict[str, Any] | None:
        """Returns the last state, with its `best_weights`; None where there is none, or one that is damaged or of another
        format (the training then starts anew, which costs time and changes nothing).
        """
        if not self.path.is_file() or (state := self._read(self.path)) is None or state["format"] != FORMAT:
            return None
        if (epoch := state["best_epoch"]) is not None:
            if (best := self._read(self._best(epoch))) is None:
                return None
            state["best_weights"] = best
            self._whole.add(epoch)
        return state

    def _read(self, path: Path) -> dict[str, Any] | None:
        # an archive whose directory is damaged is an error of torch's, whichever its parsing meets
        with suppress(OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError):
            if is_intact_zip(path):
                return dict(torch.load(path, map_location="cpu", weights_only=True))
        self.warn(f"{path} was damaged: the training was started anew")
        return None

    def _best(self, epoch: int | None) -> Path:
        return self.folder / f"best-{epoch or 0:05d}.pt"


def _write(path: Path, content: dict[str, Any]) -> None:
    # through a file of ours: torch's own writer makes a RuntimeError of a full disk
    with atomic_file(path, durable=False) as partial, partial.open("wb") as file:
        torch.save(content, file)


def progress_of(
    module: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, **records: object
) -> dict[str, Any]:
    """Returns all that a training needs to continue, torch's random states among it; of the `records` of how far it is,
    their fields.
    """
    return {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        **{name: dict(vars(record)) for name, record in records.items()},
    }


def restore(
    progress: dict[str, Any],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    **records: object,
) -> None:
    """Puts what `progress_of` returned back into a training; tensors of the records go to the module's device."""
    module.load_state_dict(progress["module"])
    optimizer.load_state_dict(progress["optimizer"])
    schedule.load_state_dict(progress["schedule"])
    torch.set_rng_state(progress["rng"])
    if progress["rng_cuda"]:
        torch.cuda.set_rng_state_all(progress["rng_cuda"])
    device = next(module.parameters()).device
    for name, record in records.items():
        for field_name, value in progress[name].items():
            setattr(record, field_name, value.to(device) if isinstance(value, torch.Tensor) else value)
