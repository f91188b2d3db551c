"""What the readers of a user's own folders and tables share: the layout of the task's sheet, lists of files, patients
from names.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BeforeValidator, ValidationError

from benchmark.data.index import MASKS, files_in
from benchmark.errors import BenchmarkError
from benchmark.strict import StrictModel, explain
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm")
INDEX_COLUMNS = ("id", "image", "patient", "part", "case", *MASKS)
MAX_CLASSES = 1_000  # as many as ImageNet's; a column of 1 and 0 is made for each

L = TypeVar("L", bound=StrictModel)
Parts = TypeVar("Parts", bound=dict[Any, Any])


def with_train(parts: Parts) -> Parts:
    """Returns a layout's `parts`; refuses those without train."""
    if not parts.get("train"):
        raise ValueError("train is missing: what may be named is train, validation and test")
    return parts


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"wanted a regular expression ({error})") from error
    if groups != 1:
        raise ValueError(f"wanted a regular expression with one group in parentheses, the patient; it has {groups}")
    return pattern


def _as_written(value: object) -> object:
    # YAML reads 0 as a number and no as a truth value; tables hold texts
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - what pydantic makes a line of
            "YAML reads yes, no, on and off as true and false: put the word in quotation marks"
        )
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(_as_written)]
PatientPattern = Annotated[str, AfterValidator(_one_group)]
Part = Literal["train", "validation", "test"]
PartFolders = Annotated[dict[Part, str], AfterValidator(with_train)]


def layout_of(task: TaskSpec, model: type[L], kinds: Sequence[str]) -> L:
    """Returns the layout that the sheet gives its reader. Raises BenchmarkError naming task and key, or where the
    reader does not support the kind of task.
    """
    if task.kind not in kinds:
        raise BenchmarkError(
            f"{task.name}: the reader {task.reader} is for {' and '.join(kinds)} tasks, this is {task.kind}"
        )
    try:
        return model.model_validate(task.layout or {})
    except ValidationError as error:
        raise BenchmarkError(f"{task.name}: layout: {explain(error, model)}") from error


def joined(*folders: str) -> str:
    """Returns the path of folders and a name; "." stands for no folder."""
    return PurePosixPath(*folders).as_posix()


def folders_of(parts: dict[Part, str] | None) -> list[tuple[str, str]]:
    """Returns splits with their folders; where the layout has none, the split "" in the folder itself."""
    return [(part, folder) for part, folder in parts.items()] if parts else [("", ".")]


def hidden(name: str) -> bool:
    """Returns whether a file or folder is a system's own."""
    return name.startswith((".", "__MACOSX"))


def files_below(folder: Path, suffixes: Iterable[str] = IMAGES) -> list[str]:
    """Returns the paths below `folder` of all files of these types, sorted. Two folders may hold files of one name."""
    suffixes = tuple(suffixes)
    return sorted(path for name, path in files_in(folder, hidden) if name.lower().endswith(suffixes))


def patients_of(paths: pd.Series, pattern: str, task: TaskSpec) -> pd.Series:
    """Returns each file's patient: the group of the pattern, searched for in the file's name. Raises BenchmarkError."""
    patients = paths.str.rpartition("/")[2].str.extract(pattern, expand=False).fillna("")
    if (unmatched := paths[patients == ""]).size:
        raise BenchmarkError(
            f"{task.name}: layout.patient: {pattern!r} finds no patient in the names of "
            f"{plural(len(unmatched), 'file')}: {first_few(unmatched)}"
        )
    return patients


def check_classes(classes: Iterable[str], groups: Iterable[str], task: TaskSpec, remedy: str) -> None:
    """Raises BenchmarkError where a class has the name of one of the index's own columns."""
    if taken := sorted({*classes} & {*INDEX_COLUMNS, *groups}):
        raise BenchmarkError(
            f"{task.name}: the class {first_few(taken)} has the name of a column of the index: {remedy}"
        )


def check_count(classes: Sequence[str], task: TaskSpec, where: str) -> None:
    """Raises BenchmarkError for more than MAX_CLASSES: numbers, dates or names that are no classes."""
    if len(classes) > MAX_CLASSES:
        raise BenchmarkError(
            f"{task.name}: {where} holds {len(classes):,} different values ({first_few(classes)}): wanted classes, at "
            f"most {MAX_CLASSES:,}"
        )


def one_hot(entries: pd.Series, classes: Sequence[str]) -> pd.DataFrame:
    """Returns a column of 1 and 0 for each class; NaN in all columns for a row without a class."""
    hot = (entries.to_numpy(dtype=object)[:, None] == np.array(classes, dtype=object)).astype(float)
    hot[(entries == "").to_numpy()] = np.nan
    return pd.DataFrame(hot, columns=list(classes), index=entries.index)
