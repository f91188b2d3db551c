"""Splits by patient, stratified; folds; nested label fractions and subsets of the training split. Pandas over the index.

No random generator is used: the patients of each stratum are ordered by a hash of seed and patient. For splits, fractions
and subsets the strata are then mixed evenly into one ranking, every prefix of which is stratified and contains all shorter
ones; folds take the patients in turn, stratum by stratum. A patient's stratum is the rarest label that any of its images
has (for segmentation: a non-empty mask).

Departs: random splits are stratified and follow a hash of the patient; the first paper's code has lists of its own.
"""

import hashlib

import numpy as np
import pandas as pd

from benchmark.data.image_files import RLE
from benchmark.data.index import SPLITS, Index
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import SplitRule


def assign_splits(index: Index, rule: SplitRule, fold: tuple[int, int] | None = None) -> pd.Series:
    """Returns `train`, `validation` or `test` for each row; all images of a patient are in one split.

    `fold` (number from 0, of how many): training and validation patients are divided into folds, and that one is the
    validation split; the folds have the same number of patients, of each stratum too, to within one. Raises BenchmarkError
    where the rule wants official splits that the index does not have, or where a split would be empty.
    """
    table = index.table
    splits = table["part"].copy()
    if (splits == "").any():
        if rule.method == "official":
            raise BenchmarkError(
                f"{index.task}: the split is official, but the data set has no official splits: use a random split"
            )
        tested = _chosen(index, table.index, rule.test or 0, f"{rule.seed}/test", rule.of)
        splits = pd.Series(np.where(table["patient"].isin(tested), "test", "train"), index=table.index)
    if fold is not None:
        pool = table.index[splits != "test"]
        number, folds = fold
        strata = _strata_of(index, pool, by_patient=True)
        # in turn, stratum by stratum: taking every N-th of a ranking in which the strata alternate would give folds of
        # one stratum each where there are N strata of one size
        validating = _by_stratum(strata, strata.index.to_series(), f"{rule.seed}/folds").index[number::folds]
        splits[pool] = np.where(table.loc[pool, "patient"].isin(validating), "validation", "train")
    elif not (splits == "validation").any():
        held_out = _chosen(index, table.index[splits == "train"], rule.validation, f"{rule.seed}/validation", rule.of)
        splits[(splits == "train") & table["patient"].isin(held_out)] = "validation"
    for name in SPLITS:
        if not (splits == name).any():
            raise BenchmarkError(
                f"{index.task}: {len(table)} images of {table['patient'].nunique()} patients leave none for {name}"
            )
    return splits


def fraction_of(index: Index, rows: pd.Index, fraction: float, seed: int) -> pd.Index:
    """Returns the rows of `fraction` of the patients, stratified (at least one patient).

    For one seed, the rows of a smaller fraction are among those of a larger one. `rows` are those of the training split.
    """
    if fraction >= 1:
        return rows
    ranked = ranking(index, rows, f"{seed}/fraction")
    chosen = set(ranked[: _share(len(ranked), fraction)])
    return rows[index.table.loc[rows, "patient"].isin(chosen)]


def subset_of(index: Index, rows: pd.Index, size: int, seed: int, *, balanced: bool) -> pd.Index:
    """Returns `size` of the rows. `balanced`: equally many of each class as far as there are enough (binary: of 1 and of 0);
    else of all strata in proportion.

    Nested for one seed, as fractions are. Raises BenchmarkError where there are fewer rows. Truong 2021, appendix A.
    """
    if size > len(rows):
        raise BenchmarkError(
            f"{index.task}: a subset of {size:,} images is asked for, the training split has {len(rows):,}: wanted at most "
            f"that, or F for all"
        )
    strata = _strata_of(index, rows, by_patient=False)
    if balanced and len(index.labels) == 1:
        strata = index.table.loc[rows, index.labels[0]].fillna(-1).astype(int)
    ordered = _interleaved(strata, index.table.loc[rows, "id"], f"{seed}/subset", balanced=balanced)
    return rows[rows.isin(ordered[:size])]


def ranking(index: Index, rows: pd.Index, stream: str) -> list[str]:
    """Returns the patients of some rows, ordered so that every prefix has all strata in proportion."""
    strata = _strata_of(index, rows, by_patient=True)
    return list(_interleaved(strata, strata.index.to_series(), stream, balanced=False))


def has_mask(table: pd.DataFrame) -> pd.Series:
    """Returns which images have a mask that is not empty, as far as the table shows it without opening mask files."""
    return ~table["mask"].isin(["", RLE])


def _by_stratum(strata: pd.Series, names: pd.Series, stream: str) -> pd.DataFrame:
    """Returns the units in the order of their strata, within each stratum in that of their hashes."""
    ordered = pd.DataFrame({"stratum": strata})
    ordered["hash"] = [hashlib.sha256(f"{stream}/{name}".encode()).hexdigest() for name in names]
    return ordered.sort_values(["stratum", "hash"])


def _interleaved(strata: pd.Series, names: pd.Series, stream: str, *, balanced: bool) -> pd.Index:
    """Returns the units with their strata mixed: one of each stratum in turn (balanced), or all in proportion."""
    ordered = _by_stratum(strata, names, stream)
    of_stratum = ordered.groupby("stratum")["hash"]
    # in proportion: each stratum stands at evenly spaced places in 0..1; the hash decides between equal places
    place = of_stratum.cumcount() if balanced else (of_stratum.cumcount() + 0.5) / of_stratum.transform("size")
    return ordered.assign(place=place).sort_values(["place", "hash"]).index


def _strata_of(index: Index, rows: pd.Index, *, by_patient: bool) -> pd.Series:
    """Returns patient (or row) -> stratum: the rank of its rarest label, rarest first; -1 for none."""
    table = index.table.loc[rows]
    labels = (
        has_mask(table).to_frame().astype(float)
        if "mask" in table
        else table[list(index.labels)].fillna(0).clip(lower=0)
    )
    of_patients = labels.groupby(table["patient"].to_numpy()).max()
    rarest_first = of_patients.sum().sort_values(kind="stable").index
    units = of_patients if by_patient else labels
    has = units[rarest_first].to_numpy() > 0
    return pd.Series(np.where(has.any(axis=1), has.argmax(axis=1), -1), index=units.index)


def _chosen(index: Index, rows: pd.Index, wanted: float, stream: str, published: int | None) -> set[str]:
    """Returns the first patients of the ranking that make up a share of all, or that have a number of images.

    Patients with more images than are still wanted are passed over. `published`: how many images the whole data set has.
    """
    ranked = ranking(index, rows, stream)
    if wanted < 1:
        return set(ranked[: _share(len(ranked), wanted)])
    if published and len(index.table) < published:
        wanted = max(1, round(wanted * len(index.table) / published))
    images = index.table.loc[rows, "patient"].value_counts()
    if wanted >= images.sum():
        raise BenchmarkError(
            f"{index.task}: {wanted:,.0f} images are wanted for a split, {images.sum():,} are available"
        )
    chosen, left = set(), wanted
    for patient, num in zip(ranked, images[ranked], strict=True):
        if num <= left:
            chosen.add(patient)
            left -= num
    return chosen


def _share(count: int, share: float) -> int:
    return max(1, round(count * share)) if count > 1 else count
