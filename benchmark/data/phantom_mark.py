"""Names the two marks of phantoms: a file in their folder, and a text inside each image file."""

import json
from pathlib import Path

from benchmark.errors import BenchmarkError

PHANTOM_MARK = "phantom, not a real image"  # each image file of a phantom carries this inside
MARKER = "PHANTOM.json"  # in the folder; written before the first image


def is_phantom(root: Path) -> bool:
    """Returns whether the folder holds phantoms. Raises BenchmarkError for a folder that `data phantom` did not finish."""
    path = root / MARKER
    if not path.is_file():
        return False
    if not json.loads(path.read_text())["complete"]:
        raise BenchmarkError(f"{root}: writing these phantoms was interrupted: delete the folder and write them again")
    return True
