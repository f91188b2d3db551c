"""Remembers a data set's files as they were when they were first decoded, so that a changed image is noticed.

The digest in a cell's key reads the table and a few of the files; the ledger here covers all of them. A data set has
one ledger with a line for each file: the line's checksum, the file's size, its modification time (nanoseconds), the
checksum of its content, its name. Lines are appended, a later one replaces an earlier one, a damaged one counts as
missing.
"""

import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmark.data import hdf5
from benchmark.data.image_files import files_of
from benchmark.files import TemporaryError
from benchmark.text import first_few, plural

BLOCK = 1 << 20


@dataclass(frozen=True)
class FileState:
    """Holds a file's size in bytes, its modification time in nanoseconds, and the CRC-32 of its content."""

    size: int
    time: int
    checksum: int


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """Compares the files of a data set under `root` with their `ledger`.

    `verified`: names that were already compared; a process that opens many caches shares one set, and so reads each
    file once.
    """

    ledger: Path
    root: Path
    verified: set[str] = field(default_factory=set)

    def check(self, named: Iterable[str], *, threads: int, progress: Callable[[int, int], None]) -> None:
        """Compares the files that an index names with the ledger: by size and time, and where these differ, as in a
        copied data set, by content. Files that the ledger does not have are added; missing files are left for their
        reader to report.

        Raises TemporaryError where contents changed: cells of one key would be trained on different images.
        """
        names = [name for name in _files(named) if name not in self.verified]
        to_read = [name for name in names if not self._has_known_times(name)]
        changed = []
        with ThreadPoolExecutor(threads) as pool:
            for number, (name, same) in enumerate(
                zip(to_read, pool.map(self._has_known_content, to_read), strict=True), 1
            ):
                if not same:
                    changed.append(name)
                if number % 1000 == 0 or number == len(to_read):
                    progress(number, len(to_read))
        if changed:
            raise TemporaryError(
                f"{self.root}: {plural(len(changed), 'file')} changed since the images were first decoded "
                f"({first_few(changed)}), so that cells of one key would see different images: put the files back; or, where "
                f"the change is meant, remove {self.ledger}, the task's pixel and feature caches, and its results"
            )
        self.verified.update(names)

    def add(self, named: Iterable[str]) -> None:
        """Adds the files that an index names, in their present state, where the ledger does not have them."""
        for name in _files(named):
            if name not in self._known:
                self._has_known_content(name)

    def known(self, named: Iterable[str]) -> list[str]:
        """Returns those of the files that an index names which the ledger has."""
        return [name for name in _files(named) if name in self._known]

    @cached_property
    def _known(self) -> dict[str, FileState]:
        states = {}
        with suppress(OSError):
            for line in self.ledger.read_bytes().split(b"\n"):
                own, _, content = line.partition(b" ")
                if own == b"%08x" % zlib.crc32(content):
                    size, time, crc, name = content.split(b" ", 3)
                    states[os.fsdecode(name)] = FileState(int(size), int(time), int(crc, 16))
        return states

    def _has_known_times(self, name: str) -> bool:
        known = self._known.get(name)
        try:
            status = os.stat(f"{self.root}/{name}")  # noqa: PTH116 - a Path for each of many files takes longer than stat itself
        except OSError:
            return True
        return known is not None and (known.size, known.time) == (status.st_size, status.st_mtime_ns)

    def _has_known_content(self, name: str) -> bool:
        """Returns whether the content is that of the ledger, or the file is new to it; records its present time."""
        known = self._known.get(name)
        try:
            state = _state_of(self.root / name)
        except OSError:
            return True
        if known is not None and (known.size, known.checksum) != (state.size, state.checksum):
            return False
        self._known[name] = state
        content = b"%d %d %08x %s" % (state.size, state.time, state.checksum, os.fsencode(name))
        with suppress(OSError):
            self.ledger.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError), self.ledger.open("ab") as file:  # what cannot be remembered is read again the next time
            file.write(
                b"\n%08x %s" % (zlib.crc32(content), content)
            )  # the line break comes first: it ends a line that was cut off
        return True


def _files(named: Iterable[str]) -> list[str]:
    """Returns the files behind the names of an index, each once; for rows of an HDF5 file, that file."""
    names = (name for entry in named for name in files_of(entry))
    return list(
        dict.fromkeys(name.rpartition("#")[0] if "#" in name and hdf5.is_row(Path(name)) else name for name in names)
    )


def _state_of(path: Path) -> FileState:
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        crc = 0
        while block := file.read(BLOCK):
            crc = zlib.crc32(block, crc)
    return FileState(about.st_size, about.st_mtime_ns, crc)
