"""Reads the tensors of a file of torch.save; objects of classes among them stay inert.

torch's own reader is not used: it refuses a whole file for one object that it does not know (Lightning's
hyper-parameters, an argparse.Namespace), it can be brought to end the process, and it may read another member of the file
than the one that was checked. Here the pickle is read by `zoo.safe_pickle`, and tensors are laid over the bytes of their
storages, whose checksums zipfile compares. Source: torch/serialization.py, its zip format and the one before it;
torch/_utils.py.
"""

import math
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from typing import IO, Any

import torch

from benchmark.zoo.safe_pickle import MAX_DEPTH, GlobalName, InertObject, read_pickle
from benchmark.zoo.safe_pickle_numpy import checked_sizes

STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexFloat": torch.complex64,
        "ComplexDouble": torch.complex128,
        # quantised numbers, which are refused by their name, by the integers that they are kept as
        "QInt8": torch.int8,
        "QUInt8": torch.uint8,
        "QInt32": torch.int32,
        "QUInt4x2": torch.uint8,
        "QUInt2x4": torch.uint8,
    }.items()
}
TYPES = STORAGES | {str(kind): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
DENSE = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")  # around a tensor
SUBCLASS = "torch._tensor._rebuild_from_type_v2"
SPARSE = "torch._utils._rebuild_sparse_tensor"
NOT_DENSE = {  # what a tensor is, in words
    "torch._utils._rebuild_qtensor": "quantised",
    "torch._utils._rebuild_meta_tensor_no_storage": "a shape without numbers",
    SPARSE: "sparse",
    "torch._utils._rebuild_nested_tensor": "nested",
    "torch._utils._rebuild_wrapper_subclass": "of a class of its own",
    "torch._utils._rebuild_device_tensor_from_numpy": "another device's",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "another device's",
}
COUNT = struct.Struct("<q")
Storage = Callable[[str], bytearray]  # a storage's bytes, by its name


def tensor_of(value: Any, storage: Storage) -> tuple[torch.Tensor | None, str]:
    """Returns the tensor that an inert object describes, and what keeps it from being a dense one, or nothing.

    A tensor that is not dense is its shape alone, on the device `meta`; what is no tensor is None. Raises ValueError
    where a tensor reaches beyond its storage.
    """
    for _ in range(MAX_DEPTH):
        if isinstance(value, InertObject) and value.kind in PARAMETERS:
            value = value.args[0]
        elif isinstance(value, InertObject) and value.kind == SUBCLASS and isinstance(value.args[0], GlobalName):
            value = InertObject(value.args[0].path, value.args[2])
    if not isinstance(value, InertObject):
        return None, ""
    if value.kind in NOT_DENSE:
        return torch.empty(_shape(value), device="meta"), NOT_DENSE[value.kind]
    return (_dense(value, storage), "") if value.kind in DENSE else (None, "")


def _dense(value: InertObject, storage: Storage) -> torch.Tensor:
    storage_ref, start, shape, strides = value.args[:4]
    _, kind, key, *_ = storage_ref.args
    dtype = _dtype(value.args[6] if value.kind.endswith("_v3") else kind)
    shape, strides = checked_sizes(shape), checked_sizes(strides)
    content = storage(_key(key))
    flatten = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    last = start + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
    count = math.prod(shape)
    if start < 0 or count > len(flatten) or (count and last >= len(flatten)):
        raise ValueError(f"a tensor of {shape} reaches beyond its {len(flatten):,} elements")
    return flatten.as_strided(shape, strides, start)


def _shape(value: InertObject) -> tuple[int, ...]:
    """Returns the shape of a tensor that is not dense: the first tuple of its parts; none, where it tells no shape."""
    parts = value.args[1] if value.kind == SPARSE else value.args
    sizes = (part.args[0] if isinstance(part, InertObject) and part.kind == "torch.Size" else part for part in parts)
    return next((checked_sizes(size) for size in sizes if isinstance(size, tuple)), ())


def read_zip(archive: zipfile.ZipFile) -> tuple[Any, Storage]:
    """Returns what the archive holds, and what reads its storages while it is open.

    Raises UnsafePickle for a file that names code; ValueError, and whatever else damaged bytes meet, for what is no
    whole file of torch.save.
    """
    (root,) = {name.removesuffix("data.pkl") for name in archive.namelist() if _is_content(name)}
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("written on a big-endian machine")
    with archive.open(f"{root}data.pkl") as file:
        content = read_pickle(file)

    @cache
    def storage(key: str) -> bytearray:
        return bytearray(archive.read(f"{root}data/{key}"))

    return content, storage


def _is_content(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")


def read_legacy(file: IO[bytes], size: int) -> tuple[Any, Storage]:
    """Does the same for a file in the format of before version 1.6, of `size` bytes, while it is open.

    It is five pickles, then the storages in the order of the last: each a count of elements and their bytes.
    """
    outside: list[tuple[Any, ...]] = []
    if read_pickle(file) != LEGACY_MAGIC:
        raise ValueError("no file of torch.save")
    _version, _system = read_pickle(file), read_pickle(file)
    content, keys = read_pickle(file, outside), read_pickle(file)
    start = file.tell()

    @cache
    def positions() -> dict[str, tuple[int, int]]:
        # modules are named outside of the pickle too, with their source
        sizes = {_key(named[2]): _dtype(named[1]).itemsize for named in outside if named[0] == "storage"}
        extents, position = {}, start
        for key in map(_key, keys):
            file.seek(position)
            (count,) = COUNT.unpack(file.read(COUNT.size))
            extents[key] = (file.tell(), count * sizes[key])
            position = sum(extents[key])
            if count < 0 or position > size:
                raise ValueError(f"storage {key} claims {count:,} elements, which the file does not have")
        return extents

    @cache
    def storage(key: str) -> bytearray:
        position, length = positions()[key]
        file.seek(position)
        return bytearray(file.read(length))

    return content, storage


def _key(key: Any) -> str:
    """Returns a storage's name. Raises ValueError for what is none: a list would be spelled out."""
    if not isinstance(key, str | int):
        raise ValueError("a storage without a name")  # noqa: TRY004 - the file is wrong, not its type
    return str(key)


def _dtype(kind: Any) -> torch.dtype:
    path = kind.path if isinstance(kind, GlobalName) else ""
    if path not in TYPES:
        raise ValueError(f"a tensor of an unknown type ({path or 'unnamed'})")
    return TYPES[path]
