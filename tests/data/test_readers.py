"""What every reader passes on phantoms of its layout, and the facts of each in one table."""

from dataclasses import dataclass, replace

import h5py
import pandas as pd
import pytest
import torch
from conftest import CHECKOUT, NUM_READ, SMALL

from benchmark.data.datasets import open_splits
from benchmark.data.index import MASKS, check_index
from benchmark.data.phantoms.folder import PhantomSpec
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
CHEXPERT_FIVE = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
CHEXPERT_GROUPS = ["study", "sex", "age", "view", "projection"]


@dataclass(frozen=True)
class Facts:
    """What an index has: label columns in order, further columns, splits of its own, 1 or 3 channels of its images."""

    labels: list[str]
    columns: list[str]
    splits: set[str]
    channels: int


OFFICIAL, NONE = {"train", "test"}, {""}
FACTS = {
    "APTOS": Facts(["No DR", "Mild", "Moderate", "Severe", "Proliferative DR"], [], NONE, 3),
    "CheXpert5": Facts(CHEXPERT_FIVE, CHEXPERT_GROUPS, NONE, 1),
    "DXC14": Facts(CXR14_LABELS, ["sex", "age", "view"], OFFICIAL, 1),
    "DXC5": Facts(CHEXPERT_LABELS, CHEXPERT_GROUPS, OFFICIAL, 1),
    "Derm27": Facts([f"class-{n}" for n in range(1, 7)], ["case", "sex", "age", "skin_type", "site"], NONE, 3),
    "Derm27-ISIC": Facts(
        ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"], ["case", "sex", "age", "site"], NONE, 3
    ),
    "ECC": Facts(["pe_present_on_image"], ["study", "series"], NONE, 3),
    "LXS": Facts(["lung"], ["sex", "age", "tuberculosis", "mask"], NONE, 1),
    "NIHCXR4": Facts(
        ["Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass", "Other"], ["sex", "age", "view"], OFFICIAL, 1
    ),
    "PXS": Facts(["pneumothorax"], ["sex", "age", "view", "mask"], NONE, 1),
    "PatchCam": Facts(["tumour"], [], NONE, 3),
    "PatchCam-H5": Facts(["tumour"], [], {"train", "validation", "test"}, 3),
    "PneumoniaCXR": Facts(["pneumonia"], [], OFFICIAL, 1),
    "TXC": Facts(["TB"], ["sex", "age"], NONE, 1),
    "VFS": Facts(["vessel"], ["mask", "mask_observer2", "field_of_view"], OFFICIAL, 3),
    "VFS-CHASE": Facts(["vessel"], ["eye", "mask", "mask_observer2"], NONE, 3),
}


@pytest.fixture(scope="session")
def indexes(tasks, phantoms):
    """Task -> the index of its phantoms. Tests must not change the tables."""
    return {name: read_index(tasks[name], phantoms) for name in SMALL}


@pytest.fixture(params=sorted(SMALL))
def task(request, tasks):
    return tasks[request.param]


@pytest.fixture
def index(task, indexes):
    return indexes[task.name]


def image_files(index) -> set[str]:
    """The files that hold an index's images: some hold many."""
    return {image.partition("#")[0] for image in index.table["image"]}


def open_small(task, data, home):
    """The splits of a task at 32 pixels, on the CPU."""
    return open_splits(
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
    assert sorted(tasks) == sorted(SMALL) == sorted(FACTS)
    assert sorted(READERS) == sorted({task.reader for task in tasks.values()} | {"folders", "pairs"})
    writers = [phantom_writer_of(tasks["TXC"].model_copy(update={"reader": name})) for name in READERS]
    assert all(callable(writer.write_phantom) for writer in writers)


def test_an_index_has_its_columns_examples_and_files(task, index):
    table, facts = index.table, FACTS[task.name]
    labels = [] if task.has_masks else facts.labels
    masks = [column for column in MASKS if column in table]
    names = [
        name for column in masks for entry in table[column] if not entry.startswith("rle:") for name in entry.split("|")
    ]

    assert list(index.labels) == facts.labels
    assert sorted(["id", "image", "patient", "part", *labels, *facts.columns]) == sorted(table.columns)
    assert set(table["part"]) == facts.splits
    assert NUM_READ[task.name] == len(table) == table["id"].nunique()
    assert index.phantom
    assert set(task.groups) <= set(table.columns)
    assert not (table[["id", "image", "patient"]] == "").any(axis=None)
    assert all((index.root / name).is_file() for name in [*image_files(index), *filter(None, names)])
    if labels:
        uncertain = {-1.0} if "uncertain" in task.recipe else set()
        assert {0.0, 1.0} | uncertain == set(table[labels].to_numpy().ravel())
    if task.is_exclusive:
        assert (table[labels].sum(axis=1) == 1).all()
    assert {"train", "validation", "test"} == set(assign_splits(index, task.split))


def test_an_index_becomes_splits_and_batches(task, phantoms, tmp_path):
    opened = open_small(task, phantoms, tmp_path)
    batch = next(opened.train.epoch(1, 3))
    targets = (3, len(opened.columns), 32, 32) if task.has_masks else (3, len(opened.columns))

    assert NUM_READ[task.name] == len(opened.train) + len(opened.validation) + len(opened.test)
    assert (3, FACTS[task.name].channels, 32, 32) == tuple(batch.images.shape)
    assert targets == tuple(batch.targets.shape)
    assert batch.images.dtype == torch.uint8
    drawn = (batch.targets > 0.5) & (batch.targets < 0.9)  # where an uncertain label trains as such a draw
    assert ((batch.targets == 0) | (batch.targets == 1) | drawn & ("uncertain" in task.recipe)).all()
    assert batch.images.float().std() > 5  # an image, not a blank


def test_the_digest_is_that_of_the_examples_in_whatever_order(task, index, phantoms):
    again, table = read_index(task, phantoms), index.table
    shuffled = table.sample(frac=1, random_state=5).reset_index(drop=True)
    changed = table.copy()
    if task.has_masks:
        changed.loc[3, "mask"] = "rle:" if changed.loc[3, "mask"] != "rle:" else "rle:1 2"
    else:
        changed.loc[3, index.labels[-1]] = 1 - changed.loc[3, index.labels[-1]]

    pd.testing.assert_frame_equal(table, again.table)
    assert len(index.digest) == 16
    assert index.digest == again.digest == replace(index, table=shuffled).digest
    assert index.digest != replace(index, table=changed).digest
    assert index.digest != replace(index, table=table.drop(index=4)).digest


def test_changed_bytes_of_a_sampled_image_or_mask_change_the_digest(task, index, damaged, tmp_path):
    """The first example in the order of ids is always in the sample; a corrected mask is a changed label."""
    first, root, digests = index.table.sort_values("id").iloc[0], damaged(task.name), [index.digest]
    masks = [] if first.get("mask", "rle:").startswith("rle:") else first["mask"].split("|")

    for name in [first["image"], *masks]:
        file, _, row = str(root / name).partition("#")
        if row:
            with h5py.File(file, "r+") as opened:
                opened["x"][int(row), 0, 0, 0] ^= 1
        else:
            (root / name).write_bytes((root / name).read_bytes() + b"\0")
        digests.append(read_index(task, tmp_path / "data").digest)

    assert len(digests) > 1
    assert len(set(digests)) == len(digests)


def test_the_digest_opens_a_sample_only(tasks, indexes, damaged, tmp_path):
    """Of 48 images it takes 8, evenly spread: not the second."""
    (damaged("DXC14") / indexes["DXC14"].table.sort_values("id")["image"].iloc[1]).write_bytes(b"")

    assert indexes["DXC14"].digest == read_index(tasks["DXC14"], tmp_path / "data").digest


def test_reading_opens_no_image_and_a_phantom_in_an_unmarked_folder_is_caught_when_one_is_opened(
    task, index, damaged, tmp_path
):
    """With the second half of every image gone (DICOM keeps its header in the first), the table is the same."""
    root = damaged(task.name)
    (root / "PHANTOM.json").unlink()
    contents = {name: (root / name).read_bytes() for name in image_files(index)}
    for name, content in contents.items():
        (root / name).write_bytes(content[: len(content) // 2])
    cut_off = read_index(task, tmp_path / "data")
    for name, content in contents.items():
        (root / name).write_bytes(content)

    pd.testing.assert_frame_equal(index.table, cut_off.table)
    assert not cut_off.phantom
    with pytest.raises(BenchmarkError, match="is a phantom in a folder that is not marked as one") as raised:
        next(open_small(task, tmp_path / "data", tmp_path / "home").train.epoch(1, 3))
    assert str(root) in str(raised.value)


def test_one_spec_gives_the_same_phantoms_and_another_seed_others(task, tmp_path):
    spec = PhantomSpec(num=8, size=32)
    specs = {"first": spec, "again": spec, "other": replace(spec, seed=1)}
    for name, written in specs.items():
        write_phantom(task, tmp_path / name, written)
    first, again, other = (read_index(task, tmp_path / name).digest for name in specs)

    assert first == again != other


def test_missing_empty_and_incomplete_folders_are_one_line_each(task, tmp_path, refused, damaged):
    with pytest.raises(BenchmarkError, match=f"BENCHMARK_DATA does not say where data lies.*{task.root}/"):
        read_index(task, None)
    data = tmp_path / "data"
    data.mkdir()
    assert refused(task.name) == f"{task.name}: no folder {task.root}/ in {data}: {task.get}"
    (data / task.root).mkdir()
    assert refused(task.name).startswith(task.name)
    (data / task.root).rmdir()
    marker = damaged(task.name) / "PHANTOM.json"
    marker.write_text(marker.read_text().replace('"complete": true', '"complete": false'))
    assert f"{marker.parent}: writing these phantoms was interrupted" in refused(task.name)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "CHNCXR_0002_0", "1 image listed twice: CHNCXR_0002_0"),
        ("part", "holdout", "splits ['holdout'] are not among train, validation, test"),
        ("TB", 2.0, "CHNCXR_0001_1 has 2.0 as TB: wanted 0, 1 or nothing"),
    ],
)
def test_an_index_that_breaks_its_promises_names_the_first_row(indexes, column, value, message):
    index = indexes["TXC"]
    broken = index.table.copy()
    broken.loc[0, column] = value

    with pytest.raises(BenchmarkError) as raised:
        check_index(replace(index, table=broken), segmentation=False)

    assert message in str(raised.value)
    assert str(index.root) in str(raised.value)


def test_a_finding_that_was_not_labeled_is_allowed(indexes):
    index = indexes["TXC"]
    unlabeled = index.table.copy()
    unlabeled.loc[0, "TB"] = float("nan")

    checked = check_index(replace(index, table=unlabeled), segmentation=False)

    assert checked.table["TB"].isna().sum() == 1
    assert index.digest != checked.digest


def test_an_unknown_reader_is_answered_with_the_nearest(tasks, phantoms):
    with pytest.raises(BenchmarkError, match="TXC: no reader 'shenzen': did you mean shenzhen"):
        read_index(tasks["TXC"].model_copy(update={"reader": "shenzen"}), phantoms)


def test_a_reader_may_come_from_another_package(tasks, indexes, phantoms, tmp_path, monkeypatch):
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

    pd.testing.assert_frame_equal(read_index(theirs, phantoms).table, indexes["TXC"].table)
    with pytest.raises(BenchmarkError, match="TXC: the reader 'broken' of theirs:nothing does not load"):
        read_index(broken, phantoms)
    with pytest.raises(BenchmarkError, match="no reader 'lung': did you mean lungs"):
        read_index(unknown, phantoms)
