r"""A user's own images with masks beside them, a file each:

images/a.jpg   masks/a.png …      or, with `parts`, images/train/a.jpg   masks/train/a.png …

A mask lies in its folder where its image lies in its own. The sheet's `layout`, all of it optional:

layout:
  images: photographs                    # a folder below the root, searched with all below it; else images
  masks: drawn                           # that of the masks, which may be the same or the root (.); else masks
  image: "{stem}.jpg"                    # what an image is called: {stem} is what its name shares with its mask's; where
                                         # a pattern has no suffix, any is found; else {stem}
  mask: "{stem}_segmentation.png"        # what its mask is called; else {stem}.png
  observer2: "second/{stem}.png"         # a second observer's mask, with its folder
  field_of_view: "views/{stem}_mask.gif" # the field of view, with its folder
  parts: {train: train, validation: val, test: test}  # folders that are parts, in each of the folders above; or where
                                         # those say {part}, such as images: "{part}/images"
  missing_masks: empty                   # an image without a mask's file has an empty mask; else it is a fault
  patient: (\d+)_                        # a regular expression whose group is the patient, searched for in an image's
                                         # name; else each image is a patient of its own

Types: png, jpg, jpeg, tif, tiff, bmp, webp, dcm, and gif for masks. Source: written for this project.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import AfterValidator, model_validator

from benchmark.data.image_files import RLE
from benchmark.data.index import ReaderResult, required
from benchmark.data.user_layouts import (
    IMAGES,
    PartFolders,
    PatientPattern,
    files_below,
    folders_of,
    joined,
    layout_of,
    patients_of,
)
from benchmark.errors import BenchmarkError
from benchmark.strict import StrictModel
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

LAYOUT_FROM_SHEET = True  # tasks whose sheets describe different layouts cannot share phantoms
KINDS = ("segmentation",)
MASKS = (*IMAGES, ".gif")


def _with_stem(pattern: str) -> str:
    name = pattern.rpartition("/")[2]
    if name.count("{stem}") != 1:
        raise ValueError("wanted a file's name with {stem} in it once")
    return pattern


NamePattern = Annotated[str, AfterValidator(_with_stem)]


class Layout(StrictModel):
    """Describes images and masks as a sheet gives them to the reader `pairs`."""

    images: str = "images"
    masks: str = "masks"
    image: NamePattern = "{stem}"
    mask: NamePattern = "{stem}.png"
    observer2: NamePattern | None = None
    field_of_view: NamePattern | None = None
    parts: PartFolders | None = None
    missing_masks: Literal["empty"] | None = None
    patient: PatientPattern | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Layout":
        if not self.parts and any("{part}" in pattern for pattern in (self.images, *self.mask_patterns.values())):
            raise ValueError("parts is missing: which folders does {part} stand for?")
        return self

    @property
    def mask_patterns(self) -> dict[str, str]:
        """Returns mask column of the index -> the pattern of its files, with its folder."""
        named = {
            "mask": joined(self.masks, self.mask),
            "mask_observer2": self.observer2,
            "field_of_view": self.field_of_view,
        }
        return {column: pattern for column, pattern in named.items() if pattern}


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per image with its masks."""
    layout = layout_of(task, Layout, KINDS)
    splits = [_split_images(root, layout, folder, split, task) for split, folder in folders_of(layout.parts)]
    table = pd.concat([split.table for split in splits], ignore_index=True)
    notes = []
    if orphans := sum(split.orphans for split in splits):
        notes.append(f"{plural(orphans, 'mask')} without an image left out")
    if others := sum(split.others for split in splits):
        notes.append(f"{plural(others, 'file')} among the images not called {layout.image} left out")
    for column, pattern in layout.mask_patterns.items():
        without = table["id"][table[column] == ""]
        if not without.size:
            continue
        counted = f"{len(without):,} of {len(table):,} images have no {pattern}"
        if len(without) == len(table) or (column == "mask" and layout.missing_masks is None):
            remedy = "copy the masks there, or say missing_masks: empty" if column == "mask" else "copy them there"
            raise BenchmarkError(
                f"{task.name}: {counted} under {root} ({first_few(without)}): {remedy}; layout says how they are called"
            )
        notes.append(counted + (": their masks are empty" if column == "mask" else ""))
    table["mask"] = table["mask"].replace("", RLE)
    if layout.patient:
        table["patient"] = patients_of(table["image"], layout.patient, task)
    return ReaderResult(table=table, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True)
class _SplitImages:
    """Holds the images of one split with their masks. `orphans`: number of masks without an image; `others`: number of
    files among the images whose names do not match the pattern.
    """

    table: pd.DataFrame
    orphans: int
    others: int


def _split_images(root: Path, layout: Layout, folder: str, split: str, task: TaskSpec) -> _SplitImages:
    mask_patterns = {
        column: _files(root, pattern, folder, MASKS, task).dropna() for column, pattern in layout.mask_patterns.items()
    }
    images = _files(root, joined(layout.images, layout.image), folder, IMAGES, task)
    # where masks lie among the images, a file that is called as a mask is one
    images = images[~images["path"].isin(pd.concat([masks["path"] for masks in mask_patterns.values()]))]
    others, images = int(images["key"].isna().sum()), images.dropna()
    if images.empty:
        raise BenchmarkError(f"{task.name}: no images {_within(joined(layout.images, layout.image), folder)} in {root}")
    ids = ("" if folder == "." else f"{joined(folder)}/") + images["below"].str.rpartition(".")[0]
    table = pd.DataFrame({"id": ids, "image": images["path"], "patient": ids, "part": split})
    orphans = 0
    for column, masks in mask_patterns.items():
        paths = masks[masks["key"].isin(images["key"])].set_index("key")["path"]
        orphans += len(masks) - len(paths)
        if (duplicates := paths[paths.index.duplicated(keep=False)]).size:
            raise BenchmarkError(f"{task.name}: {first_few(duplicates)} in {root} are masks of one image: keep one")
        table[column] = images["key"].map(paths).astype(object).fillna("")
    return _SplitImages(table=table, orphans=orphans, others=others)


def _within(pattern: str, folder: str) -> str:
    """Returns the pattern (with its own folder) for the split that lies in `folder`."""
    if "{part}" in pattern:
        return pattern.replace("{part}", folder)
    inner, _, name = pattern.rpartition("/")
    return joined(inner, folder, name)


def _files(root: Path, pattern: str, folder: str, suffixes: tuple[str, ...], task: TaskSpec) -> pd.DataFrame:
    """Returns the files in the pattern's folder. `path`: below the root; `below`: below that folder; `key`: `below`
    with the stem in place of the name, NaN where the name does not match the pattern.
    """
    inner, _, name = _within(pattern, folder).rpartition("/")
    place = required(root / inner, task.name, f"layout says that there are files {pattern}")
    below = pd.Series(files_below(place, suffixes), dtype=str)
    before, after = map(re.escape, name.split("{stem}"))
    any_suffix = "" if name.lower().endswith(MASKS) else r"\.[^./]+"
    pieces = below.str.extract(rf"^(.*/)?{before}([^/]+){after}{any_suffix}$")
    key = pieces[0].fillna("") + pieces[1]
    return pd.DataFrame({"path": f"{inner}/" + below if inner else below, "below": below, "key": key})
