"""`data show`: which images are picked, that the augmented ones are those that train, and that a sheet can be read."""

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from conftest import CHECKOUT
from PIL import Image
from torchvision.transforms import functional

from benchmark.data import contact_sheet as sheets
from benchmark.data import datasets as parting
from benchmark.data.contact_sheet import EPOCHS, contact_sheet, network_inputs, pick
from benchmark.data.image_files import read_image
from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace


def recipe_of(task):
    return task.complete_recipe(settings=("image_size=32",))


def drawn(task, data, monkeypatch, **options):
    """The sheet, its figure and the figure's title lines."""
    kept = []
    figure_of = sheets._figure

    def keep(panels, captions, heads, lines, **names):
        kept.append((figure_of(panels, captions, heads, lines, **names), lines))
        return kept[0][0]

    monkeypatch.setattr(sheets, "_figure", keep)
    given = {"num": 4, "seed": 0, "augmented": False} | options
    sheet = contact_sheet(read_index(task, data), task, recipe_of(task), **given)
    return sheet, *kept[0]


def rgb_of(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_every_label_is_shown_where_there_is_room(tasks, phantoms):
    index = read_index(tasks["DXC14"], phantoms)
    table = index.table
    labels = [label for label in index.labels if table[label].any()]
    assert len(labels) > 10
    rows = pick(index, table.index, 15, 0)
    shown = table.loc[rows, labels].sum()

    assert (shown > 0).all()
    assert (table.loc[rows, labels].sum(axis=1) == 0).any()  # and one without any
    assert len(set(rows)) == 15
    assert rows == sorted(rows, key=lambda row: table["id"][row])


def test_both_answers_of_a_binary_task_are_shown_as_often(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    rows = pick(index, index.table.index, 6, 0)

    assert index.table.loc[rows, "TB"].sum() == 3


def test_the_seed_picks(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    picked = [pick(index, index.table.index, 6, seed) for seed in (0, 0, 1)]

    assert picked[0] == picked[1] != picked[2]
    assert sorted(pick(index, index.table.index, 99, 0)) == list(index.table.index)


@pytest.mark.parametrize("name", ["TXC", "PXS", "VFS", "PatchCam"])
def test_what_is_shown_is_what_trains(tasks, phantoms, tmp_path, name):
    """Against the parts that a cell of this seed opens, cache and all: every epoch's image, and mask, to the pixel."""
    task, seed = tasks[name], 3
    recipe = recipe_of(task)
    index = read_index(task, phantoms)
    opened = parting.open_splits(
        index=index,
        task=task,
        recipe=recipe,
        share=parting.TrainingShare(),
        seed=seed,
        workspace=Workspace(project=CHECKOUT, results=tmp_path, home=tmp_path, data=phantoms),
        device=torch.device("cpu"),
        threads=1,
        progress=lambda _done, _total: None,
    )
    parts = assign_splits(index, task.split)
    rows = pick(index, parts[parts == "train"].index, 3, seed)
    channels = max(read_image(index.root / index.table["image"][row], task.windows)[0].shape[2] for row in rows)
    given = network_inputs(index, task, recipe, parts, rows, seed, channels)

    for place, epoch in enumerate(EPOCHS, 1):
        trained = {}
        for batch in opened.train.epoch(epoch, 8):
            for image, target, row in zip(batch.images, batch.targets, batch.rows, strict=True):
                trained[opened.train.ids[row]] = image.permute(1, 2, 0).numpy(), target.numpy()
        for row, views in zip(rows, given, strict=True):
            image, target = trained[index.table["id"][row]]
            shown, masks = views[place]
            np.testing.assert_array_equal(image, shown)
            if task.kind == "segmentation":
                assert list(masks) == list(opened.columns)
                np.testing.assert_array_equal(target, np.stack(list(masks.values())))


def test_the_evaluation_view_is_torchvisions_resize_and_centre_crop(tasks, phantoms):
    task = tasks["TXC"]
    recipe = recipe_of(task)
    index = read_index(task, phantoms)
    parts = assign_splits(index, task.split)
    row = parts.index[parts == "train"][5]
    ((view, *_),) = network_inputs(index, task, recipe, parts, [row], 0, 1)
    with Image.open(index.root / index.table["image"][row]) as image:
        resized = functional.resize(image.convert("L"), [recipe.evaluation_size] * 2)
        wanted = np.asarray(functional.center_crop(resized, [32, 32]))

    np.testing.assert_array_equal(wanted, view[0][..., 0])


def test_only_training_images_are_shown_augmented(tasks, phantoms, monkeypatch):
    task = tasks["VFS"]
    index = read_index(task, phantoms)
    parts = assign_splits(index, task.split)
    sheet, figure, lines = drawn(task, phantoms, monkeypatch, augmented=True, num=99)
    num = int((parts == "train").sum())

    assert set(index.table["id"][parts == "train"]) == set(sheet.ids)
    assert f"{num} of {num} training images, seed 0 (train {num}" in lines[1]
    heads = [axes.get_title() for axes in figure.axes][:5]
    assert heads == ["original", "evaluation, 32 pixels", *(f"training, epoch {epoch}" for epoch in EPOCHS)]


def test_phantoms_are_called_so(tasks, phantoms, monkeypatch):
    sheet, _, lines = drawn(tasks["TXC"], phantoms, monkeypatch)

    assert "phantom images: no clinical meaning" in lines
    assert sheet.title == "4 of 40 images, seed 0, phantoms"


@pytest.mark.parametrize(
    ("name", "augmented"), [("VFS", False), ("VFS", True), ("DXC14", False), ("DXC14", True), ("TXC", False)]
)
@pytest.mark.parametrize("num", [1, 7])
def test_no_text_overlaps_another_or_leaves_the_sheet(tasks, phantoms, monkeypatch, name, augmented, num):
    """With ids, labels and patients far longer than any data set's."""
    read = sheets.contact_sheet.__globals__["pick"]

    def long(index, *arguments):
        rows = read(index, *arguments)
        index.table["id"] = ["W" * 60 + str(number) for number in index.table.index]
        index.table["patient"] = ["M" * 40 + str(number) for number in index.table.index]
        for label in index.labels if "mask" not in index.table else ():
            index.table[label] = 1.0
        return rows

    monkeypatch.setattr(sheets, "pick", long)
    _, figure, _ = drawn(tasks[name], phantoms, monkeypatch, augmented=augmented, num=num)
    texts = [figure._suptitle, *(t for legend in figure.legends for t in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.title]
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    width, height = figure.get_size_inches() * figure.dpi

    assert len(boxes) > num
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert min(min(box.x0, box.y0) for box in boxes) >= 0
    assert max(max(box.x1 - width, box.y1 - height) for box in boxes) <= 0


def test_masks_are_outlined_each_observer_in_a_colour(tasks, phantoms):
    """Where there are two observers and a field of view; a task without masks has none of the colours."""
    task = tasks["VFS"]
    index = read_index(task, phantoms)
    sheet = contact_sheet(index, task, recipe_of(task), num=8, seed=0, augmented=False)
    plain = contact_sheet(
        read_index(tasks["TXC"], phantoms), tasks["TXC"], recipe_of(tasks["TXC"]), num=8, seed=0, augmented=False
    )

    for colour, _, _ in sheets.OUTLINES.values():
        value = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        near = [(abs(rgb_of(of.png) - value).max(axis=2) < 12).any() for of in (sheet, plain)]
        assert near == [True, False], colour


def test_one_outline_alone_is_called_by_the_label(tasks, phantoms, monkeypatch):
    _, figure, _ = drawn(tasks["PXS"], phantoms, monkeypatch)

    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == ["pneumothorax"]


def test_captions_name_what_is_known(tasks, phantoms):
    task = tasks["DXC14"]
    index = read_index(task, phantoms)
    table = index.table.copy()
    table[list(index.labels)] = 0.0
    table.loc[0, ["Mass", "Hernia"]] = 1.0
    table.loc[1, "Edema"] = -1.0
    table.loc[3, list(index.labels)] = np.nan
    table.loc[0, "patient"] = table.loc[0, "id"]

    def caption(row, **options):
        return sheets._caption(replace(index, table=table), task, row, "test", unreadable=False, **options).split("\n")

    assert caption(0)[1:] == ["Mass, Hernia", "test"]
    assert caption(1)[1:] == ["Edema?", f"patient {table['patient'][1]}, test"]
    assert caption(2)[1] == "none of the labels"
    assert caption(3)[1] == "not labeled"


def test_an_unreadable_image_is_a_fault_unless_the_sheet_leaves_such_out(tasks, damaged, tmp_path, monkeypatch):
    task = tasks["TXC"]
    for image in (damaged("TXC") / "CXR_png").glob("*_1.png"):
        image.write_bytes(b"")
    with pytest.raises(BenchmarkError, match="unreadable image"):
        drawn(task, tmp_path / "data", monkeypatch)
    lenient = task.model_copy(update={"unreadable": "leave out"})
    _, figure, _ = drawn(lenient, tmp_path / "data", monkeypatch, augmented=True)

    told = [axes.get_xlabel() for axes in figure.axes]
    assert sum("cannot be decoded: left out" in caption for caption in told) == 2


def test_the_verb_writes_a_png(cli, tmp_path):
    file = tmp_path / "sheets" / "PXS.png"
    ran = cli("data", "show", "PXS", "--out", str(file), "-n", "3", "--augmented", "--set", "image_size=32")

    assert ran.code == 0, ran.text
    assert f"PXS: 3 of 17 training images, seed 0, phantoms; {file}" in ran.out
    assert rgb_of(file.read_bytes()).std() > 10


def test_the_verb_refuses_what_it_cannot_draw(cli, tmp_path):
    for arguments, told in (
        (["TXX", "--out", "x.png"], "did you mean TXC"),
        (["TXC", "--out", "x.jpg"], "wanted the name of a PNG file"),
        (["TXC", "--out", "x.png", "--set", "image_sizes=3"], "recipe has no field"),
        (["TXC", "--out", "x.png", "--data", str(tmp_path)], "no folder Shenzhen/"),
    ):
        ran = cli("data", "show", *arguments)
        assert ran.code == 2
        assert told in ran.text
    assert not (CHECKOUT / "x.png").exists()
