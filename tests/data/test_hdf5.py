"""Images as rows of an HDF5 file: which row is read, what a damaged file is answered with, threads and processes."""

import os
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from benchmark.data import hdf5
from benchmark.data.hdf5 import read_dataset
from benchmark.data.image_files import read_image
from benchmark.data.phantoms.files import write_dataset
from benchmark.errors import BenchmarkError


def patches(count: int = 7, side: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def plain(path, **datasets):
    """A file as anybody writes it."""
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
    return path


def the_fault(path) -> str:
    with pytest.raises(BenchmarkError) as raised:
        read_image(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", ["images.h5", "images.hdf5", "IMAGES.H5", "a#b.h5"])
def test_a_row_is_named_by_its_number_behind_the_files_name(tmp_path, name):
    images = patches()
    path = plain(tmp_path / name, x=images)

    for row in (0, 3, 6):
        pixels, phantom = read_image(path.with_name(f"{name}#{row}"))
        assert pixels.tolist() == images[row].tolist()
        assert not phantom


def test_compressed_and_chunked_files_give_the_same_rows(tmp_path):
    images = patches()
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file.create_dataset("x", data=images, chunks=(2, 12, 12, 3), compression="gzip")

    assert read_image(tmp_path / "images.h5#5")[0].tolist() == images[5].tolist()


def test_a_phantom_carries_its_mark(tmp_path):
    write_dataset(tmp_path / "images.h5", "x", patches())

    assert read_image(tmp_path / "images.h5#1")[1]


def test_a_file_that_was_replaced_is_opened_anew(tmp_path):
    before, after = patches(seed=1), patches(count=3, seed=2)
    path = plain(tmp_path / "images.h5", x=before)
    read_image(tmp_path / "images.h5#2")
    plain(tmp_path / "other.h5", x=after).replace(path)

    assert read_image(tmp_path / "images.h5#2")[0].tolist() == after[2].tolist()
    assert "no row 5: it holds 3 images" in the_fault(tmp_path / "images.h5#5")


def test_few_files_stay_open(tmp_path):
    for number in range(12):
        plain(tmp_path / f"{number}.h5", x=patches(seed=number))
    for _ in range(2):
        for number in range(12):
            assert read_image(tmp_path / f"{number}.h5#1")[0].tolist() == patches(seed=number)[1].tolist()

    assert len(hdf5._OPEN) <= hdf5.MAX_OPEN


def test_threads_read_the_rows_that_they_asked_for(tmp_path):
    files = {number: patches(count=40, seed=number) for number in range(hdf5.MAX_OPEN + 2)}
    for number, images in files.items():
        plain(tmp_path / f"{number}.h5", x=images)
    asked = [(int(n), int(row)) for n, row in np.random.default_rng(3).integers(0, (len(files), 40), (400, 2))]

    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda one: read_image(tmp_path / f"{one[0]}.h5#{one[1]}")[0], asked))

    assert all((pixels == files[number][row]).all() for pixels, (number, row) in zip(read, asked, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_process_opens_the_file_for_itself(tmp_path):
    images = patches()
    path = plain(tmp_path / "images.h5", x=images)
    read_image(tmp_path / "images.h5#0")
    child = os.fork()
    if child == 0:
        same = (read_image(tmp_path / "images.h5#4")[0] == images[4]).all()
        os._exit(0 if same and hdf5._OPEN[path][0][-1] == os.getpid() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_image(tmp_path / "images.h5#6")[0].tolist() == images[6].tolist()


@pytest.mark.parametrize(("row", "told"), [("7", "no row 7"), ("1000000000000", "no row 1,000,000,000,000")])
def test_a_row_behind_the_last_is_refused(tmp_path, row, told):
    path = plain(tmp_path / "images.h5", x=patches())

    assert the_fault(tmp_path / f"images.h5#{row}") == (
        f"{path}: {told}: it holds 7 images; copy it again from its source"
    )


@pytest.mark.parametrize("row", ["-1", "one", "1.5"])
def test_what_is_no_number_is_no_row(tmp_path, row):
    plain(tmp_path / "images.h5", x=patches())

    assert the_fault(tmp_path / f"images.h5#{row}").endswith("wanted the number of a row, as in images.h5#0")


def test_another_dataset_is_refused_by_name(tmp_path):
    path = plain(tmp_path / "images.h5", y=np.zeros(3), z=np.zeros(2))

    assert the_fault(tmp_path / "images.h5#0") == f'{path}: no dataset "x"; found y, z: copy it again from its source'


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros((4, 8, 8), np.uint8), "4 x 8 x 8 of uint8"),
        (np.zeros((4, 8, 8, 1), np.uint8), "4 x 8 x 8 x 1 of uint8"),
        (np.zeros((4, 8, 8, 3), np.float32), "4 x 8 x 8 x 3 of float32"),
    ],
)
def test_a_dataset_that_is_no_images_is_refused_by_its_shape(tmp_path, values, told):
    path = plain(tmp_path / "images.h5", x=values)

    assert the_fault(tmp_path / "images.h5#0") == (
        f'{path}: dataset "x" is {told}: wanted images x height x width x 3 of uint8'
    )


def test_a_truncated_file_is_one_line_with_its_size_wherever_it_ends(tmp_path):
    path = plain(tmp_path / "images.h5", x=patches())
    read_image(tmp_path / "images.h5#0")
    content = path.read_bytes()

    for size in (0, 1, 100, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        line = the_fault(tmp_path / "images.h5#6")

        assert line.startswith(f"{path}: unreadable HDF5 (")
        assert line.endswith(f"; {size:,} bytes): copy it again from its source")


def test_a_text_named_as_hdf5_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "images.h5").write_text("<html>404 not found</html>\n")

    assert the_fault(tmp_path / "images.h5#0").startswith(f"{tmp_path / 'images.h5'}: unreadable HDF5 (")
    assert the_fault(tmp_path / "gone.h5#0") == f"{tmp_path / 'gone.h5'}: no such file"
    with pytest.raises(BenchmarkError, match="no such file"):
        read_dataset(tmp_path / "gone.h5", "y")
