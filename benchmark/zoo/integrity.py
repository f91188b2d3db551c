"""Checks whether a file that arrived is complete, by what its own header or directory says, without unpacking it. Torch-free.

A download without a length that ends early, or with a length that is a lie, looks like any other where no digest is
known. A zip ends in its directory (PKWARE's APPNOTE, 4.3.16), safetensors begins with a header that names every
tensor's position (huggingface/safetensors, README, "Format"). A plain pickle has neither: only unpacking it shows.
"""

import json
import zipfile
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.zoo.filetype import MAX_HEADER, WEB_PAGES, ZIP_STARTS


def check_complete(path: Path, name: str, container: str) -> None:
    """Raises BenchmarkError for an incomplete zip or safetensors file, and for a web page. `name` is the file's final
    name.
    """
    size = path.stat().st_size
    damaged = f"cut off or damaged ({size:,} bytes)"
    with path.open("rb") as file:
        start = file.read(64)
    if start.lstrip().lower().startswith(WEB_PAGES):
        raise BenchmarkError(f"{name} is a web page, not a weight file (a dead link, or one that asks for a login)")
    if start.startswith(ZIP_STARTS) and not zipfile.is_zipfile(path):
        raise BenchmarkError(f"{name} is a zip without its end: {damaged}")
    if container == "safetensors" or name.endswith(".safetensors"):
        expected = _expected_size(path)
        if expected is None:
            raise BenchmarkError(f"{name} has no safetensors header: {damaged}")
        if expected != size:
            raise BenchmarkError(f"{name} is {expected:,} bytes of safetensors by its header: {damaged}")


def _expected_size(path: Path) -> int | None:
    """Returns the length of the file by its safetensors header; None where there is no header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER:
            return None
        try:
            tensors = [tensor for name, tensor in json.loads(file.read(length)).items() if name != "__metadata__"]
            return 8 + length + max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None
