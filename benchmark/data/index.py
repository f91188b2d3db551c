"""The index: one table per data set, one row per image, whatever its official layout; its check and its digest.

Columns that every reader gives (text unless said): `id` (unique), `image` (path below the root), `patient` (the
image's own id where unknown), `part` (train, validation, test, or nothing where the data set has no official parts).
A classification task has a column per label (1, 0, NaN for not labelled, or UNCERTAIN where its recipe says what that
trains as); a segmentation task has `mask` and may have `mask_observer2` and `field_of_view` (`data.pixels.read_mask`
says how a mask is named). Where classes exclude each other, each has a column and one of them is 1. Group columns (sex,
age, view, site …) are carried to the predictions.
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
PARTS = ("train", "validation", "test")
NUM_SAMPLED = 8
UNCERTAIN = -1.0


@dataclass(frozen=True, kw_only=True)
class ReaderResult:
    """What a reader found. `labels`: the table's label columns, where the task does not list them itself.

    `unlabelled`: images of a challenge's test whose labels are kept secret (id, image); they are predicted for a
    submission and are no part of the data set otherwise. `num_listed`: how many images the data set's own tables list,
    where the task leaves some of them out (None: as many as the table has rows).
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    unlabelled: pd.DataFrame | None = None
    num_listed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Index:
    """The table of a data set under `root`. `notes` tell what a reader left out and why; `phantom` marks synthetic
    images; `unlabelled` and `num_listed` as in Found; `own_split`: the parts are a manifest's of the user's own.
    `verified`: names of files that this process compared with what they were when they were first decoded.
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
        """16 hex digits for the examples: the whole table, and the bytes of a few images and their masks spread over it.

        The sample tells copies of one data set at other sizes apart without opening all images.
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
    """sha256, in hex, of an image's bytes: of its file, or of its row alone where a file holds many."""
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
    """The index, if it keeps its promises. Raises BenchmarkError naming the first rows that do not.

    `exclusive`: each row has one of the labels, or none is known of it. `case`: the column whose rows are one example.
    """
    table, place = index.table, f"{index.task} in {index.root}"
    if table.empty:
        raise BenchmarkError(f"{place}: no images found")
    if twice := table["id"][table["id"].duplicated()].tolist():
        raise BenchmarkError(f"{place}: {plural(len(twice), 'image')} listed twice: {first_few(twice)}")
    if unfit := set(table["part"]) - {*PARTS, ""}:
        raise BenchmarkError(f"{place}: parts {sorted(unfit)} are not among {', '.join(PARTS)}")
    parted = table.loc[table["part"] != "", ["patient", "part"]].drop_duplicates()
    if leaked := sorted(set(parted["patient"][parted["patient"].duplicated()])):
        raise BenchmarkError(
            f"{place}: {plural(len(leaked), 'patient')} in more than one part ({first_few(leaked)}): "
            f"the official lists keep patients apart; get the lists again"
        )
    if not segmentation:
        values = table[list(index.labels)].to_numpy(dtype=float)
        odd = ~(np.isnan(values) | (values == 0) | (values == 1) | ((values == UNCERTAIN) & uncertain))
        if odd.any():
            row, column = np.argwhere(odd)[0]
            raise BenchmarkError(
                f"{place}: {table['id'].iloc[row]} has {values[row, column]} as {index.labels[column]}: wanted 0, 1 or nothing"
            )
        unclear = (values.sum(axis=1) != 1) & ~np.isnan(values).all(axis=1)
        if exclusive and unclear.any():
            row = int(np.flatnonzero(unclear)[0])
            has = [label for label, value in zip(index.labels, values[row], strict=True) if value == 1]
            raise BenchmarkError(
                f"{place}: {table['id'].iloc[row]} has the classes {first_few(has) or 'none'}: wanted one of "
                f"{first_few(index.labels, 8)}"
            )
    if case is not None:
        if case not in table:
            raise BenchmarkError(f"{place}: images are judged by {case!r}, a column that the reader does not give")
        differing = (
            table.groupby(case, sort=False)[["patient", "part", *index.labels]].nunique(dropna=False).max(axis=1) > 1
        )
        if differing.any():
            names = first_few(differing.index[differing])
            raise BenchmarkError(f"{place}: images of one {case} have different labels, patients or parts: {names}")
    return index


def listing(folder: Path, suffixes: Iterable[str]) -> dict[str, str]:
    """File name -> path below `folder`, over the folder and all below it.

    Hidden files are left out. Raises BenchmarkError where two folders hold a file of one name: which of them the table means,
    nobody could tell.
    """
    suffixes = tuple(suffixes)
    found: dict[str, str] = {}
    for name, path in files_in(folder):
        if name.lower().endswith(suffixes) and not name.startswith("."):
            if name in found:
                raise BenchmarkError(f"{folder}: {found[name]} and {path} have one name: remove one of the two copies")
            found[name] = path
    return found


def files_in(folder: Path, skipped: Callable[[str], bool] = lambda _: False) -> Iterator[tuple[str, str]]:
    """Yields name and path below `folder` of each file in it and below it, in no order.

    What has a `skipped` name is left out, folders with all in them. One directory scan each, no file opened: a hundred
    thousand images take well under a second. Raises BenchmarkError where links lead to one folder twice, since such a walk may
    not end, and where the system refuses one.
    """
    known: dict[tuple[int, int], str] = {}
    pending = [""]
    try:
        while pending:
            below = pending.pop()
            told = (folder / below).stat()
            first = known.setdefault((told.st_dev, told.st_ino), below)
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
    """The path, if it is there. Raises BenchmarkError with the remedy."""
    if not path.exists():
        raise BenchmarkError(f"{task}: {path} is missing: {remedy}")
    return path


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what pandas says of a file that is no table into one line with its path."""
    try:
        yield
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"{path}: unreadable table ({reason}): copy it again from its source") from error


def paths_of(names: pd.Series, files: dict[str, str], *, task: str, root: Path, remedy: str) -> pd.Series:
    """The path of each named file. Raises BenchmarkError where files are missing: how many, which first, and the remedy."""
    paths = names.map(files)
    missing = names[paths.isna()]
    if len(missing):
        raise BenchmarkError(
            f"{task}: {len(missing):,} of {len(names):,} images are missing under {root} "
            f"({first_few(missing)}): the copy is not complete; {remedy}"
        )
    return paths
