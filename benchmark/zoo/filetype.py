"""Decides once, from its bytes, what type a weight file is; every reader follows this decision. Torch-free.

The first bytes decide, so a file that is valid in two formats (a pickle with a zip behind it) is read only in the first,
and what was checked is what is loaded. Sources: PKWARE's APPNOTE 4.3 (zip), torch/serialization.py, Python's pickletools,
huggingface/safetensors (README, "Format"), POSIX ustar.
"""

import re
import zipfile
from collections import Counter
from enum import Enum
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.text import first_few
from benchmark.zoo.archive import damage_as_error, is_tar

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # the second: a zip without members
WEB_PAGES = (b"<!doctype", b"<html", b"<?xml")
# protocol, perhaps a frame, then the number that torch.save writes first (torch/serialization.py: MAGIC_NUMBER)
LEGACY_TORCH = re.compile(
    rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a" + re.escape((0x1950A86A20F9469CFC6C).to_bytes(10, "little")) + rb"\.",
    re.DOTALL,
)
PICKLE = re.compile(rb"\x80[\x02-\x05]")
MAX_HEADER = 1 << 24  # bytes of a safetensors header; a net of a thousand tensors has 100 KB


class FileType(Enum):
    """The value names the type in a sentence."""

    TORCH_ZIP = "a zip of torch.save"
    TORCH_LEGACY = "a file of torch.save in its format of before version 1.6"
    TORCHSCRIPT = "a TorchScript archive"
    SAFETENSORS = "a safetensors file"
    PICKLE = "a pickle"
    NUMPY_ARCHIVE = "a NumPy archive (.npz)"
    ZIP = "a zip archive"
    TAR = "a tar archive"
    OTHER = "of no type that its first bytes tell"  # pickles of protocol 0 and 1 begin with anything


def file_type(path: Path) -> FileType:
    """Returns what the file is. Raises BenchmarkError for a web page, and for a zip that is damaged or holds a name twice."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.lstrip().lower().startswith(WEB_PAGES):
        raise BenchmarkError(f"{path.name}: a web page, not a weight file: the download met an error or login page")
    if start.startswith(ZIP_STARTS):
        return _zip_type(path)
    if LEGACY_TORCH.match(start):
        return FileType.TORCH_LEGACY
    if PICKLE.match(start):
        return FileType.PICKLE
    if int.from_bytes(start[:8], "little") <= MAX_HEADER and start[8:9] == b"{":
        return FileType.SAFETENSORS
    return FileType.TAR if is_tar(path) else FileType.OTHER


def _zip_type(path: Path) -> FileType:
    with damage_as_error(path, "zip archive"), zipfile.ZipFile(path) as archive:
        counts = Counter(archive.namelist())
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise BenchmarkError(
            f"{path.name}: refused, a zip that holds {first_few(repeated)} twice: programs differ in which of the two they read"
        )
    if any(name.endswith("/constants.pkl") for name in counts):
        return FileType.TORCHSCRIPT
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in counts):
        return FileType.TORCH_ZIP
    if counts and all(name.endswith(".npy") for name in counts):
        return FileType.NUMPY_ARCHIVE
    return FileType.ZIP
