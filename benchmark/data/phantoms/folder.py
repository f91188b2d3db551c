"""Phantoms: synthetic images with learnable findings, marked so that they never pass for real ones.

They stand for a layout, not for medicine: a chest is two dark ellipses with ribs and a heart, a fundus is a disc with
branching curves. A folder of phantoms carries PHANTOM.json, written before the first image; each image file carries a
mark of its own (`data.PHANTOM_MARK`).
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.data.phantom_mark import MARKER
from benchmark.errors import BenchmarkError
from benchmark.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class PhantomSpec:
    """Says which phantoms to write: how many images, of what side in pixels, from which seed."""

    num: int
    size: int
    seed: int = 0


@contextmanager
def marked(root: Path, layout: str, spec: PhantomSpec) -> Iterator[None]:
    """Marks a new folder as phantoms of a layout, incomplete until the block ends without an error. Raises
    BenchmarkError where the folder is not empty.
    """
    if root.exists() and any(root.iterdir()):
        what = "other phantoms, or some half-written" if (root / MARKER).is_file() else "files that are no phantoms"
        raise BenchmarkError(f"{root} holds {what}: delete the folder, or give another one to --out")
    write_atomically(root / MARKER, _marker_text(layout, spec, complete=False))
    yield
    write_atomically(root / MARKER, _marker_text(layout, spec, complete=True))


def is_written(root: Path, layout: str, spec: PhantomSpec) -> bool:
    """Returns whether the folder holds exactly these phantoms, complete."""
    path = root / MARKER
    return path.is_file() and path.read_text() == _marker_text(layout, spec, complete=True)


def clear(root: Path) -> None:
    """Deletes a folder of phantoms; a folder without their mark is left as it is."""
    if (root / MARKER).is_file():
        shutil.rmtree(root)


def _marker_text(layout: str, spec: PhantomSpec, *, complete: bool) -> str:
    note = "synthetic images; they stand for a file layout and make no clinical claim"
    return json.dumps({"layout": layout, **asdict(spec), "note": note, "complete": complete}, indent=1)
