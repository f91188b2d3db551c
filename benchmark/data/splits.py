"""Parts, by patient and stratified; nested label fractions of the training part. All of it pandas over the index.

Patients are ranked, not drawn: within each stratum by a hash of seed and patient, then spread evenly over the whole. A
prefix of that ranking is a stratified subset, a longer prefix contains it, and a patient's rank asks nothing of the
model. A patient's stratum is the rarest label that any of its images has (its mask being non-empty, for segmentation).

Departs: random splits are stratified and follow a hash of the patient; the first paper's code has lists of its own.
"""

import hashlib

import numpy as np
import pandas as pd

from benchmark.data.index import Index
from benchmark.data.pixels import RLE
from benchmark.fault import Fault
from benchmark.tasks import Split


def assign_parts(index: Index, split: Split) -> pd.Series:
    """`train`, `validation` or `test` for each row, all images of a patient in one part.

    Raises Fault where the official parts that the split asks for are not in the index, or a part would be empty.
    """
    table = index.table
    if split.method == "official":
        if (table["part"] == "").any():
            raise Fault(f"{index.task}: the split is official, but the data set gives no parts: use a random split")
        parts = table["part"].copy()
    else:
        ranked = ranking(index, table.index, f"{split.seed}/test")
        in_test = ranked[: _share(len(ranked), split.test or 0)]
        parts = pd.Series(np.where(table["patient"].isin(in_test), "test", "train"), index=table.index)
    if not (parts == "validation").any():
        training = ranking(index, table.index[parts == "train"], f"{split.seed}/validation")
        kept = set(training[: _share(len(training), split.validation)])
        parts[(parts == "train") & table["patient"].isin(kept)] = "validation"
    for part in ("train", "validation", "test"):
        if not (parts == part).any():
            raise Fault(
                f"{index.task}: {len(table)} images of {table['patient'].nunique()} patients leave none for {part}"
            )
    return parts


def fraction_of(index: Index, rows: pd.Index, fraction: float, seed: int) -> pd.Index:
    """The rows of the first patients, stratified, that make up `fraction` of them (at least one patient).

    For one seed, a smaller fraction's rows are among a larger one's. `rows` are those of the training part.
    """
    if fraction >= 1:
        return rows
    ranked = ranking(index, rows, f"{seed}/fraction")
    chosen = set(ranked[: _share(len(ranked), fraction)])
    return rows[index.table.loc[rows, "patient"].isin(chosen)]


def ranking(index: Index, rows: pd.Index, stream: str) -> list[str]:
    """The patients of some rows, ordered so that every prefix has all strata in proportion."""
    strata = _strata(index, rows)
    patients = pd.DataFrame({"stratum": strata})
    patients["hash"] = [hashlib.sha256(f"{stream}/{name}".encode()).hexdigest() for name in patients.index]
    patients = patients.sort_values(["stratum", "hash"])
    of_stratum = patients.groupby("stratum")["hash"]
    # each stratum's patients stand at evenly spaced places in 0..1; equal places are parted by the hash
    patients["place"] = (of_stratum.cumcount() + 0.5) / of_stratum.transform("size")
    return list(patients.sort_values(["place", "hash"]).index)


def _strata(index: Index, rows: pd.Index) -> pd.Series:
    """Patient -> its stratum: the place of the rarest label that it has, -1 for none."""
    table = index.table.loc[rows]
    labels = (
        (~table[["mask"]].isin(["", RLE])).astype(float)
        if "mask" in table
        else table[list(index.labels)].fillna(0).clip(lower=0)
    )
    by_patient = labels.groupby(table["patient"]).max()
    rarest_first = by_patient.sum().sort_values(kind="stable").index
    has = by_patient[rarest_first].to_numpy() > 0
    return pd.Series(np.where(has.any(axis=1), has.argmax(axis=1), -1), index=by_patient.index)


def _share(count: int, share: float) -> int:
    return max(1, round(count * share)) if count > 1 else count
