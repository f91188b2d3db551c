"""The folders of all cells, found quickly, and the reading of many records at once."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cell_folders(root: Path) -> list[Path]:
    """Returns every cell's folder of a results folder, in order of task and key."""
    return [Path(cell) for task in _subfolders(str(root / "cells")) for cell in _subfolders(task)]


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pauses the garbage collector: where all records stay in memory, its searches take a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
