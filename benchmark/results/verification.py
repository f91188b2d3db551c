"""A cell's record and its files as they lie in the cell's folder: what is read is what was written, or a BenchmarkError.

Sizes are compared whenever a record is read, sha256 of a file when its content is.
"""

import hashlib
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.files import sha256_of
from benchmark.results.record import RunRecord, read_record

RECORD = "record.json"
AGAIN = "copy the cell's folder again from where it is complete, or run the cell again"


def record_in(folder: Path) -> RunRecord:
    """Returns the record in a cell's folder. Raises BenchmarkError where there is none, a damaged one, or another cell's."""
    record = read_record(folder / RECORD)
    if (folder.parent.name, folder.name) != (record.cell.task, record.key):
        raise BenchmarkError(
            f"{folder / RECORD}: the record of another cell ({record.cell.task}/{record.key}): it was moved"
        )
    for name, wanted in record.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise BenchmarkError(
                f"{folder / name}: {error.strerror or error}, but the record names it: {AGAIN}"
            ) from error
        if size != wanted.size:
            raise BenchmarkError(f"{folder / name}: {size:,} bytes, but the record says {wanted.size:,}: {AGAIN}")
    return record


def content_in(folder: Path, name: str) -> bytes | None:
    """Returns the bytes of a file that the record names; None where it names no such file. Raises BenchmarkError where the
    bytes are others.
    """
    wanted = record_in(folder).files.get(name)
    if wanted is None:
        return None
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise BenchmarkError(f"{folder / name}: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise _not_its_own(folder / name)
    return content


def check_files(folder: Path, record: RunRecord) -> None:
    """Raises BenchmarkError where a file beside the record is not the one that it names."""
    for name, wanted in record.files.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise BenchmarkError(f"{folder / name}: {error.strerror or error}") from error
        if found != wanted.sha256:
            raise _not_its_own(folder / name)


def _not_its_own(path: Path) -> BenchmarkError:
    return BenchmarkError(
        f"{path}: not the file that the record names: it was changed, damaged, or is another cell's: {AGAIN}"
    )
