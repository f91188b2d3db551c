"""The table of the reader `table` (which says what is in it): its layout, its rows, and phantoms of it."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AfterValidator, model_validator

from benchmark.data.index import readable, required
from benchmark.data.phantoms import folder as phantom
from benchmark.data.readers.own import IMAGES, INDEX_COLUMNS, Part, Text, made_up_classes, with_train, write_photograph
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.strict import StrictModel
from benchmark.tasks.spec import TaskSpec

ROLES = ("image", "label", "patient", "case", "part")
PHANTOM_PARTS: tuple[Part, ...] = ("train", "train", "train", "validation", "test")


class Join(StrictModel):
    """A second table, of the same rows by a column that both have."""

    csv: str
    by: str


class Layout(StrictModel):
    """What a sheet tells the reader `table`."""

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
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"parts: {twice[0]!r} stands for two parts")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns that are carried to the predictions."""
        return tuple(name for name in self.columns if name not in ROLES)


def refuse_unread(layout: Layout, task: TaskSpec) -> None:
    """Raise BenchmarkError for what the sheet tells and nothing would read."""
    labelled = "label" in layout.columns
    wanted = {
        "separator": ("a multilabel task with columns.label", task.kind == "multilabel" and labelled),
        "positive": ("a binary task with columns.label", task.kind == "binary" and labelled),
        "negative": ("separator or positive", bool(layout.separator or layout.positive)),
        "parts": ("columns.part", "part" in layout.columns),
    }
    for key, (what, is_there) in wanted.items():
        if getattr(layout, key) and not is_there:
            raise BenchmarkError(f"{task.name}: layout.{key} goes with {what}, which the sheet does not have")


def column(rows: pd.DataFrame, layout: Layout, name: str) -> pd.Series:
    """The table's cells for a column of the index, blanks around them left out."""
    return rows[layout.columns[name]].str.strip()


def read_rows(root: Path, layout: Layout, task: TaskSpec) -> tuple[pd.DataFrame, list[str]]:
    """The table as text with the joined one's columns, row N of the file under index N - 2, and notes.

    Raises BenchmarkError for a file that is no whole table, and for columns that neither table has.
    """
    path, notes = root / layout.csv, []
    rows = _sheet(path, task)
    if layout.join:
        other = _sheet(root / layout.join.csv, task)
        by, also = layout.join.by, root / layout.join.csv
        _need(rows, [by], path)
        _need(other, [by], also)
        keys, others = rows[by].str.strip(), other[by].str.strip()
        if (twice := others[others.duplicated()]).size:
            raise BenchmarkError(
                f"{also}: row {twice.index[0] + 2}: {by} {twice.iloc[0]!r} is there twice: wanted one row each"
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


def write_rows(root: Path, layout: Layout, task: TaskSpec, order: phantom.Order) -> None:
    """Patients of one or two cases of one to three images, where the layout knows patients and cases.

    A class shows as a kind of lesion; skin_type, where it is a column, follows the skin's tone. Cases are counted within
    their patient. Where the sheet lists no classes there are six made-up ones.
    """
    rng = np.random.default_rng(order.seed)
    names, classes = layout.columns, made_up_classes(task)
    rows: list[dict[str, str]] = []
    patient = lesion = 0
    while len(rows) < order.num:
        patient += 1
        tone = float(rng.random())
        person = {**_person(rng, patient, tone, layout), "patient": f"P{patient}"}
        for case in range(1, 1 + (int(rng.integers(1, 3)) if {"patient", "case"} <= {*names} else 1)):
            lesion += 1
            kinds = _kinds(rng, lesion, classes, layout, task)
            about = {**person, "case": str(case) if "patient" in names else f"lesion-{lesion}"}
            told = {names[key]: value for key, value in about.items() if key in names}
            told |= _said(kinds, classes, layout, task)
            views = int(rng.integers(1, 4)) if {"patient", "case"} & {*names} else 1
            for number in range(len(rows), min(len(rows) + views, order.num)):
                name = f"image-{number + 1:05d}" + ("" if layout.suffix else ".png")
                image = phantom.skin(rng, order.size, kinds, tone)
                write_photograph(root / layout.images / f"{name}{layout.suffix}", image, task, number)
                rows.append({**told, names["image"]: name})
    _write_tables(root, pd.DataFrame(rows), layout)


def _person(rng: np.random.Generator, patient: int, tone: float, layout: Layout) -> dict[str, str]:
    known = {
        "sex": str(rng.choice(["F", "M"])),
        "age": str(int(rng.integers(18, 90))),
        "skin_type": str(1 + int(tone * 6)),
        "site": str(rng.choice(["arm", "back", "face"])),
    }
    part = PHANTOM_PARTS[patient % len(PHANTOM_PARTS)]
    values = (layout.parts.get(part) or layout.parts["train"]) if layout.parts else (part,)
    groups = {name: known.get(name, str(rng.choice(["a", "b"]))) for name in layout.groups}
    return {**groups, "part": values[0]}


def _kinds(
    rng: np.random.Generator, lesion: int, classes: tuple[str, ...], layout: Layout, task: TaskSpec
) -> tuple[int, ...]:
    """The classes of a lesion, by number; in a binary task 1 is the label and 0 all else."""
    if task.kind == "binary":
        return (lesion % 2,)
    if task.kind != "multilabel":
        return (lesion % len(classes),)
    # a blank cell would mean that the image is not labelled
    least = 1 if layout.separator and not layout.negative else 0
    count = int(rng.integers(least, min(3, len(classes)) + 1))
    return tuple(sorted(int(kind) for kind in rng.choice(len(classes), count, replace=False)))


def _said(kinds: tuple[int, ...], classes: tuple[str, ...], layout: Layout, task: TaskSpec) -> dict[str, str]:
    """The table's cells for a lesion's classes."""
    spelt = [{new: old for old, new in layout.rename.items()}.get(name, name) for name in classes]
    label = layout.columns.get("label")
    if task.kind == "binary":
        others = layout.negative or ("other",)
        values = (others[0], layout.positive[0]) if label and layout.positive else ("0", "1")
        return {label or spelt[0]: values[kinds[0]]}
    if label is None:
        return {name: str(int(number in kinds)) for number, name in enumerate(spelt)}
    none = layout.negative[0] if layout.negative else ""
    return {label: (layout.separator or "").join(spelt[kind] for kind in kinds) or none}


def _write_tables(root: Path, rows: pd.DataFrame, layout: Layout) -> None:
    """All in one table, or what is not asked of the first in the second."""
    if layout.join:
        by = layout.join.by
        if by not in rows:
            rows[by] = rows[layout.columns["image"]]
        apart = {layout.columns[name] for name in (*layout.groups, "part") if name in layout.columns} - {by}
        if by == layout.columns["image"]:
            apart |= {layout.columns[name] for name in ("patient", "case") if name in layout.columns}
        second = rows[[name for name in rows if name == by or name in apart]].drop_duplicates(by)
        second.to_csv(root / layout.join.csv, index=False)
        rows = rows.drop(columns=[name for name in rows if name in apart])
    rows.to_csv(root / layout.csv, index=False)
