"""Indexes of tasks that a test writes row by row, or that Hypothesis draws."""

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from benchmark.data.index import Index
from benchmark.tasks.spec import SplitRule

RANDOM = SplitRule(method="random", test=0.2, validation=0.1)
# each example builds tables and sorts them in pandas: twenty-five are half a second, and a busy machine may pause in one
enough = settings(max_examples=25, deadline=None)


def an_index(labels, patients, findings, part="") -> Index:
    """An index with one row per entry of `patients`; `findings` is rows x labels."""
    table = pd.DataFrame({"id": [f"i{n:05d}" for n in range(len(patients))], "patient": patients})
    table["image"] = table["id"] + ".png"
    table["part"] = part
    table[list(labels)] = np.asarray(findings, dtype=float)
    return Index(task="T", root=Path(), table=table, labels=tuple(labels), phantom=True)


@st.composite
def indexes(draw, num_labels=None):
    """5 to 80 patients of one to three images, each label with a prevalence of its own."""
    labels = [f"L{n}" for n in range(num_labels or draw(st.integers(1, 3)))]
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    patients = np.repeat([f"p{n}" for n in range(draw(st.integers(5, 80)))], 3)
    patients = patients[rng.random(len(patients)) < draw(st.floats(0.5, 1))]
    if len(set(patients)) < 4:
        patients = np.array(["p0", "p1", "p2", "p3", "p3"])
    findings = rng.random((len(patients), len(labels))) < draw(st.floats(0, 0.9))
    return an_index(labels, patients, findings)


def patients_of(index, parts, part) -> set[str]:
    return set(index.table["patient"][parts == part])
