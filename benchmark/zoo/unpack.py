"""Reads the arrays of a weight file, by name. Files are untrusted: nothing in them ever runs.

A file is opened once, and one decision on what it is (`zoo.filetype`) says which reader reads it. Pickles, torch's too, are
read by `zoo.safe_pickle`, which calls nothing. A file that names code such as os.system is refused. Archives give one member,
streamed; what would grow far beyond the file's own size is refused before it does. A TensorFlow checkpoint is of several
files, so it comes as an archive of them.
"""

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from safetensors.torch import load_file

from benchmark.errors import BenchmarkError
from benchmark.text import first_few
from benchmark.zoo.archive import (
    ALWAYS_ALLOWED_SIZE,
    MAX_GROWTH,
    check_zip,
    damage_as_error,
    extract_member,
    member_names,
)
from benchmark.zoo.filetype import FileType, file_type
from benchmark.zoo.safe_pickle import InertObject, UnsafePickle, as_mapping, flatten, read_pickle
from benchmark.zoo.safe_pickle_numpy import array_of
from benchmark.zoo.safe_pickle_torch import Storage, read_legacy, read_zip, tensor_of
from benchmark.zoo.tensorflow import MAX_TENSORS, read_bundle

if TYPE_CHECKING:
    import numpy as np

DATA = re.compile(r"(?P<stem>.+)\.data-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
INDEX = ".index"
Read = TypeVar("Read")
TORCH = "torch weight file"
ADVICE = "ask its authors for plain tensors or safetensors"


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Tensors by their names in the file, and the names of what else the file held (optimizer, epoch, …).

    `not_dense`: those of the tensors that are not dense, which have a shape alone, with what they are ("sparse").
    """

    tensors: dict[str, torch.Tensor]
    other_contents: list[str] = field(default_factory=list)
    not_dense: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OpenedFile:
    """A file that is open. `container` is its kind, as an entry declares it; `read` returns the arrays under a path of keys."""

    name: str
    container: str
    read: Callable[[str], Arrays]

    def arrays(self, inside: str = "") -> Arrays:
        """Returns the arrays under `inside`: a dotted path of keys, empty where they lie at the top or under `state_dict`.

        Raises BenchmarkError where there are none, or more than MAX_TENSORS.
        """
        arrays = self.read(inside)
        if len(arrays.tensors) > MAX_TENSORS:
            raise BenchmarkError(f"{self.name}: holds {len(arrays.tensors):,} tensors, wanted at most {MAX_TENSORS:,}")
        if not arrays.tensors:
            raise BenchmarkError(
                f"{self.name}: holds no tensors by name, only {first_few(arrays.other_contents) or 'nothing'}"
            )
        return arrays


@contextmanager
def opened(path: Path, container: str | None = None, member: str = "") -> Iterator[OpenedFile]:
    """Yields the file, for as long as it is open.

    `container`: what it is declared to be (None: nothing is declared). `member`: the file's path in an archive (of a
    TensorFlow checkpoint: its name without `.index`, needed where there are several). Raises BenchmarkError for what is no such
    file, truncated, or would run code.
    """
    if container not in (None, *CONTAINERS):
        raise BenchmarkError(f"{path.name}: container {container!r} is not one of {', '.join(CONTAINERS)}")
    kind = file_type(path)
    with ExitStack() as stack:
        if member and (container or _container_of_archive(path, member)) != "tensorflow":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weights-")))
            copy = extract_member(path, member, folder / PurePosixPath(member).name)
            try:
                yield stack.enter_context(opened(copy, container))
            except BenchmarkError as fault:
                raise BenchmarkError(f"{path.name}: {fault}") from fault
            return
        # pickles of the oldest protocols cannot be told from noise before they are read
        actual = container or "pickle" if kind is FileType.OTHER else CONTAINER_OF.get(kind, "")
        if not actual or actual != (container or actual):
            if kind is FileType.PICKLE:  # where it names code, that is what to tell of it
                _pickle(_Source(path, kind, member, stack))
            raise BenchmarkError(f"{path.name}: {_mismatch(kind, container)}")
        yield OpenedFile(name=path.name, container=actual, read=CONTAINERS[actual](_Source(path, kind, member, stack)))


def unpack(path: Path, container: str, inside: str = "", member: str = "") -> Arrays:
    """Returns the arrays of a file by its declared container, as `opened` and `OpenedFile.arrays` do."""
    with opened(path, container, member) as file:
        return file.arrays(inside)


def _container_of_archive(path: Path, member: str) -> str | None:
    """Returns tensorflow where `member` names such a checkpoint in the archive."""
    return "tensorflow" if f"{member.removesuffix(INDEX)}{INDEX}" in member_names(path) else None


def _mismatch(kind: FileType, container: str | None) -> str:
    if kind is FileType.TORCHSCRIPT:
        return f"refused, {kind.value} can be read only by running it: {ADVICE}"
    if kind in (FileType.ZIP, FileType.TAR):
        old = (
            " or it is of a torch that is long gone and can be read only by running it" if kind is FileType.TAR else ""
        )
        return f"refused, {kind.value}: its entry should name the `member` to read (zoo add --member),{old}".rstrip(",")
    if kind not in CONTAINER_OF:
        return f"{kind.value}, which is not read here: {ADVICE}"
    return f"{kind.value}, but its container is said to be {container}: wanted {CONTAINER_OF[kind]}"


class _Source(NamedTuple):
    """The arguments of a reader; what it opens is closed with the stack."""

    path: Path
    kind: FileType
    member: str
    stack: ExitStack


def _torch(source: _Source) -> Callable[[str], Arrays]:
    """Returns what reads a `torch.save` file: tensors by name, at the top or in the mapping that `inside` names."""
    if source.kind is FileType.TORCH_ZIP:
        archive = source.stack.enter_context(zipfile.ZipFile(source.path))
        check_zip(source.path, archive)
        content, storage = _guarded(source.path, TORCH, lambda: read_zip(archive))
    else:
        file = source.stack.enter_context(source.path.open("rb"))
        content, storage = _guarded(source.path, TORCH, lambda: read_legacy(file, source.path.stat().st_size))
    return lambda inside: _guarded(source.path, TORCH, lambda: _by_name(source.path, content, storage, inside))


def _guarded(path: Path, kind: str, read: Callable[[], Read]) -> Read:
    """Returns what `read` does. Raises BenchmarkError for every error that it meets."""
    with damage_as_error(path, kind):
        try:
            return read()
        except UnsafePickle as error:
            raise BenchmarkError(
                f"{path.name}: refused, it names code that loading it would run ({error}): {ADVICE}"
            ) from error


def _by_name(path: Path, content: Any, storage: Storage, inside: str) -> Arrays:
    """Returns the tensors of one mapping of the content, and the names of what else the file holds on the way there.

    Whatever stands next to `state_dict`, a tensor or not (`best_acc1` of PyTorch's ImageNet example), is no weight.
    """
    mapping = as_mapping(content)
    if mapping is None:
        kind = content.kind if isinstance(content, InertObject) else type(content).__name__
        kind = kind if tensor_of(content, storage)[0] is None else "Tensor"
        raise BenchmarkError(f"{path.name}: holds a {kind}, wanted tensors by name")
    if not inside and as_mapping(mapping.get("state_dict")) is not None:
        inside = "state_dict"
    mapping, other_names = _descend(path, mapping, inside)
    arrays = Arrays(tensors={}, other_contents=other_names)
    for name, value in mapping.items():
        tensor, not_dense = tensor_of(value, storage)
        if tensor is None:
            arrays.other_contents.append(name)
        else:
            arrays.tensors[name] = tensor
        if not_dense:
            arrays.not_dense[name] = not_dense
    return arrays


def _descend(path: Path, mapping: dict[str, Any], inside: str) -> tuple[dict[str, Any], list[str]]:
    """Returns the mapping at a dotted path, and the names of all that is not on the way there."""
    other_names: list[str] = []
    way = ""
    for key in filter(None, inside.split(".")):
        inner = as_mapping(mapping.get(key))
        if inner is None:
            raise BenchmarkError(
                f"{path.name}: its tensors should lie under `{inside}`, but it has no `{way}{key}`, "
                f"only {first_few([way + name for name in mapping]) or 'nothing'}"
            )
        other_names += [way + name for name in mapping if name != key]
        mapping, way = inner, f"{way}{key}."
    return mapping, other_names


def _pickle(source: _Source) -> Callable[[str], Arrays]:
    """Returns what reads a pickle of NumPy arrays in mappings, sequences and objects, by dotted path from `inside` on."""
    path = source.path
    content = _guarded(path, "pickle", lambda: read_pickle(source.stack.enter_context(path.open("rb"))))

    def read(inside: str) -> Arrays:
        mapping, other_names = _descend(path, as_mapping(content) or {}, inside)
        left = max(MAX_GROWTH * path.stat().st_size, ALWAYS_ALLOWED_SIZE)

        def counted(value: Any) -> "np.ndarray | None":
            nonlocal left
            array = array_of(value)
            left -= 0 if array is None else array.nbytes
            if left < 0:  # one array under many names
                raise ValueError("its arrays are larger than itself")
            return array

        arrays, others = flatten(mapping, counted)
        return Arrays(
            tensors={n: torch.from_numpy(array) for n, array in arrays.items()}, other_contents=other_names + others
        )

    return lambda inside: _guarded(path, "pickle", lambda: read(inside))


def _safetensors(source: _Source) -> Callable[[str], Arrays]:
    path = source.path
    tensors = _guarded(path, "safetensors file", lambda: load_file(path))

    def read(inside: str) -> Arrays:
        if inside:
            raise BenchmarkError(f"{path.name}: safetensors are flat, but this naming wants tensors under `{inside}`")
        return Arrays(tensors=tensors)

    return read


def _tensorflow(source: _Source) -> Callable[[str], Arrays]:
    """Returns what reads a TensorFlow checkpoint in an archive: `NAME.index` and `NAME.data-…`."""
    path = source.path
    files = _bundle_files(path, source.member.removesuffix(INDEX))
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        index, *data = [extract_member(path, name, Path(folder) / str(number)) for number, name in enumerate(files)]
        try:
            tensors, others = _guarded(path, "TensorFlow checkpoint", lambda: read_bundle(index, data))
        except BenchmarkError as fault:
            raise BenchmarkError(f"{path.name}: {str(fault).removeprefix(f'{path.name}: ')}") from fault

    def read(inside: str) -> Arrays:
        if inside:
            raise BenchmarkError(
                f"{path.name}: TensorFlow's tensors are flat, but this naming wants them under `{inside}`"
            )
        return Arrays(tensors=tensors, other_contents=others)

    return read


def _bundle_files(path: Path, member: str) -> list[str]:
    """Returns the names of a checkpoint's index and of its data files, in order."""
    names = {str(PurePosixPath(name)) for name in member_names(path)}
    stems = [
        n.removesuffix(INDEX) for n in sorted(names) if n.endswith(INDEX) and not PurePosixPath(n).name.startswith(".")
    ]
    chosen = [stem for stem in stems if not member or stem == str(PurePosixPath(member))]
    if not chosen:
        wanted = f"{member}{INDEX}" if member else "NAME.index with NAME.data-00000-of-00001"
        size = path.stat().st_size
        raise BenchmarkError(
            f"{path.name}: no TensorFlow checkpoint ({wanted}) in it, only {first_few(sorted(names)) or 'nothing'}: a file "
            f"of another kind in it is named by `member` (--member); else it is cut off or damaged ({size:,} bytes)"
        )
    if len(chosen) > 1:
        raise BenchmarkError(f"{path.name}: several TensorFlow checkpoints: say which `member`: {first_few(chosen, 8)}")
    (stem,) = chosen
    parts = {
        match["number"]: match["count"] for name in names if (match := DATA.fullmatch(name)) and match["stem"] == stem
    }
    count = int(max(parts.values(), default="1"))
    wanted_parts = [f"{stem}.data-{number:05}-of-{count:05}" for number in range(count)]
    if lacking := [name for name in wanted_parts if name not in names]:
        raise BenchmarkError(
            f"{path.name}: {stem}{INDEX} without {first_few(lacking)}: pack all files of the checkpoint"
        )
    return [f"{stem}{INDEX}", *wanted_parts]


CONTAINERS: dict[str, Callable[[_Source], Callable[[str], Arrays]]] = {
    "torch": _torch, "safetensors": _safetensors, "pickle": _pickle, "tensorflow": _tensorflow,
}  # fmt: skip
CONTAINER_OF = {
    FileType.TORCH_ZIP: "torch", FileType.TORCH_LEGACY: "torch", FileType.SAFETENSORS: "safetensors",
    FileType.PICKLE: "pickle", FileType.ZIP: "tensorflow", FileType.TAR: "tensorflow",
}  # fmt: skip
