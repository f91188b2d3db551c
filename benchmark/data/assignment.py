"""An index and a cell's share -> the rows of each part and what they are labelled: all that comes before pixels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cell import NUM_FOLDS, Cell
from benchmark.data import splitting as splits
from benchmark.data.index import PARTS, Index
from benchmark.data.labels import evaluation_labels, settle_classes, training_labels
from benchmark.errors import BenchmarkError
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few


@dataclass(frozen=True, kw_only=True)
class TrainingShare:
    """How much of the training part is used, and which fold validates (number from 0, of how many)."""

    fraction: float = 1.0
    subset: int | None = None
    fold: tuple[int, int] | None = None

    @classmethod
    def of_cell(cls, cell: Cell) -> "TrainingShare":
        """What a cell asks for."""
        fold = None if cell.fold is None else (cell.fold, cell.folds or NUM_FOLDS)
        return cls(fraction=cell.fraction, subset=cell.subset, fold=fold)

    @property
    def is_drawn(self) -> bool:
        """Whether the rows that train depend on the seed."""
        return self.subset is not None or self.fraction < 1

    def of(self, index: Index, rows: pd.Index, task: TaskSpec, seed: int) -> pd.Index:
        """The rows that train, of the training part's; a subset is balanced where the answers exclude each other."""
        if self.subset is None:
            return splits.fraction_of(index, rows, self.fraction, stream(seed, Purpose.SUBSET))
        balanced = task.kind == "binary" or task.is_exclusive
        return splits.subset_of(index, rows, self.subset, stream(seed, Purpose.SUBSET), balanced=balanced)


EVERYTHING = TrainingShare()


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """`index`: with its classes settled. `parts`: row -> part. `training`, `validation`, `test`: rows of its table, the
    first by the share that is used. `learned` and `judged`: table rows x labels, what trains (uncertain labels drawn)
    and what is judged. `oversample`: an epoch repeats rare classes. `notes`: which part lacks a class that others have.
    """

    index: Index
    parts: pd.Series
    training: pd.Index
    validation: pd.Index
    test: pd.Index
    training_labels: NDArray[np.float32]
    evaluation_labels: NDArray[np.float32]
    oversample: bool
    notes: tuple[str, ...]

    def positions(self, rows: pd.Index) -> NDArray[np.int64]:
        """Where rows stand in the table."""
        return self.index.table.index.get_indexer(rows).astype(np.int64)

    def groups(self, rows: pd.Index, task: TaskSpec) -> dict[str, NDArray[np.str_]]:
        """Patient, case, exam and subgroups of rows, as predictions carry them."""
        return groups_of(self.index.table.loc[rows], task)


def assign_examples(index: Index, task: TaskSpec, recipe: Recipe, share: TrainingShare, seed: int) -> Assignment:
    """Returns the rows of a cell's parts and their labels: none of it depends on the model, so seeds are paired across
    models. Raises BenchmarkError where the training images are of one class alone.
    """
    parts = splits.assign_splits(index, task.split, share.fold)
    index = settle_classes(index, task, parts)
    rows = {name: index.table.index[parts == name] for name in PARTS}
    named = () if task.kind == "segmentation" else index.labels
    training = share.of(index, rows["train"], task, seed)
    notes = check_classes(index, task, {"training": training, "validation": rows["validation"], "test": rows["test"]})
    return Assignment(
        index=index,
        parts=parts,
        training=training,
        validation=rows["validation"],
        test=rows["test"],
        training_labels=training_labels(index.table, named, recipe.uncertain, stream(seed, Purpose.UNCERTAIN)),
        evaluation_labels=evaluation_labels(index.table, named),
        oversample=recipe.sampling == "oversample",
        notes=notes,
    )


def check_classes(index: Index, task: TaskSpec, rows: Mapping[str, pd.Index]) -> tuple[str, ...]:
    """Returns one line for each part (of `rows`, by its name) that lacks a class which another part has.

    Raises BenchmarkError where the training images are of one class alone, and classes exclude each other.
    """
    members = _classes_of_images(index, task)
    counts = pd.DataFrame({part: members.loc[of_part].sum() for part, of_part in rows.items()})
    present = counts > 0
    if (task.kind == "binary" or task.is_exclusive) and present["training"].sum() == 1:
        (only,) = present.index[present["training"]]
        raise BenchmarkError(
            f"{index.task}: all {len(rows['training']):,} training images are of one class ({only}), from which nothing "
            f"can be learned: use more of the training part, or another split"
        )
    absent = {part: present.index[~present[part] & present.any(axis=1)] for part in rows}
    return tuple(
        f"the {part} part has no image {first_few(classes)}; other parts have some"
        for part, classes in absent.items()
        if len(classes)
    )


def _classes_of_images(index: Index, task: TaskSpec) -> pd.DataFrame:
    """Returns which image is of which class, a column each, named so that it may follow the word "image"."""
    table = index.table
    if task.kind != "segmentation" and len(index.labels) > 1:
        return (table[list(index.labels)] == 1).add_prefix("of ")
    name = task.labels[0]
    marked = splits.has_mask(table) if task.kind == "segmentation" else table[name] == 1
    unmarked = ~marked if task.kind == "segmentation" else table[name] == 0
    return pd.DataFrame({f"with {name}": marked, f"without {name}": unmarked})


def groups_of(table: pd.DataFrame, task: TaskSpec) -> dict[str, NDArray[np.str_]]:
    """Patient, case, exam and subgroups of a table's rows."""
    carried = ("patient", *filter(None, (task.case, task.exam)), *task.groups)
    return {name: table[name].to_numpy(dtype=str) for name in carried if name in table}


def class_numbers(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """The number of each row's class: its label, where there is one label."""
    return np.nan_to_num(labels[:, 0]).astype(np.int64) if labels.shape[1] == 1 else labels.argmax(axis=1)
