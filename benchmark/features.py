"""Features of frozen encoders, computed once and kept: a row for each image of a task, in half precision. Torch-free.

A cache is a folder that is named by what its numbers depend on (weights, images, how these are framed and normalised):
`features.bin` (images x width, float16, memory-mapped), `done.bin` (which rows are there, a byte each), `ids.txt` (the
images' ids, a line each), `features.json`.
Rows are marked only after they were written, so a killed pass continues where it was; rows are computed when they are
first asked for, under a lock, and shared by all cells, folds and processes.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from benchmark.cell import Cell, Weights
from benchmark.disk import digest_of, space_for, write_whole
from benchmark.fault import Fault

FORMAT = 1
Rows = NDArray[np.int64]
Features = NDArray[np.float16]
Compute = Callable[[Rows], Iterator[tuple[Rows, NDArray[np.floating[Any]]]]]
LARGEST = float(np.finfo(np.float16).max)
# what decides over a frozen encoder's input, beside the images themselves
VIEW = ("image_size", "framing", "precision")


@dataclass(frozen=True)
class FeatureCache:
    """One folder of features."""

    folder: Path

    def read(self, rows: Rows, num: int, compute: Compute) -> Features:
        """All `num` rows as a memory map, of which `rows` are there: those that are missing are computed first.

        `compute(missing)` yields rows and their features, batch x width (all NaN: of what could not be decoded). The map
        is a private copy-on-write view. Raises Fault for features that half precision cannot hold, and for a damaged folder.
        """
        with space_for(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                done = self._done(num)
                missing = rows[done[rows] == 0]
                if len(missing):
                    self._fill(np.unique(missing), num, done, compute)
        return self._map(num, self._width(), "c")

    def name(self, ids: Iterable[str]) -> None:
        """Write down whose features the rows are, for those who read them without the images."""
        path = self.folder / "ids.txt"
        if not path.is_file():
            with space_for(self.folder):
                write_whole(path, "".join(f"{name}\n" for name in ids))

    def of(self, ids: NDArray[np.str_]) -> Features | None:
        """The features of some images, by their ids; None where not all of them are there."""
        path = self.folder / "ids.txt"
        if not path.is_file() or not (self.folder / "done.bin").is_file():
            return None
        named = {name: row for row, name in enumerate(path.read_text(encoding="utf-8").splitlines())}
        rows = np.array([named.get(str(name), -1) for name in ids], dtype=np.int64)
        done = self._done(len(named))
        if (rows < 0).any() or not (done[rows] == 1).all():
            return None
        return np.asarray(self._map(len(named), self._width(), "r")[rows])

    def _fill(self, missing: Rows, num: int, done: NDArray[np.uint8], compute: Compute) -> None:
        held: Features | None = None
        for rows, features in compute(missing):
            known = features[~np.isnan(features).all(axis=1)]
            if not (np.abs(known) <= LARGEST).all():  # false for what is no number, too
                raise Fault(
                    "the encoder's features are beyond half precision, or no numbers: it cannot be evaluated frozen"
                )
            if held is None:
                held = self._created(num, features.shape[1])
            held[rows] = features.astype(np.float16)
            held.flush()  # type: ignore[attr-defined] # a row that is marked is there
            done[rows] = 1
            done.flush()  # type: ignore[attr-defined]

    def _done(self, num: int) -> NDArray[np.uint8]:
        path = self.folder / "done.bin"
        if not path.is_file():
            write_whole(path, bytes(num))
        if path.stat().st_size != num:
            raise Fault(f"{self.folder}: damaged features: delete the folder, they are computed again")
        return np.memmap(path, dtype=np.uint8, mode="r+")

    def _created(self, num: int, width: int) -> Features:
        path = self.folder / "features.bin"
        if not path.is_file():
            with path.open("wb") as file:
                file.truncate(num * width * 2)
            write_whole(self.folder / "features.json", json.dumps({"format": FORMAT, "num": num, "width": width}))
        return self._map(num, width, "r+")

    def _width(self) -> int:
        try:
            return int(json.loads((self.folder / "features.json").read_text())["width"])
        except (OSError, ValueError, KeyError) as error:
            raise Fault(f"{self.folder}: damaged features: delete the folder, they are computed again") from error

    def _map(self, num: int, width: int, mode: str) -> Features:
        path = self.folder / "features.bin"
        if not path.is_file() or path.stat().st_size != num * width * 2:
            raise Fault(f"{self.folder}: damaged features: delete the folder, they are computed again")
        return np.memmap(path, dtype=np.float16, mode=mode, shape=(num, width))  # type: ignore[call-overload]


def cache_of(folder: Path, cell: Cell, weights: Weights) -> FeatureCache:
    """Where the features of one of a cell's encoders lie: one folder for all cells that see the same."""
    told = weights.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    view = {name: getattr(cell.recipe, name) for name in VIEW}
    # fresh weights are drawn from the cell's seed by its rule
    seed = {"seed": cell.seed, "initialization": cell.recipe.initialization} if weights.fresh else {}
    alike = {"format": FORMAT, "weights": told, "task": cell.task_digest, "data": cell.data_digest, **view, **seed}
    return FeatureCache(folder / cell.task / digest_of(alike)[:16])
