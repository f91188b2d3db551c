"""A weight file's container -> its arrays, by name. Files are untrusted: nothing in them ever runs.

Torch files are read with `weights_only=True`; what that refuses for an object beside the tensors, and every other
pickle, is read by `zoo.inert`, which calls nothing. A file that names code such as os.system is refused either way.
Archives give one member, streamed; what would grow far beyond the file's own size is refused before it does.
"""

import lzma
import pickle
import re
import shutil
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmark.fault import Fault, first_few
from benchmark.zoo.inert import Hostile, Record, flat, mapping, read_pickle
from benchmark.zoo.inert_numpy import array_of
from benchmark.zoo.inert_torch import ToTensor, read_torch

GROWTH = 4  # weights are noise: no honest archive of them is four times as large when it is unpacked
Read = TypeVar("Read")
ADVICE = "ask its authors for plain tensors or safetensors"


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Tensors by their names in the file, and the names of what else the file held (optimiser, epoch, …)."""

    tensors: dict[str, torch.Tensor]
    beside: list[str] = field(default_factory=list)


def unpack(path: Path, container: str, inside: str = "", member: str = "") -> Arrays:
    """Read a file by its declared container.

    `inside` is the dotted path of keys to the tensors, empty where they lie at the top or under `state_dict`; `member`
    the file's path in a tar archive. Raises Fault for what is no such file, truncated, would run code, or lacks these.
    """
    if container not in CONTAINERS:
        raise Fault(f"{path.name}: container {container!r} is not one of {', '.join(CONTAINERS)}")
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise Fault(f"{path.name}: a web page, not a weight file: the download met an error or login page")
    if member:
        with tempfile.TemporaryDirectory(prefix="weights-") as folder:
            copy = _member(path, member, Path(folder))
            try:
                return unpack(copy, container, inside)
            except Fault as fault:
                raise Fault(f"{path.name}: {fault}") from fault
    arrays = CONTAINERS[container](path, inside)
    if empty := [name for name, tensor in arrays.tensors.items() if tensor.is_meta]:
        raise Fault(f"{path.name}: {first_few(empty)} and such hold no numbers, only shapes: it is no whole checkpoint")
    if not arrays.tensors:
        raise Fault(f"{path.name}: holds no tensors by name, only {first_few(arrays.beside) or 'nothing'}")
    return arrays


def _torch(path: Path, inside: str) -> Arrays:
    """A `torch.save` file: tensors by name, or such a mapping where `inside` says, beside other things.

    It is read inertly first: torch's own reader can be brought to end the process by a pickle made for it. Where that
    then refuses an object beside the tensors, what was read inertly stands, and the object is told by its name.
    """
    _check_archive(path)
    content, tensor = _guarded(path, "torch weight file", lambda: read_torch(path))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # the pickle's protocol, for one: it matters only where loading fails
        try:
            content, tensor = torch.load(path, map_location="cpu", weights_only=True), _itself
        except Exception as error:  # a walk over untrusted bytes meets every error that there is
            found = " ".join([str(error), *(str(warning.message) for warning in told)])
            if not re.search(r"GLOBAL |pickle protocol \d", found):
                # wrapped in the advice to load the file unsafely, an unpickler's own words are the inner error
                inner = error.__context__ if isinstance(error, pickle.UnpicklingError) and error.__context__ else error
                raise Fault(f"{path.name}: not a torch weight file, {_damaged(path, inner)}") from error
    return _guarded(path, "torch weight file", lambda: _by_name(path, content, inside, tensor))


def _itself(value: Any) -> torch.Tensor | None:
    return value if isinstance(value, torch.Tensor) else None


def _guarded(path: Path, kind: str, read: Callable[[], Read]) -> Read:
    """The one line for whatever an inert reader meets."""
    try:
        return read()
    except Fault:
        raise
    except Hostile as error:
        raise Fault(f"{path.name}: refused, it names code that loading it would run ({error}): {ADVICE}") from error
    except Exception as error:  # as above
        raise Fault(f"{path.name}: not a {kind}, {_damaged(path, error)}") from error


def _by_name(path: Path, content: Any, inside: str, tensor: ToTensor) -> Arrays:
    """The tensors of one mapping of the content, and what lies beside it on the way there."""
    held = mapping(content)
    if held is None:
        kind = content.kind if isinstance(content, Record) else type(content).__name__
        raise Fault(f"{path.name}: holds a {kind}, wanted tensors by name")
    if not inside and mapping(held.get("state_dict")) is not None:
        if tensors := [name for name, value in held.items() if tensor(value) is not None]:
            raise Fault(f"{path.name}: tensors both under `state_dict` and beside it ({first_few(tensors)})")
        inside = "state_dict"
    held, beside = _descended(path, held, inside)
    made = {name: tensor(value) for name, value in held.items()}
    beside += [name for name, value in made.items() if value is None]
    return Arrays(tensors={name: value for name, value in made.items() if value is not None}, beside=beside)


def _descended(path: Path, held: dict[str, Any], inside: str) -> tuple[dict[str, Any], list[str]]:
    """What lies at a dotted path, and the names beside the way there."""
    beside: list[str] = []
    way = ""
    for key in filter(None, inside.split(".")):
        inner = mapping(held.get(key))
        if inner is None:
            raise Fault(
                f"{path.name}: its tensors should lie under `{inside}`, but it has no `{way}{key}`, "
                f"only {first_few([way + name for name in held]) or 'nothing'}"
            )
        beside += [way + name for name in held if name != key]
        held, way = inner, f"{way}{key}."
    return held, beside


def _pickle(path: Path, inside: str) -> Arrays:
    """A Python pickle of NumPy arrays in mappings, sequences and objects: by dotted path from `inside` on."""

    def read() -> Arrays:
        with path.open("rb") as file:
            content = read_pickle(file)
        held, beside = _descended(path, mapping(content) or {}, inside)
        arrays, others = flat(held, array_of)
        return Arrays(tensors={n: torch.from_numpy(array) for n, array in arrays.items()}, beside=beside + others)

    return _guarded(path, "pickle", read)


def _safetensors(path: Path, inside: str) -> Arrays:
    if inside:
        raise Fault(f"{path.name}: safetensors are flat, but this naming wants tensors under `{inside}`")
    try:
        return Arrays(tensors=load_file(path))
    except (SafetensorError, ValueError) as error:
        raise Fault(f"{path.name}: not a safetensors file, {_damaged(path, error)}") from error


def _damaged(path: Path, error: BaseException) -> str:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return f"cut off or damaged ({path.stat().st_size:,} bytes): fetch it again ({reason})"


def _check_archive(path: Path) -> None:
    """Torch's format is a zip, which torch unpacks into memory as large as it says; what else it reads runs code."""
    script = False
    if zipfile.is_zipfile(path):
        with suppress(zipfile.BadZipFile, ValueError, NotImplementedError), zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            script = any(name.endswith("/constants.pkl") for name in archive.namelist())
            if unpacked > GROWTH * path.stat().st_size:
                raise Fault(f"{path.name}: a bomb: {path.stat().st_size:,} bytes that unpack to {unpacked:,}; {ADVICE}")
    elif path.stat().st_size and tarfile.is_tarfile(path):
        raise Fault(
            f"{path.name}: refused, a tar archive: its entry should name the `member` to read, "
            "or it is of a torch that is long gone and can be read only by running it"
        )
    if script:
        raise Fault(f"{path.name}: refused, a TorchScript archive can be read only by running it: {ADVICE}")


def _member(path: Path, member: str, folder: Path) -> Path:
    """One regular file of a tar archive, copied into `folder`: nothing else is written, no link followed."""
    most = GROWTH * path.stat().st_size
    if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
        raise Fault(f"{path.name}: member {member!r} points out of the archive")
    try:
        with tarfile.open(path) as archive:
            for found in archive:
                if found.offset_data + found.size > most:
                    raise Fault(
                        f"{path.name}: a bomb, or cut off: {path.stat().st_size:,} bytes that unpack to more than {most:,}"
                    )
                if PurePosixPath(found.name) != PurePosixPath(member):
                    continue
                content = archive.extractfile(found) if found.isreg() else None
                if content is None:
                    raise Fault(f"{path.name}: member {member!r} is no regular file")
                copy = folder / PurePosixPath(member).name
                with copy.open("wb") as file:
                    shutil.copyfileobj(content, file)
                return copy
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise Fault(f"{path.name}: not a tar archive, {_damaged(path, error)}") from error
    raise Fault(f"{path.name}: no member {member!r} in this archive")


CONTAINERS: dict[str, Callable[[Path, str], Arrays]] = {"torch": _torch, "safetensors": _safetensors, "pickle": _pickle}
