"""An encoder's tensors, taken out of their upstream container once.

Beside `weights/<entry>/<file>` lie `<file>.encoder.safetensors`, the encoder's tensors alone under its own names, and
`<file>.encoder.json`, a note of what they came from and the account of it. The note is written last and holds the
conversion's digest and its own, so it vouches for exactly one content. The identity of weights stays the upstream file's
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
from benchmark.files import DiskFullError, sha256_of, whole_file
from benchmark.locks import locked
from benchmark.zoo.architectures import find_builder
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import CONVERSION_SUFFIXES, WeightFile
from benchmark.zoo.matching import LoadReport, read_encoder_tensors

FORMAT = 3  # of note and conversion, and of what `encoder_tensors` makes of a file: one more where that changes


def load_converted(entry: ZooEntry, file: WeightFile) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """What `backbone.encoder_tensors` gives for the file, from its conversion where there is one of just these.

    Raises BenchmarkError as that does. A folder that cannot be written, or has no room, is read from without converting.
    """
    if (held := _held(entry, file)) is not None:
        return held
    if find_builder(entry.architecture) is not None:  # a package's names and shapes can change from day to day
        return read_encoder_tensors(entry, file.path)
    folder = file.path.parent
    if not os.access(folder, os.W_OK):  # a read-only folder that many share
        return read_encoder_tensors(entry, file.path)
    with locked(folder / ".lock"):
        if (held := _held(entry, file)) is not None:  # another process converted it meanwhile
            return held
        tensors, report = read_encoder_tensors(entry, file.path)
        with suppress(DiskFullError):  # what was read serves as well; the next load tries again
            _write(entry, file, tensors, report)
        return tensors, report


def _held(entry: ZooEntry, file: WeightFile) -> tuple[dict[str, torch.Tensor], LoadReport] | None:
    """The conversion, if its note is of this file read in this way, and its content the note's."""
    path, note = _places(file)
    told = read_json(note)
    if told is None or told.get("made_from") != _made_from(entry, file):
        return None
    try:
        if sha256_of(path) != told["content"]:
            return None
        return load_file(path), LoadReport(**told["report"])
    except (OSError, SafetensorError, TypeError, LookupError):  # lost or damaged meanwhile, or of another format
        return None


def _write(entry: ZooEntry, file: WeightFile, tensors: dict[str, torch.Tensor], report: LoadReport) -> None:
    path, note = _places(file)
    # a memory of its own for each, laid out plainly: safetensors refuses views and what two names share
    plain = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    with whole_file(path) as partial:
        save_file(plain, partial, metadata={"format": "pt"})
    told = {"made_from": _made_from(entry, file), "content": sha256_of(path), "report": asdict(report)}
    write_json(note, told)


def _made_from(entry: ZooEntry, file: WeightFile) -> dict[str, object]:
    """All that the tensors and the account depend on."""
    return {
        "format": FORMAT,
        "sha256": file.sha256,
        "container": entry.container,
        "member": entry.member,
        "naming": entry.naming,
        "architecture": entry.architecture,
        "fresh": list(entry.fresh),
        "timm": version("timm"),  # whose names and shapes the account compares with
    }


def _places(file: WeightFile) -> tuple[Path, Path]:
    tensors, note = (file.path.with_name(file.path.name + end) for end in CONVERSION_SUFFIXES)
    return tensors, note
