"""Labels of a classification task for training and for evaluation, and what becomes of uncertain ones.

Departs: uncertain labels are drawn for training alone and are not evaluated; the first paper's code draws them, unseeded, for
validation and test too. Departs: an uncertain label is drawn once a cell; the first paper's code draws it anew each time
that it reads the image.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.data.index import UNCERTAIN, Index
from benchmark.tasks.spec import OTHER, TaskSpec

# what an uncertain label is trained as: a draw from low..high, once a cell (the first paper's code; `lsr` is the label
# smoothing of Pham et al. 2021), or nothing
POLICIES = {
    "lsr-ones": (0.55, 0.85),
    "lsr-zeros": (0.0, 0.3),
    "ones": (1.0, 1.0),
    "zeros": (0.0, 0.0),
    "ignore": (math.nan, math.nan),
}


def training_labels(table: pd.DataFrame, labels: tuple[str, ...], policy: str | None, seed: int) -> NDArray[np.float32]:
    """Returns the labels of all rows of an index, rows x labels: 1, 0, NaN (not labeled), or a draw for an uncertain one.

    A row's draw depends on the seed and on its position in the index, so that it is the same for every training subset.
    """
    values = table[list(labels)].to_numpy(dtype=np.float32)
    if policy is None:
        return values
    low, high = POLICIES[policy]
    draws = np.random.default_rng(seed).uniform(size=values.shape)
    return np.where(values == UNCERTAIN, (low + (high - low) * draws).astype(np.float32), values)


def settle_classes(index: Index, task: TaskSpec, splits: pd.Series) -> Index:
    """Returns the index with the task's final classes: where it keeps its commonest alone, the rest are joined."""
    return index if task.commonest is None else join_rare_classes(index, splits, task.commonest)


def join_rare_classes(index: Index, splits: pd.Series, commonest: int) -> Index:
    """Returns the index with the `commonest` classes of the training split, counted by case (by image where the table has
    no cases) and in that order, and `Other` for all further ones, if any. Azizi 2021, supplement A.1.

    A class of the data set that is itself called Other is joined to the further ones.
    """
    table = index.table
    training = table[splits == "train"]
    cases = training.drop_duplicates("case") if "case" in table else training
    named = [label for label in index.labels if label != OTHER]
    ordered = list(cases[named].sum().sort_values(ascending=False, kind="stable").index)
    common, rest = ordered[:commonest], [*ordered[commonest:], *(label for label in index.labels if label == OTHER)]
    if not rest:
        return replace(index, labels=tuple(common))
    other = table[rest].sum(axis=1, skipna=False).rename(OTHER)
    return replace(index, table=table.drop(columns=rest).assign(**{OTHER: other}), labels=(*common, OTHER))


def evaluation_labels(table: pd.DataFrame, labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Returns the labels of all rows of a table, rows x labels: 1, 0, or NaN for what is not labeled or uncertain."""
    values = table[list(labels)].to_numpy(dtype=np.float32)
    return np.where(values == UNCERTAIN, np.float32(np.nan), values)
