"""Real images, where BENCHMARK_DATA names a folder with them: they index with their counts, split without leaks, and
give a batch. A part of ChestX-ray14 (1,605 images) and of PAD-UFES-20 (686), all of Shenzhen and of CHASE_DB1, and
IDRiD's photographs in the layout of APTOS are looked for.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CHECKOUT

from benchmark.data.datasets import open_splits
from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits
from benchmark.workspace import Workspace

pytestmark = pytest.mark.real
NAMES = ("APTOS", "DXC14", "Derm27", "TXC", "VFS-CHASE")


@pytest.fixture(scope="module")
def indexes(tasks, real_data):
    missing = [tasks[name].root for name in NAMES if not (real_data / tasks[name].root).is_dir()]
    if missing:
        pytest.skip(f"no {', '.join(missing)} among the real images")
    return {name: read_index(tasks[name], real_data) for name in NAMES}


def test_the_chestxray14_part_has_1605_images_and_its_official_lists(indexes):
    table = indexes["DXC14"].table

    assert len(table) == 1605
    assert table["part"].value_counts().to_dict() == {"train": 1378, "test": 227}
    assert not indexes["DXC14"].phantom


def test_shenzhen_has_326_normal_images_and_336_with_tuberculosis(indexes):
    table = indexes["TXC"].table

    assert len(table) == table["patient"].nunique() == 662
    assert table["TB"].value_counts().to_dict() == {1.0: 336, 0.0: 326}
    assert indexes["TXC"].notes == ()


def test_chase_has_both_eyes_of_14_children(indexes):
    table = indexes["VFS-CHASE"].table

    assert len(table) == 28
    assert table.groupby("patient")["eye"].agg("".join).tolist() == ["LR"] * 14


@pytest.mark.parametrize("name", NAMES)
def test_no_patient_is_in_two_parts(indexes, tasks, name):
    parts = assign_splits(indexes[name], tasks[name].split)
    by_patient = parts.groupby(indexes[name].table["patient"]).nunique()

    assert (by_patient == 1).all()
    assert set(parts) == {"train", "validation", "test"}


def test_chase_is_parted_into_20_and_8_images_of_10_and_4_children(indexes, tasks):
    table = indexes["VFS-CHASE"].table
    test = table[assign_splits(indexes["VFS-CHASE"], tasks["VFS-CHASE"].split) == "test"]

    assert (len(test), test["patient"].nunique()) == (8, 4)


@pytest.mark.parametrize("name", NAMES)
def test_real_images_give_a_batch(indexes, tasks, tmp_path, name):
    """Of a dozen patients: the whole sets take minutes to decode."""
    index, task = indexes[name], tasks[name]
    parts = assign_splits(index, task.split)
    patients = {part: index.table["patient"][parts == part].unique() for part in parts.unique()}
    # from one end to the other: a folder may list one class after the other
    spread = [np.linspace(0, len(those) - 1, 4).round().astype(int) for those in patients.values()]
    few = index.table["patient"].isin(
        np.concatenate([those[at] for those, at in zip(patients.values(), spread, strict=True)])
    )
    opened = open_splits(
        index=replace(index, table=index.table[few].reset_index(drop=True)),
        task=task,
        recipe=task.complete_recipe(settings=("image_size=64", "train_resolution=128")),
        seed=0,
        workspace=Workspace(project=CHECKOUT, results=tmp_path, home=tmp_path, data=index.root.parent),
        device=torch.device("cpu"),
        threads=2,
        progress=lambda _done, _total: None,
    )
    batch = next(opened.train.epoch(1, 4))
    channels = 1 if name in ("DXC14", "TXC") else 3

    assert batch.images.shape[1:] == (channels, 64, 64)
    assert batch.images.float().std() > 10
    assert len(opened.train) + len(opened.validation) + len(opened.test) == few.sum()
    assert set(batch.targets.unique().tolist()) <= {0, 1}
