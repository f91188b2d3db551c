"""The CheXpert layout: what its tables say, and what damage to them is answered with."""

import pandas as pd
import pytest

from benchmark.data.phantoms.chexpert import FINDINGS
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.errors import BenchmarkError


def rewrite(path, change):
    """Change one of the data set's tables by a function."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(path, index=False)


def test_blank_is_absent_and_minus_one_uncertain(tasks, damaged, tmp_path):
    path = damaged("DXC5") / "train.csv"

    def change(table):
        table.loc[0, ["Edema", "Fracture", "Pneumonia", "Consolidation"]] = ["", "-1.0", "1", "0.0"]

    rewrite(path, change)
    name = pd.read_csv(path)["Path"][0].partition("/")[2].removesuffix(".jpg")
    row = read_index(tasks["DXC5"], tmp_path / "data").table.set_index("id").loc[name]

    assert [row[label] for label in ("Edema", "Fracture", "Pneumonia", "Consolidation")] == [0, -1, 1, 0]


def test_the_folder_that_paths_begin_with_may_be_called_otherwise(tasks, phantoms, damaged, tmp_path):
    root = damaged("DXC5")
    for name in ("train.csv", "valid.csv"):
        (root / name).write_text((root / name).read_text().replace("CheXpert-v1.0-small/", "CheXpert-v1.0/"))

    renamed = read_index(tasks["DXC5"], tmp_path / "data").table

    pd.testing.assert_frame_equal(renamed, read_index(tasks["DXC5"], phantoms).table)


def test_the_radiologists_table_is_the_test(tasks, phantoms):
    table = read_index(tasks["DXC5"], phantoms).table

    assert set(table.loc[table["part"] == "test", "id"].str.partition("/")[0]) == {"valid"}
    assert set(table.loc[table["part"] == "train", "id"].str.partition("/")[0]) == {"train"}
    assert (table.loc[table["part"] == "test", list(tasks["DXC5"].labels)] >= 0).all(axis=None)


def test_a_layout_may_name_the_tables_and_then_there_are_no_parts(tasks, phantoms, damaged, tmp_path):
    (damaged("CheXpert5") / "valid.csv").unlink()
    both, alone = read_index(tasks["DXC5"], phantoms).table, read_index(tasks["CheXpert5"], tmp_path / "data")
    wanted = both[both["part"] == "train"].drop(columns=set(tasks["DXC5"].labels) - set(tasks["CheXpert5"].labels))

    assert set(alone.table["part"]) == {""}
    pd.testing.assert_frame_equal(
        alone.table.drop(columns="part"), wanted[alone.table.columns].drop(columns="part").reset_index(drop=True)
    )


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (
            {"tables": ["test.csv"]},
            "CheXpert5: layout: tables.0: Input should be 'train.csv' or 'valid.csv', found 'test.csv'",
        ),
        ({"table": ["train.csv"]}, "CheXpert5: layout: unknown key 'table': did you mean tables?"),
        ({"tables": []}, "CheXpert5: layout: tables: "),
    ],
)
def test_a_layout_that_says_something_else_is_refused(tasks, phantoms, layout, told):
    with pytest.raises(BenchmarkError) as raised:
        read_index(tasks["CheXpert5"].model_copy(update={"layout": layout}), phantoms)

    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_phantom_serves_both_tasks(tasks, tmp_path):
    """Whichever task it is written for, it has all fourteen findings."""
    order = PhantomSpec(num=8, size=32)
    written = []
    for name in ("DXC5", "CheXpert5"):
        root = write_phantom(tasks[name], tmp_path / name, order)
        written.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})

    assert written[0] == written[1]
    assert tasks["DXC5"].labels == FINDINGS
    assert set(tasks["CheXpert5"].labels) <= set(FINDINGS)
    assert len(read_index(tasks["CheXpert5"], tmp_path / "DXC5").table) < len(
        read_index(tasks["DXC5"], tmp_path / "CheXpert5").table
    )


def test_the_printed_sizes_of_the_re_split_leave_167429_of_the_training_table(tasks):
    """Azizi 2021, supplement A.2: 67,429, 22,240 and 33,745 images; the table has 223,414."""
    task = tasks["CheXpert5"]
    rest = task.counts["images"] - task.split.test - task.split.validation

    assert (task.split.test, task.split.validation, rest) == (33_745, 22_240, 167_429)
    assert task.subset_size("printed") == 67_429 == rest - 100_000
    assert task.complete_recipe().max_epochs == round(30_000 * 256 / rest)
