"""Finds the weight file of an entry on this machine, or downloads it. Torch-free.

A file lies at `weights/<entry>/<file>` next to `<file>.pin.json`. The pin is written last, so its existence means that
the file is complete; it holds the digest that the file had when it arrived, with which every later load compares. A digest
that is published with the entry is compared before; where none is, the pin is made on first use and nobody vouches for it.
Sources are http(s) URLs (`zoo.download`), and `hf:` and `timm:` (`zoo.hub`).
"""

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field, NonNegativeInt, ValidationError

from benchmark.errors import BenchmarkError
from benchmark.files import DiskFullError, TemporaryError, sha256_of, space_for, write_atomically
from benchmark.locks import locked
from benchmark.strict import StrictModel
from benchmark.zoo import hub
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.download import Progress, bytes_received, download, validator_file
from benchmark.zoo.download import remote_size as download_size
from benchmark.zoo.integrity import check_complete

REMOTE = ("http://", "https://", hub.HF, hub.TIMM)
CONVERSION_SUFFIXES = (".encoder.safetensors", ".encoder.json")  # what zoo.conversions stores next to a file
LEASE = ".lease"  # in an entry's folder: of the process that writes there
MAX_FILE_NAME = 200  # bytes; file systems know 255, and the ends of other files' names come behind it


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A complete file and its sha256 (64 hex digits)."""

    path: Path
    sha256: str


class _Pin(StrictModel):
    """The digest that a file had when it arrived, its size in bytes, and where it came from."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: NonNegativeInt
    source: str = ""


def find_weight_file(entry: ZooEntry, weights: Path) -> WeightFile | None:
    """Returns the entry's file if it is here and complete, None if not; reads its bytes only where its pin is damaged.

    Raises BenchmarkError where pin and entry disagree, and where nothing but a damaged pin vouched for the file.
    """
    path = _path_of(entry, weights)
    if not path.is_file() or not _pin(path).is_file():
        return None
    pinned = _pinned(path) or _pinned_anew(entry, path)
    if path.stat().st_size != pinned.size:
        raise BenchmarkError(
            f"{path}: {path.stat().st_size:,} bytes, but it had {pinned.size:,} when it arrived: it was changed; "
            f"delete it and fetch it again"
        )
    _check_digest(entry, pinned.sha256, path, "delete it and fetch it again", entry.sha256)
    return WeightFile(path=path, sha256=pinned.sha256)


def verify_weight_file(file: WeightFile) -> WeightFile:
    """Reads the file, compares its bytes with its digest and returns it. Raises BenchmarkError where they differ."""
    digest = sha256_of(file.path)
    if digest != file.sha256:
        raise BenchmarkError(
            f"{file.path}: its sha256 is {digest[:16]}…, but it was {file.sha256[:16]}… when it arrived: "
            f"the file was changed; delete it and fetch it again"
        )
    return file


def fetch(entry: ZooEntry, weights: Path, *, offline: bool = False, progress: Progress = lambda *_: None) -> WeightFile:
    """Returns the entry's file, and downloads it if it is not here. An interrupted download is continued by the next call.

    A file without a published digest is pinned by its first download. Raises BenchmarkError, which says how to get the file by
    hand, where there is none.
    """
    if file := find_weight_file(entry, weights):
        return file
    if not entry.source.startswith(REMOTE):
        raise BenchmarkError(
            f"{entry.name}: its file is not in {weights}: `benchmark zoo add FILE --name …` puts it there again"
        )
    source = hub.resolve_source(entry.source, entry.container)
    on_hub = hub.parse_source(source) if source.startswith(hub.HF) else None
    elsewhere = f" (or elsewhere: {entry.alternative})" if entry.alternative else ""
    by_hand = (
        f"get it by hand from {on_hub.page if on_hub else source}{elsewhere} and give it with "
        f"`benchmark zoo fetch {entry.name} --from-file FILE`"
    )
    if offline and not on_hub:
        raise BenchmarkError(f"{entry.name}: not here, and --offline forbids fetching it: {by_hand}")
    path = _path_of(entry, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent / LEASE):
        if file := find_weight_file(entry, weights):  # another process fetched it meanwhile
            return file
        if on_hub:
            try:
                cached = hub.fetch_to_cache(on_hub, offline=offline)
            except DiskFullError:
                raise
            except BenchmarkError as fault:
                raise BenchmarkError(f"{entry.name}: {fault}: {by_hand}") from fault
            return _admit_copy(entry, cached, path, hub.published_digest(cached), f"delete {cached} and fetch it again")
        try:
            download(source, _part(path), progress)
        except DiskFullError:
            raise
        except BenchmarkError as fault:
            have = bytes_received(_part(path))
            again = f"{have:,} bytes are kept in {_part(path)}, the same command continues; or " if have else ""
            raise BenchmarkError(f"{entry.name}: {fault}: {again}{by_hand}") from fault
        return _admit(entry, _part(path), path)


def remote_size(entry: ZooEntry) -> int | None:
    """Returns how many bytes fetching the entry's file would download; None where nobody says so."""
    if not entry.source.startswith(REMOTE):
        return None
    try:
        source = hub.resolve_source(entry.source, entry.container)
        return hub.remote_size(hub.parse_source(source)) if source.startswith(hub.HF) else download_size(source)
    except BenchmarkError:
        return None


def import_weight_file(entry: ZooEntry, file: Path, weights: Path) -> WeightFile:
    """Copies a file of the user to where the entry's file belongs, compares it with a published digest, and pins it."""
    if not file.is_file():
        raise BenchmarkError(f"{file}: no such file")
    path = _path_of(entry, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent / LEASE):
        return _admit_copy(entry, file, path, entry.sha256, "it was not taken")


def delete_weight_file(entry: ZooEntry, weights: Path) -> None:
    """Removes the entry's file, its pin, its conversion, and what an interrupted download left."""
    path = _path_of(entry, weights)
    _pin(path).unlink(missing_ok=True)
    for end in ("", *CONVERSION_SUFFIXES):
        path.with_name(path.name + end).unlink(missing_ok=True)
    _part(path).unlink(missing_ok=True)
    validator_file(_part(path)).unlink(missing_ok=True)


def _admit_copy(entry: ZooEntry, file: Path, path: Path, wanted: str, outcome: str) -> WeightFile:
    """Copies the file, rather than linking it: its owner may change or remove it."""
    _check_digest(entry, sha256_of(file), file, outcome, wanted)
    copy = path.with_name(path.name + ".copy")  # not `.part`: no download may continue a copy that was cut off
    try:
        with space_for(path, left="nothing half-written was left there"):
            shutil.copyfile(file, copy)
        return _admit(entry, copy, path)
    finally:
        copy.unlink(missing_ok=True)


def _admit(entry: ZooEntry, partial: Path, path: Path) -> WeightFile:
    digest = sha256_of(partial)
    try:
        _check_digest(entry, digest, path, "nothing was kept", entry.sha256)
        try:
            check_complete(partial, path.name, entry.container)
        except BenchmarkError as fault:
            raise BenchmarkError(f"{entry.name}: {fault}; nothing was kept") from fault
    except BenchmarkError:
        partial.unlink()
        validator_file(_part(path)).unlink(missing_ok=True)
        raise
    size = partial.stat().st_size
    with space_for(path), partial.open("rb+") as written:
        os.fsync(written.fileno())
    _pin(path).unlink(missing_ok=True)  # the pin of an earlier file must not stand for this one
    partial.replace(path)
    _part(path).unlink(missing_ok=True)  # an interrupted download that the user's own copy replaces
    validator_file(_part(path)).unlink(missing_ok=True)
    _write_pin(path, _Pin(sha256=digest, size=size, source=entry.source))
    return WeightFile(path=path, sha256=digest)


def _pinned(path: Path) -> "_Pin | None":
    """Returns the pin of a file; None for one that is damaged."""
    try:
        return _Pin.model_validate_json(_pin(path).read_bytes())
    except ValidationError:
        return None


def _pinned_anew(entry: ZooEntry, path: Path) -> "_Pin":
    """Returns a new pin in place of a damaged one, of a file whose digest the entry knows. Raises BenchmarkError for
    another.
    """
    if not entry.sha256:
        raise BenchmarkError(
            f"{entry.name}: {_pin(path)} is damaged, and no digest is published that could vouch for the file in its place: "
            f"delete both and fetch it again"
        )
    digest = sha256_of(path)
    _check_digest(entry, digest, path, "delete it and fetch it again", entry.sha256)
    pin = _Pin(sha256=digest, size=path.stat().st_size, source=entry.source)
    with suppress(OSError, TemporaryError):  # a folder that many share may be read-only
        _write_pin(path, pin)
    return pin


def _write_pin(path: Path, pin: "_Pin") -> None:
    write_atomically(_pin(path), pin.model_dump_json(indent=1))


def _check_digest(entry: ZooEntry, digest: str, path: Path, outcome: str, wanted: str) -> None:
    if not digest.startswith(wanted):
        raise BenchmarkError(
            f"{entry.name}: {path.name} has sha256 {digest[:16]}…, wanted {wanted[:16]}…: "
            f"another file, or a damaged one; {outcome}"
        )


def _path_of(entry: ZooEntry, weights: Path) -> Path:
    if entry.source.startswith(hub.HF):
        name = hub.parse_source(entry.source).name
    else:
        name = unquote(urlsplit(entry.source).path).rsplit("/", 1)[-1]
    return weights / entry.name.replace(":", "_") / _file_name(name)


def _file_name(name: str) -> str:
    """Returns a name from a URL as a safe file name: no path, not hidden, not too long."""
    name = re.sub(r"[\x00-\x1f\x7f/\\]", "_", name).lstrip(".") or "weights"
    while len(name.encode(errors="replace")) > MAX_FILE_NAME:
        name = name[1:]  # its end says more than its start
    return name


def _pin(path: Path) -> Path:
    return path.with_name(path.name + ".pin.json")


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
