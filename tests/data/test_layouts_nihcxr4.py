"""The adjudicated four findings: five classes, images with several left out, headings with commas, images elsewhere."""

import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.registry import read_index
from benchmark.errors import BenchmarkError

SPLIT = "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
QUOTED = '"OriginalImage[Width,Height]","OriginalImagePixelSpacing[x,y]"'
FINDINGS = ["Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass"]
LEFT_OUT = (
    "validation_labels.csv: 1 of {train} images have several findings and are left out",
    "test_labels.csv: 1 of {test} images have several findings and are left out",
)


def rewrite(path, change):
    """Change a table by a function."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = change(table)
    table.to_csv(path, index=False)


def test_an_image_is_of_its_one_finding_or_other(tasks, phantoms):
    index = read_index(tasks["NIHCXR4"], phantoms)
    written = pd.concat(pd.read_csv(index.root / name) for name in ("validation_labels.csv", "test_labels.csv"))
    said = written.set_index("Image Index")[FINDINGS].loc[index.table["id"]] == "YES"

    assert index.labels == (*FINDINGS, "Other")
    assert (index.table[FINDINGS].to_numpy() == said.to_numpy()).all()
    assert (index.table["Other"].to_numpy() == ~said.any(axis=1).to_numpy()).all()


def test_images_of_several_findings_are_left_out_and_counted_by_table(tasks, phantoms):
    index = read_index(tasks["NIHCXR4"], phantoms)
    parts = index.table["part"].value_counts()

    assert index.notes == tuple(note.format(train=parts["train"] + 1, test=parts["test"] + 1) for note in LEFT_OUT)
    assert len(list((index.root / "images").iterdir())) == len(index.table) + 2


def test_the_validation_table_trains_and_the_test_table_tests(tasks, phantoms):
    index = read_index(tasks["NIHCXR4"], phantoms)
    part = index.table.set_index("id")["part"]

    for name, expected in (("validation_labels.csv", "train"), ("test_labels.csv", "test")):
        written = pd.read_csv(index.root / name)["Image Index"]
        assert {expected} == set(part.loc[written[written.isin(part.index)]])


@pytest.mark.parametrize("name", ["validation_labels.csv", "test_labels.csv"])
def test_headings_that_hold_a_comma_are_read_quoted_or_split(tasks, phantoms, damaged, tmp_path, name):
    """Quoted, there are two headings fewer than values: none may be read as another's."""
    path = damaged("NIHCXR4") / name
    assert SPLIT in path.read_text()
    path.write_text(path.read_text().replace(SPLIT, QUOTED))

    quoted = read_index(tasks["NIHCXR4"], tmp_path / "data")

    pd.testing.assert_frame_equal(quoted.table, read_index(tasks["NIHCXR4"], phantoms).table)


def test_a_quoted_heading_over_a_quoted_value_is_one_column(tasks, phantoms, damaged, tmp_path):
    path = damaged("NIHCXR4") / "test_labels.csv"
    path.write_text(path.read_text().replace(SPLIT, QUOTED).replace(",64,64,0.139,0.139,", ',"64,64","0.139,0.139",'))

    joined = read_index(tasks["NIHCXR4"], tmp_path / "data")

    pd.testing.assert_frame_equal(joined.table, read_index(tasks["NIHCXR4"], phantoms).table)


def test_a_byte_order_mark_and_other_cases_are_read(tasks, phantoms, damaged, tmp_path):
    path = damaged("NIHCXR4") / "test_labels.csv"
    path.write_text("\ufeff" + path.read_text().replace("YES", "Yes").replace("NO,", "no,"), encoding="utf-8")

    read = read_index(tasks["NIHCXR4"], tmp_path / "data")

    pd.testing.assert_frame_equal(read.table, read_index(tasks["NIHCXR4"], phantoms).table)


def test_images_are_looked_for_in_chestxray14_where_there_are_none_here(tasks, phantoms, damaged, tmp_path):
    root = damaged("NIHCXR4")
    shutil.move(root / "images", tmp_path / "data" / "ChestX-ray14" / "images_001" / "images")
    here, there = read_index(tasks["NIHCXR4"], phantoms), read_index(tasks["NIHCXR4"], tmp_path / "data")

    assert there.table["image"].tolist() == [f"../ChestX-ray14/images_001/images/{name}" for name in there.table["id"]]
    assert all((there.root / image).is_file() for image in there.table["image"])
    pd.testing.assert_frame_equal(here.table.drop(columns="image"), there.table.drop(columns="image"))


def test_a_repeated_row_is_read_once_and_noted(tasks, phantoms, damaged, tmp_path):
    path = damaged("NIHCXR4") / "validation_labels.csv"
    rewrite(path, lambda table: pd.concat([table, table.iloc[[1, 4]]]))
    index = read_index(tasks["NIHCXR4"], tmp_path / "data")

    assert index.notes[0] == "validation_labels.csv: 2 rows repeat an image and are left out"
    pd.testing.assert_frame_equal(index.table, read_index(tasks["NIHCXR4"], phantoms).table)


def test_a_repeated_image_with_other_findings_is_refused(damaged, refused):
    path = damaged("NIHCXR4") / "validation_labels.csv"
    first = pd.read_csv(path)["Image Index"][0]
    rewrite(path, lambda table: pd.concat([table, table.iloc[[0]].assign(Fracture="YES")]))
    rows = len(path.read_text().splitlines())

    assert refused("NIHCXR4") == f"{path}: row {rows}: {first} is listed twice, with other findings"


def test_other_numbers_of_images_than_the_published_are_noted(tasks, damaged, tmp_path):
    (damaged("NIHCXR4") / "PHANTOM.json").unlink()
    index = read_index(tasks["NIHCXR4"], tmp_path / "data")
    parts = index.table["part"].value_counts() + 1

    assert f"validation_labels.csv has {parts['train']} images where 2,414 were published" in index.notes
    assert f"test_labels.csv has {parts['test']} images where 1,962 were published" in index.notes


def test_a_class_that_the_tables_do_not_have_is_refused(tasks, phantoms):
    labels = ("Fracture", "Edema", "Other")
    task = tasks["NIHCXR4"].model_copy(update={"labels": labels})

    with pytest.raises(BenchmarkError, match="NIHCXR4: no class Edema here: wanted Fracture, Pneumothorax"):
        read_index(task, phantoms)


@pytest.mark.parametrize("size", [32, 64])
def test_a_phantoms_fracture_is_a_thin_bright_line_in_the_lungs(size):
    """The same stream draws the same chest up to the finding; then only brightness and noise differ."""
    for seed in range(8):
        plain, broken = (chest(np.random.default_rng(seed), size, findings, faint=1) for findings in ([], ["Fracture"]))
        assert (plain.lungs == broken.lungs).all()
        levels = [chest.pixels[..., 0] / np.median(chest.pixels) for chest in (plain, broken)]
        brighter = levels[1] - levels[0] > 0.5

        assert 4 <= brighter[plain.lungs].sum() < 0.15 * plain.lungs.sum()
        assert brighter[~plain.lungs].sum() <= 0.02 * brighter.size
