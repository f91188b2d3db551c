"""TensorFlow checkpoints written without TensorFlow, as its BundleWriter and TableBuilder write them; and one by itself.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc, core/lib/io/table_builder.cc, core/protobuf/tensor_bundle.proto.
"""

import base64
import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import google_crc32c
import torch

TYPES = {torch.float32: 1, torch.float64: 2, torch.int32: 3, torch.uint8: 4, torch.int64: 9, torch.bool: 10,
         torch.bfloat16: 14, torch.float16: 19}  # fmt: skip
RESTART = 16  # keys between two that are written in full
BLOCK = 4096  # bytes: TensorFlow's own are larger, so one of ours has several
STEM = "ResNet50_1x/model.ckpt-225206"


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes, kind: int = 0) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3 | kind) + (struct.pack("<I", value) if kind == 5 else varint(value))


def masked(content: bytes) -> int:
    checksum = google_crc32c.value(content)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) % 2**32


def header(num_files: int = 1, endian: int = 0, version: bytes = field(1, 1)) -> bytes:
    return (field(1, num_files) if num_files else b"") + (field(2, endian) if endian else b"") + field(3, version)


def entry(kind: int, shape: tuple[int, ...], offset: int, size: int, checksum: int, file: int = 0) -> bytes:
    """Fields that are 0 are left out, as protobuf does."""
    axes = b"".join(field(2, field(1, axis) if axis else b"") for axis in shape)
    located = b"".join(field(number, value) for number, value in ((3, file), (4, offset), (5, size)) if value)
    return field(1, kind) + field(2, axes) + located + field(6, checksum, 5)


def block(pairs: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    content, restarts, last = b"", [], b""
    for number, (key, value) in enumerate(pairs):
        if number % RESTART == 0:
            restarts.append(len(content))
            last = b""
        shared = next((n for n, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    content += struct.pack(f"<{len(restarts) or 1}I", *(restarts or [0])) + struct.pack("<I", len(restarts) or 1)
    return sealed(content, compression)


def sealed(content: bytes, compression: int = 0) -> bytes:
    content += bytes([compression])
    return content + struct.pack("<I", masked(content))


def table(pairs: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """In the order given: TensorFlow's is that of the keys."""
    content, handles, waiting = b"", [], []
    for pair in [*pairs, None]:
        if pair:
            waiting.append(pair)
        if waiting and (pair is None or sum(len(k) + len(v) for k, v in waiting) > BLOCK):
            made = block(waiting, compression)
            handles.append((waiting[-1][0], varint(len(content)) + varint(len(made) - 5)))
            content += made
            waiting = []
    return ended(content, handles)


def ended(content: bytes, handles: list[tuple[bytes, bytes]]) -> bytes:
    """Blocks, closed by those that tell where they are."""
    metaindex, index = block([]), block(handles)
    handles_of_index = varint(len(content)) + varint(len(metaindex) - 5)
    handles_of_index += varint(len(content) + len(metaindex)) + varint(len(index) - 5)
    return content + metaindex + index + handles_of_index.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def bundle(tensors: dict[str, torch.Tensor], stem: str = STEM, num_files: int = 1) -> dict[str, bytes]:
    """A checkpoint's files by name."""
    data = [b""] * num_files
    entries = [(b"", header(num_files))]
    for number, name in enumerate(sorted(tensors)):
        tensor, file = tensors[name], number % num_files
        content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        value = entry(TYPES[tensor.dtype], tuple(tensor.shape), len(data[file]), len(content), masked(content), file)
        entries.append((name.encode(), value))
        data[file] += content
    parts = {f"{stem}.data-{number:05}-of-{num_files:05}": content for number, content in enumerate(data)}
    return {f"{stem}.index": table(entries), **parts}


def zipped(files: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], kind: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_zip(content: dict[str, Any], path: Path) -> None:
    """As google-research/simclr gives its checkpoints."""
    others = {
        f"{Path(STEM).parent}/checkpoint": b'model_checkpoint_path: "model.ckpt-225206"',
        f"{STEM}.meta": b"graph",
    }
    path.write_bytes(zipped({**others, **bundle(content)}))


def write_tar(content: dict[str, Any], path: Path) -> None:
    path.write_bytes(tarred(bundle(content)))


# tf.compat.v1.train.Saver of TensorFlow 2.21 wrote these two files
WRITTEN_BY_TENSORFLOW = {
    "model.ckpt-225206.index": base64.b64decode(
        "AAAGCAEaAggBACMPYmFzZV9tb2RlbC9iYXRjaF9ub3JtYWxpemF0aW9uL2JldGEIExIEEgIIAygGNZMilLsfBRFnYW1tYQgOEgQSAggDIAYoBj"
        "W52T1+Cw0dY29udjJkL2tlcm5lbAgBEhASAggBEgIIAhICCAISAggDIAwoMDWUmjqQGAkdL01vbWVudHVtCAESEBICCAESAggCEgIIAhICCAMg"
        "PCgwNfA79RcLBRFlbXB0eQgBEgYSABICCAQgbDXY6oKiAAQRZmxhZwgKEgQSAggCIGwoAjVfsM6BAAsNZ2xvYmFsX3N0ZXAICRIAIG4oCDUcMN"
        "IGAAURd29yZHMIBxIEEgIIAiB2KAk16eQ2hQAAAAABAAAAADLgEt0AAAAAAQAAAADA8qGwAAEDeACaAgAAAAABAAAAAF11OE+fAgisAg8AAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAV/uAiyR1R9s="
    ),
    "model.ckpt-225206.data-00000-of-00001": bytes.fromhex(
        "003c0040003800bf003fc03f000000000000803e0000003f0000403f0000803f0000a03f0000c03f0000e03f00000040000010400000204000003040"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000100b66f0300000000000102"
        "bfdfdb7a616263"
    ),
}
THEIR_TENSORS = {
    "base_model/batch_normalization/beta": torch.tensor([1, 2, 0.5], dtype=torch.float16),
    "base_model/batch_normalization/gamma": torch.tensor([-0.5, 0.5, 1.5], dtype=torch.bfloat16),
    "base_model/conv2d/kernel": torch.arange(12.0).reshape(1, 2, 2, 3) / 4,
    "base_model/conv2d/kernel/Momentum": torch.zeros(1, 2, 2, 3),
    "base_model/empty": torch.zeros(0, 4),
    "flag": torch.tensor([True, False]),
    "global_step": torch.tensor(225206),
}  # fmt: skip
