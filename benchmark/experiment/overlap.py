"""Contamination: whether a task's images were among those that an entry's weights were trained on. Torch-free.

The papers leave such cells out of their tables ("–"); so does `run`, unless --allow-overlap runs and marks them. An entry
says in `pretrained_on` what its weights, and those that they were made from, have seen; a task in `images_of` and
`root` whose images it uses. Where the data sets have only a part of their images in common (`shares_images_with`), cells
are run and marked: the first paper prints them. Phantoms are images of their own: they overlap with phantoms alone. Of an
encoder that was trained here without labels the patients are known: it overlaps with a task where it saw a patient whom
the task tests.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cell import Cell
from benchmark.data.index import Index
from benchmark.data.splitting import assign_splits
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural
from benchmark.workspace import Workspace
from benchmark.zoo.catalog import ZooEntry, find_entry, read_catalog
from benchmark.zoo.fetch import find_weight_file

if TYPE_CHECKING:
    import pandas as pd

NOTE = "overlap: "  # begins a record's note, by which the table marks the row
PHANTOM = "(phantom)"  # ends the name of a data set whose stand-ins were seen (pretrain)
PATIENTS = "benchmark.patients"  # in the header of a file that `benchmark pretrain` wrote: data set -> patients
LARGEST_HEADER = 100_000_000  # bytes: safetensors' own limit
Pair = tuple[str, str]  # task, model

# one row for each data set of which a task uses the images: the names that weights may know it by. ISIC 2019 joins
# HAM10000 (which is also ISIC 2018's) and BCN_20000; PatchCamelyon's patches are cut from Camelyon16's slides
ALIASES = (
    ("APTOS2019", "APTOS", "APTOS 2019 Blindness Detection"),
    ("chest_xray", "Kermany", "ChestXRay2017", "Chest X-Ray Images (Pneumonia)"),
    ("CHASE_DB1", "CHASE"),
    ("CheXpert", "CheXpert-v1.0", "CheXpert-v1.0-small", "CheXpert-small"),
    ("ChestX-ray14", "ChestX-ray8", "CXR14", "NIH ChestX-ray14", "NIH ChestX-ray8", "NIH ChestX-ray", "NIH CXR14"),
    ("ISIC2019", "HAM10000", "BCN20000", "ISIC2018"),
    ("MontgomerySet", "Montgomery", "NIH Montgomery", "Montgomery County CXR"),
    ("PAD-UFES-20", "PAD-UFES"),
    ("PatchCamelyon", "PCam", "pcamv1", "histopathologic-cancer-detection", "Camelyon16"),
    ("rsna-str-pulmonary-embolism-detection", "RSNA-STR PE", "RSNA STR Pulmonary Embolism", "RSNA PE", "RSPECT"),
    ("Shenzhen", "NIH Shenzhen", "Shenzhen CXR", "Shenzhen Hospital CXR", "ChinaSet_AllFiles"),
    ("SIIM-ACR", "SIIM-ACR Pneumothorax", "SIIM-ACR Pneumothorax Segmentation"),
)


def overlap(entry: ZooEntry, task: TaskSpec, *, phantom: bool) -> tuple[str, ...]:
    """Returns what the entry was trained on of the task's data sets, in the entry's words; `phantom`: the task's images are
    phantoms.

    Names are compared by their letters and digits alone, and by ALIASES: `NIH Chest X-ray 14` is `chestxray14`.
    """
    return _common(entry, (*task.images_of, task.root), phantom=phantom)


def contamination(entry: ZooEntry, task: TaskSpec, index: Index, weights: Path) -> tuple[str, ...]:
    """Returns what `overlap` does, but nothing where the entry was made here from the task's own folder and is known to have
    seen none of the patients whom the task tests: of its training images alone. `weights`: the folder of weight files.
    """
    names = overlap(entry, task, phantom=index.phantom)
    own = data_set_name(task.root, phantom=index.phantom)
    if set(names) != {own} or (file := find_weight_file(entry, weights)) is None:
        return names
    seen = patients_seen_by(file.path).get(own)
    if seen is None:
        return names
    tested = index.table.loc[assign_splits(index, task.split) == "test", "patient"]
    return () if seen.isdisjoint(tested) else names


def trained_on_the_test(source: TaskSpec, target: TaskSpec, indexes: Mapping[str, Index]) -> tuple[str, ...]:
    """Returns the data sets that two tasks have in common, by the target's names, where training on the source may have seen
    images of the target's test split; nothing where both read one folder and the patients say that it saw none.
    """
    if indexes[source.name].phantom != indexes[target.name].phantom:
        return ()
    of_source = {_data_set(name) for name in (source.root, *source.images_of)}
    names = tuple(name for name in (target.root, *target.images_of) if _data_set(name) in of_source)
    if source.root != target.root:
        return names

    def patients(task: TaskSpec, *, of_test: bool) -> "pd.Series[str]":
        index = indexes[task.name]
        return index.table.loc[(assign_splits(index, task.split) == "test") == of_test, "patient"]

    return () if set(patients(source, of_test=False)).isdisjoint(patients(target, of_test=True)) else names


def overlap_notes(cell: Cell, task: TaskSpec, workspace: Workspace, index: Index) -> list[str]:
    """Returns a record's notes about weights of the cell that saw the task's images, or some of them. Raises BenchmarkError for
    weights in no zoo file.
    """
    known = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
    phantom = cell.data == "phantom"
    notes = []
    for weights in cell.weights:
        entry = find_entry(weights.name, known)
        names = overlap(entry, task, phantom=phantom)
        if names and not contamination(entry, task, index, workspace.weights):
            notes.append(f"{entry.name} was trained on training images of this task, of none of its test patients")
        elif names:
            notes.append(f"{NOTE}{entry.name} was trained on the images of this task ({first_few(names)})")
        elif not phantom and (some := _common(entry, task.shares_images_with, phantom=False)):
            notes.append(f"{NOTE}{entry.name} was trained on {first_few(some)}, which has images of this task")
    return notes


def data_set_name(root: str, *, phantom: bool) -> str:
    """Returns how `pretrained_on` names the data set in a folder."""
    return f"{root} {PHANTOM}" if phantom else root


def patients_seen_by(file: Path) -> dict[str, frozenset[str]]:
    """Returns the patients whose images the weights in a file were trained on, for each data set of which these are known;
    nothing for files that `benchmark pretrain` did not write.
    """
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > LARGEST_HEADER:  # another container
            return {}
        try:
            header = json.loads(opened.read(size))
            listed = json.loads(header["__metadata__"][PATIENTS])
        except (ValueError, LookupError, TypeError):
            return {}
    return {name: frozenset(map(str, patients)) for name, patients in listed.items()}


def _common(entry: ZooEntry, data_sets: Iterable[str], *, phantom: bool) -> tuple[str, ...]:
    """Returns the names in the entry's `pretrained_on` that stand for one of the data sets."""
    wanted = {_data_set(name) for name in data_sets}
    lowered = [(name, name.casefold().strip()) for name in entry.pretrained_on]
    return tuple(
        name
        for name, low in lowered
        if low.endswith(PHANTOM) == phantom and _data_set(low.removesuffix(PHANTOM)) in wanted
    )


def describe_overlap(overlapping: Mapping[Pair, tuple[str, ...]]) -> str:
    """Returns a line about the pairs that are not run, and how to run them."""
    pairs = first_few([f"{model} on {task}" for task, model in overlapping])
    data_sets = first_few(dict.fromkeys(name for seen in overlapping.values() for name in seen))
    return (
        f"{plural(len(overlapping), 'pair')} of model and task left out (–): {pairs}: the weights were trained on the "
        f"task's images ({data_sets}); --allow-overlap runs and marks them"
    )


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


_KNOWN_AS = {_letters(name): _letters(names[0]) for names in ALIASES for name in names}


def _data_set(name: str) -> str:
    """Returns one name for all that a data set is known by."""
    return _KNOWN_AS.get(_letters(name), _letters(name))
