"""A task's splits as tables and as torch datasets."""

import numpy as np
import pytest
import torch
from conftest import CHECKOUT

from benchmark.data.assignment import TrainingShare
from benchmark.data.image_files import read_image
from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits
from benchmark.data.task_splits import load_splits
from benchmark.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, phantoms):
    return Workspace(project=CHECKOUT, results=tmp_path, home=tmp_path, data=phantoms)


@pytest.mark.parametrize("name", ["TXC", "Derm27", "VFS", "CheXpert5"])
def test_tables_have_the_rows_and_labels_of_the_tasks_splits(tasks, workspace, name):
    index = read_index(tasks[name], workspace.data)
    expected = assign_splits(index, tasks[name].split)

    loaded = load_splits(tasks[name], workspace)

    for split in ("train", "validation", "test"):
        table = getattr(loaded, split)
        assert set(index.table["id"][expected == split]) == set(table["id"])
        assert set(table["part"]) == {split}
        assert set(np.unique(table[list(loaded.labels)])[:2]) <= {0.0, 1.0}
    assert len(load_splits(tasks[name], workspace, share=TrainingShare(fraction=0.5)).train) < len(loaded.train)


@pytest.mark.parametrize("name", ["TXC", "VFS"])
def test_datasets_give_the_tables_rows_to_a_torch_loader(tasks, workspace, name):
    loaded = load_splits(tasks[name], workspace, settings=("image_size=32",))

    datasets = loaded.datasets()
    images, targets = next(iter(torch.utils.data.DataLoader(datasets["test"], batch_size=3)))

    assert [len(loaded.train), len(loaded.validation), len(loaded.test)] == [len(data) for data in datasets.values()]
    size = loaded.recipe.evaluation_size if name == "TXC" else 32
    assert images.dtype == torch.uint8
    assert images.shape[-2:] == (size, size)
    if name == "TXC":
        assert loaded.test["TB"].tolist()[:3] == targets[:, 0].tolist()
    original, _ = read_image(loaded.index.root / loaded.test["image"][0])
    assert abs(float(original.mean()) - float(images[0].float().mean())) < 4
    with pytest.raises(IndexError):
        datasets["test"][len(loaded.test)]
