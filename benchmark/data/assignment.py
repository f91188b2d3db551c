"""Which examples a cell trains, validates and tests on, and with which labels: all that is decided before any pixel."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cell import NUM_FOLDS, Cell
from benchmark.data import splitting
from benchmark.data.index import SPLITS, Index
from benchmark.data.labels import evaluation_labels, settle_classes, training_labels
from benchmark.errors import BenchmarkError
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few


@dataclass(frozen=True, kw_only=True)
class TrainingShare:
    """Says how much of the training split is used, and which fold is the validation split (number from 0, of how many)."""

    fraction: float = 1.0
    subset: int | None = None
    fold: tuple[int, int] | None = None

    @classmethod
    def of_cell(cls, cell: Cell) -> "TrainingShare":
        """Returns the share that a cell trains on."""
        fold = None if cell.fold is None else (cell.fold, cell.folds or NUM_FOLDS)
        return cls(fraction=cell.fraction, subset=cell.subset, fold=fold)

    @property
    def is_drawn(self) -> bool:
        """Whether the rows that train depend on the seed."""
        return self.subset is not None or self.fraction < 1

    def of(self, index: Index, rows: pd.Index, task: TaskSpec, seed: int) -> pd.Index:
        """Returns the rows to train on, out of `rows`; a subset is balanced where the classes exclude each other."""
        if self.subset is None:
            return splitting.fraction_of(index, rows, self.fraction, stream(seed, Purpose.SUBSET))
        balanced = task.kind_facts.one_answer
        return splitting.subset_of(index, rows, self.subset, stream(seed, Purpose.SUBSET), balanced=balanced)


EVERYTHING = TrainingShare()


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Says which rows of an index belong to a cell's splits, and holds their labels.

    `index`: with the task's final classes. `splits`: row -> train, validation or test. `training`, `validation`,
    `test`: rows of the index's table; of the training split only the share that is used. `training_labels` (uncertain
    labels drawn) and `evaluation_labels`: all rows of the table x labels. `oversample`: whether an epoch repeats rare
    classes. `notes`: which split lacks a class that another one has.
    """

    index: Index
    splits: pd.Series
    training: pd.Index
    validation: pd.Index
    test: pd.Index
    training_labels: NDArray[np.float32]
    evaluation_labels: NDArray[np.float32]
    oversample: bool
    notes: tuple[str, ...]

    def positions(self, rows: pd.Index) -> NDArray[np.int64]:
        """Returns the positions of rows in the table."""
        return self.index.table.index.get_indexer(rows).astype(np.int64)

    def groups(self, rows: pd.Index, task: TaskSpec) -> dict[str, NDArray[np.str_]]:
        """Returns patient, case, exam and subgroups of rows, as predictions carry them."""
        return groups_of(self.index.table.loc[rows], task)


def assign_examples(index: Index, task: TaskSpec, recipe: Recipe, share: TrainingShare, seed: int) -> Assignment:
    """Returns the rows of a cell's splits and their labels. They do not depend on the model, so that seeds are paired across
    models. Raises BenchmarkError where the training images are of one class alone.
    """
    splits = splitting.assign_splits(index, task.split, share.fold)
    index = settle_classes(index, task, splits)
    rows = {name: index.table.index[splits == name] for name in SPLITS}
    labels = () if task.has_masks else index.labels
    training = share.of(index, rows["train"], task, seed)
    notes = check_classes(index, task, {"training": training, "validation": rows["validation"], "test": rows["test"]})
    return Assignment(
        index=index,
        splits=splits,
        training=training,
        validation=rows["validation"],
        test=rows["test"],
        training_labels=training_labels(index.table, labels, recipe.uncertain, stream(seed, Purpose.UNCERTAIN)),
        evaluation_labels=evaluation_labels(index.table, labels),
        oversample=recipe.sampling == "oversample",
        notes=notes,
    )


def labels_of(index: Index, task: TaskSpec) -> tuple[str, ...]:
    """Returns the labels of a task as its data have them: its own, or the classes that the data name."""
    return settle_classes(index, task, splitting.assign_splits(index, task.split)).labels


def check_classes(index: Index, task: TaskSpec, rows: Mapping[str, pd.Index]) -> tuple[str, ...]:
    """Returns one line for each split (of `rows`, by its name) that lacks a class which another split has.

    Raises BenchmarkError where the training images are of one class alone, and classes exclude each other.
    """
    members = _classes_of_images(index, task)
    counts = pd.DataFrame({split: members.loc[of_split].sum() for split, of_split in rows.items()})
    present = counts > 0
    if task.kind_facts.one_answer and present["training"].sum() == 1:
        (only,) = present.index[present["training"]]
        raise BenchmarkError(
            f"{index.task}: all {len(rows['training']):,} training images are of one class ({only}), from which nothing "
            f"can be learned: use more of the training split, or another rule"
        )
    missing = {split: present.index[~present[split] & present.any(axis=1)] for split in rows}
    return tuple(
        f"the {split} split has no image {first_few(classes)}; other splits have some"
        for split, classes in missing.items()
        if len(classes)
    )


def _classes_of_images(index: Index, task: TaskSpec) -> pd.DataFrame:
    """Returns a column of booleans for each class, named so that the name may follow the word "image"."""
    table = index.table
    if not task.has_masks and len(index.labels) > 1:
        return (table[list(index.labels)] == 1).add_prefix("of ")
    name = task.labels[0]
    positive = splitting.has_mask(table) if task.has_masks else table[name] == 1
    negative = ~positive if task.has_masks else table[name] == 0
    return pd.DataFrame({f"with {name}": positive, f"without {name}": negative})


def groups_of(table: pd.DataFrame, task: TaskSpec) -> dict[str, NDArray[np.str_]]:
    """Returns patient, case, exam and subgroups of a table's rows, where the table has them."""
    names = ("patient", *filter(None, (task.case, task.exam)), *task.groups)
    return {name: table[name].to_numpy(dtype=str) for name in names if name in table}


def class_numbers(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Returns the number of each row's class; of a task with one label, the label itself (0 or 1)."""
    return np.nan_to_num(labels[:, 0]).astype(np.int64) if labels.shape[1] == 1 else labels.argmax(axis=1)
