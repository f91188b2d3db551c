"""Reads images that are rows of one HDF5 file: `file.h5#123` in an index is row 123 of its dataset "x".

The dataset is images x height x width x 3, uint8. A phantom's has the mark in its attribute "comment".

HDF5 can refer to other files for a dataset, and can claim that a few bytes are billions of numbers. Here a dataset must
lie in its own file, under its own name, and the memory that a read needs is known before it is allocated.
"""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmark.data import MAX_PIXELS
from benchmark.data.phantom_mark import PHANTOM_MARK
from benchmark.errors import BenchmarkError
from benchmark.text import first_few

SUFFIXES = (".h5", ".hdf5")
IMAGES = "x"
MAX_OPEN = 8
MAX_LABELS = 1 << 22  # numbers of a dataset that is read at once: sixteen times those of PatchCamelyon
MAX_BYTES = 3 * MAX_PIXELS  # of an image, and of the block that it is packed in
MAX_DIGITS = 18  # of a row's number
DEFLATE, SHUFFLE, CHECKSUM = 1, 2, 3  # HDF5's numbers of filters
DEFLATED_AT_MOST = 1032  # times: zlib's own limit (https://www.zlib.net/zlib_tech.html)
AGAIN = "copy it again from its source"
# file -> ((size, time, process) when it was opened, its handle, its images, whether they are phantoms)
_OPEN: dict[Path, tuple[tuple[int, ...], h5py.File, h5py.Dataset, bool]] = {}
_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):  # so that no child inherits a locked lock
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def is_row(path: Path) -> bool:
    """Returns whether a path names a row of an HDF5 file."""
    file, _, row = path.name.rpartition("#")
    return bool(row) and file.lower().endswith(SUFFIXES)


def read_row(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """Returns the image that `….h5#row` names (height x width x 3), and whether it is a phantom's. Raises
    BenchmarkError.
    """
    name, _, row = path.name.rpartition("#")
    file = path.with_name(name)
    if not row.isdecimal():
        raise BenchmarkError(f"{path}: wanted the number of a row, as in {name}#0")
    with _LOCK, _readable(file):
        images, phantom = _images_of(file)
        if int(row[:MAX_DIGITS]) >= len(images):
            raise BenchmarkError(f"{file}: no row {int(row[:MAX_DIGITS]):,}: it holds {len(images):,} images; {AGAIN}")
        _check_block(images, file, int(row))
        return np.asarray(images[int(row)]), phantom


def read_dataset(file: Path, name: str) -> NDArray[Any]:
    """Returns a complete dataset of at most MAX_LABELS numbers. Raises BenchmarkError."""
    with _readable(file), h5py.File(file, "r") as opened:
        dataset = _dataset(opened, file, name)
        if dataset.size is None or dataset.size > MAX_LABELS or dataset.dtype.kind not in "biuf":
            shape = f"{' x '.join(map(str, dataset.shape or ()))} of {dataset.dtype}"
            raise BenchmarkError(f'{file}: dataset "{name}" is {shape}: wanted at most {MAX_LABELS:,} numbers')
        if dataset.nbytes > DEFLATED_AT_MOST * max(dataset.id.get_storage_size(), 1):
            raise BenchmarkError(
                f'{file}: dataset "{name}" declares {dataset.nbytes:,} bytes, which the file does not have; {AGAIN}'
            )
        for block in dataset.iter_chunks() if dataset.chunks else ():
            _check_block(dataset, file, *(part.start for part in block))
        return np.asarray(dataset[()])


def _images_of(file: Path) -> tuple[h5py.Dataset, bool]:
    """Returns the file's images and whether they are phantoms. Keeps the file open until it changes; each process opens
    its own.
    """
    status = file.stat()
    version = (status.st_size, status.st_mtime_ns, os.getpid())
    if file in _OPEN and _OPEN[file][0] == version:
        return _OPEN[file][2:]
    for stale in [file] if file in _OPEN else list(_OPEN)[: max(0, len(_OPEN) + 1 - MAX_OPEN)]:
        _OPEN.pop(stale)[1].close()
    opened = h5py.File(file, "r")
    try:
        images = _dataset(opened, file, IMAGES)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            shape = f"{' x '.join(map(str, images.shape))} of {images.dtype}"
            raise BenchmarkError(f'{file}: dataset "{IMAGES}" is {shape}: wanted images x height x width x 3 of uint8')
        if images.shape[1] * images.shape[2] > MAX_PIXELS:
            size = f"{images.shape[2]:,} x {images.shape[1]:,}"
            raise BenchmarkError(f"{file}: refused, its images are {size}: wanted at most {MAX_PIXELS:,} pixels")
        phantom = PHANTOM_MARK in str(images.attrs.get("comment", ""))
    except BaseException:
        opened.close()
        raise
    _OPEN[file] = (version, opened, images, phantom)
    return images, phantom


def _dataset(opened: h5py.File, file: Path, name: str) -> h5py.Dataset:
    """Returns the dataset of that name that lies in the file itself. Raises BenchmarkError."""
    if not isinstance(opened.get(name, getlink=True), h5py.HardLink | None):
        raise BenchmarkError(
            f'{file}: refused, "{name}" is a link to another place: wanted a dataset in the file itself'
        )
    dataset = opened.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise BenchmarkError(f'{file}: no dataset "{name}"; found {first_few(opened, 8) or "none"}: {AGAIN}')
    if dataset.external or dataset.is_virtual:
        raise BenchmarkError(f'{file}: refused, dataset "{name}" lies in other files: wanted one in the file itself')
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    if not {*filters} <= {DEFLATE, SHUFFLE, CHECKSUM} or filters.count(DEFLATE) > 1:
        raise BenchmarkError(
            f'{file}: refused, dataset "{name}" is packed by the filters {filters}: wanted gzip, once, or none'
        )
    return dataset


def _check_block(dataset: h5py.Dataset, file: Path, *place: int) -> None:
    """Raises BenchmarkError where the block that holds the numbers from `place` on unpacks to more than it should.

    HDF5's own filter inflates a block to its end, however large that is.
    """
    if not dataset.chunks:
        return
    size = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize
    corner = tuple(at - at % side for at, side in zip((*place, *(0,) * dataset.ndim), dataset.chunks, strict=False))
    status = dataset.id.get_chunk_info_by_coord(corner)
    if size > MAX_BYTES or (status.size or 0) > 2 * size + 1024:
        raise BenchmarkError(
            f"{file}: refused, a block of {status.size or 0:,} bytes unpacks to {size:,}: wanted at most {MAX_BYTES:,}"
        )
    if (status.size or 0) * DEFLATED_AT_MOST <= MAX_BYTES or dataset.compression != "gzip":
        return
    packed = dataset.id.read_direct_chunk(corner)[1]
    if len(zlib.decompressobj().decompress(packed, size + 1)) > size:
        raise BenchmarkError(f"{file}: refused, a block unpacks to more than its {size:,} bytes")


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turns HDF5's errors about a damaged file into a BenchmarkError of one line with the path."""
    try:
        yield
    except FileNotFoundError as error:
        raise BenchmarkError(f"{file}: no such file") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zlib.error) as error:
        size = f"{file.stat().st_size:,} bytes" if file.exists() else "gone"
        reason = " ".join(str(error).split())[:160]
        raise BenchmarkError(f"{file}: unreadable HDF5 ({reason}; {size}): {AGAIN}") from error
