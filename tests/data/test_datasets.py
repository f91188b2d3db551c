"""The door of the data: what batches hold, in which order, and what their order and augmentation depend on."""

import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import CHECKOUT
from PIL import Image
from torchvision.transforms import Resize

from benchmark.data.assignment import TrainingShare
from benchmark.data.batches import cut
from benchmark.data.datasets import ImageSplit, Splits, open_splits, stored_sizes
from benchmark.data.index import Index
from benchmark.data.phantoms.files import write_image
from benchmark.data.registry import read_index
from benchmark.recipe import Recipe
from benchmark.workspace import Workspace

SMALL_IMAGES = {
    "DXC14": ("image_size=32", "train_resolution=48"),
    "PXS": ("image_size=32",),
    "VFS": ("image_size=32",),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One home for all tests of this file: caches are shared, as they are between cells."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def opened(tasks, phantoms, home):
    """Open a task's parts at 32 pixels; settings change its recipe."""

    def open_task(name, *settings, seed=1, fraction=1.0, threads=1, index=None, progress=None) -> Splits:
        task = tasks[name]
        return open_splits(
            index=index or read_index(task, phantoms),
            task=task,
            recipe=task.complete_recipe(settings=(*SMALL_IMAGES[name], *settings)),
            share=TrainingShare(fraction=fraction),
            seed=seed,
            workspace=Workspace(project=CHECKOUT, results=home, home=home, data=phantoms),
            device=torch.device("cpu"),
            threads=threads,
            progress=progress or (lambda _done, _total: None),
        )

    return open_task


def epoch_by_id(part: ImageSplit, number: int, size: int = 7) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each example's image and targets in an epoch."""
    return {
        str(part.ids[row]): (image.numpy(), targets.numpy())
        for batch in part.epoch(number, size)
        for row, image, targets in zip(batch.rows, batch.images, batch.targets, strict=True)
    }


def values_of(path) -> np.ndarray:
    """A file's pixels as Pillow gives them."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L") if image.mode == "P" else image)


def order_of(part: ImageSplit, number: int) -> list[str]:
    return [str(name) for batch in part.epoch(number, 7) for name in part.ids[batch.rows]]


def alike(first: dict, second: dict) -> int:
    """How many of the first's examples have the same image in the second."""
    return sum(np.array_equal(image, second[name][0]) for name, (image, _) in first.items())


@pytest.mark.parametrize(
    ("name", "settings"), [("DXC14", ["pixels=fast"]), ("DXC14", ["pixels=exact"]), ("PXS", []), ("VFS", [])]
)
def test_the_number_of_threads_changes_no_batch(opened, name, settings):
    one, four = (opened(name, *settings, threads=threads).train for threads in (1, 4))

    for first, second in zip(one.epoch(2, 5), four.epoch(2, 5), strict=True):
        assert first.rows.tolist() == second.rows.tolist()
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.targets, second.targets)


@pytest.fixture
def restless_threads():
    """Threads take turns a thousand times as often as usual, so that what they share shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless_threads")
@pytest.mark.parametrize("name", ["PXS", "VFS"])
def test_threads_that_augment_masks_share_no_random_state(opened, name):
    one, eight = (opened(name, threads=threads).train for threads in (1, 8))

    for number in range(1, 6):
        assert alike(epoch_by_id(one, number, size=2), epoch_by_id(eight, number, size=2)) == len(one)


@pytest.mark.parametrize("name", ["DXC14", "PXS"])
def test_an_epoch_has_every_example_once_in_an_order_of_its_own(opened, name):
    part = opened(name).train
    orders = [order_of(part, number) for number in (1, 2, 3)]

    assert all(sorted(order) == sorted(part.ids) for order in orders)
    assert len({tuple(order) for order in [*orders, list(part.ids)]}) == 4


@pytest.mark.parametrize("name", ["DXC14", "VFS"])
def test_two_epochs_augment_an_example_differently_and_one_epoch_the_same_way(opened, name):
    part = opened(name).train
    first, again, second = epoch_by_id(part, 1), epoch_by_id(part, 1), epoch_by_id(part, 2)

    assert alike(first, again) == len(part)
    # an example without any operation twice: 3 of 100 fundus images squared, of three
    assert alike(first, second) == 0


def test_another_seed_is_another_order_and_another_augmentation(opened):
    first, second = opened("DXC14", seed=1).train, opened("DXC14", seed=2).train

    assert order_of(first, 1) != order_of(second, 1)
    assert alike(epoch_by_id(first, 1), epoch_by_id(second, 1)) == 0


@pytest.mark.parametrize("name", ["DXC14", "PXS"])
def test_the_batch_size_changes_no_example(opened, name):
    part = opened(name).train

    assert alike(epoch_by_id(part, 1, size=3), epoch_by_id(part, 1, size=11)) == len(part)


@pytest.mark.parametrize("name", ["DXC14", "PXS"])
def test_an_example_is_augmented_alike_in_every_fraction(opened, name):
    """Its draws depend on the seed, the epoch and the example, not on what else is trained on."""
    whole, half = opened(name).train, opened(name, fraction=0.5).train

    assert alike(epoch_by_id(half, 4), epoch_by_id(whole, 4)) == len(half) < len(whole)


def test_exact_and_fast_show_the_same_crops(opened):
    """They render one draw: each example is far nearer to itself than to the same example in another epoch."""
    exact, fast = opened("DXC14", "pixels=exact").train, opened("DXC14", "pixels=fast").train
    there, here, later = epoch_by_id(exact, 1), epoch_by_id(fast, 1), epoch_by_id(fast, 2)

    def mean_difference(other: dict) -> float:
        # away from the rim, which the fast renderer blends with the black outside
        inner = (slice(None), slice(3, -3), slice(3, -3))
        return np.mean([np.abs(there[i][0][inner].astype(float) - other[i][0][inner]).mean() for i in there])

    assert order_of(exact, 1) == order_of(fast, 1)
    assert mean_difference(here) * 3 < mean_difference(later)


@pytest.mark.parametrize("part_name", ["validation", "test"])
def test_evaluation_images_are_in_order_and_resized_only(opened, tasks, phantoms, part_name):
    """37 for 32, as 256 is for 224; the reference is torchvision's on the file."""
    part = getattr(opened("DXC14"), part_name)
    table = read_index(tasks["DXC14"], phantoms).table.set_index("id")
    batches = list(part.batches(4))

    assert list(range(len(part))) == [row for batch in batches for row in batch.rows]
    for batch in batches:
        for row, image, targets in zip(batch.rows, batch.images, batch.targets, strict=True):
            told = table.loc[part.ids[row]]
            file = Image.fromarray(values_of(phantoms / "ChestX-ray14" / told["image"]))
            assert np.array_equal(np.asarray(Resize((37, 37))(file)), image[0].numpy())
            assert told[list(tasks["DXC14"].labels)].astype(float).tolist() == targets.tolist()


@pytest.mark.parametrize("part_name", ["validation", "test"])
def test_evaluation_masks_are_in_order_and_resized_only(opened, phantoms, part_name):
    """The reference is OpenCV's on the files; the phantoms' masks are 0 and 255."""
    part = getattr(opened("VFS"), part_name)
    (batch,) = part.batches(32)

    for row, image, masks in zip(batch.rows, batch.images, batch.targets, strict=True):
        number, folder = part.ids[row].split("_")
        root = phantoms / "DRIVE" / folder
        plain = cv2.resize(values_of(root / "images" / f"{part.ids[row]}.tif"), (32, 32))
        vessels = cv2.resize(values_of(root / "1st_manual" / f"{number}_manual1.gif"), (32, 32))
        assert np.array_equal(plain.transpose(2, 0, 1), image.numpy())
        assert np.array_equal(vessels > 127, masks[0].numpy())


def test_evaluation_batches_are_those_of_every_seed_fraction_and_call(opened):
    first, other = opened("DXC14").test, opened("DXC14", seed=9, fraction=0.3).test

    for batches in (first.batches(5), other.batches(5)):
        for again, batch in zip(first.batches(5), batches, strict=True):
            assert torch.equal(again.images, batch.images)
            assert torch.equal(again.targets, batch.targets)


def test_training_targets_are_the_tables(opened, tasks, phantoms):
    table = read_index(tasks["DXC14"], phantoms).table.set_index("id")

    for name, (_, targets) in epoch_by_id(opened("DXC14").train, 1).items():
        assert table.loc[name, list(tasks["DXC14"].labels)].astype(float).tolist() == targets.tolist()


def test_what_is_not_labelled_stays_unlabelled(opened, tasks, phantoms):
    index = read_index(tasks["DXC14"], phantoms)
    index.table.loc[index.table["part"] == "test", "Edema"] = np.nan

    targets = torch.cat([batch.targets for batch in opened("DXC14", index=index).test.batches(8)])

    edema = tasks["DXC14"].labels.index("Edema")
    assert targets[:, edema].isnan().all()
    assert not targets[:, [n for n in range(14) if n != edema]].isnan().any()


@pytest.mark.parametrize(
    ("num", "size", "sizes"),
    [(8, 4, [4, 4]), (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (1, 4, [1]), (3, 4, [3]), (5, 4, [5])],
)
def test_a_last_batch_of_one_joins_the_batch_before(num, size, sizes):
    batches = cut(np.arange(num), size)

    assert sizes == [len(batch) for batch in batches]
    assert list(range(num)) == np.concatenate(batches).tolist()


def test_an_epoch_ends_with_no_batch_of_one(opened):
    part = opened("DXC14").train
    size = len(part) - 1

    assert [size + 1] == [len(batch) for batch in part.epoch(1, size)]
    assert [size, 1] == [len(batch) for batch in part.batches(size)]  # evaluation has no batch norm to mind


def test_a_batch_in_pieces_is_the_batch(opened):
    batch = next(opened("PXS").train.epoch(1, 8))
    pieces = list(batch.pieces(3))

    assert [len(piece) for piece in pieces] == [3, 3, 2]
    assert torch.equal(torch.cat([piece.images for piece in pieces]), batch.images)
    assert torch.equal(torch.cat([piece.targets for piece in pieces]), batch.targets)
    assert np.concatenate([piece.rows for piece in pieces]).tolist() == batch.rows.tolist()


def test_a_fraction_shrinks_the_training_part_only(opened):
    whole, tenth, half = (opened("DXC14", fraction=fraction) for fraction in (1.0, 0.1, 0.5))

    assert 0 < len(tenth.train) < len(half.train) < len(whole.train)
    assert set(tenth.train.ids) < set(half.train.ids) < set(whole.train.ids)
    for smaller in (tenth, half):
        assert whole.validation.ids.tolist() == smaller.validation.ids.tolist()
        assert whole.test.ids.tolist() == smaller.test.ids.tolist()


def test_parts_share_no_patient_and_carry_the_tasks_groups(opened, tasks, phantoms):
    parts = opened("DXC14")
    table = read_index(tasks["DXC14"], phantoms).table.set_index("id")
    patients = Counter(
        name for part in (parts.train, parts.validation, parts.test) for name in {*part.groups["patient"]}
    )

    assert set(patients.values()) == {1}
    for part in (parts.train, parts.validation, parts.test):
        assert {"patient", "sex", "age", "view"} == set(part.groups)
        for name, values in part.groups.items():
            assert table.loc[part.ids, name].tolist() == values.tolist()


def test_drive_has_a_second_observer_present_in_the_test_part_only(opened):
    parts = opened("VFS")
    (test,) = parts.test.batches(8)
    (training,) = parts.train.batches(8)
    second = parts.columns.index("mask_observer2")

    assert parts.columns == ("mask", "mask_observer2", "field_of_view")
    assert not parts.train.present["mask_observer2"].any()
    assert not parts.validation.present["mask_observer2"].any()
    assert parts.test.present["mask_observer2"].all()
    assert all(part.present["mask"].all() for part in (parts.train, parts.validation, parts.test))
    assert not training.targets[:, second].any()
    assert test.targets[:, second].any(dim=-1).any(dim=-1).all()


def test_an_image_without_pneumothorax_has_a_reference_that_is_empty(opened):
    parts = opened("PXS")
    (test,) = parts.test.batches(32)
    ill = test.targets.flatten(1).any(dim=1)

    assert parts.columns == ("mask",)
    assert parts.test.present["mask"].all()
    assert 0 < ill.sum() < len(ill)


def test_without_augmentation_training_images_are_centre_crops(opened):
    """Of the evaluation size, shuffled."""
    part = opened("DXC14", "augmentation=none").train
    plain = {row: image for batch in part.batches(8) for row, image in zip(batch.rows, batch.images, strict=True)}

    for batch in part.epoch(1, 8):
        for row, image in zip(batch.rows, batch.images, strict=True):
            # (37 - 32) / 2 = 2.5 rounds to the even 2, as torchvision's CenterCrop has it
            assert torch.equal(plain[row][:, 2:34, 2:34], image)


def test_caches_are_shared_by_seeds_fractions_and_ways_of_rendering(opened):
    opened("DXC14")
    built = []

    for settings, seed, fraction in [((), 5, 1.0), ((), 1, 0.2), (("pixels=exact",), 1, 1.0)]:
        opened("DXC14", *settings, seed=seed, fraction=fraction, progress=lambda *told: built.append(told))
    assert built == []
    opened("DXC14", "train_resolution=56", progress=lambda *told: built.append(told))
    assert len(built) == 2  # the training images' start and end: evaluation images are as before


def test_native_resolution_keeps_the_pixels_of_the_file(opened, phantoms, tasks):
    part = opened("DXC14", "train_resolution=native", "image_size=64").train
    table = read_index(tasks["DXC14"], phantoms).table.set_index("id")
    source = part._render_epoch.pixels

    for row, name in enumerate(part.ids):
        file = values_of(phantoms / "ChestX-ray14" / table.loc[name, "image"])
        assert np.array_equal(file, source.image(row)[..., 0])


def test_one_colour_image_makes_every_batch_of_its_part_three_channels(opened, tasks, phantoms, tmp_path):
    """A grey one's three are equal."""
    index = read_index(tasks["DXC14"], phantoms)
    colour = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "set").symlink_to(index.root)
    write_image(tmp_path / "colour.png", colour)
    table = index.table.assign(image="set/" + index.table["image"])
    first = table.index[table["part"] == "test"][0]
    table.loc[first, "image"] = "colour.png"

    (batch,) = opened("DXC14", index=replace(index, root=tmp_path, table=table)).test.batches(64)

    assert batch.images.shape[1] == 3
    grey = [image for image in batch.images if torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])]
    assert len(grey) == len(batch) - 1


@pytest.mark.parametrize("name", ["DXC14", "PXS"])
def test_batches_are_laid_out_channels_last(opened, name):
    """As the networks take them, with no copy in between."""
    batch = next(opened(name).train.epoch(1, 4))

    assert batch.images.permute(0, 2, 3, 1).is_contiguous()
    assert batch.images.dtype == torch.uint8
    assert batch.targets.dtype == (torch.float32 if name == "DXC14" else torch.uint8)


def test_an_epoch_that_is_left_early_leaves_no_threads(opened):
    part = opened("DXC14", threads=3).train

    batches = part.epoch(1, 2)
    next(batches)
    batches.close()

    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("render")]


@pytest.mark.parametrize("size", [1100, 40])
def test_native_images_are_kept_as_they_are(tasks, size):
    """Shenzhen's are 3,000 pixels wide: crops at train_resolution=native are cut from all of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, size + 7, 1), dtype=np.uint8)
    index = Index(task="T", root=Path(), table=pd.DataFrame(), labels=("a",), phantom=True)

    training, evaluation = stored_sizes(index, tasks["TXC"], Recipe(train_resolution="native"))

    assert training.image(pixels).shape == pixels.shape
    assert evaluation.image(pixels).shape == (256, 256, 1)
    assert training.title == "native"
