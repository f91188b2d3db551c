"""Subsets of absolute size, folds, and parts of absolute size: nested, balanced, by patient, the same for all models."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indexes import RANDOM, an_index, enough, indexes, patients_of

from benchmark.data.assignment import TrainingShare, assign_examples
from benchmark.data.datasets import oversampled
from benchmark.data.labels import join_rare_classes
from benchmark.data.splitting import assign_splits, fraction_of, subset_of
from benchmark.errors import BenchmarkError
from benchmark.recipe import Recipe
from benchmark.tasks.spec import SplitRule


def exclusive(counts, images_a_patient=1):
    """An index of as many images of each class as `counts` says."""
    classes = np.repeat(np.arange(len(counts)), counts)
    patients = [f"p{n // images_a_patient}" for n in range(len(classes))]
    return an_index([f"class {n}" for n in range(len(counts))], patients, np.eye(len(counts))[classes])


def counts_of(index, rows):
    return index.table.loc[rows, list(index.labels)].sum().astype(int).tolist()


@enough
@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.integers(0, 99), st.data())
def test_subsets_have_their_size_are_nested_and_as_balanced_as_can_be(counts, seed, data):
    index = exclusive(counts)
    sizes = sorted(data.draw(st.lists(st.integers(1, sum(counts)), min_size=2, max_size=4)))
    taken = [subset_of(index, index.table.index, size, seed, balanced=True) for size in sizes]

    assert sizes == [len(rows) for rows in taken]
    for smaller, larger in pairwise(taken):
        assert set(smaller) <= set(larger)
    for rows in taken:
        found = counts_of(index, rows)
        # whoever has fewer than the fullest class by more than one has nothing left to give
        assert all(num >= max(found) - 1 or num == counts[place] for place, num in enumerate(found))


def test_a_balanced_subset_of_a_binary_task_has_half_of_each():
    index = an_index(["TB"], [f"p{n}" for n in range(100)], np.arange(100)[:, None] % 5 == 0)

    chosen = subset_of(index, index.table.index, 20, seed=0, balanced=True)

    assert counts_of(index, chosen) == [10]


def test_a_subset_of_labels_that_do_not_exclude_each_other_keeps_their_shares():
    index = an_index(["A"], [f"p{n}" for n in range(200)], np.arange(200)[:, None] % 5 == 0)

    chosen = subset_of(index, index.table.index, 50, seed=0, balanced=False)

    assert counts_of(index, chosen) == [10]


def test_another_seed_takes_another_subset_and_the_order_of_the_rows_does_not_matter():
    index = exclusive([20, 30])
    shuffled = replace(index, table=index.table.sample(frac=1, random_state=0).reset_index(drop=True))

    def names(of, seed):
        return set(of.table.loc[subset_of(of, of.table.index, 10, seed, balanced=True), "id"])

    assert names(index, 1) == names(shuffled, 1)
    assert names(index, 1) != names(index, 2)


def test_a_subset_larger_than_the_training_part_is_refused():
    index = exclusive([3, 4])

    with pytest.raises(BenchmarkError, match="a subset of 8 images is asked for, the training split has 7"):
        subset_of(index, index.table.index, 8, seed=0, balanced=True)


@enough
@given(indexes(), st.integers(2, 5), st.integers(0, 9))
def test_folds_part_the_patients_and_leave_the_test_alone(index, folds, seed):
    if index.table["patient"].nunique() < 3 * folds:
        return
    split = SplitRule(method="random", test=0.2, seed=seed)
    whole = assign_splits(index, split)
    assignment = [assign_splits(index, split, (number, folds)) for number in range(folds)]

    for parts in assignment:
        assert patients_of(index, parts, "test") == patients_of(index, whole, "test")
        assert not patients_of(index, parts, "train") & patients_of(index, parts, "validation")
    held = [patients_of(index, parts, "validation") for parts in assignment]
    assert sum(len(patients) for patients in held) == len(set.union(*held))
    assert set.union(*held) == patients_of(index, whole, "train") | patients_of(index, whole, "validation")
    assert max(map(len, held)) - min(map(len, held)) <= 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(2, 6), st.integers(1, 3), st.integers(0, 99))
def test_folds_have_each_class_in_equal_numbers_and_equal_sizes(counts, folds, images_a_patient, seed):
    """To within one patient, whatever the sizes of the classes and the number of folds have in common."""
    index = exclusive([images_a_patient * count for count in counts], images_a_patient)
    split = SplitRule(method="random", test=0.2, seed=seed)
    if sum(counts) < 2 * folds:
        return
    table = index.table.assign(kind=index.table[list(index.labels)].to_numpy().argmax(1))

    parts = [assign_splits(index, split, (number, folds)) == "validation" for number in range(folds)]

    held = [
        table[mine].groupby("kind")["patient"].nunique().reindex(range(len(counts)), fill_value=0) for mine in parts
    ]
    by_class = np.array(held)
    assert (by_class.max(axis=0) - by_class.min(axis=0)).max() <= 1
    assert by_class.sum(axis=1).max() - by_class.sum(axis=1).min() <= 1


@pytest.mark.parametrize(("counts", "folds"), [([60, 60], 2), ([60] * 5, 5), ([50, 50, 50], 3), ([100, 25], 5)])
def test_no_fold_has_one_class_alone(counts, folds):
    """Two folders of 60 and two folds once trained on the one and validated on the other."""
    index = exclusive(counts)
    split = SplitRule(method="random", test=0.2)

    for number in range(folds):
        parts = assign_splits(index, split, (number, folds))
        for part in ("train", "validation"):
            assert min(counts_of(index, index.table.index[parts == part])) > 0


def test_folds_are_stratified():
    index = an_index(["A"], [f"p{n}" for n in range(100)], np.arange(100)[:, None] % 5 == 0)
    split = SplitRule(method="random", test=0.2)

    found = [
        int(index.table.loc[assign_splits(index, split, (number, 4)) == "validation", "A"].sum()) for number in range(4)
    ]

    assert found == [4, 4, 4, 4]


@enough
@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 40))
def test_parts_of_absolute_size_are_met_to_the_image_where_patients_allow(seed, test, validation):
    """Patients of one to three images, many of one: what is missing at the end, one of those fills."""
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"p{n}" for n in range(150)], rng.integers(1, 4, 150))
    index = an_index(["A"], patients, rng.random((len(patients), 1)) < 0.3)
    parts = assign_splits(index, SplitRule(method="random", test=test, validation=validation, seed=seed))

    assert (parts == "test").sum() == test
    assert (parts == "validation").sum() == validation
    assert (parts.groupby(index.table["patient"]).nunique() == 1).all()


def test_absolute_sizes_shrink_with_an_incomplete_copy():
    index = an_index(["A"], [f"p{n}" for n in range(100)], np.arange(100)[:, None] % 5 == 0)

    parts = assign_splits(index, SplitRule(method="random", test=200, validation=100, of=1000))

    assert parts.value_counts().to_dict() == {"train": 70, "test": 20, "validation": 10}


def test_more_images_than_there_are_is_refused():
    index = an_index(["A"], ["a", "b", "c", "d"], [[0], [1], [0], [1]])

    with pytest.raises(BenchmarkError, match="4 images are wanted for a split, 4 are available"):
        assign_splits(index, SplitRule(method="random", test=4))


def test_a_copys_own_labelled_test_stays_the_test():
    index = an_index(["A"], [f"p{n}" for n in range(40)], np.arange(40)[:, None] % 2, part="train")
    index.table.loc[:9, "part"] = "test"

    parts = assign_splits(index, SplitRule(method="random", test=0.5))

    assert (index.table["part"] == "test").equals(parts == "test")
    assert "validation" in set(parts)


def test_the_commonest_classes_are_those_of_the_training_parts_cases():
    """Class c leads by images, but they are of one case; class d is commonest in the test part alone."""
    classes = list("aaabbccccc") + list("dddddd")
    cases = ["1", "2", "3", "4", "5", *["6"] * 5, *"789xyz"]
    columns = ["a", "b", "c", "d"]
    index = an_index(columns, [f"p{n}" for n in cases], [[float(c == each) for each in columns] for c in classes])
    index = replace(index, table=index.table.assign(case=cases))
    parts = index.table["id"].map(lambda name: "test" if int(name[1:]) >= 10 else "train")

    two, all_four = join_rare_classes(index, parts, 2), join_rare_classes(index, parts, 26)

    assert two.labels == ("a", "b", "Other")
    assert two.table["Other"].tolist() == [0.0] * 5 + [1.0] * 11
    assert all_four.labels == ("a", "b", "c", "d")
    assert (two.table[list(two.labels)].sum(axis=1) == 1).all()


@given(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.integers(0, 99))
def test_oversampling_gives_every_class_as_many_and_repeats_evenly(counts, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    called = oversampled(classes, np.random.default_rng(seed))
    rows = called % len(classes)

    assert np.bincount(classes[rows]).tolist() == [max(counts)] * len(counts)
    assert len(set(called.tolist())) == len(called), "a row's repetitions are told apart"
    for number in range(len(counts)):
        times = np.bincount(rows, minlength=len(classes))[classes == number]
        assert times.max() - times.min() <= 1


def test_a_share_of_a_cell_without_more_is_everything(tasks):
    index = exclusive([20, 30])

    assert TrainingShare().of(index, index.table.index, tasks["TXC"], seed=1).equals(index.table.index)
    assert Recipe().sampling is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(0, 99), st.floats(0.05, 0.6))
def test_parts_and_fractions_have_each_class_in_proportion(counts, seed, share):
    """All classes of one size too. A prefix of the ranking has, of each of K classes, its share to within half a patient,
    one patient more where classes stand at one place, and K/2 patients times the class's own share where the other
    classes are rounded.
    """
    index = exclusive(counts)
    if sum(counts) < 6:
        return
    parts = assign_splits(index, SplitRule(method="random", test=share, validation=share, seed=seed))
    rest = index.table.index[parts != "test"]
    chosen = {
        "test": (index.table.index, index.table.index[parts == "test"]),
        "validation": (rest, index.table.index[parts == "validation"]),
        "fraction": (rest, fraction_of(index, rest, share, seed)),
    }

    for whole, part in chosen.values():
        of_whole, found = np.array(counts_of(index, whole)), np.array(counts_of(index, part))
        bound = 1.5 + of_whole * (len(counts) + 1) / (2 * len(whole))
        assert (abs(found - of_whole * len(part) / len(whole)) <= bound).all()


def test_a_training_part_of_one_class_is_refused_in_one_line(tasks):
    index = exclusive([60, 60])
    table = index.table.assign(part=["train"] * 60 + ["validation"] * 30 + ["test"] * 30)
    task = tasks["Derm27-ISIC"].model_copy(update={"split": SplitRule(method="official"), "case": None})

    with pytest.raises(BenchmarkError) as raised:
        assign_examples(replace(index, table=table), task, Recipe(), TrainingShare(), seed=0)

    assert str(raised.value) == (
        "T: all 60 training images are of one class (of class 0), from which nothing can be learned: use more of the "
        "training split, or another rule"
    )


def test_a_binary_training_part_of_one_class_is_refused_too(tasks):
    index = an_index(["TB"], [f"p{n}" for n in range(100)], np.arange(100)[:, None] % 2)

    with pytest.raises(BenchmarkError, match=r"T: all 1 training images are of one class \(with(out)? TB\)"):
        assign_examples(index, tasks["TXC"], Recipe(), TrainingShare(fraction=0.001), seed=0)


def test_labels_that_do_not_exclude_each_other_may_all_be_absent_in_training(tasks):
    index = an_index(["A", "B"], [f"p{n}" for n in range(40)], np.zeros((40, 2)))

    assignment = assign_examples(
        index, tasks["DXC14"].model_copy(update={"split": RANDOM}), Recipe(), TrainingShare(), seed=0
    )

    assert len(assignment.training) == 29
    assert assignment.notes == ()


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_part_without_a_class_that_others_have_is_noted(tasks, part):
    index = exclusive([60, 60, 6])
    names = ["training", "validation", "test"]
    of_row = [names[n % 3] for n in range(120)] + [[name for name in names if name != part][n % 2] for n in range(6)]
    table = index.table.assign(part=["train" if name == "training" else name for name in of_row])
    task = tasks["Derm27-ISIC"].model_copy(update={"split": SplitRule(method="official"), "case": None})

    assignment = assign_examples(replace(index, table=table), task, Recipe(), TrainingShare(), seed=0)

    assert assignment.notes == (f"the {part} split has no image of class 2; other splits have some",)


def test_a_part_of_a_segmentation_without_anything_to_find_is_noted(tasks):
    index = exclusive([30, 30])
    masks = index.table.assign(
        mask=["rle:1 2"] * 30 + ["rle:"] * 30, part=["train"] * 20 + ["validation"] * 30 + ["test"] * 10
    )
    task = tasks["PXS"].model_copy(update={"split": SplitRule(method="official")})

    assignment = assign_examples(replace(index, table=masks, labels=("m",)), task, Recipe(), TrainingShare(), seed=0)

    assert assignment.notes == (
        "the training split has no image without pneumothorax; other splits have some",
        "the test split has no image with pneumothorax; other splits have some",
    )
