"""Kaggle's PatchCamelyon layout: what its table says, and what damage to it is answered with."""

import pandas as pd
import pytest

from benchmark.data.readers import read_index


def test_the_unlabelled_test_folder_is_not_read(tasks, phantoms):
    index = read_index(tasks["PatchCam"], phantoms)

    assert len(list((index.root / "test").glob("*.tif"))) == 4
    assert all(image.startswith("train/") for image in index.table["image"])


def test_labels_are_the_tables(tasks, phantoms):
    index = read_index(tasks["PatchCam"], phantoms)
    written = pd.read_csv(index.root / "train_labels.csv").set_index("id")["label"]

    assert (index.table.set_index("id")["tumour"] == written.loc[index.table["id"]]).all()


@pytest.mark.parametrize("value", ["2", "", "tumour"])
def test_another_label_names_its_row(damaged, refused, value):
    path = damaged("PatchCam") / "train_labels.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[3, "label"] = value
    table.to_csv(path, index=False)

    assert f"{path}: row 5: found the label {value!r}: wanted 0 or 1" == refused("PatchCam")


def test_missing_patches_are_counted(damaged, refused):
    for file in sorted((damaged("PatchCam") / "train").iterdir())[:2]:
        file.unlink()

    assert "2 of 40 images are missing" in refused("PatchCam")


def test_another_table_is_refused(damaged, refused):
    path = damaged("PatchCam") / "train_labels.csv"
    path.write_text("name,label\na,1\n")

    assert refused("PatchCam") == f"{path}: no column id; found name, label"
