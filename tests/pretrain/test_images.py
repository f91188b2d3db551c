"""Which images a contrastive training takes, and which of them are one bag."""

import numpy as np
import pytest
from PIL import Image

from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.pretrain.images import images_of_folder, images_of_task


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        path = tmp_path / "photos" / f"case{number // 2}" / f"{number}.{'png' if number % 2 else 'TIFF'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (40 * number, 0, 0)).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_all_images_of_a_folder_and_below_are_taken(folder):
    images = images_of_folder(folder)

    assert list(images.index.table["image"]) == [
        "case0/0.TIFF",
        "case0/1.png",
        "case1/2.TIFF",
        "case1/3.png",
        "case2/4.TIFF",
    ]
    assert [list(bag) for bag in images.bags(None)] == [[0], [1], [2], [3], [4]]
    assert [list(bag) for bag in images.bags("folder")] == [[0, 1], [2, 3], [4]]
    assert images.patients is None


def test_a_task_gives_its_training_images_and_their_patients(tasks, phantoms):
    task = tasks["Derm27"]
    index = read_index(task, phantoms)

    images = images_of_task(index, task)

    training = index.table[assign_splits(index, task.split) == "train"]
    assert list(images.rows) == list(training.index)
    assert images.patients == sorted(set(training["patient"]))
    bags = images.bags("case")
    assert sorted(np.concatenate(bags)) == list(range(len(training)))
    assert all(training["case"].iloc[bag].nunique() == 1 for bag in bags)
    assert len(bags) == training["case"].nunique() < len(training)


def test_a_column_of_bags_that_is_not_there_is_refused_with_those_that_are(tasks, phantoms):
    images = images_of_task(read_index(tasks["Derm27"], phantoms), tasks["Derm27"])

    with pytest.raises(BenchmarkError, match=r"--bags visit: Derm27 has no such column: wanted one of .*patient.*case"):
        images.bags("visit")


@pytest.mark.parametrize(
    ("num", "said"), [(0, "no image"), (1, r"one image alone \(0.png\)"), (None, "no such folder")]
)
def test_too_few_images_are_refused(tmp_path, num, said):
    folder = tmp_path / "few"
    if num is not None:
        folder.mkdir()
        for number in range(num):
            Image.new("L", (20, 20)).save(folder / f"{number}.png")

    with pytest.raises(BenchmarkError, match=said):
        images_of_folder(folder)
