"""Contamination: whether a task's images were among those that an entry's weights were trained on. Torch-free.

The papers leave such cells out of their tables ("–"); so does `run`, unless it is told to allow and mark them. An entry
says in `pretrained_on` what its weights, and those that they were made from, have seen; a task in `images_of` and
`root` whose images it uses. Phantoms are images of their own: they overlap with phantoms alone.
"""

from collections.abc import Mapping

from benchmark.cell import Cell
from benchmark.disk import Places
from benchmark.fault import first_few, plural
from benchmark.tasks import TaskSpec
from benchmark.zoo.catalog import ZooEntry, find_entry, read_catalog

NOTE = "overlap: "  # begins a record's note, by which the table marks the row
PHANTOM = "(phantom)"  # ends the name of a data set whose stand-ins were seen (pretrain)
Pair = tuple[str, str]  # task, model


def overlap(entry: ZooEntry, task: TaskSpec, *, phantom: bool) -> tuple[str, ...]:
    """What the entry was trained on of the task's data sets, in the entry's words; `phantom`: the task's images are.

    Names are compared by their letters and digits alone: `ChestX-ray14` is `chestxray14`.
    """
    images = {_letters(name) for name in (*task.images_of, task.root)}
    seen = [(name, name.casefold().strip()) for name in entry.pretrained_on]
    return tuple(
        name
        for name, lowered in seen
        if lowered.endswith(PHANTOM) == phantom and _letters(lowered.removesuffix(PHANTOM)) in images
    )


def overlap_notes(cell: Cell, task: TaskSpec, places: Places) -> list[str]:
    """A record's notes about weights of the cell that saw the task's images. Raises Fault for weights in no zoo file."""
    known = read_catalog(places.project / "model_zoo.yaml", places.own_zoo)
    phantom = cell.data == "phantom"
    found = [(w.name, overlap(find_entry(w.name, known), task, phantom=phantom)) for w in cell.weights]
    return [f"{NOTE}{name} was trained on the images of this task ({first_few(seen)})" for name, seen in found if seen]


def told(overlapping: Mapping[Pair, tuple[str, ...]]) -> str:
    """One line about pairs that are not run, and how to run them."""
    pairs = first_few([f"{model} on {task}" for task, model in overlapping])
    data_sets = first_few(dict.fromkeys(name for seen in overlapping.values() for name in seen))
    return (
        f"{plural(len(overlapping), 'pair')} of model and task left out (–): {pairs}: the weights were trained on the "
        f"task's images ({data_sets}); --allow-overlap runs and marks them"
    )


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())
