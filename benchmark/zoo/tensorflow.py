"""Reads a TensorFlow checkpoint, NAME.index and NAME.data-00000-of-00001, into tensors by name, without TensorFlow.

The index is a LevelDB table of sorted names, each written as what differs from the one before; a value says a tensor's
type, shape and position in the data. Nothing in either file runs. Names, their number and the index are bounded, no more
is read of the data than there is, and every checksum (CRC-32C) is compared. Source: tensorflow/core/util/tensor_bundle
(tensor_bundle.cc), core/protobuf/tensor_bundle.proto, core/lib/io (format.cc, block.cc), protobuf's "Encoding".
"""

import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmark.errors import BenchmarkError, install_extra

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
FOOTER = 48  # bytes: two places of blocks, padded, and the magic
TRAILER = 5  # after each block: its compression and checksum
MAX_INDEX_SIZE = 1 << 24  # bytes; a ResNet-152 with its optimizer has 100 KB, of 2,000 tensors
MAX_NAME_LENGTH = 1024
MAX_ENTRY_LENGTH = 1 << 16
MAX_BLOCKS = 10_000  # TensorFlow's own are of 256 KB
MAX_TENSORS = 20_000  # ten times those of a ResNet-152 with its optimizer
MAX_AXES = 8
VERSION = 1  # of the format, the newest in TensorFlow 2.21
DTYPES = {  # tensorflow/core/framework/types.proto
    1: torch.float32, 2: torch.float64, 3: torch.int32, 4: torch.uint8, 5: torch.int16, 6: torch.int8, 9: torch.int64,
    10: torch.bool, 14: torch.bfloat16, 19: torch.float16,
}  # fmt: skip
Fields = dict[int, int | bytes]


def read_bundle(index: Path, data: list[Path]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Returns tensors by name, and the names of entries without numbers (texts). `data` are all data files, in order.

    Raises BenchmarkError where the extra for TensorFlow is not installed and for what is not read here, ValueError and
    LookupError for what is damaged.
    """
    if index.stat().st_size > MAX_INDEX_SIZE:
        raise ValueError(f"an index of {index.stat().st_size:,} bytes")
    entries = list(_table(index.read_bytes()))
    if not entries or entries[0][0] != b"":
        raise ValueError("its index has no header")
    _check_header(dict(_fields(entries[0][1])), len(data))
    left = sum(file.stat().st_size for file in data)
    tensors, others = {}, []
    for key, value in entries[1:]:
        name, fields = key.decode(), dict(_fields(value))
        if 7 in fields:
            raise BenchmarkError(f"{name} lies in slices, which is not read here: save the checkpoint anew, unsliced")
        left -= _number(fields, 5)
        if left < 0:  # one piece of data, named many times over
            raise ValueError("its tensors are larger than its data")
        if _number(fields, 1) in DTYPES:
            tensors[name] = _tensor(name, fields, data)
        else:
            others.append(name)
    return tensors, others


def _check_header(header: Fields, num_files: int) -> None:
    if _number(header, 1) != num_files:
        raise ValueError(f"its index names {_number(header, 1):,} data files, found {num_files}")
    if _number(header, 2):
        raise BenchmarkError("written on a big-endian machine, which is not read here")
    if (least := _number(dict(_fields(_text(header, 3))), 2)) > VERSION:
        raise BenchmarkError(f"its format is of version {least:,}, newer than {VERSION}, which is read here")


def _tensor(name: str, fields: Fields, data: list[Path]) -> torch.Tensor:
    dtype = DTYPES[_number(fields, 1)]
    shape = [axis for number, axis in _fields(_text(fields, 2)) if number == 2 and isinstance(axis, bytes)]
    axes = [_number(dict(_fields(axis)), 1) for axis in shape]
    offset, size, file = _number(fields, 4), _number(fields, 5), data[_number(fields, 3)]
    if len(axes) > MAX_AXES or prod(axes) * dtype.itemsize != size:
        raise ValueError(f"{name} should be {axes[:MAX_AXES]} of {dtype}, and has {size:,} bytes")
    if offset + size > file.stat().st_size:
        raise ValueError(f"{name} ends at byte {offset + size:,} of {file.stat().st_size:,}")
    content = np.fromfile(file, np.uint8, count=size, offset=offset)
    if _checksum(content) != _number(fields, 6):
        raise ValueError(f"{name} has another checksum than its index says")
    return torch.from_numpy(content).view(dtype).reshape(axes) if size else torch.empty(axes, dtype=dtype)


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields keys and values of the table, in order."""
    if len(content) < FOOTER or not content.endswith(MAGIC):
        raise ValueError("its index has no end")
    footer = content[-FOOTER:]
    _, at = _handle(footer, 0)  # of the metaindex, which is empty
    index_block, _ = _handle(footer, at)
    last: bytes | None = None
    number, left = 0, len(content)
    for block, (_, value) in enumerate(_block(content, *index_block)):
        (at, size), _ = _handle(value, 0)
        left -= size
        if left < 0 or block >= MAX_BLOCKS:  # one block, named many times over
            raise ValueError("its index names more blocks than there are")
        for key, entry in _block(content, at, size):
            number += 1
            if (last is not None and key <= last) or number > MAX_TENSORS:
                raise ValueError("its index is not in order, or endless")
            last = key
            yield key, entry


def _block(content: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if start + size + TRAILER > len(content) - FOOTER:
        raise ValueError(f"a block of its index ends at byte {start + size:,} of {len(content):,}")
    kind, checksum = struct.unpack_from("<BI", content, start + size)
    if _checksum(content[start : start + size + 1]) != checksum:
        raise ValueError("a block of its index has another checksum than it says")
    if kind:
        raise BenchmarkError(
            "its index is compressed, which is not read here: save the checkpoint anew with TensorFlow 1.2 or later"
        )
    block = content[start : start + size]
    (restarts,) = struct.unpack_from("<I", block, size - 4) if size >= 4 else (0,)
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block of its index has no end")
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        added, at = _varint(block, at)
        length, at = _varint(block, at)
        if (
            shared > len(key)
            or shared + added > MAX_NAME_LENGTH
            or length > MAX_ENTRY_LENGTH
            or at + added + length > end
        ):
            raise ValueError("an entry of its index is longer than it can be")
        key = key[:shared] + block[at : at + added]
        yield key, block[at + added : at + added + length]
        at += added + length


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    start, at = _varint(content, at)
    size, at = _varint(content, at)
    return (start, size), at


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields a protobuf message's fields: numbers, and bytes for what is nested."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        length, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _varint(content, at)
        if kind not in (1, 2, 5) or at + length > len(content):
            raise ValueError("an entry of its index is damaged")
        piece = content[at : at + length]
        yield tag >> 3, piece if kind == 2 else int.from_bytes(piece, "little")
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")  # noqa: TRY004 - the file is wrong, not its type
    return value


def _text(fields: Fields, number: int) -> bytes:
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is a number")  # noqa: TRY004 - as above
    return value


def _checksum(content: bytes | npt.NDArray[np.uint8]) -> int:
    """Returns the CRC-32C, masked as LevelDB stores it, so that data that hold checksums do not come out as constants."""
    try:
        import google_crc32c
    except ImportError as error:
        raise BenchmarkError(
            f"a TensorFlow checkpoint is read with google-crc32c, which is not installed: {install_extra('tensorflow')}"
        ) from error
    checksum = int(google_crc32c.value(content))
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
