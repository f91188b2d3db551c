"""Writes phantoms in the layout that a sheet describes to the reader `table`."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.lesion import skin
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.phantoms.user_data import made_up_classes, write_photograph
from benchmark.data.readers.table import KINDS
from benchmark.data.user_layouts import Part, layout_of
from benchmark.data.user_table import Layout
from benchmark.tasks.spec import TaskSpec

PHANTOM_SPLITS: tuple[Part, ...] = ("train", "train", "train", "validation", "test")


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
    """Writes patients of one or two cases of one to three images, where the layout has patients and cases.

    The kind of lesion follows the class; skin_type, where it is a column, follows the skin's tone. Cases are counted
    within their patient. Where the sheet lists no classes there are six made-up ones.
    """
    layout = layout_of(task, Layout, KINDS)
    rng = np.random.default_rng(spec.seed)
    names, classes = layout.columns, made_up_classes(task)
    rows: list[dict[str, str]] = []
    patient = lesion = 0
    while len(rows) < spec.num:
        patient += 1
        tone = float(rng.random())
        person = {**_person(rng, patient, tone, layout), "patient": f"P{patient}"}
        for case in range(1, 1 + (int(rng.integers(1, 3)) if {"patient", "case"} <= {*names} else 1)):
            lesion += 1
            kinds = _kinds(rng, lesion, classes, layout, task)
            about = {**person, "case": str(case) if "patient" in names else f"lesion-{lesion}"}
            cells = {names[key]: value for key, value in about.items() if key in names}
            cells |= _label_cells(kinds, classes, layout, task)
            views = int(rng.integers(1, 4)) if {"patient", "case"} & {*names} else 1
            for number in range(len(rows), min(len(rows) + views, spec.num)):
                name = f"image-{number + 1:05d}" + ("" if layout.suffix else ".png")
                image = skin(rng, spec.size, kinds, tone)
                write_photograph(root / layout.images / f"{name}{layout.suffix}", image, task, number)
                rows.append({**cells, names["image"]: name})
    _write_tables(root, pd.DataFrame(rows), layout)


def _person(rng: np.random.Generator, patient: int, tone: float, layout: Layout) -> dict[str, str]:
    known = {
        "sex": str(rng.choice(["F", "M"])),
        "age": str(int(rng.integers(18, 90))),
        "skin_type": str(1 + int(tone * 6)),
        "site": str(rng.choice(["arm", "back", "face"])),
    }
    split = PHANTOM_SPLITS[patient % len(PHANTOM_SPLITS)]
    values = (layout.parts.get(split) or layout.parts["train"]) if layout.parts else (split,)
    groups = {name: known.get(name, str(rng.choice(["a", "b"]))) for name in layout.groups}
    return {**groups, "part": values[0]}


def _kinds(
    rng: np.random.Generator, lesion: int, classes: tuple[str, ...], layout: Layout, task: TaskSpec
) -> tuple[int, ...]:
    """Returns the classes of a lesion, by number; in a binary task 1 is the label and 0 all else."""
    if task.is_binary:
        return (lesion % 2,)
    if not task.is_multilabel:
        return (lesion % len(classes),)
    # a blank cell would mean that the image is not labeled
    least = 1 if layout.separator and not layout.negative else 0
    count = int(rng.integers(least, min(3, len(classes)) + 1))
    return tuple(sorted(int(kind) for kind in rng.choice(len(classes), count, replace=False)))


def _label_cells(kinds: tuple[int, ...], classes: tuple[str, ...], layout: Layout, task: TaskSpec) -> dict[str, str]:
    """Returns the table's cells for a lesion's classes."""
    spelled = [{new: old for old, new in layout.rename.items()}.get(name, name) for name in classes]
    label = layout.columns.get("label")
    if task.is_binary:
        others = layout.negative or ("other",)
        values = (others[0], layout.positive[0]) if label and layout.positive else ("0", "1")
        return {label or spelled[0]: values[kinds[0]]}
    if label is None:
        return {name: str(int(number in kinds)) for number, name in enumerate(spelled)}
    none = layout.negative[0] if layout.negative else ""
    return {label: (layout.separator or "").join(spelled[kind] for kind in kinds) or none}


def _write_tables(root: Path, rows: pd.DataFrame, layout: Layout) -> None:
    """Writes all columns in one table; where the layout joins a second one, splits and groups (and patients, cases) go
    there.
    """
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
