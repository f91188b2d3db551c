"""Extracts single files from a zip or tar of unknown origin. Torch-free.

Only the requested files are written, under names that are chosen here; no path and no link of the archive is followed.
What would unpack to far more than the archive's own size is refused before it does.
"""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from benchmark.errors import BenchmarkError

MAX_GROWTH = 4  # weights hardly compress: no honest archive of them is four times as large when it is unpacked
ALWAYS_ALLOWED_SIZE = 1 << 16  # bytes that any archive may unpack to: a tar of two small files is mostly zeros
MAX_MEMBERS = 100_000
SUPPORTED_COMPRESSIONS = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
)  # others may ask for gigabytes to unpack a few bytes
COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
Opener = Callable[[], IO[bytes] | None]


def extract_member(path: Path, member: str, copy: Path) -> Path:
    """Writes the regular file `member` of the archive as `copy`, and returns that path.

    Raises BenchmarkError for a member that is no regular file, a bomb, or an archive that is cut off.
    """
    if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
        raise BenchmarkError(f"{path.name}: member {member!r} points out of the archive")
    with _read(path) as members:
        for name, opener in members:
            if PurePosixPath(name) != PurePosixPath(member):
                continue
            content = opener()
            if content is None:
                raise BenchmarkError(f"{path.name}: member {member!r} is no regular file")
            with content, copy.open("wb") as file:
                shutil.copyfileobj(content, file)
            return copy
    raise BenchmarkError(f"{path.name}: no member {member!r} in this archive")


def member_names(path: Path) -> list[str]:
    """Returns the names of all members. Raises BenchmarkError for a bomb, and for an incomplete or damaged archive."""
    with _read(path) as members:
        return [name for name, _ in members]


def is_tar(path: Path) -> bool:
    """Returns whether the file begins as a tar does, compressed or not."""
    try:
        with damage_as_error(path, "tar archive"), _tar(path):
            return True
    except BenchmarkError:
        return False


@contextmanager
def damage_as_error(path: Path, kind: str) -> Iterator[None]:
    """Turns every error inside into one BenchmarkError that names the kind of file; errors of the disk stay what they are."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # a walk over untrusted bytes meets every error that there is
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EINVAL,
        ):  # a position before the start of the file
            raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        size = path.stat().st_size
        raise BenchmarkError(
            f"{path.name}: not a {kind}, cut off or damaged ({size:,} bytes): fetch it again ({reason})"
        ) from error


def check_zip(path: Path, archive: zipfile.ZipFile) -> None:
    """Raises BenchmarkError where members are encrypted or packed in an unusual way, or unpack to far more than the
    file has.
    """
    members = archive.infolist()
    _check_size(path, len(members), sum(member.file_size for member in members))
    for member in members:
        if member.flag_bits & 1 or member.compress_type not in SUPPORTED_COMPRESSIONS:
            raise BenchmarkError(
                f"{path.name}: {member.filename!r} is encrypted, or packed otherwise than zip usually does"
            )


class _Bounded(io.RawIOBase):
    """Reads an unpacked stream, and raises BenchmarkError where it grows beyond the bound.

    tarfile reads the long names of members into memory at once, as long as the archive says that they are.
    """

    def __init__(self, path: Path, stream: Any) -> None:
        self.path = path
        self.stream = stream

    def read(self, count: int = -1) -> bytes:
        self._check(self.stream.tell() + max(count, 0))
        return bytes(self.stream.read(count))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset + (self.stream.tell() if whence == io.SEEK_CUR else 0))
        return int(self.stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self.stream.tell())

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def _check(self, position: int) -> None:
        _check_size(self.path, 0, position - tarfile.RECORDSIZE)  # tarfile reads in whole records


@contextmanager
def _read(path: Path) -> Iterator[Iterator[tuple[str, Opener]]]:
    """Yields the archive's members, one after another, each with a way to read it."""
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"  # not `is_zipfile`: a tar whose last member is a zip would be one
    with damage_as_error(path, "zip archive" if is_zip else "tar archive"):
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                check_zip(path, archive)
                yield _of_zip(archive)
        else:
            with _tar(path) as archive:
                yield _of_tar(path, archive)


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        unpacked = next((unpack(file) for magic, unpack in COMPRESSIONS.items() if start.startswith(magic)), file)
        bounded: Any = _Bounded(path, unpacked)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            yield archive


def _of_zip(archive: zipfile.ZipFile) -> Iterator[tuple[str, Opener]]:
    for info in archive.infolist():
        yield info.filename, (lambda: None) if info.is_dir() else partial(archive.open, info)


def _of_tar(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, Opener]]:
    for number, info in enumerate(archive):
        _check_size(path, number, info.offset_data + info.size)
        yield info.name, partial(archive.extractfile, info) if info.isreg() else lambda: None


def _check_size(path: Path, number: int, unpacked: int) -> None:
    size = path.stat().st_size
    if unpacked > max(MAX_GROWTH * size, ALWAYS_ALLOWED_SIZE) or number >= MAX_MEMBERS:
        raise BenchmarkError(
            f"{path.name}: a bomb, or cut off: {size:,} bytes that unpack to more than {MAX_GROWTH * size:,}"
        )
