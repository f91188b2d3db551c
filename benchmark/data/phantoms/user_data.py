"""Phantoms of a user's own layouts share this: classes, splits, names that a pattern for patients fits, image files."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.data.image_files import Pixels
from benchmark.data.phantoms.files import write_dicom, write_image
from benchmark.data.user_layouts import Part
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

# where splits are folders: two patients in five are for validation and test
PHANTOM_SPLITS: tuple[Part, ...] = ("train", "validation", "train", "test", "train")
NUM_MADE_UP = 6


# names that patterns for patients are tried on, when phantoms are named
NAMINGS: tuple[str, ...] = (
    "{p}_{n}",
    "{p}-{n}",
    "{p:04d}_{n:02d}",
    "P{p}_{n}",
    "p{p}_{n}",
    "PAT_{p}_{n}",
    "patient{p}_{n}",
    "patient_{p}_{n}",
    "Patient{p}_{n}",
    "person{p}_{n}",
    "subject{p}_{n}",
    "S{p}_{n}",
    "IM-{p:04d}-{n:04d}",
)


def made_up_classes(task: TaskSpec) -> tuple[str, ...]:
    """Returns a phantom's classes: the task's labels, or made-up ones where the data name them."""
    return task.labels or tuple(f"class-{number + 1}" for number in range(NUM_MADE_UP))


def phantom_names(pattern: str | None, named: Callable[[str], str], task: TaskSpec) -> str:
    """Returns the format of a phantom's file names by patient (p) and number (n), from which the layout's pattern can
    tell patients apart.

    `named` completes such a stem to the file's name. Raises BenchmarkError where none of NAMINGS fits.
    """
    for naming in NAMINGS if pattern else NAMINGS[:1]:
        stems = [naming.format(p=p, n=n) for p, n in ((1, 1), (1, 2), (2, 1), (12, 1))]
        matches = [re.search(pattern, named(stem)) for stem in stems] if pattern else []
        whose = [match[1] if match else None for match in matches]
        if not pattern or (whose[0] == whose[1] and None not in whose and len({*whose}) == 3):
            return naming
    raise BenchmarkError(
        f"{task.name}: layout.patient: {pattern!r} fits no name that phantoms are given: {first_few(NAMINGS, 20)}"
    )


def write_photograph(path: Path, image: Pixels, task: TaskSpec, number: int) -> None:
    """Writes a phantom in the format of its suffix. Raises BenchmarkError for formats that cannot carry a phantom's
    mark.
    """
    suffix = path.suffix.lower()
    if suffix == ".dcm":
        gray = np.asarray(image.mean(axis=2, keepdims=True).round().astype(np.uint8))
        write_dicom(path, gray, uid=f"2.25.{number + 1}", tags={})
    elif suffix in (".bmp", ".webp"):
        raise BenchmarkError(f"{task.name}: a phantom cannot be marked in a {suffix} file: wanted png, jpg, tif or dcm")
    else:
        write_image(path, image)
