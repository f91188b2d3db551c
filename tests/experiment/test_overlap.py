"""Contamination: a task whose images the weights were trained on is left out, or run and marked."""

from dataclasses import replace

import pandas as pd
import pytest
from indexes import an_index
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_record

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import ALIASES, NOTE, overlap, overlap_notes
from benchmark.reporting.frame import frame_of
from benchmark.reporting.table_writers import markdown_of
from benchmark.reporting.tables import block_tables, summary
from benchmark.results.store import Store
from benchmark.tasks.registry import read_task
from benchmark.zoo.catalog import ZooEntry, add_entry

TINY = ("--set", "image_size=32", "--set", "train_resolution=64", "--set", "max_epochs=1", "--seeds", "1")


def entry_of(*pretrained_on, name="seen", **fields):
    told = {"family": "own", "architecture": "test_resnet", "container": "torch", "naming": "timm"}
    return ZooEntry(name=name, pretrained_on=pretrained_on, licence="CC0", cite="nobody", **{**told, **fields})


def index_of(*, phantom, test=("p2",)):
    """Three patients with an image each, of whom some are tested."""
    index = an_index(["a"], ["p0", "p1", "p2"], [[0], [1], [0]])
    index.table["part"] = ["test" if patient in test else "train" for patient in index.table["patient"]]
    return replace(index, phantom=phantom)


@pytest.fixture
def own(cli, tmp_path):
    """Put weights of a tiny net into the user's zoo, as having seen these data sets."""
    import timm
    import torch

    def add(name, *pretrained_on):
        torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / f"{name}.pth")
        seen = [word for data_set in pretrained_on for word in ("--pretrained-on", data_set)]
        named = ("--architecture", "test_resnet", "--naming", "timm", *seen)
        assert cli("zoo", "add", str(tmp_path / f"{name}.pth"), "--name", name, *named).code == 0

    return add


@pytest.mark.parametrize(
    ("pretrained_on", "task", "found"),
    [
        (("ImageNet-1k", "ChestX-ray14"), "DXC14", ("ChestX-ray14",)),
        (("chestxray14",), "DXC14", ("chestxray14",)),
        (("CXR14",), "NIHCXR4", ("CXR14",)),
        (("NIHCXR4",), "DXC14", ("NIHCXR4",)),  # as `pretrain` writes it: the folder's name
        (("CheXpert-v1.0-small",), "DXC5", ("CheXpert-v1.0-small",)),
        (("CHEXPERT",), "CheXpert5", ("CHEXPERT",)),
        (("pcam",), "PatchCam", ("pcam",)),
        (("histopathologic-cancer-detection",), "PatchCam-H5", ("histopathologic-cancer-detection",)),
        (("Shenzhen",), "TXC", ("Shenzhen",)),
        (("NIH ChestX-ray14",), "DXC14", ("NIH ChestX-ray14",)),
        (("ChestX-ray8",), "NIHCXR4", ("ChestX-ray8",)),
        (("NIH Chest X-ray 14", "CheXpert"), "DXC5", ("CheXpert",)),
        (("CheXpert-v1.0",), "DXC5", ("CheXpert-v1.0",)),
        (("HAM10000",), "Derm27-ISIC", ("HAM10000",)),
        (("BCN_20000",), "Derm27-ISIC", ("BCN_20000",)),
        (("HAM10000",), "Derm27", ()),
        (("PatchCamelyon",), "PatchCam", ("PatchCamelyon",)),
        (("Camelyon16",), "PatchCam-H5", ("Camelyon16",)),
        (("Kermany",), "PneumoniaCXR", ("Kermany",)),
        (("aptos2019-blindness-detection",), "APTOS", ("aptos2019-blindness-detection",)),
        (("NIH Montgomery",), "LXS", ("NIH Montgomery",)),
        (("RSNA PE",), "ECC", ("RSNA PE",)),
        (("SIIM-ACR Pneumothorax",), "PXS", ("SIIM-ACR Pneumothorax",)),
        (("ChestX-ray14",), "PXS", ()),  # marked, not left out
        (("ChestX-ray14",), "DXC5", ()),
        (("ImageNet-1k",), "DXC14", ()),
        (("Shenzhen (phantom)",), "TXC", ()),  # stand-ins are other images
        ((), "TXC", ()),
    ],
)
def test_data_sets_are_the_same_by_their_letters_and_digits(tasks, pretrained_on, task, found):
    assert overlap(entry_of(*pretrained_on), tasks[task], phantom=False) == found


def test_phantoms_overlap_with_phantoms_alone(tasks):
    entry = entry_of("Shenzhen (Phantom)", "ChestX-ray14")

    assert overlap(entry, tasks["TXC"], phantom=True) == ("Shenzhen (Phantom)",)
    assert overlap(entry, tasks["DXC14"], phantom=True) == ()
    assert overlap(entry, tasks["DXC14"], phantom=False) == ("ChestX-ray14",)


def test_tasks_on_the_same_folder_share_the_names_of_their_images(tasks):
    for task in tasks.values():
        for other in tasks.values():
            if task.root == other.root:
                assert overlap(entry_of(*task.images_of), other, phantom=False) == task.images_of


def test_no_name_stands_for_two_data_sets():
    names = [name for row in ALIASES for name in {"".join(filter(str.isalnum, name.casefold())) for name in row}]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("pretrained_on", "task"), [("NIH ChestX-ray14", "PXS"), ("SIIM-ACR", "DXC14"), ("SIIM-ACR", "NIHCXR4")]
)
def test_weights_that_saw_some_of_the_images_are_run_and_marked(workspace, tasks, pretrained_on, task):
    """The images of SIIM-ACR were chosen from ChestX-ray14; the first paper prints these cells."""
    add_entry(workspace.own_zoo, entry_of(pretrained_on, name="some"))
    weights = IMAGENET.model_copy(update={"name": "some"})
    cell = made_up_cell(weights, task=task, data="official")

    notes = overlap_notes(cell, tasks[task], workspace, index_of(phantom=False))

    assert notes == [f"overlap: some was trained on {pretrained_on}, which has images of this task"]
    assert notes[0].startswith(NOTE)
    assert overlap(entry_of(pretrained_on), tasks[task], phantom=False) == ()
    assert overlap_notes(made_up_cell(weights, task=task), tasks[task], workspace, index_of(phantom=True)) == []


def test_images_of_is_a_fact_that_changes_no_key(tmp_path):
    path = tmp_path / "T.yaml"
    sheet = "{name: T, reader: shenzhen, root: R, kind: binary, labels: [TB], split: {method: random, test: 0.2}}"
    path.write_text(sheet)
    before = read_task(path).digest
    path.write_text(sheet.replace("root: R", "root: R, images_of: [one, two], shares_images_with: [three]"))

    assert read_task(path).images_of == ("one", "two")
    assert read_task(path).digest == before


@pytest.mark.slow
def test_what_was_seen_is_left_out_and_what_was_not_is_run(cli, own, workspace):
    own("seen", "ImageNet-1k", "shenzhen (phantom)")
    grid = ("--models", "seen,scratch:test_resnet", "--tasks", "TXC,VFS-CHASE", *TINY)

    planned, ran = cli("plan", *grid), cli("run", *grid)

    assert (planned.code, ran.code) == (0, 0)
    (row,) = [line for line in planned.out.splitlines() if "TXC" in line and "overlap: –" in line]
    assert "seen" in row
    assert "3 cells, 3 pending" in planned.text
    line = (
        "1 pair of model and task left out (–): seen on TXC: the weights were trained on the task's images "
        "(shenzhen (phantom)); --allow-overlap runs and marks them"
    )
    assert line in planned.text
    assert line in ran.err.splitlines()
    assert "3 of 3 cells done" in ran.text
    done = {(r.cell.task, r.cell.model) for r in Store(workspace.results).records()[0]}
    assert done == {("TXC", "scratch:test_resnet"), ("VFS-CHASE", "seen"), ("VFS-CHASE", "scratch:test_resnet")}


@pytest.mark.slow
def test_allowed_it_is_run_noted_and_marked(cli, own, workspace):
    own("seen", "Shenzhen (phantom)")
    grid = ("--models", "seen,scratch:test_resnet", "--tasks", "TXC", *TINY)

    planned, ran = cli("plan", *grid, "--allow-overlap"), cli("run", *grid, "--allow-overlap")
    reported = cli("report", "--tasks", "TXC")

    assert (ran.code, reported.code) == (0, 0)
    assert "2 cells, 2 pending" in planned.text
    assert "left out" not in planned.text + ran.text
    noted = {r.cell.model: [n for n in r.notes if n.startswith(NOTE)] for r in Store(workspace.results).records()[0]}
    assert noted == {
        "scratch:test_resnet": [],
        "seen": ["overlap: seen was trained on the images of this task (Shenzhen (phantom))"],
    }
    assert "seen †" in reported.text
    assert "† trained on images of this task before" in reported.text
    table = pd.read_csv(workspace.results / "reports" / "TXC" / "table.csv")
    assert dict(zip(table["model"], table["overlap"], strict=True)) == {"seen": True, "scratch:test_resnet": False}
    again = cli("plan", *grid)
    assert "2 cells, 0 pending" in again.text, "what was done stays done"


def test_a_grid_of_which_nothing_is_left_is_refused_in_one_line(cli, own, workspace):
    own("seen", "Shenzhen (phantom)")

    ran = cli("run", "--models", "seen", "--tasks", "TXC", *TINY)

    assert ran.code == 2
    assert "nothing is left to run: 1 pair of model and task left out" in ran.err
    assert "--allow-overlap" in ran.err
    assert ran.err.count("\n") == 1
    assert not workspace.results.exists()
    planned = cli("plan", "--models", "seen", "--tasks", "TXC", *TINY)
    assert (planned.code, "overlap: –" in planned.text) == (0, True)


def test_no_file_is_wanted_of_an_entry_that_is_left_out_everywhere(cli, workspace):
    """Its weights are not here, and are not fetched."""
    absent = entry_of("Shenzhen (phantom)", name="absent", source="http://127.0.0.1:9/net.pth")
    add_entry(workspace.own_zoo, absent)

    ran = cli("run", "--models", "absent,imagenet", "--tasks", "TXC", *TINY, "--offline")

    assert ran.code == 2
    assert "weights of 1 of 1 models are not here (imagenet)" in ran.err


@pytest.mark.slow
def test_what_is_made_from_weights_inherits_what_they_saw(cli):
    """Trained on TXC, then on CHASE: refused on both."""
    tiny = TINY[:-2]
    cli("pretrain", "supervised", "--from", "scratch:test_efficientnet", "--task", "TXC", "--name", "one", *tiny)
    made = cli("pretrain", "supervised", "--from", "one", "--task", "VFS-CHASE", "--name", "two", *tiny)

    ran = cli("run", "--models", "two", "--tasks", "TXC,VFS-CHASE", *TINY)

    assert made.code == 0
    assert ran.code == 2
    assert "2 pairs of model and task left out (–): two on TXC, two on VFS-CHASE" in ran.err


def test_the_mark_stands_in_the_table_and_its_caption(tasks):
    seen = [made_up_record(made_up_cell(IMAGENET, s), 0.9, notes=[f"{NOTE}imagenet was"]) for s in (0, 1)]
    rows = summary(frame_of([*seen, made_up_record(made_up_cell(SCRATCH))], tasks), SCRATCH.name)

    text = markdown_of(*block_tables(rows))

    assert "| imagenet † | 90.00" in text
    assert f"| {SCRATCH.name} |" in text
    assert text.count("† trained on images of this task before: no fair comparison.") == 1
    clean = summary(frame_of([made_up_record(made_up_cell(SCRATCH))], tasks), SCRATCH.name)
    assert "†" not in markdown_of(*block_tables(clean))


def test_notes_name_each_of_several_weights(workspace, tasks):
    told = {"seen": "Shenzhen", "clean": "ImageNet-1k", "too": "shenzhen"}
    for name, data_set in told.items():
        add_entry(workspace.own_zoo, entry_of(data_set, name=name))
    weights = tuple(IMAGENET.model_copy(update={"name": name}) for name in told)
    cell = {**made_up_cell().model_dump(), "weights": weights, "data": "official"}

    notes = overlap_notes(Cell.model_validate(cell), tasks["TXC"], workspace, index_of(phantom=False))

    assert [note.split()[1] for note in notes] == ["seen", "too"]
    phantom = Cell.model_validate({**cell, "data": "phantom"})
    assert overlap_notes(phantom, tasks["TXC"], workspace, index_of(phantom=True)) == []


def test_a_grid_without_its_pairs_keeps_every_other(workspace):
    """Two models, two tasks, one pair each left out: two cells a seed."""
    from benchmark.experiment.preparation import read_indexes
    from benchmark.experiment.request import RunRequest

    for name, data_set in (("chest", "Shenzhen (phantom)"), ("eye", "CHASE_DB1 (phantom)")):
        add_entry(workspace.own_zoo, entry_of(data_set, name=name))
    grid = RunRequest.of(workspace, "chest,eye", "TXC,VFS-CHASE", seeds="2").grid()
    indexes = read_indexes(grid)

    cells = grid.without(grid.overlapping(indexes)).cells(indexes)

    assert [(c.task, c.model, c.seed) for c in cells] == [
        ("TXC", "eye", 0),
        ("VFS-CHASE", "chest", 0),
        ("TXC", "eye", 1),
        ("VFS-CHASE", "chest", 1),
    ]
    with pytest.raises(BenchmarkError, match="nothing is left to run: 4 pairs"):
        grid.without({(t.name, e.name): ("x",) for t in grid.tasks for e in grid.entries})
