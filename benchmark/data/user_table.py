"""Reads the table of the reader `table` (`data.readers.table` describes it): its layout and its rows."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator, model_validator

from benchmark.data.index import readable, required
from benchmark.data.user_layouts import IMAGES, INDEX_COLUMNS, Part, Text, with_train
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.strict import StrictModel
from benchmark.tasks.spec import TaskSpec

ROLES = ("image", "label", "patient", "case", "part")


class Join(StrictModel):
    """Describes a second table, joined to the first by a column that both have."""

    csv: str
    by: str


class Layout(StrictModel):
    """Describes a table as a sheet gives it to the reader `table`."""

    csv: str
    images: str = "."
    suffix: str = ""
    columns: dict[str, Text]
    parts: Annotated[dict[Part, tuple[Text, ...]], AfterValidator(with_train)] | None = None
    separator: str | None = None
    positive: tuple[Text, ...] = ()
    negative: tuple[Text, ...] = ()
    rename: dict[Text, Text] = {}
    join: Join | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Layout":
        if "image" not in self.columns:
            raise ValueError("columns.image is missing: which column names the images?")
        if taken := {*INDEX_COLUMNS} & {*self.groups}:
            raise ValueError(f"columns.{min(taken)} is a column of the index that no table gives")
        if self.suffix and not self.suffix.lower().endswith(IMAGES):
            raise ValueError(f"suffix {self.suffix!r}: wanted one of {', '.join(IMAGES)}")
        if self.separator is not None and not self.separator.strip(" "):
            raise ValueError("separator is blank: wanted a sign such as |")
        values = [value for of_part in (self.parts or {}).values() for value in of_part]
        if duplicates := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"parts: {duplicates[0]!r} stands for two parts")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """Returns the columns that are carried to the predictions."""
        return tuple(name for name in self.columns if name not in ROLES)


def refuse_unread(layout: Layout, task: TaskSpec) -> None:
    """Raises BenchmarkError for entries of the layout that nothing would read."""
    labeled = "label" in layout.columns
    wanted = {
        "separator": ("a multilabel task with columns.label", task.is_multilabel and labeled),
        "positive": ("a binary task with columns.label", task.is_binary and labeled),
        "negative": ("separator or positive", bool(layout.separator or layout.positive)),
        "parts": ("columns.part", "part" in layout.columns),
    }
    for key, (what, is_there) in wanted.items():
        if getattr(layout, key) and not is_there:
            raise BenchmarkError(f"{task.name}: layout.{key} goes with {what}, which the sheet does not have")


def column(rows: pd.DataFrame, layout: Layout, name: str) -> pd.Series:
    """Returns the table's cells for a column of the index, without surrounding blanks."""
    return rows[layout.columns[name]].str.strip()


def read_rows(root: Path, layout: Layout, task: TaskSpec) -> tuple[pd.DataFrame, list[str]]:
    """Returns the table as text with the joined one's columns, row N of the file under index N - 2, and notes.

    Raises BenchmarkError for a file that is not a complete table, and for columns that neither table has.
    """
    path, notes = root / layout.csv, []
    rows = _sheet(path, task)
    if layout.join:
        other = _sheet(root / layout.join.csv, task)
        by, also = layout.join.by, root / layout.join.csv
        _need(rows, [by], path)
        _need(other, [by], also)
        keys, others = rows[by].str.strip(), other[by].str.strip()
        if (duplicates := others[others.duplicated()]).size:
            raise BenchmarkError(
                f"{also}: row {duplicates.index[0] + 2}: {by} {duplicates.iloc[0]!r} is there twice: wanted one row each"
            )
        if unmatched := int((~keys.isin(others)).sum()):
            if unmatched == len(keys):
                raise BenchmarkError(f"{also}: no {by} of {path} is in it, such as {keys.iloc[0]!r}")
            notes.append(f"{unmatched:,} of {len(keys):,} rows of {layout.csv} have none in {layout.join.csv}")
        more = other.drop(columns=[name for name in other if name in rows]).set_axis(others, axis=0)
        rows = pd.concat([rows, more.reindex(keys).fillna("").set_axis(rows.index, axis=0)], axis=1)
    _need(rows, layout.columns.values(), path)
    return rows, notes


def _sheet(path: Path, task: TaskSpec) -> pd.DataFrame:
    required(path, task.name, "layout.csv and layout.join.csv name tables below the task's root")
    with readable(path):
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            file.seek(0)
            width = None
            try:
                for number, cells in enumerate(csv.reader(file, delimiter=separator)):
                    width = width or len(cells)
                    # pandas fills short rows up: a file that was cut off would pass for a whole one
                    if cells and len(cells) != width:
                        raise BenchmarkError(
                            f"{path}: row {number + 1} has {len(cells)} cells where the first has {width}: "
                            "copy the table again, or write it anew"
                        )
            except csv.Error as error:
                raise BenchmarkError(f"{path}: unreadable table ({error}): copy it again, or write it anew") from error
        rows = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False
        )
    rows.columns = rows.columns.str.strip()
    rows = rows[(rows != "").any(axis=1)]
    if rows.empty:
        raise BenchmarkError(f"{path}: the table has no rows: copy it again, or write it anew")
    return rows


def _need(rows: pd.DataFrame, names: Iterable[str], path: Path) -> None:
    for name in names:
        if name not in rows:
            raise BenchmarkError(f"{path}: no column {name!r}: {did_you_mean(name, rows.columns)}")
