"""Images kept as rows of one HDF5 file: `file.h5#123` in an index is row 123 of its dataset "x".

The dataset is images x height x width x 3, uint8. A phantom's carries the mark in its attribute "comment".
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmark.data import PHANTOM_MARK
from benchmark.fault import Fault

SUFFIXES = (".h5", ".hdf5")
IMAGES = "x"
MOST_OPEN = 8
AGAIN = "copy it again from its source"
# file -> (what it was when it was opened, its handle, its images, whether a phantom's)
_OPEN: dict[Path, tuple[tuple[int, ...], h5py.File, h5py.Dataset, bool]] = {}
_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):  # no child inherits it taken
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def is_row(path: Path) -> bool:
    """Whether a path names a row of an HDF5 file."""
    file, _, row = path.name.rpartition("#")
    return bool(row) and file.lower().endswith(SUFFIXES)


def read_row(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """The image that `….h5#row` names (height x width x 3), and whether it is a phantom's. Raises Fault."""
    name, _, row = path.name.rpartition("#")
    file = path.with_name(name)
    if not row.isdecimal():
        raise Fault(f"{path}: wanted the number of a row, as in {name}#0")
    with _LOCK, _readable(file):
        images, phantom = _images_of(file)
        if int(row) >= len(images):
            raise Fault(f"{file}: no row {int(row):,}: it holds {len(images):,} images; {AGAIN}")
        return np.asarray(images[int(row)]), phantom


def read_dataset(file: Path, name: str) -> NDArray[Any]:
    """A whole dataset. Raises Fault."""
    with _readable(file), h5py.File(file, "r") as opened:
        return np.asarray(_dataset(opened, file, name)[()])


def write_dataset(file: Path, name: str, values: NDArray[np.uint8]) -> None:
    """Write a phantom's file of one dataset, marked."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # HDF5 writes over no file that is open
    with h5py.File(file, "w") as opened:
        opened.create_dataset(name, data=values).attrs["comment"] = PHANTOM_MARK


def _images_of(file: Path) -> tuple[h5py.Dataset, bool]:
    """The file's images, opened once for as long as it stays the same; another process opens its own."""
    told = file.stat()
    version = (told.st_size, told.st_mtime_ns, os.getpid())
    if file in _OPEN and _OPEN[file][0] == version:
        return _OPEN[file][2:]
    for stale in [file] if file in _OPEN else list(_OPEN)[: max(0, len(_OPEN) + 1 - MOST_OPEN)]:
        _OPEN.pop(stale)[1].close()
    opened = h5py.File(file, "r")
    try:
        images = _dataset(opened, file, IMAGES)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            found = f"{' x '.join(map(str, images.shape))} of {images.dtype}"
            raise Fault(f'{file}: dataset "{IMAGES}" is {found}: wanted images x height x width x 3 of uint8')
        phantom = PHANTOM_MARK in str(images.attrs.get("comment", ""))
    except BaseException:
        opened.close()
        raise
    _OPEN[file] = (version, opened, images, phantom)
    return images, phantom


def _dataset(opened: h5py.File, file: Path, name: str) -> h5py.Dataset:
    found = opened.get(name)
    if not isinstance(found, h5py.Dataset):
        raise Fault(f'{file}: no dataset "{name}"; found {", ".join(opened) or "none"}: {AGAIN}')
    return found


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn what HDF5 says of a damaged file into one line with its path."""
    try:
        yield
    except FileNotFoundError as error:
        raise Fault(f"{file}: no such file") from error
    except (OSError, RuntimeError, KeyError) as error:
        size = f"{file.stat().st_size:,} bytes" if file.exists() else "gone"
        reason = " ".join(str(error).split())[:160]
        raise Fault(f"{file}: unreadable HDF5 ({reason}; {size}): {AGAIN}") from error
