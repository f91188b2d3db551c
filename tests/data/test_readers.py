"""One suite that every reader passes on phantoms of its layout, then what each layout's damage is answered with."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import CHECKOUT, NUM_READ, SMALL

from benchmark.data import datasets as parts
from benchmark.data.index import MASKS, check_index
from benchmark.data.phantom_mark import is_phantom
from benchmark.data.phantoms import folder as phantom
from benchmark.data.registry import READERS, phantom_writer_of, read_index, write_phantom
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace

CXR14_LABELS = [
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
]  # fmt: skip
CHEXPERT_LABELS = [
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
]  # fmt: skip
GRADES = ["No DR", "Mild", "Moderate", "Severe", "Proliferative DR"]
CHEXPERT_FIVE = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
ISIC_CLASSES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
ALWAYS = ["id", "image", "patient", "part"]
COLUMNS = {
    "APTOS": GRADES,
    "CheXpert5": ["study", "sex", "age", "view", "projection", *CHEXPERT_FIVE],
    "DXC14": ["sex", "age", "view", *CXR14_LABELS],
    "DXC5": ["study", "sex", "age", "view", "projection", *CHEXPERT_LABELS],
    "Derm27": ["case", "sex", "age", "skin_type", "site", *(f"class-{n}" for n in range(1, 7))],
    "Derm27-ISIC": ["case", "sex", "age", "site", *ISIC_CLASSES],
    "ECC": ["study", "series", "pe_present_on_image"],
    "LXS": ["sex", "age", "tuberculosis", "mask"],
    "NIHCXR4": ["sex", "age", "view", "Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass", "Other"],
    "PXS": ["sex", "age", "view", "mask"],
    "PatchCam": ["tumour"],
    "PatchCam-H5": ["tumour"],
    "PneumoniaCXR": ["pneumonia"],
    "TXC": ["sex", "age", "TB"],
    "VFS": ["mask", "mask_observer2", "field_of_view"],
    "VFS-CHASE": ["eye", "mask", "mask_observer2"],
}
COLOUR = ("APTOS", "Derm27", "Derm27-ISIC", "ECC", "PatchCam", "PatchCam-H5", "VFS", "VFS-CHASE")


def files_of_images(index) -> set[str]:
    """The files that hold an index's images: some hold many."""
    return {image.partition("#")[0] for image in index.table["image"]}


@pytest.fixture(params=sorted(SMALL))
def task(request, tasks):
    return tasks[request.param]


def open_small(task, data, home):
    """The parts of a task at 32 pixels, on the CPU."""
    return parts.open_splits(
        index=read_index(task, data),
        task=task,
        recipe=task.complete_recipe(settings=("image_size=32",)),
        seed=1,
        workspace=Workspace(project=CHECKOUT, results=home, home=home, data=data),
        device=torch.device("cpu"),
        threads=1,
        progress=lambda _done, _total: None,
    )


def test_every_shipped_task_and_every_reader_is_in_this_suite(tasks):
    assert sorted(tasks) == sorted(SMALL) == sorted(COLUMNS)
    assert sorted(READERS) == sorted({task.reader for task in tasks.values()} | {"folders", "pairs"})
    writers = [phantom_writer_of(tasks["TXC"].model_copy(update={"reader": name})) for name in READERS]
    assert all(callable(writer.write_phantom) for writer in writers)


def test_a_phantom_in_a_readers_layout_becomes_a_whole_index(task, phantoms):
    index = read_index(task, phantoms)
    table = index.table

    assert sorted([*ALWAYS, *COLUMNS[task.name]]) == sorted(table.columns)
    assert NUM_READ[task.name] == len(table) == table["id"].nunique()
    assert index.phantom
    assert all((index.root / file).is_file() for file in files_of_images(index))
    assert set(task.groups) <= set(table.columns)
    assert not (table[["id", "image", "patient"]] == "").any(axis=None)
    for column in {*MASKS} & {*table.columns}:
        files = [f for named in table[column] if not named.startswith("rle:") for f in named.split("|") if f]
        assert all((index.root / file).is_file() for file in files)
    if task.kind != "segmentation":
        uncertain = {-1.0} if "uncertain" in task.recipe else set()
        assert {0.0, 1.0} | uncertain == set(table[list(index.labels)].to_numpy().ravel())


def test_what_a_reader_gives_can_be_parted_and_batched(task, phantoms, tmp_path):
    opened = open_small(task, phantoms, tmp_path)
    batch = next(opened.train.epoch(1, 3))
    channels = 3 if task.name in COLOUR else 1
    num_targets = len(opened.columns)

    assert NUM_READ[task.name] == len(opened.train) + len(opened.validation) + len(opened.test)
    assert (3, channels, 32, 32) == tuple(batch.images.shape)
    assert (3, num_targets, 32, 32) == tuple(batch.targets.shape) or (3, num_targets) == tuple(batch.targets.shape)
    assert batch.images.dtype == torch.uint8
    drawn = (batch.targets > 0.5) & (batch.targets < 0.9)  # where an uncertain label trains as such a draw
    assert ((batch.targets == 0) | (batch.targets == 1) | drawn & ("uncertain" in task.recipe)).all()
    assert batch.images.float().std() > 5  # an image, not a blank


def test_reading_twice_gives_one_table_and_one_digest(task, phantoms):
    first, second = read_index(task, phantoms), read_index(task, phantoms)

    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.digest == second.digest
    assert len(first.digest) == 16


def test_the_digest_is_that_of_the_examples_in_whatever_order(task, phantoms):
    index = read_index(task, phantoms)
    shuffled = index.table.sample(frac=1, random_state=5).reset_index(drop=True)

    assert index.digest == replace(index, table=shuffled).digest


def test_a_changed_label_changes_the_digest(task, phantoms):
    index = read_index(task, phantoms)
    changed = index.table.copy()
    if task.kind == "segmentation":
        changed.loc[3, "mask"] = "rle:" if changed.loc[3, "mask"] != "rle:" else "rle:1 2"
    else:
        changed.loc[3, index.labels[-1]] = 1 - changed.loc[3, index.labels[-1]]

    assert index.digest != replace(index, table=changed).digest


def test_a_removed_example_changes_the_digest(task, phantoms):
    index = read_index(task, phantoms)

    assert index.digest != replace(index, table=index.table.drop(index=4)).digest


def test_changed_bytes_of_a_sampled_image_change_the_digest(task, phantoms, damaged, tmp_path):
    """The first image in the order of ids is always in the sample."""
    index = read_index(task, phantoms)
    image = damaged(task.name) / index.table.sort_values("id")["image"].iloc[0]
    file, _, row = str(image).partition("#")
    if row:
        with h5py.File(file, "r+") as opened:
            opened["x"][int(row), 0, 0, 0] ^= 1
    else:
        image.write_bytes(image.read_bytes() + b"\0")

    assert index.digest != read_index(task, tmp_path / "data").digest


@pytest.mark.parametrize("name", ["VFS", "VFS-CHASE"])
def test_changed_bytes_of_a_sampled_mask_change_the_digest(tasks, phantoms, damaged, tmp_path, name):
    """A corrected mask is a changed label, though the table names the same file."""
    index = read_index(tasks[name], phantoms)
    mask = damaged(name) / index.table.sort_values("id")["mask"].iloc[0]
    mask.write_bytes(mask.read_bytes() + b"\0")

    assert index.digest != read_index(tasks[name], tmp_path / "data").digest


def test_reading_opens_no_image(task, phantoms, damaged, tmp_path):
    """With the second half of every image gone (DICOM keeps its header in the first), the table is the same."""
    index = read_index(task, phantoms)
    before, root = index.table, damaged(task.name)
    for name in files_of_images(index):
        (root / name).write_bytes((root / name).read_bytes()[: (root / name).stat().st_size // 2])

    pd.testing.assert_frame_equal(before, read_index(task, tmp_path / "data").table)


def test_the_digest_opens_a_sample_only(tasks, phantoms, damaged, tmp_path):
    """Of 48 images it takes 8, evenly spread: not the second."""
    index = read_index(tasks["DXC14"], phantoms)
    (damaged("DXC14") / index.table.sort_values("id")["image"].iloc[1]).write_bytes(b"")

    assert index.digest == read_index(tasks["DXC14"], tmp_path / "data").digest


def test_a_phantom_in_a_folder_not_marked_as_one_is_caught_when_its_images_are_opened(task, damaged, tmp_path):
    root = damaged(task.name)
    (root / "PHANTOM.json").unlink()

    assert not read_index(task, tmp_path / "data").phantom
    with pytest.raises(BenchmarkError, match="is a phantom in a folder that is not marked as one") as raised:
        next(open_small(task, tmp_path / "data", tmp_path / "home").train.epoch(1, 3))
    assert str(root) in str(raised.value)


def test_an_incomplete_phantom_folder_is_refused(task, damaged, refused):
    marker = damaged(task.name) / "PHANTOM.json"
    marker.write_text(marker.read_text().replace('"complete": true', '"complete": false'))

    assert f"{marker.parent}: writing these phantoms was interrupted" in refused(task.name)


def test_phantoms_that_a_fault_interrupts_stay_marked_as_incomplete(tmp_path):
    with pytest.raises(KeyboardInterrupt), phantom.marked(tmp_path / "set", "TXC", SMALL["TXC"]):
        raise KeyboardInterrupt

    with pytest.raises(BenchmarkError, match="interrupted"):
        is_phantom(tmp_path / "set")


def test_phantoms_are_refused_into_a_folder_with_other_files(tasks, tmp_path):
    (tmp_path / "Shenzhen").mkdir()
    (tmp_path / "Shenzhen" / "notes.txt").write_text("mine")

    for renew in (False, True):
        with pytest.raises(BenchmarkError, match="files that are no phantoms") as raised:
            write_phantom(tasks["TXC"], tmp_path, SMALL["TXC"], renew=renew)
        assert str(tmp_path / "Shenzhen") in str(raised.value)
    assert [path.name for path in (tmp_path / "Shenzhen").iterdir()] == ["notes.txt"]


def test_phantoms_of_one_order_are_kept_and_of_another_replaced_only_when_told(tasks, tmp_path):
    task, few, more = tasks["TXC"], phantom.PhantomSpec(num=8, size=32), phantom.PhantomSpec(num=9, size=32)
    root = write_phantom(task, tmp_path, few)
    written = (root / "CXR_png" / "CHNCXR_0001_1.png").stat().st_mtime_ns

    write_phantom(task, tmp_path, few)
    assert written == (root / "CXR_png" / "CHNCXR_0001_1.png").stat().st_mtime_ns
    with pytest.raises(BenchmarkError, match="other phantoms"):
        write_phantom(task, tmp_path, more)
    write_phantom(task, tmp_path, more, renew=True)
    assert len(read_index(task, tmp_path).table) == 9


def test_one_order_gives_the_same_phantoms_and_another_seed_others(task, tmp_path):
    """Small ones: only the seed is asked about."""
    order = phantom.PhantomSpec(num=8, size=32)
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for data, wanted in ((first, order), (again, order), (other, replace(order, seed=1))):
        write_phantom(task, data, wanted)
    digests = [read_index(task, data).digest for data in (first, again, other)]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_where_data_lies_must_be_told(task):
    with pytest.raises(BenchmarkError, match="BENCHMARK_DATA does not say where data lies") as raised:
        read_index(task, None)
    assert f"{task.root}/" in str(raised.value)


def test_a_missing_folder_says_where_the_data_set_is_got(task, tmp_path, refused):
    (tmp_path / "data").mkdir()

    assert f"{task.name}: no folder {task.root}/ in {tmp_path / 'data'}: {task.get}" == refused(task.name)


def test_an_empty_folder_is_one_line(task, tmp_path, refused):
    (tmp_path / "data" / task.root).mkdir(parents=True)

    assert refused(task.name).startswith(f"{task.name}")


def test_run_lengths_that_leave_their_image_name_it_when_it_is_opened(tasks, damaged, tmp_path):
    path = damaged("PXS") / "train-rle.csv"
    image = "2.25.0.2.3"
    others = [line for line in path.read_text().splitlines() if not line.startswith(image)]
    path.write_text("\n".join([*others, f"{image},1 5000"]) + "\n")

    with pytest.raises(BenchmarkError, match="end at pixel 5,001 of an image of 64 x 64") as raised:
        open_small(tasks["PXS"], tmp_path / "data", tmp_path / "home")

    assert f"{image}.dcm" in str(raised.value)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("id", "CHNCXR_0002_0", "1 image listed twice: CHNCXR_0002_0"),
        ("part", "holdout", "splits ['holdout'] are not among train, validation, test"),
        ("TB", 2.0, "CHNCXR_0001_1 has 2.0 as TB: wanted 0, 1 or nothing"),
    ],
)
def test_an_index_that_breaks_its_promises_names_the_first_row(tasks, phantoms, column, value, told):
    index = read_index(tasks["TXC"], phantoms)
    broken = index.table.copy()
    broken.loc[0, column] = value

    with pytest.raises(BenchmarkError) as raised:
        check_index(replace(index, table=broken), segmentation=False)

    assert told in str(raised.value)
    assert str(index.root) in str(raised.value)


def test_a_finding_that_was_not_labelled_is_allowed(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    unlabelled = index.table.copy()
    unlabelled.loc[0, "TB"] = np.nan

    kept = check_index(replace(index, table=unlabelled), segmentation=False)

    assert kept.table["TB"].isna().sum() == 1
    assert index.digest != kept.digest


def test_every_phantom_can_be_split_as_its_task_says(task, phantoms):
    split = assign_splits(read_index(task, phantoms), task.split)

    assert {"train", "validation", "test"} == set(split)


def test_an_unknown_reader_is_answered_with_the_nearest(tasks, phantoms):
    task = tasks["TXC"].model_copy(update={"reader": "shenzen"})

    with pytest.raises(BenchmarkError, match="TXC: no reader 'shenzen': did you mean shenzhen"):
        read_index(task, phantoms)


def test_tasks_that_read_one_official_layout_share_its_phantoms(tasks, tmp_path):
    order = phantom.PhantomSpec(num=16, size=32)
    root = write_phantom(tasks["DXC5"], tmp_path, order)

    assert root == write_phantom(tasks["CheXpert5"], tmp_path, order)
    assert len(read_index(tasks["CheXpert5"], tmp_path).table) < len(read_index(tasks["DXC5"], tmp_path).table)


def test_a_described_layouts_phantoms_serve_that_description_alone(tasks, tmp_path):
    order = phantom.PhantomSpec(num=16, size=32)
    write_phantom(tasks["Derm27"], tmp_path, order)
    other = tasks["Derm27"].model_copy(update={"layout": {"csv": "other.csv", "columns": {"image": "i", "label": "l"}}})

    with pytest.raises(BenchmarkError, match="other phantoms"):
        write_phantom(other, tmp_path, order)


def test_a_reader_may_come_from_another_package(tasks, phantoms, tmp_path, monkeypatch):
    """Its entry point is in the metadata of an installed package; here one on a path of this test's own."""
    package = tmp_path / "site"
    (package / "theirs-1.0.dist-info").mkdir(parents=True)
    (package / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = "[benchmark.readers]\nlungs = theirs\nbroken = theirs:nothing\n"
    (package / "theirs-1.0.dist-info" / "entry_points.txt").write_text(points)
    (package / "theirs.py").write_text(
        "from benchmark.data.readers.shenzhen import read\nfrom benchmark.data.phantoms.shenzhen import write_phantom\n"
    )
    monkeypatch.syspath_prepend(package)
    theirs, broken, unknown = (tasks["TXC"].model_copy(update={"reader": name}) for name in ("lungs", "broken", "lung"))

    pd.testing.assert_frame_equal(read_index(theirs, phantoms).table, read_index(tasks["TXC"], phantoms).table)
    with pytest.raises(BenchmarkError, match="TXC: the reader 'broken' of theirs:nothing does not load"):
        read_index(broken, phantoms)
    with pytest.raises(BenchmarkError, match="no reader 'lung': did you mean lungs"):
        read_index(unknown, phantoms)
