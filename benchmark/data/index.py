"""The index of a data set: one table, one row per image, whatever the official layout; its check and its digest.

Columns that every reader gives (text unless said): `id` (unique), `image` (path below the root), `patient` (the
image's own id where unknown), `part` (the split: train, validation, test, or nothing where the data set has no
official splits). A classification task has a column per label (1, 0, NaN for not labeled, or UNCERTAIN where its recipe
says what that is trained as); a segmentation task has `mask` and may have `mask_observer2` and `field_of_view`
(`data.image_files.read_mask` says how a mask is named). Where classes exclude each other, each has a column and one of
them is 1. Group columns (sex, age, view, site …) are carried to the predictions.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data import hdf5
from benchmark.data.image_files import files_of
from benchmark.errors import BenchmarkError
from benchmark.files import canonical_json, sha256_of, temporary_error_of
from benchmark.text import first_few, plural

MASKS = ("mask", "mask_observer2", "field_of_view")
SPLITS = ("train", "validation", "test")
NUM_SAMPLED = 8
UNCERTAIN = -1.0


@dataclass(frozen=True, kw_only=True)
class ReaderResult:
    """Holds what a reader returns. `labels`: the table's label columns, where the task does not list them itself.

    `unlabelled`: images of a challenge's test whose labels are not public (columns id, image); they are predicted for a
    submission and belong to no split. `num_listed`: how many images the data set's own tables list, where the task
    leaves some of them out (None: as many as the table has rows).
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    unlabelled: pd.DataFrame | None = None
    num_listed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Index:
    """Holds the table of a data set under `root`. `notes` say what a reader left out and why; `phantom` marks synthetic
    images; `unlabelled` and `num_listed` are those of ReaderResult; `own_split` is true where the splits come from a
    user's own split file. `verified`: names of files whose content this process has already compared with the ledger of
    source files.
    """

    task: str
    root: Path
    table: pd.DataFrame
    labels: tuple[str, ...]
    phantom: bool
    notes: tuple[str, ...] = ()
    unlabelled: pd.DataFrame | None = None
    num_listed: int | None = None
    own_split: bool = False
    verified: set[str] = field(default_factory=set, compare=False, repr=False)

    @cached_property
    def digest(self) -> str:
        """Returns 16 hex digits of a hash over the complete table and over the bytes of a few images and masks, spread
        evenly over it.

        The sample distinguishes copies of one data set at different sizes without opening all images.
        """
        table = self.table.sort_values("id", kind="stable")
        digest = hashlib.sha256(canonical_json(list(table.columns)).encode())
        for column in table.columns:
            values = table[column]
            if values.dtype.kind == "f":
                digest.update(values.to_numpy(dtype="<f8", na_value=np.nan).tobytes())
            else:
                digest.update("\0".join(values.astype(str).tolist()).encode())
        rows = np.unique(np.linspace(0, len(table) - 1, NUM_SAMPLED).round().astype(int))
        for column in ("image", *MASKS):
            for named in table[column].iloc[rows] if column in table else ():
                for name in files_of(named):
                    digest.update(bytes.fromhex(_content_digest(self.root / name)))
        return digest.hexdigest()[:16]


def _content_digest(path: Path) -> str:
    """Returns the SHA-256, in hex, of an image's file, or of its row alone where a file holds many images."""
    if hdf5.is_row(path):
        return hashlib.sha256(hdf5.read_row(path)[0].tobytes()).hexdigest()
    return sha256_of(path)


def check_index(
    index: Index,
    *,
    segmentation: bool,
    uncertain: bool = False,
    exclusive: bool = False,
    case: str | None = None,
) -> Index:
    """Returns the index if it is valid. Raises BenchmarkError that names the first rows that are not.

    `exclusive`: each row has exactly one of the labels, or is not labeled. `case`: the column whose rows are scored as one
    example.
    """
    table, source = index.table, f"{index.task} in {index.root}"
    if table.empty:
        raise BenchmarkError(f"{source}: no images found")
    if duplicates := table["id"][table["id"].duplicated()].tolist():
        raise BenchmarkError(f"{source}: {plural(len(duplicates), 'image')} listed twice: {first_few(duplicates)}")
    if unknown := set(table["part"]) - {*SPLITS, ""}:
        raise BenchmarkError(f"{source}: splits {sorted(unknown)} are not among {', '.join(SPLITS)}")
    pairs = table.loc[table["part"] != "", ["patient", "part"]].drop_duplicates()
    if leaked := sorted(set(pairs["patient"][pairs["patient"].duplicated()])):
        raise BenchmarkError(
            f"{source}: {plural(len(leaked), 'patient')} in more than one split ({first_few(leaked)}): "
            f"the official lists keep patients apart; get the lists again"
        )
    if not segmentation:
        values = table[list(index.labels)].to_numpy(dtype=float)
        invalid = ~(np.isnan(values) | (values == 0) | (values == 1) | ((values == UNCERTAIN) & uncertain))
        if invalid.any():
            row, column = np.argwhere(invalid)[0]
            raise BenchmarkError(
                f"{source}: {table['id'].iloc[row]} has {values[row, column]} as {index.labels[column]}: wanted 0, 1 or nothing"
            )
        ambiguous = (values.sum(axis=1) != 1) & ~np.isnan(values).all(axis=1)
        if exclusive and ambiguous.any():
            row = int(np.flatnonzero(ambiguous)[0])
            has = [label for label, value in zip(index.labels, values[row], strict=True) if value == 1]
            raise BenchmarkError(
                f"{source}: {table['id'].iloc[row]} has the classes {first_few(has) or 'none'}: wanted one of "
                f"{first_few(index.labels, 8)}"
            )
    if case is not None:
        if case not in table:
            raise BenchmarkError(f"{source}: images are scored by {case!r}, a column that the reader does not return")
        differing = (
            table.groupby(case, sort=False)[["patient", "part", *index.labels]].nunique(dropna=False).max(axis=1) > 1
        )
        if differing.any():
            names = first_few(differing.index[differing])
            raise BenchmarkError(f"{source}: images of one {case} have different labels, patients or splits: {names}")
    return index


def listing(folder: Path, suffixes: Iterable[str]) -> dict[str, str]:
    """Returns file name -> path below `folder`, for all files in the folder and below it.

    Hidden files are left out. Raises BenchmarkError where two folders hold a file of one name: it would be unclear which of
    them the table means.
    """
    suffixes = tuple(suffixes)
    paths: dict[str, str] = {}
    for name, path in files_in(folder):
        if name.lower().endswith(suffixes) and not name.startswith("."):
            if name in paths:
                raise BenchmarkError(f"{folder}: {paths[name]} and {path} have one name: remove one of the two copies")
            paths[name] = path
    return paths


def files_in(folder: Path, skipped: Callable[[str], bool] = lambda _: False) -> Iterator[tuple[str, str]]:
    """Yields name and path below `folder` of each file in it and below it, in no order.

    Names for which `skipped` is true are left out, folders with all that is in them. Each folder is scanned once and no
    file is opened: a hundred thousand images take well under a second.

    Raises BenchmarkError where links lead to one folder twice, since such a walk may not end, and TemporaryError where the
    system cannot read a folder.
    """
    visited: dict[tuple[int, int], str] = {}
    pending = [""]
    try:
        while pending:
            below = pending.pop()
            status = (folder / below).stat()
            first = visited.setdefault((status.st_dev, status.st_ino), below)
            if first != below:
                raise BenchmarkError(f"{folder}: {first or '.'} and {below} are one folder, by a link: remove the link")
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    inner = f"{below}/{entry.name}" if below else entry.name
                    if skipped(entry.name):
                        continue
                    if entry.is_dir():
                        pending.append(inner)
                    else:
                        yield entry.name, inner
    except OSError as error:
        raise temporary_error_of(error) from error


def required(path: Path, task: str, remedy: str) -> Path:
    """Returns the path if it exists. Raises BenchmarkError with the remedy."""
    if not path.exists():
        raise BenchmarkError(f"{task}: {path} is missing: {remedy}")
    return path


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns pandas' errors about a file that is not a table into a BenchmarkError of one line with the path."""
    try:
        yield
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"{path}: unreadable table ({reason}): copy it again from its source") from error


def read_table(path: Path, columns: Iterable[str], task: str, remedy: str) -> pd.DataFrame:
    """Returns a CSV file as a table of text, blank cells as "".

    Raises BenchmarkError for a file that is missing or not a table, and for one without some of the `columns`.
    """
    with readable(required(path, task, remedy)):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in columns if name not in rows]:
        raise BenchmarkError(f"{path}: no column {first_few(missing)}; found {first_few(rows.columns, 6)}")
    return rows


def paths_of(names: pd.Series, files: dict[str, str], *, task: str, root: Path, remedy: str) -> pd.Series:
    """Returns the path of each named file. Raises BenchmarkError where files are missing: how many, which, and the remedy."""
    paths = names.map(files)
    missing = names[paths.isna()]
    if len(missing):
        raise BenchmarkError(
            f"{task}: {len(missing):,} of {len(names):,} images are missing under {root} "
            f"({first_few(missing)}): the copy is not complete; {remedy}"
        )
    return paths
