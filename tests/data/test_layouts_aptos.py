"""Kaggle's APTOS 2019 layout: what its tables say, its unlabelled test, what damage is answered with; a real copy."""

import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.data.phantoms.drawing.retinopathy import retinopathy
from benchmark.data.readers import aptos
from benchmark.data.registry import read_index
from benchmark.results.predictions import Predictions


@pytest.fixture
def labelled(damaged):
    """A copy whose test table has a diagnosis too, as some stand-ins have."""
    root = damaged("APTOS")
    table = pd.read_csv(root / "test.csv").assign(diagnosis=[4, 0, 2, 1])
    table.to_csv(root / "test.csv", index=False)
    return root


def rewrite(path, row, column, value):
    """Change one cell of a table."""
    table = pd.read_csv(path, dtype=str)
    table.loc[row, column] = value
    table.to_csv(path, index=False)


def test_a_diagnosis_is_one_of_five_classes_in_the_sheets_order(tasks, phantoms):
    index = read_index(tasks["APTOS"], phantoms)
    written = pd.read_csv(index.root / "train.csv").set_index("id_code")["diagnosis"].loc[index.table["id"]]
    classes = index.table[list(index.labels)].to_numpy()

    assert index.labels == ("No DR", "Mild", "Moderate", "Severe", "Proliferative DR")
    assert (classes.sum(axis=1) == 1).all()
    assert (classes.argmax(axis=1) == written).all()


def test_the_competitions_own_test_is_kept_apart_without_labels(tasks, phantoms):
    index = read_index(tasks["APTOS"], phantoms)
    listed = pd.read_csv(index.root / "test.csv")

    assert set(index.table["part"]) == {""}
    assert listed.columns.tolist() == ["id_code"]
    assert index.unlabelled["id"].tolist() == listed["id_code"].tolist()
    assert index.unlabelled["image"].tolist() == [f"test_images/{name}.png" for name in listed["id_code"]]
    assert not set(index.unlabelled["id"]) & set(index.table["id"])


def test_a_test_table_with_diagnoses_is_the_labelled_test(tasks, labelled, tmp_path):
    index = read_index(tasks["APTOS"], tmp_path / "data")
    test = index.table[index.table["part"] == "test"].set_index("id")

    assert index.unlabelled is None
    assert index.table["part"].value_counts().to_dict() == {"train": 40, "test": 4}
    assert all(image.startswith("test_images/") for image in test["image"])
    written = pd.read_csv(labelled / "test.csv")["id_code"]
    assert test.loc[written, list(index.labels)].to_numpy().argmax(axis=1).tolist() == [4, 0, 2, 1]


def test_a_copy_of_the_training_part_alone_is_enough(tasks, damaged, tmp_path):
    root = damaged("APTOS")
    (root / "test.csv").unlink()
    shutil.rmtree(root / "test_images")
    index = read_index(tasks["APTOS"], tmp_path / "data")

    assert index.unlabelled is None
    assert index.notes == ()


def test_a_test_table_without_its_images_is_noted(tasks, damaged, tmp_path):
    root = damaged("APTOS")
    shutil.rmtree(root / "test_images")
    index = read_index(tasks["APTOS"], tmp_path / "data")

    assert index.unlabelled is None
    assert index.notes == ("4 of 4 images of test.csv are missing: that test is not predicted",)


def test_one_missing_test_image_is_counted_and_noted(tasks, damaged, tmp_path):
    next((damaged("APTOS") / "test_images").iterdir()).unlink()
    index = read_index(tasks["APTOS"], tmp_path / "data")

    assert index.unlabelled is None
    assert index.notes == ("1 of 4 images of test.csv are missing: that test is not predicted",)


def test_test_images_without_their_table_are_noted(tasks, damaged, tmp_path):
    (damaged("APTOS") / "test.csv").unlink()
    index = read_index(tasks["APTOS"], tmp_path / "data")

    assert index.unlabelled is None
    assert index.notes == ("test_images holds 4 images but test.csv is missing: they are not predicted",)


def test_another_diagnosis_of_the_labelled_test_names_its_row(labelled, refused):
    rewrite(labelled / "test.csv", 1, "diagnosis", "9")

    assert refused("APTOS") == f"{labelled / 'test.csv'}: row 3: found the diagnosis '9': wanted 0 to 4"


@pytest.mark.parametrize("folder", ["train_images", "test_images"])
def test_missing_labelled_photographs_are_counted(labelled, refused, folder):
    for file in sorted((labelled / folder).iterdir())[:2]:
        file.unlink()

    message = refused("APTOS")

    assert f"2 of {40 if folder == 'train_images' else 4} images are missing under {labelled / folder}" in message
    assert f"unpack the competition's {folder} folder again" in message


def test_a_submission_has_the_most_probable_grade_of_each_photograph_in_order(tasks):
    probabilities = np.array([[0.1, 0.2, 0.3, 0.3, 0.1], [0.9, 0.1, 0, 0, 0], [0, 0, 0.1, 0.2, 0.7]])
    predicted = Predictions(
        kind="classification",
        ids=np.array(["c0ffee", "0a0a0a", "b0b0b0"]),
        groups={},
        columns=tasks["APTOS"].labels,
        truth=np.full((3, 5), np.nan),
        score=probabilities,
    )

    table = aptos.submission(predicted)

    assert table.to_csv(index=False) == "id_code,diagnosis\nc0ffee,2\n0a0a0a,0\nb0b0b0,4\n"


@pytest.mark.parametrize("size", [32, 96])
def test_higher_grades_show_more_lesions(size):
    """Pixels much darker or brighter than any fundus's vessels or disc: none at grade 0, more with every grade."""
    shares = []
    for grade in range(5):
        rng = np.random.default_rng(grade)
        images = [retinopathy(rng, size, size, grade).astype(int) for _ in range(24)]
        y, x = np.mgrid[:size, :size] - (size - 1) / 2
        view = np.hypot(x, y) < 0.44 * size
        dark = [(image[..., 0] < 95)[view].mean() for image in images]
        bright = [(image[..., 2] > 95)[view].mean() for image in images]
        shares.append(np.mean(dark) + np.mean(bright))

    assert np.diff(shares).min() > 0


@pytest.mark.real
def test_a_real_copy_with_a_labelled_test_indexes_with_its_counts(tasks, real_data):
    """The stand-in of 516 photographs; Kaggle's own copy is larger and has no labelled test."""
    if not (real_data / "APTOS2019").is_dir():
        pytest.skip("no APTOS2019 among the real images")
    index = read_index(tasks["APTOS"], real_data)
    if set(index.table["part"]) == {""}:
        pytest.skip("the competition's own copy")
    grades = index.table.groupby("part")[list(index.labels)].sum()

    assert grades.loc["train"].tolist() == [134, 20, 136, 74, 49]
    assert index.table["part"].value_counts().to_dict() == {"train": 413, "test": 103}
    assert index.notes == ("516 of the published 3,662 images are here",)
    assert index.unlabelled is None
    assert not index.phantom
