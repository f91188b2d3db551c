"""Labels of a classification task as training and judging see them; what becomes of the uncertain ones.

Departs: uncertain labels are drawn for training alone and judge nothing; the first paper's code draws them, unseeded, for
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

# what an uncertain label trains as: a draw from low..high, once a cell (the first paper's code; `lsr` is the label
# smoothing of Pham et al. 2021), or nothing
POLICIES = {
    "lsr-ones": (0.55, 0.85),
    "lsr-zeros": (0.0, 0.3),
    "ones": (1.0, 1.0),
    "zeros": (0.0, 0.0),
    "ignore": (math.nan, math.nan),
}


def training_labels(table: pd.DataFrame, labels: tuple[str, ...], policy: str | None, seed: int) -> NDArray[np.float32]:
    """Labels of all rows of an index, N x labels: 1, 0, NaN (not labelled), or a draw for an uncertain one.

    A row's draws depend on the seed and its place in the index: whatever part of the rows is trained on, they stay.
    """
    values = table[list(labels)].to_numpy(dtype=np.float32)
    if policy is None:
        return values
    low, high = POLICIES[policy]
    draws = np.random.default_rng(seed).uniform(size=values.shape)
    return np.where(values == UNCERTAIN, (low + (high - low) * draws).astype(np.float32), values)


def settle_classes(index: Index, task: TaskSpec, parts: pd.Series) -> Index:
    """The index with the task's classes: where it keeps the commonest alone, the others joined."""
    return index if task.commonest is None else join_rare_classes(index, parts, task.commonest)


def join_rare_classes(index: Index, parts: pd.Series, commonest: int) -> Index:
    """The index with the classes that most of the training part's cases have (images, where it tells no cases), the
    commonest first, and `Other` for all further ones, where there are any. Azizi 2021, supplement A.1.

    A copy's own class of that name is joined to the further ones.
    """
    table = index.table
    training = table[parts == "train"]
    cases = training.drop_duplicates("case") if "case" in table else training
    named = [label for label in index.labels if label != OTHER]
    ordered = list(cases[named].sum().sort_values(ascending=False, kind="stable").index)
    kept, rest = ordered[:commonest], [*ordered[commonest:], *(label for label in index.labels if label == OTHER)]
    if not rest:
        return replace(index, labels=tuple(kept))
    other = table[rest].sum(axis=1, skipna=False).rename(OTHER)
    return replace(index, table=table.drop(columns=rest).assign(**{OTHER: other}), labels=(*kept, OTHER))


def evaluation_labels(table: pd.DataFrame, labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Labels of some rows, N x labels: 1, 0, or NaN for what is not labelled or uncertain."""
    values = table[list(labels)].to_numpy(dtype=np.float32)
    return np.where(values == UNCERTAIN, np.float32(np.nan), values)
