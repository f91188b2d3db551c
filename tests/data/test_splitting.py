"""Parts and fractions on made-up indexes: by patient, stratified, nested, and dependent on the seed alone."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indexes import RANDOM, an_index, enough, indexes, patients_of

from benchmark.data.index import Index
from benchmark.data.splitting import assign_splits, fraction_of
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import SplitRule


@enough
@given(indexes(), st.integers(0, 99), st.floats(0.05, 0.6), st.floats(0.05, 0.5))
def test_every_row_has_a_part_and_every_patient_one(index, seed, test, validation):
    """And the shares of patients are those asked for, to the nearest patient, none empty."""
    parts = assign_splits(index, SplitRule(method="random", test=test, validation=validation, seed=seed))
    of = {part: patients_of(index, parts, part) for part in ("train", "validation", "test")}
    num = index.table["patient"].nunique()

    assert index.table.index.equals(parts.index)
    assert {"train", "validation", "test"} == set(parts)
    assert num == len(of["train"]) + len(of["validation"]) + len(of["test"])
    assert max(1, num * test - 0.5) <= len(of["test"]) <= max(1, num * test + 0.5)
    rest = num - len(of["test"])
    assert max(1, rest * validation - 0.5) <= len(of["validation"]) <= max(1, rest * validation + 0.5)


@enough
@given(indexes(num_labels=1), st.integers(0, 99), st.floats(0.05, 0.6))
def test_a_binary_label_is_in_proportion_in_the_test_part(index, seed, test):
    """Of the patients that have it, the test part has its share.

    Patients of each of K strata stand at evenly spaced places, so a prefix has its share of each to within half a
    patient, and up to K/2 times the stratum's share of patients more where other strata are rounded; the prefix's own
    length is rounded by another half (or up to one whole patient). K = 2: two patients at the most.
    """
    parts = assign_splits(index, SplitRule(method="random", test=test, seed=seed))
    ill = index.table.groupby("patient")["L0"].max() > 0
    in_test = ill.index.isin(patients_of(index, parts, "test"))

    assert abs((ill & in_test).sum() - ill.sum() * test) <= 2


@enough
@given(indexes(num_labels=3), st.integers(0, 99), st.floats(0.05, 0.6))
def test_the_rarest_of_several_labels_is_in_proportion_in_the_test_part(index, seed, test):
    """The bound above with four strata: three patients."""
    parts = assign_splits(index, SplitRule(method="random", test=test, seed=seed))
    has = index.table.groupby("patient")[list(index.labels)].max() > 0
    ill = has[has.sum().idxmin()]
    in_test = ill.index.isin(patients_of(index, parts, "test"))

    assert abs((ill & in_test).sum() - ill.sum() * test) <= 3


@settings(max_examples=20, deadline=None)
@given(indexes(), st.integers(0, 99), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_rows_nor_a_second_call_changes_a_part(index, seed, random):
    split = SplitRule(method="random", test=0.3, seed=seed)
    order = list(range(len(index.table)))
    random.shuffle(order)
    shuffled = index.table.iloc[order].reset_index(drop=True)

    parts = dict(zip(index.table["id"], assign_splits(index, split), strict=True))

    assert parts == dict(zip(index.table["id"], assign_splits(index, split), strict=True))
    assert parts == dict(zip(shuffled["id"], assign_splits(replace(index, table=shuffled), split), strict=True))


def a_hundred_patients() -> Index:
    """One to three images each, a third of the patients ill."""
    patients = np.repeat([f"p{n}" for n in range(100)], [n % 3 + 1 for n in range(100)])
    return an_index(["ill"], patients, [[int(name[1:]) % 3 == 0] for name in patients])


def test_another_seed_is_another_split():
    index = a_hundred_patients()
    splits = [tuple(assign_splits(index, SplitRule(method="random", test=0.2, seed=seed))) for seed in range(5)]

    assert len(set(splits)) == 5


def test_the_split_asks_only_for_patients_and_labels():
    """Another image size, path or group is the same split: models and copies of a data set are paired."""
    index = a_hundred_patients()
    elsewhere = replace(index, root=Path("elsewhere"), table=index.table.assign(image="x.png", sex="F"))

    assert assign_splits(index, RANDOM).equals(assign_splits(elsewhere, RANDOM))


def test_a_label_that_is_not_known_counts_as_absent():
    index = a_hundred_patients()
    unknown = index.table.assign(ill=index.table["ill"].replace(0.0, np.nan))

    assert assign_splits(index, RANDOM).equals(assign_splits(replace(index, table=unknown), RANDOM))


def test_segmentation_is_stratified_by_having_anything_to_find():
    index = a_hundred_patients()
    masks = index.table.assign(mask=np.where(index.table["ill"] > 0, "rle:1 2", "rle:")).drop(columns="ill")

    assert assign_splits(index, RANDOM).equals(assign_splits(replace(index, table=masks, labels=("m",)), RANDOM))


@enough
@given(indexes(), st.integers(0, 99), st.lists(st.floats(0.01, 1), min_size=2, max_size=5))
def test_fractions_of_one_seed_are_nested_and_of_the_training_part_alone(index, seed, fractions):
    """Their size is that of the patients asked for, to the nearest, at least one."""
    parts = assign_splits(index, RANDOM)
    rows = index.table.index[parts == "train"]
    patients = index.table.loc[rows, "patient"].nunique()
    taken = [set(fraction_of(index, rows, fraction, seed)) for fraction in sorted(fractions)]

    assert taken[-1] <= set(rows)
    assert all(smaller <= larger for smaller, larger in pairwise(taken))
    for fraction, chosen in zip(sorted(fractions), taken, strict=True):
        whole = set(index.table.loc[sorted(chosen), "patient"])
        assert max(1, patients * fraction - 0.5) <= len(whole) <= max(1, patients * fraction + 0.5)
        # all of a patient's training images or none
        assert chosen == set(rows[index.table.loc[rows, "patient"].isin(whole)])


def test_the_whole_fraction_is_everything_and_the_least_one_patient():
    index = a_hundred_patients()
    rows = index.table.index[assign_splits(index, RANDOM) == "train"]

    assert rows.equals(fraction_of(index, rows, 1.0, seed=3))
    assert len(set(index.table.loc[fraction_of(index, rows, 1e-6, seed=3), "patient"])) == 1


def test_other_seeds_take_other_subsets():
    index = a_hundred_patients()
    subsets = [tuple(fraction_of(index, index.table.index, 0.3, seed)) for seed in range(5)]

    assert len(set(subsets)) == 5


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_fraction_keeps_the_prevalence(fraction):
    """34 of 100 patients are ill; the bound of two patients is argued above."""
    index = a_hundred_patients()
    chosen = index.table.loc[fraction_of(index, index.table.index, fraction, seed=0)]

    assert abs(chosen.groupby("patient")["ill"].max().sum() - 34 * fraction) <= 2


def official_index() -> Index:
    index = a_hundred_patients()
    of_patient = index.table["patient"].str[1:].astype(int)
    return replace(index, table=index.table.assign(part=np.where(of_patient < 70, "train", "test")))


def test_official_parts_are_kept_and_validation_is_taken_from_training():
    index = official_index()
    parts = assign_splits(index, SplitRule(method="official", validation=0.1))

    assert ((parts == "test") == (index.table["part"] == "test")).all()
    assert len(patients_of(index, parts, "validation")) == 7
    assert not patients_of(index, parts, "validation") & patients_of(index, parts, "train")


def test_an_official_validation_part_is_kept():
    index = official_index()
    index.table.loc[index.table["patient"] == "p5", "part"] = "validation"

    assert index.table["part"].equals(assign_splits(index, SplitRule(method="official")).rename("part"))


def test_an_official_split_without_official_parts_is_refused():
    with pytest.raises(
        BenchmarkError, match="T: the split is official, but the data set has no official splits: use a random split"
    ):
        assign_splits(a_hundred_patients(), SplitRule(method="official"))


def test_too_few_patients_for_three_parts_are_refused():
    index = an_index(["ill"], ["p0", "p0", "p1"], [[1], [1], [0]])

    with pytest.raises(BenchmarkError, match="T: 3 images of 2 patients leave none for train"):
        assign_splits(index, RANDOM)


def test_chase_trains_on_20_images_of_10_children_and_tests_on_8_of_4(tasks):
    """As the published split counts them; validation is taken from the 20."""
    children = np.repeat([f"{n:02d}" for n in range(1, 15)], 2)
    index = an_index(["vessel"], children, np.ones((28, 1)))
    index = replace(index, table=index.table.drop(columns="vessel").assign(mask="m.png"))

    parts = assign_splits(index, tasks["VFS-CHASE"].split)

    assert ((parts == "test").sum(), len(patients_of(index, parts, "test"))) == (8, 4)
    assert (parts != "test").sum() == 20
    assert len(patients_of(index, parts, "train") | patients_of(index, parts, "validation")) == 10
