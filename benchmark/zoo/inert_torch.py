"""A file of torch.save -> its tensors, where objects of classes lie beside them: the objects stay inert records.

`torch.load(weights_only=True)` refuses a whole file for one object that it does not know (Lightning's hyper-parameters,
an argparse.Namespace). Here the pickle is read by `zoo.inert`, and tensors are laid over the bytes of their storages.
Source: torch/serialization.py, its zip format and the one before it; torch/_utils.py.
"""

import math
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmark.zoo.inert import Named, Record, read_pickle

DTYPES = {
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
    }.items()
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
COUNT = struct.Struct("<q")
ToTensor = Callable[[Any], torch.Tensor | None]


def read_torch(path: Path) -> tuple[Any, ToTensor]:
    """What the file holds, and what makes a tensor of a record in it (None of all that is none).

    Raises inert.Hostile for a file that names code; ValueError, and whatever else damaged bytes meet, for what is no
    whole file of torch.save.
    """
    return _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)


def _read_zip(path: Path) -> tuple[Any, ToTensor]:
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        root = next((m.removesuffix("data.pkl") for m in members if m.count("/") == 1 and m.endswith("/data.pkl")), "")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("written on a big-endian machine")
        with archive.open(f"{root}data.pkl") as file:
            content = read_pickle(file)

    def storage(key: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{root}data/{key}")

    return content, _to_tensor(storage)


def _read_legacy(path: Path) -> tuple[Any, ToTensor]:
    """Five pickles, then the storages in the order of the last: each a count of elements and their bytes."""
    outside: list[tuple[Any, ...]] = []
    with path.open("rb") as file:
        if read_pickle(file) != LEGACY_MAGIC:
            raise ValueError("no file of torch.save")
        _version, _system = read_pickle(file), read_pickle(file)
        content, keys = read_pickle(file, outside), read_pickle(file)
        start = file.tell()

    @cache
    def places() -> dict[str, tuple[int, int]]:
        # modules are named outside of the pickle too, with their source
        sizes = {str(named[2]): _dtype(named[1]).itemsize for named in outside if named[0] == "storage"}
        found, place = {}, start
        with path.open("rb") as file:
            for key in map(str, keys):
                file.seek(place)
                (count,) = COUNT.unpack(file.read(COUNT.size))
                found[key] = (file.tell(), count * sizes[key])
                place = sum(found[key])
        return found

    def storage(key: str) -> bytes:
        place, length = places()[key]
        if not 0 <= length <= path.stat().st_size - place:
            raise ValueError(f"a tensor claims {length:,} bytes that the file does not have")
        with path.open("rb") as file:
            file.seek(place)
            return file.read(length)

    return content, _to_tensor(storage)


def _dtype(kind: Any) -> torch.dtype:
    if not isinstance(kind, Named) or kind.path not in DTYPES:
        raise ValueError(f"a tensor of an unknown type ({kind.path if isinstance(kind, Named) else 'unnamed'})")
    return DTYPES[kind.path]


def _to_tensor(storage: Callable[[str], bytes]) -> ToTensor:
    @cache
    def elements(key: str, dtype: torch.dtype) -> torch.Tensor:
        data = bytearray(storage(key))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)

    def tensor(value: Any) -> torch.Tensor | None:
        while isinstance(value, Record) and value.kind == "torch._utils._rebuild_parameter":
            value = value.args[0]
        if not isinstance(value, Record) or value.kind not in TENSORS:
            return None
        held, start, shape, strides = value.args[:4]
        _, kind, key, *_ = held.args
        flat = elements(str(key), _dtype(kind))
        last = start + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
        count = math.prod(shape)
        if min((start, *shape, *strides)) < 0 or count > len(flat) or (count and last >= len(flat)):
            raise ValueError(f"a tensor of {tuple(shape)} reaches beyond its {len(flat):,} elements")
        return flat.as_strided(shape, strides, start)

    return tensor
