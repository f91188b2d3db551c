"""A user's own images under one CSV. The sheet's `layout` says how it is read; only `csv` and `columns.image` are needed:

layout:
  csv: metadata.csv        # below the root; parted by commas, semicolons or tabs
  images: photographs      # the images' folder, searched with all below it; else the root
  suffix: .png             # for names that carry none; a name with "/" is a path below `images`
  columns:                 # the index's columns: the table's
    image: img_id
    label: diagnostic      # the class; or 1 and 0 (binary); or some of the sheet's `labels` between `separator`
                           # (multilabel); without it each of `labels` is a column of 1 and 0 (or true, yes, 1.0)
    patient: patient_id    # else the case, or else the image, is a patient of its own
    case: lesion_id        # images judged together, numbered within their patient
    part: fold
    skin_type: fitspatrick # any other name: a group
  parts: {train: [a, b], validation: [c], test: [d]}  # values of `part`; else train, val, valid, validation, test
  separator: "|"
  positive: [malignant]    # values that are 1 (binary); all others are 0, or those of `negative` alone where it is there
  negative: [No Finding]   # values that are none of the labels
  rename: {NV: naevus}     # the table's class: the task's
  join: {csv: truth.csv, by: image}  # a second table with more columns, its rows found by a column that both have

A blank cell is not labeled; a row that says nothing of any label is left out, and counted. A multiclass sheet may leave
`labels` out: the classes are those that the label's column holds.

Source: written for this project; PAD-UFES-20 and ISIC 2019 are read with it (tasks/Derm27.yaml, tasks/Derm27-ISIC.yaml).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.index import UNCERTAIN, ReaderResult, listing, paths_of, required
from benchmark.data.user_layouts import IMAGES, check_classes, check_count, files_below, joined, layout_of, one_hot
from benchmark.data.user_table import Layout, column, read_rows, refuse_unread
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

LAYOUT_FROM_SHEET = True  # tasks whose sheets describe different layouts cannot share phantoms
KINDS = ("binary", "multilabel", "multiclass", "ordinal")
WORDS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0, "no": 0.0, "": np.nan}
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per row of the table that has a label."""
    layout = layout_of(task, Layout, KINDS)
    refuse_unread(layout, task)
    path = root / layout.csv
    rows, notes = read_rows(root, layout, task)
    labels, label_notes = _labels(rows, layout, task, path)
    check_classes(map(str, labels), layout.groups, task, "layout.rename gives it another")
    names = _names(rows, layout, path)
    labeled = labels.notna().any(axis=1)
    if unlabelled := int((~labeled).sum()):
        notes.append(f"{plural(unlabelled, 'row')} of {layout.csv} without a label left out")
    files = _files(root, names, layout, task)
    if unlisted := len({*files.values()} - {*names.map(files).dropna()}):
        notes.append(f"{plural(unlisted, 'image')} without a row in {layout.csv} left out")
    rows, names = rows[labeled], names[labeled]
    images = paths_of(names, files, task=task.name, root=root / layout.images, remedy=_remedy(names, layout))
    table = pd.DataFrame({"id": names.str.rpartition(".")[0], "image": images, "part": _splits(rows, layout, path)})
    if layout.images != ".":
        table["image"] = joined(layout.images) + "/" + table["image"]
    notes += _people(table, rows, layout)
    for group in layout.groups:
        # pandas writes whole numbers with .0 where some cells are blank
        table[group] = column(rows, layout, group).str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    return ReaderResult(
        table=pd.concat([table, labels[labeled]], axis=1),
        notes=(*notes, *label_notes),
        labels=None if task.labels else tuple(map(str, labels)),
    )


def _names(rows: pd.DataFrame, layout: Layout, path: Path) -> pd.Series:
    """Returns the images' names with their suffixes."""
    names = column(rows, layout, "image").str.replace("\\", "/", regex=False).str.removeprefix("./")
    if (blank := names.index[names == ""]).size:
        raise BenchmarkError(f"{path}: row {blank[0] + 2}: names no image in {layout.columns['image']}")
    return names.where(names.str.lower().str.endswith(IMAGES), names + layout.suffix)


def _files(root: Path, names: pd.Series, layout: Layout, task: TaskSpec) -> dict[str, str]:
    """Returns an image's name, or its path where names include folders -> its path below the images' folder."""
    remedy = "the folder is what layout.images says, below the task's root"
    folder = required(root / layout.images, task.name, remedy)
    in_folders = names.str.contains("/", regex=False)
    by_path = {path: path for path in files_below(folder)} if in_folders.any() else {}
    return by_path if in_folders.all() else by_path | listing(folder, IMAGES)


def _remedy(names: pd.Series, layout: Layout) -> str:
    if not layout.suffix and not names.str.lower().str.endswith(IMAGES).any():
        return "where names in the table carry no suffix, layout.suffix adds it, such as .jpg"
    return f"copy them there, or take their rows out of {layout.csv}"


def _people(table: pd.DataFrame, rows: pd.DataFrame, layout: Layout) -> list[str]:
    """Writes patients and cases into the table and returns notes. An image without a case is a case of its own; a case
    without a patient is a patient of its own.
    """
    blank = pd.Series("", index=rows.index)
    patient = column(rows, layout, "patient") if "patient" in layout.columns else blank
    case = column(rows, layout, "case") if "case" in layout.columns else blank
    case = case.where(case != "", table["id"])
    known = patient != ""
    table.insert(2, "patient", patient.where(known, case))
    if "case" in layout.columns:
        # cases may be counted anew for each patient
        table["case"] = (patient + "/" + case).where(known, case)
    missing = int((~known).sum()) if "patient" in layout.columns else 0
    return [f"{plural(missing, 'image')} without a patient: each counts as a patient of its own, or its case"] * (
        missing > 0
    )


def _splits(rows: pd.DataFrame, layout: Layout, path: Path) -> pd.Series:
    if "part" not in layout.columns:
        return pd.Series("", index=rows.index)
    entries = column(rows, layout, "part")
    known = (
        {value: split for split, values in layout.parts.items() for value in values} if layout.parts else SPLIT_WORDS
    )
    splits = (entries if layout.parts else entries.str.lower()).map({**known, "": ""})
    if (invalid_entries := entries[splits.isna()]).size:
        raise BenchmarkError(
            f"{path}: row {invalid_entries.index[0] + 2}: found the split {invalid_entries.iloc[0]!r}: "
            f"wanted one of {first_few(known, 8)}, or layout.parts to say what it is"
        )
    return splits


def _labels(rows: pd.DataFrame, layout: Layout, task: TaskSpec, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Returns a column per label, and notes; rows without a label have NaN in all columns."""
    if "label" not in layout.columns:
        return _from_columns(rows, layout, task, path), []
    entries = column(rows, layout, "label")
    if task.is_multilabel:
        return _from_lists(entries, layout, task, path), []
    if task.is_binary:
        return _from_values(entries, layout, task, path)
    entries = entries.replace(layout.rename)
    classes = task.labels or tuple(sorted({*entries} - {""}))
    check_count(classes, task, f"{path}: {layout.columns['label']}")
    if (invalid_entries := entries[~entries.isin(["", *classes])]).size:
        raise BenchmarkError(_unknown(invalid_entries, classes, layout, path))
    if len(classes) < 2:
        raise BenchmarkError(
            f"{path}: {layout.columns['label']} holds {first_few(classes) or 'nothing'}: wanted two classes or more"
        )
    return one_hot(entries, classes), []


def _from_columns(rows: pd.DataFrame, layout: Layout, task: TaskSpec, path: Path) -> pd.DataFrame:
    if not task.labels:
        raise BenchmarkError(
            f"{task.name}: classes come from a column, layout.columns.label, or from columns that `labels` name: wanted one"
        )
    named = {layout.rename.get(name, name): name for name in map(str, rows)}
    if missing := [label for label in task.labels if label not in named]:
        raise BenchmarkError(f"{path}: no column {missing[0]!r} for that label: {did_you_mean(missing[0], named)}")
    words = WORDS | ({"-1": UNCERTAIN, "-1.0": UNCERTAIN} if "uncertain" in task.recipe else {})
    entries = {label: rows[named[label]].str.strip() for label in task.labels}
    values = pd.DataFrame({label: _zero_one(cells, label, words, path) for label, cells in entries.items()})
    if task.is_exclusive:
        labeled = values.notna().any(axis=1)
        unclear = labeled & (values.sum(axis=1) != 1)
        if unclear.any():
            row = values.index[unclear][0]
            has = [label for label in task.labels if values[label][row] == 1]
            raise BenchmarkError(
                f"{path}: row {row + 2}: {first_few(has, 8) or 'no class'} is 1: wanted one of the classes to be"
            )
        values[labeled] = values[labeled].fillna(0.0)
    return values


def _zero_one(entries: pd.Series, label: str, words: dict[str, float], path: Path) -> pd.Series:
    lowered = entries.str.lower()
    if (invalid_entries := entries[~lowered.isin(list(words))]).size:
        wanted = "1, 0, -1 or blank" if "-1" in words else "1, 0 or blank"
        raise BenchmarkError(
            f"{path}: row {invalid_entries.index[0] + 2}: found {invalid_entries.iloc[0]!r} as {label}: wanted {wanted}"
        )
    return lowered.map(words).astype(float)


def _from_lists(entries: pd.Series, layout: Layout, task: TaskSpec, path: Path) -> pd.DataFrame:
    if layout.separator is None:
        raise BenchmarkError(
            f"{task.name}: layout.separator is missing: what stands between the labels in {layout.columns['label']}? "
            "Where each label has a column, leave columns.label out"
        )
    pieces = entries.str.split(layout.separator, regex=False).explode().str.strip().replace(layout.rename)
    if (invalid_entries := pieces[~pieces.isin(["", *task.labels, *layout.negative])]).size:
        raise BenchmarkError(_unknown(invalid_entries, (*task.labels, *layout.negative), layout, path))
    has = {label: (pieces == label).groupby(level=0).any().astype(float) for label in task.labels}
    return pd.DataFrame(has).where(entries != "")


def _from_values(entries: pd.Series, layout: Layout, task: TaskSpec, path: Path) -> tuple[pd.DataFrame, list[str]]:
    label = task.labels[0]
    if not layout.positive:
        return pd.DataFrame({label: _zero_one(entries, label, WORDS, path)}), []
    if not entries.isin(layout.positive).any():
        near = did_you_mean(layout.positive[0], {*entries} - {""})
        raise BenchmarkError(f"{path}: no row of {layout.columns['label']} is {first_few(layout.positive)}: {near}")
    values = entries.isin(layout.positive).astype(float).where(entries != "")
    others = entries[values == 0]
    if layout.negative and (invalid_entries := others[~others.isin(layout.negative)]).size:
        raise BenchmarkError(_unknown(invalid_entries, (*layout.positive, *layout.negative), layout, path))
    counts = others.value_counts().sort_index()
    label_notes = first_few((f"{value} ({count:,})" for value, count in counts.items()), 8)
    return pd.DataFrame({label: values}), [] if layout.negative else [f"{label} is 0 for: {label_notes}"]


def _unknown(invalid_entries: pd.Series, known: tuple[str, ...], layout: Layout, path: Path) -> str:
    row, value = invalid_entries.index[0], invalid_entries.iloc[0]
    return f"{path}: row {row + 2}: found {value!r} in {layout.columns['label']}: {did_you_mean(value, known)}"
