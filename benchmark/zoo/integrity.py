"""Whether a file that arrived is whole, by its own plan of itself, without unpacking it. Torch-free.

A download without a length that ends early, or with a length that is a lie, looks like any other where no digest is
known. A zip ends in its directory (PKWARE's APPNOTE, 4.3.16), safetensors begins with a header that names every
tensor's place (huggingface/safetensors, README, "Format"). A plain pickle has no such plan: unpacking it tells.
"""

import json
import zipfile
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.zoo.filetype import MAX_HEADER, WEB_PAGES, ZIP_STARTS


def check_complete(path: Path, name: str, container: str) -> None:
    """Raises BenchmarkError for a zip or safetensors file that is not whole, and for a web page. `name` is what it
    will be called.
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
        planned = _planned(path)
        if planned is None:
            raise BenchmarkError(f"{name} has no safetensors header: {damaged}")
        if planned != size:
            raise BenchmarkError(f"{name} is {planned:,} bytes of safetensors by its header: {damaged}")


def _planned(path: Path) -> int | None:
    """The length that a safetensors header tells; None where there is no header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER:
            return None
        try:
            tensors = [told for name, told in json.loads(file.read(length)).items() if name != "__metadata__"]
            return 8 + length + max((int(told["data_offsets"][1]) for told in tensors), default=0)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None
