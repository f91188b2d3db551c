r"""A user's own images, a folder per class:

NAEVUS/P1_1.png …   MELANOMA/P7_1.png …           or, with `parts`, train/NAEVUS/… val/NAEVUS/… test/NAEVUS/…

A class has its folder's name, and all below that folder is of the class. The sheet's `layout`, all of it optional:

layout:
  images: photographs      # where the folders are; else the root
  parts: {train: train, validation: val, test: test}  # folders that are parts, with the classes' folders in each
  patient: (P\d+)_         # a regular expression whose group is the patient, searched for in a file's name; else each
                           # image is a patient of its own
  positive: MELANOMA       # the folder that is 1 (binary), all others being 0; else the one that has the label's name

Types: png, jpg, jpeg, tif, tiff, bmp, webp, dcm. Source: written for this project.
"""

import os
from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, required
from benchmark.data.user_layouts import (
    PartFolders,
    PatientPattern,
    check_classes,
    check_count,
    files_below,
    folders_of,
    hidden,
    joined,
    layout_of,
    one_hot,
    patients_of,
)
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.strict import StrictModel
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

LAYOUT_FROM_SHEET = True  # tasks whose sheets describe different layouts cannot share phantoms
KINDS = ("binary", "multiclass", "ordinal")


class Layout(StrictModel):
    """Describes the folders as a sheet gives them to the reader `folders`."""

    images: str = "."
    parts: PartFolders | None = None
    patient: PatientPattern | None = None
    positive: str | None = None


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per image in a class's folder."""
    layout = layout_of(task, Layout, KINDS)
    if layout.positive and not task.is_binary:
        raise BenchmarkError(f"{task.name}: layout.positive is for binary tasks, this is {task.kind}")
    top = required(root / layout.images, task.name, "layout.images is the folder that the classes' folders are in")
    folders = folders_of(layout.parts)
    images = pd.concat([_split_images(top, folder, split, task) for split, folder in folders], ignore_index=True)
    notes = []
    if loose := _loose(top, images):
        notes.append(f"{plural(loose, 'image')} in no class's folder left out")
    images = images[images["class"] != ""]
    classes = sorted({*images["class"]})
    check_count(classes, task, str(top))
    labels, label_notes = _labels(images["class"], classes, layout, task, top)
    check_classes(map(str, labels), (), task, "give its folder another name, and the sheet")
    listed = labels.notna().all(axis=1)
    if unlisted := sorted({*images["class"][~listed]}):
        left = plural(int((~listed).sum()), "image")
        notes.append(f"{left} left out: the sheet lists no class {first_few(unlisted, 8)}")
    if not task.labels:
        _refuse_empty(top, classes, folders, task)
    images, labels = images[listed], labels[listed]
    names = images["path"].str.rpartition(".")[0]
    table = pd.DataFrame(
        {
            "id": names,
            "image": images["path"] if layout.images == "." else joined(layout.images) + "/" + images["path"],
            "patient": patients_of(images["path"], layout.patient, task) if layout.patient else names,
            "part": images["part"],
        }
    )
    return ReaderResult(
        table=pd.concat([table, labels], axis=1),
        notes=(*notes, *label_notes),
        labels=None if task.labels else tuple(map(str, labels)),
    )


def _split_images(top: Path, folder: str, split: str, task: TaskSpec) -> pd.DataFrame:
    """Returns the images of one split: path below `top`, class ("" outside all classes' folders)."""
    place = required(top / folder, task.name, "layout.parts names the folders that are parts")
    paths = pd.Series(files_below(place), dtype=str)
    classes = paths.str.extract("^([^/]+)/", expand=False).fillna("")
    return pd.DataFrame(
        {"path": paths if folder == "." else f"{joined(folder)}/" + paths, "class": classes, "part": split}
    )


def _loose(top: Path, images: pd.DataFrame) -> int:
    """Returns how many images are neither in a class's folder nor, where there are splits, in a split's."""
    return len({*files_below(top)} - {*images["path"][images["class"] != ""]})


def _labels(
    entries: pd.Series, classes: list[str], layout: Layout, task: TaskSpec, top: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Returns a column per label, and notes; images of classes that the sheet does not list have NaN in all."""
    if len(classes) < 2:
        raise BenchmarkError(
            f"{task.name}: {top} has images in {first_few(classes) or 'no folder'}: wanted a folder for each class"
        )
    if task.is_binary:
        positive = layout.positive or task.labels[0]
        if positive not in classes:
            remedy = did_you_mean(positive, classes)
            raise BenchmarkError(
                f"{task.name}: no images in {top}/…/{positive}: {remedy} (layout.positive says which folder is 1)"
            )
        others = [name for name in classes if name != positive]
        label_notes = f"{task.labels[0]} is 0 in {first_few(others, 8)}"
        return pd.DataFrame({task.labels[0]: (entries == positive).astype(float)}), [label_notes] * (len(others) > 1)
    if missing := [label for label in task.labels if label not in classes]:
        unlisted = [name for name in classes if name not in task.labels]
        raise BenchmarkError(
            f"{task.name}: no images of {first_few(missing)} in {top}: {did_you_mean(missing[0], unlisted or classes)}"
        )
    return one_hot(entries.where(entries.isin(task.labels or classes), ""), task.labels or classes), []


def _refuse_empty(top: Path, classes: list[str], folders: list[tuple[str, str]], task: TaskSpec) -> None:
    """Raises BenchmarkError for a class's folder without images: the copy was interrupted, or the folder is no class."""
    for _, folder in folders:
        names = sorted(entry.name for entry in os.scandir(top / folder) if entry.is_dir() and not hidden(entry.name))
        if empty := [name for name in names if name not in classes]:
            raise BenchmarkError(
                f"{task.name}: {top / folder / empty[0]} has no images: fill it, remove it, or list `labels`"
            )
