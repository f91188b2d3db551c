"""Stores features of frozen encoders, computed once: a row for each image of a task, in half precision. Torch-free.

A cache is a folder that is named by what its numbers depend on (weights, images, how these are framed and normalized):

    features.bin    images x width, float16, memory-mapped
    checksums.bin   for each row the checksum of its bytes, its number and its image's id; 0 where it was not computed yet
    ids.txt         the images' ids, a line each

Rows are computed when they are first requested, under a lock, and shared by all cells, folds and processes. Whenever rows are
read they are compared with their checksums; those that are damaged are computed again, so that no kill, lost file or power
cut makes a wrong number. A complete cache is read without writing anything.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.cell import Cell, Weights
from benchmark.errors import BenchmarkError
from benchmark.files import DiskFullError, digest_of, space_for, write_atomically
from benchmark.locks import locked
from benchmark.text import plural

FORMAT = 2
Rows = NDArray[np.int64]
Features = NDArray[np.float16]
Compute = Callable[[Rows], Iterator[tuple[Rows, NDArray[np.floating[Any]]]]]
LARGEST = float(np.finfo(np.float16).max)
# the fields of the recipe that, with the images themselves, decide what a frozen encoder gets
VIEW = ("image_size", "framing", "precision")


@dataclass(frozen=True)
class FeatureCache:
    """Reads and fills one folder of features. `notify` is called with messages while the caller waits."""

    folder: Path
    notify: Callable[[str], None] = lambda _: None

    def read(self, rows: Rows, ids: Sequence[str], compute: Compute) -> tuple[Features, list[str]]:
        """Returns a memory map of the features of all images (`ids`), of which `rows` are filled, and lines about
        damage. Missing and damaged rows are computed first.

        `compute(missing)` yields rows and their features, batch x width (all NaN for an image that could not be
        decoded). The map is a private copy-on-write view. Raises BenchmarkError for features that half precision cannot
        hold, and DiskFullError.
        """
        rows = np.unique(rows)
        features, missing, _ = self._checked(rows, ids)
        notes = []
        if features is None or len(missing):
            with space_for(self.folder, left="the features that were computed so far are kept"):
                self.folder.mkdir(parents=True, exist_ok=True)
                with locked(self.folder / ".lock", waiting=self.notify):
                    features, missing, num_damaged = self._checked(rows, ids)
                    if num_damaged:
                        damaged_rows = plural(num_damaged, "row")
                        notes.append(f"{damaged_rows} of the features in {self.folder} were damaged and computed again")
                    if len(missing):
                        self._fill(missing, ids, compute)
            features = self._map(len(ids), "c")
        self._name(ids)
        if features is None:
            raise BenchmarkError(f"{self.folder}: no features were computed")
        return features, notes

    def features_of(self, ids: NDArray[np.str_]) -> Features | None:
        """Returns the features of some images, by their ids; None where any of them is missing or damaged."""
        try:
            names = (self.folder / "ids.txt").read_text(encoding="utf-8").split("\n")[:-1]
        except (OSError, UnicodeDecodeError):
            return None
        named = {name: row for row, name in enumerate(names)}
        rows = np.array([named.get(str(name), -1) for name in ids], dtype=np.int64)
        if (rows < 0).any():
            return None
        features, missing, _ = self._checked(np.unique(rows), names)
        return None if features is None or len(missing) else np.asarray(features[rows])

    def _checked(self, rows: Rows, ids: Sequence[str]) -> tuple[Features | None, Rows, int]:
        """Returns the features, which of the rows are missing or damaged, and how many are damaged."""
        features, known = self._map(len(ids), "c"), self._checksums(len(ids))
        if features is None:
            return None, rows, int((known[rows] != 0).sum())
        here, plain = rows[known[rows] != 0], np.asarray(features)  # slicing the memmap class itself takes longer
        checksums = np.array([_checksum(plain[row], row, ids[row]) for row in here.tolist()], dtype=known.dtype)
        damaged = here[checksums != known[here]]
        return features, np.union1d(rows[known[rows] == 0], damaged), len(damaged)

    def _fill(self, missing: Rows, ids: Sequence[str], compute: Compute) -> None:
        known = self._checksums(len(ids))
        known[missing] = 0
        write_atomically(self.folder / "checksums.bin", known.tobytes())
        (self.folder / "features.bin").touch()
        with (self.folder / "features.bin").open("r+b") as file, (self.folder / "checksums.bin").open("r+b") as sums:
            for rows, features in compute(missing):
                computed = features[~np.isnan(features).all(axis=1)]
                if not (np.abs(computed) <= LARGEST).all():  # false for what is no number, too
                    raise BenchmarkError(
                        "the encoder's features are beyond half precision, or no numbers: it cannot be evaluated frozen"
                    )
                halved = features.astype(np.float16)
                os.truncate(file.fileno(), len(ids) * halved.shape[1] * 2)  # to its full size, without taking the space
                for row, content in zip(rows.tolist(), halved, strict=True):
                    file.seek(row * content.nbytes)
                    file.write(content.tobytes())
                file.flush()
                for row, content in zip(rows.tolist(), halved, strict=True):
                    sums.seek(row * known.itemsize)
                    sums.write(np.array(_checksum(content, row, ids[row]), dtype=known.dtype).tobytes())
                sums.flush()

    def _map(self, num: int, mode: str) -> Features | None:
        """Returns all rows as a memory map; None where the file's size does not fit. The width follows from the size,
        and the checksums confirm it.
        """
        path = self.folder / "features.bin"
        size = path.stat().st_size if path.is_file() else 0
        if size == 0 or num == 0 or size % (2 * num):
            return None
        return np.memmap(path, dtype=np.float16, mode=mode, shape=(num, size // (2 * num)))  # type: ignore[call-overload]

    def _checksums(self, num: int) -> NDArray[np.uint32]:
        with suppress(OSError):
            known = np.fromfile(self.folder / "checksums.bin", dtype="<u4")
            if len(known) == num:
                return known
        return np.zeros(num, dtype="<u4")

    def _name(self, ids: Sequence[str]) -> None:
        """Writes the images' ids, for those who read the features without the images."""
        path, text = self.folder / "ids.txt", "".join(f"{name}\n" for name in ids)
        try:
            if path.read_bytes() == text.encode():
                return
        except OSError:
            pass
        with suppress(OSError, DiskFullError):  # a folder that cannot be written; figures do without
            write_atomically(path, text)


def _checksum(features: Any, row: int, name: str) -> int:
    return zlib.crc32(features, zlib.crc32(f"{row} {name}".encode())) or 1  # 0 stands for a row that is not there


def cache_of(folder: Path, cell: Cell, weights: Weights) -> FeatureCache:
    """Returns the cache of one of a cell's encoders: one folder for all cells whose encoder sees the same images in the
    same way.
    """
    weights_facts = weights.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    view = {name: getattr(cell.recipe, name) for name in VIEW}
    # fresh weights are drawn from the cell's seed by its rule
    seed = {"seed": cell.seed, "initialization": cell.recipe.initialization} if weights.fresh else {}
    identity = {
        "format": FORMAT,
        "weights": weights_facts,
        "task": cell.task_digest,
        "data": cell.data_digest,
        **view,
        **seed,
    }
    return FeatureCache(folder / cell.task / digest_of(identity)[:16])
