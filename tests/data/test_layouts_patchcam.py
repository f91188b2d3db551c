"""Kaggle's PatchCamelyon layout: what its table says, and what damage to it is answered with."""

import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.data.readers import patchcam
from benchmark.data.registry import read_index
from benchmark.results.predictions import Predictions


def test_the_competitions_own_test_is_kept_apart_without_labels(tasks, phantoms):
    index = read_index(tasks["PatchCam"], phantoms)
    files = sorted((index.root / "test").glob("*.tif"))

    assert len(files) == 4
    assert index.unlabelled["id"].tolist() == [file.stem for file in files]
    assert index.unlabelled["image"].tolist() == [f"test/{file.name}" for file in files]
    assert all(image.startswith("train/") for image in index.table["image"])


@pytest.mark.parametrize("left", ["an empty folder", "nothing"])
def test_a_copy_of_the_training_part_alone_is_enough(tasks, damaged, tmp_path, left):
    folder = damaged("PatchCam") / "test"
    shutil.rmtree(folder)
    if left == "an empty folder":
        folder.mkdir()
    index = read_index(tasks["PatchCam"], tmp_path / "data")

    assert index.unlabelled is None
    assert index.notes == ()


def test_a_submission_has_each_patchs_probability_in_order():
    predicted = Predictions(
        kind="classification",
        ids=np.array(["c0ffee", "0a0a0a"]),
        groups={},
        columns=("tumour",),
        truth=np.full((2, 1), np.nan),
        score=np.array([[0.25], [0.75]]),
    )

    assert patchcam.submission(predicted).to_csv(index=False) == "id,label\nc0ffee,0.25\n0a0a0a,0.75\n"


def test_labels_are_the_tables(tasks, phantoms):
    index = read_index(tasks["PatchCam"], phantoms)
    written = pd.read_csv(index.root / "train_labels.csv").set_index("id")["label"]

    assert (index.table.set_index("id")["tumour"] == written.loc[index.table["id"]]).all()
