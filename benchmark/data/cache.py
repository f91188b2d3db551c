"""Decodes once: every image of a split is stored as uint8 at one size, memory-mapped, shared by all models and seeds.

A cache is a folder (`data.cache_build` lists its files), built under a lock. Each image is compared with its checksum
when it is first used after the cache was opened; a damaged one is decoded again. A cache whose index is damaged or lost
is built anew.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.checksums import read_json
from benchmark.data.cache_build import PLACE, ROW, Progress, build, checksums_of
from benchmark.data.decoding import ImageFiles, StoredSize, decode
from benchmark.data.image_files import Pixels
from benchmark.data.source_files import SourceFiles
from benchmark.errors import BenchmarkError
from benchmark.files import TemporaryError, digest_of
from benchmark.locks import locked
from benchmark.text import first_few, plural

FORMAT = 2
Notify = Callable[[str], None]


class Images(Protocol):
    """Gives decoded images and their masks by row; implemented by a cache and by the image files themselves."""

    @property
    def channels(self) -> int: ...
    def image(self, row: int) -> Pixels: ...
    def masks(self, row: int) -> NDArray[np.uint8]: ...
    @property
    def unreadable(self) -> Mapping[int, str]: ...
    @property
    def notes(self) -> list[str]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Cache:
    """Reads a finished cache. Images are read-only views into a memory map. `contents` is what `cache.json` holds;
    `rows` are of the type ROW.
    """

    folder: Path
    source: ImageFiles
    stored_size: StoredSize
    contents: dict[str, Any]
    rows: NDArray[np.void]
    _lines: list[str] = field(default_factory=list)
    _checked: bytearray = field(default_factory=bytearray)
    _repaired: list[int] = field(default_factory=list)
    _unwritten: dict[int, tuple[Pixels, NDArray[np.uint8]]] = field(default_factory=dict)  # repaired, not writable

    def __post_init__(self) -> None:
        self._checked.extend(bytes(len(self.rows)))

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """Returns where each image lies: images x (start, height, width, channels)."""
        return np.stack([self.rows[name] for name in PLACE], axis=1).astype(np.int64)

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        # a plain view: slicing the memmap class itself costs more than a crop
        return np.asarray(np.memmap(self.folder / "pixels.bin", dtype=np.uint8, mode="r"))

    @cached_property
    def _masks(self) -> NDArray[np.uint8]:
        if not self.stored_size.masks:
            return np.empty((len(self.rows), 0), np.uint8)
        shape = (len(self.rows), *self.stored_size.mask_shape)
        return np.asarray(np.memmap(self.folder / "masks.bin", dtype=np.uint8, mode="r", shape=shape))

    @cached_property
    def unreadable(self) -> dict[int, str]:
        """Returns row -> why its image could not be decoded; black images stand for these."""
        return {int(row): reason for row, reason in self.contents["unreadable"].items()}

    @cached_property
    def channels(self) -> int:
        """Returns 1 where every image is gray, else 3."""
        return int(self.rows["channels"].max(initial=1))

    @property
    def notes(self) -> list[str]:
        """Returns lines for the records of the cells that used the cache: which images were damaged and decoded again."""
        images = first_few(sorted({self.source.images[row] for row in self._repaired}))
        count = len(set(self._repaired))
        repaired = f"{plural(count, 'image')} in the pixel cache {self.folder} were damaged and decoded again: {images}"
        return [*self._lines, repaired] if count else self._lines

    def image(self, row: int) -> Pixels:
        """Returns one image, height x width x its channels. Raises TemporaryError where it is damaged and cannot be
        repaired.
        """
        self._check(row)
        return self._unwritten[row][0] if row in self._unwritten else self._image(row)

    def masks(self, row: int) -> NDArray[np.uint8]:
        """Returns one image's masks, size x size x number of masks, 0 or 1. Raises the errors of `image`."""
        self._check(row)
        return self._unwritten[row][1] if row in self._unwritten else self._masks[row]

    def _image(self, row: int) -> Pixels:
        start, height, width, channels = self._places[row]
        return self._pixels[start : start + height * width * channels].reshape(height, width, channels)

    def _check(self, row: int) -> None:
        if not self._checked[row]:
            if not self._matches_checksums(row, self._image(row), self._masks[row]):
                self._repair(row)
            self._checked[row] = 1

    def _matches_checksums(self, row: int, pixels: Pixels, masks: NDArray[np.uint8]) -> bool:
        place = tuple(self._places[row].tolist())
        checksums = checksums_of(row, place, self.unreadable.get(row, ""), pixels, masks)
        return checksums == (self.rows["image"][row], self.rows["masks"][row])

    def _repair(self, row: int) -> None:
        name = self.source.images[row]
        try:
            pixels, masks = (np.ascontiguousarray(array) for array in decode(self.source, self.stored_size, row)[:2])
        except BenchmarkError as fault:
            raise TemporaryError(
                f"{self.folder}: {name} is damaged there and cannot be decoded again: {fault}"
            ) from fault
        if not self._matches_checksums(row, pixels, masks):
            raise TemporaryError(
                f"{self.folder}: {name} is damaged there, and the image is another one now: remove the folder to decode all "
                f"images again"
            )
        try:
            for file, start, content in (
                ("pixels.bin", int(self.rows["start"][row]), pixels),
                ("masks.bin", row * masks.nbytes, masks),
            ):
                if content.nbytes:
                    with (self.folder / file).open("rb+") as written:
                        written.seek(start)
                        written.write(content.tobytes())
        except OSError:  # a folder that cannot be written, a full disk
            self._unwritten[row] = pixels, masks
        self._repaired.append(row)


@dataclass(frozen=True, kw_only=True)
class UncachedImages:
    """Decodes images anew each time, for sets too large to store a second time. `unreadable` grows as such images are
    read.
    """

    source: ImageFiles
    stored_size: StoredSize
    unreadable: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def channels(self) -> int:
        """Returns the number of windows; where the task has none, 3, whatever the files have."""
        return len(self.source.windows) if self.source.windows else 3

    def image(self, row: int) -> Pixels:
        """Returns one image, height x width x its channels. Raises BenchmarkError where it cannot be decoded, unless
        the source is tolerant.
        """
        pixels, _, reason = decode(self.source, self.stored_size, row)
        if reason:
            self.unreadable[row] = reason
        return pixels

    def masks(self, row: int) -> NDArray[np.uint8]:
        """Returns one image's masks, size x size x number of masks, 0 or 1."""
        return decode(self.source, self.stored_size, row)[1]


def open_cache(
    source: ImageFiles,
    stored_size: StoredSize,
    home: Path,
    *,
    name: str,
    progress: Progress,
    notify: Notify = lambda _: None,
    threads: int = 2,
    ledgers: Path | None = None,
) -> Cache:
    """Returns the cache of these images at this size; builds it first where it does not exist or its index is damaged.
    `notify` is called with messages while the caller waits; `ledgers` is the folder of the ledgers of source files
    (default: `home`).

    Raises BenchmarkError for an unreadable image or mask and for phantoms among official images; DiskFullError;
    TemporaryError where images changed since they were first decoded.
    """
    identity = {
        "format": FORMAT,
        "data": source.data_digest,
        "working": asdict(stored_size),
        "images": digest_of([list(source.images), [list(m) for m in source.masks]]),
        **({"windows": source.windows} if source.windows else {}),
        **({"tolerant": True} if source.tolerant else {}),
    }
    folder = home / f"{name}-{stored_size.title}-{digest_of(identity)[:16]}"
    ledger = (ledgers or home) / f"{name}-files-{source.data_digest}"
    files = SourceFiles(ledger=ledger, root=source.root, verified=source.verified)
    if (index := _index_of(folder, identity)) is not None:
        files.check(source.files, threads=threads, progress=progress)
        return Cache(folder=folder, source=source, stored_size=stored_size, contents=index[0], rows=index[1])

    def decode_row(row: int) -> tuple[Pixels, NDArray[np.uint8], str]:
        decoded = decode(source, stored_size, row)
        files.add([source.images[row], *(source.masks[row] if source.masks else ())])
        return decoded

    home.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with locked(folder.with_name(folder.name + ".lock"), waiting=notify):
        if (index := _index_of(folder, identity)) is None:  # else another process built it meanwhile
            if folder.exists():
                lines = [f"the index of the pixel cache {folder} was damaged or lost: all images were decoded again"]
                notify(lines[0])
                shutil.rmtree(folder)
            files.check(files.known(source.files), threads=threads, progress=lambda *_: None)
            build(
                folder,
                len(source.images),
                decode_row,
                mask_size=int(np.prod(stored_size.mask_shape)),
                identity=identity,
                progress=progress,
                threads=threads,
            )
            index = _index_of(folder, identity)
    if index is None:
        raise TemporaryError(f"{folder}: damaged while it was written: give the same command again")
    return Cache(folder=folder, source=source, stored_size=stored_size, contents=index[0], rows=index[1], _lines=lines)


def _index_of(folder: Path, identity: dict[str, Any]) -> tuple[dict[str, Any], NDArray[np.void]] | None:
    """Returns the content of `cache.json` and the rows; None where these are missing, damaged or of another cache.
    Files of images that were cut off are extended to their size, so that their images count as damaged.
    """
    contents = read_json(folder / "cache.json")
    if contents is None or digest_of({name: contents.get(name) for name in identity}) != digest_of(identity):
        return None
    try:
        index = (folder / "rows.bin").read_bytes()
        for name, size in (("pixels.bin", contents["bytes"]), ("masks.bin", contents["mask_bytes"])):
            if size and (folder / name).stat().st_size < size:
                os.truncate(folder / name, size)
    except FileNotFoundError:
        return None
    return (contents, np.frombuffer(index, dtype=ROW)) if sha256(index).hexdigest() == contents["rows"] else None
