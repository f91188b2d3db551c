"""Caches an encoder's tensors, so that the upstream weight file is unpacked once.

Next to `weights/<entry>/<file>` lie `<file>.encoder.safetensors`, the encoder's tensors alone under its own names, and
`<file>.encoder.json`, a note of what they came from with the report on it. The note is written last and holds the
digest of the conversion and its own, so it fits exactly one content. The identity of weights stays the upstream file's
sha256: the conversion may be deleted at any time and is made again.
"""

import os
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from benchmark.checksums import read_json, write_json
from benchmark.files import DiskFullError, atomic_file, sha256_of
from benchmark.locks import locked
from benchmark.zoo.architectures import find_builder
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import CONVERSION_SUFFIXES, LEASE, WeightFile
from benchmark.zoo.matching import LoadReport, read_encoder_tensors

FORMAT = 3  # of note and conversion, and of what `read_encoder_tensors` makes of a file: one more where that changes


def load_converted(entry: ZooEntry, file: WeightFile) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Returns what `matching.read_encoder_tensors` does, from the conversion where there is one.

    Raises BenchmarkError as that does. A folder that cannot be written, or has no room, is only read.
    """
    if (cached := _cached(entry, file)) is not None:
        return cached
    if find_builder(entry.architecture) is not None:  # a package's names and shapes can change from day to day
        return read_encoder_tensors(entry, file.path)
    folder = file.path.parent
    if not os.access(folder, os.W_OK):  # a read-only folder that many share
        return read_encoder_tensors(entry, file.path)
    with locked(folder / LEASE):
        if (cached := _cached(entry, file)) is not None:  # another process converted it meanwhile
            return cached
        tensors, report = read_encoder_tensors(entry, file.path)
        with suppress(DiskFullError):  # what was read serves as well; the next load tries again
            _write(entry, file, tensors, report)
        return tensors, report


def _cached(entry: ZooEntry, file: WeightFile) -> tuple[dict[str, torch.Tensor], LoadReport] | None:
    """Returns the conversion if its note fits this file and entry, and its content the note; else None."""
    path, note_path = _conversion_paths(file)
    note = read_json(note_path)
    if note is None or note.get("made_from") != _made_from(entry, file):
        return None
    try:
        if sha256_of(path) != note["content"]:
            return None
        return load_file(path), LoadReport(**note["report"])
    except (OSError, SafetensorError, TypeError, LookupError):  # lost or damaged meanwhile, or of another format
        return None


def _write(entry: ZooEntry, file: WeightFile, tensors: dict[str, torch.Tensor], report: LoadReport) -> None:
    path, note_path = _conversion_paths(file)
    # a memory of its own for each, laid out plainly: safetensors refuses views and what two names share
    plain = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    with atomic_file(path) as partial:
        save_file(plain, partial, metadata={"format": "pt"})
    note = {"made_from": _made_from(entry, file), "content": sha256_of(path), "report": asdict(report)}
    write_json(note_path, note)


def _made_from(entry: ZooEntry, file: WeightFile) -> dict[str, object]:
    """Returns all that the tensors and the report depend on."""
    return {
        "format": FORMAT,
        "sha256": file.sha256,
        "container": entry.container,
        "member": entry.member,
        "naming": entry.naming,
        "architecture": entry.architecture,
        "fresh": list(entry.fresh),
        "timm": version("timm"),  # whose names and shapes the report compares with
    }


def _conversion_paths(file: WeightFile) -> tuple[Path, Path]:
    """Returns the paths of the tensors and of the note."""
    tensors, note = (file.path.with_name(file.path.name + end) for end in CONVERSION_SUFFIXES)
    return tensors, note
