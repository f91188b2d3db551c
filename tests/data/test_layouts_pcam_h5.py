"""PatchCamelyon's original layout: what its files say, and what damage to them is answered with."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest

from benchmark.data.image_files import read_image
from benchmark.data.phantoms.files import write_dataset
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError

TASK = "PatchCam-H5"
NAME = "camelyonpatch_level_2_split_"


@pytest.fixture
def root(tasks, tmp_path):
    """A small copy of the layout, to be damaged."""
    return write_phantom(tasks[TASK], tmp_path / "data", PhantomSpec(num=40, size=32))


def change(path, name, function):
    """Change one dataset of a file."""
    with h5py.File(path, "r") as file:
        values = file[name][()]
    write_dataset(path, name, function(values))


def test_each_row_is_the_patch_and_the_label_of_its_number(tasks, root):
    table = read_index(tasks[TASK], root.parent).table

    assert len(table) == 40
    for split, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
        of_part = table[table["part"] == part]
        with h5py.File(root / f"{NAME}{split}_x.h5") as x, h5py.File(root / f"{NAME}{split}_y.h5") as y:
            assert len(of_part) == len(x["x"]) == len(y["y"])
            assert y["y"].shape == (len(of_part), 1, 1, 1)
            for row in of_part.itertuples():
                number = int(row.id.removeprefix(f"{split}-"))
                assert row.image == f"{NAME}{split}_x.h5#{number}"
                assert row.tumour == y["y"][number, 0, 0, 0]
                assert read_image(root / row.image)[0].tolist() == x["x"][number].tolist()


def test_the_parts_are_the_originals_own(tasks, root):
    index = read_index(tasks[TASK], root.parent)

    assert (assign_splits(index, tasks[TASK].split) == index.table["part"]).all()
    assert index.table["part"].value_counts().to_dict() == {"train": 24, "validation": 8, "test": 8}


def test_patches_of_a_slide_are_one_patients(tasks, root):
    table = read_index(tasks[TASK], root.parent).table
    told = pd.read_csv(root / f"{NAME}train_meta.csv")["wsi"]

    assert table.loc[table["part"] == "train", "patient"].tolist() == told.tolist()
    assert told.nunique() == 6


def test_without_the_tables_of_slides_each_patch_is_its_own_and_a_note_says_so(tasks, root):
    (root / f"{NAME}valid_meta.csv").unlink()

    index = read_index(tasks[TASK], root.parent)

    assert (index.table["patient"] == index.table["id"]).all()
    assert index.notes == (
        f"without {NAME}valid_meta.csv nobody knows a patch's slide: each counts as a patient of its own",
    )


def test_the_digest_is_of_the_sampled_rows_not_of_their_file(tasks, root):
    """Of 40 rows eight are sampled: the first in the order of ids is, the second is not."""
    first = read_index(tasks[TASK], root.parent).digest
    path = root / f"{NAME}test_x.h5"

    def darker(row):
        def function(images):
            images[row] //= 2
            return images

        return function

    change(path, "x", darker(1))
    second = read_index(tasks[TASK], root.parent).digest
    change(path, "x", darker(0))

    assert first == second
    assert first != read_index(tasks[TASK], root.parent).digest


def test_a_compressed_copy_has_the_same_digest(tasks, root):
    """Copies differ in how HDF5 stores them, not in their pixels."""
    digest = read_index(tasks[TASK], root.parent).digest
    for path in root.glob("*_x.h5"):
        with h5py.File(path, "r") as file:
            images = file["x"][()]
        path.unlink()
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=images, compression="gzip")

    assert digest == read_index(tasks[TASK], root.parent).digest


@pytest.mark.parametrize("kind", ["x", "y"])
def test_a_file_that_is_still_packed_is_asked_for_by_its_command(root, refused, kind):
    path = root / f"{NAME}valid_{kind}.h5"
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()

    message = refused(TASK)

    assert f"{path} is missing" in message
    assert f"gunzip {path.name}.gz" in message


def test_another_label_names_its_row(root, refused):
    def odd(labels):
        labels[3] = 2
        return labels

    path = root / f"{NAME}train_y.h5"
    change(path, "y", odd)

    assert refused(TASK) == f'{path}: row 3 of "y": found the label 2: wanted 0 or 1'


def test_labels_of_another_shape_are_refused(root, refused):
    path = root / f"{NAME}train_y.h5"
    change(path, "y", lambda labels: np.repeat(labels, 2, axis=1))

    assert refused(TASK) == f'{path}: dataset "y" is 24 x 2 x 1 x 1: wanted one label a patch'


def test_a_file_without_its_dataset_is_refused(root, refused):
    path = root / f"{NAME}test_y.h5"
    write_dataset(path, "x", np.zeros((8, 1, 1, 1), np.uint8))

    assert f'{path}: no dataset "y"; found x' in refused(TASK)


def test_files_of_other_lengths_are_met_when_the_image_is_opened(tasks, root):
    path = root / f"{NAME}train_x.h5"
    change(path, "x", lambda images: images[:20])
    images = read_index(tasks[TASK], root.parent).table.set_index("id")["image"]

    with pytest.raises(BenchmarkError, match="no row 23: it holds 20 images") as raised:
        read_image(root / images["train-000023"])
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("num", [1, 5, 13])
def test_as_many_patches_are_written_as_were_ordered(tasks, tmp_path, num):
    write_phantom(tasks[TASK], tmp_path / "few", PhantomSpec(num=num, size=32))

    assert len(read_index(tasks[TASK], tmp_path / "few").table) == num
