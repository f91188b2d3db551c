"""The Montgomery and Kermany layouts: what their files say, and what damage to them is answered with."""

import pytest

from benchmark.data import image_files as pixels
from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits


def test_montgomery_lungs_are_both_masks_together(tasks, phantoms):
    index = read_index(tasks["LXS"], phantoms)
    row = index.table.iloc[0]

    both = pixels.read_mask(row["mask"], index.root, (64, 64))
    left, right = (pixels.read_mask(one, index.root, (64, 64)) for one in row["mask"].split("|"))

    assert left.any()
    assert right.any()
    assert not (left & right).any()
    assert (both == (left | right)).all()


@pytest.mark.parametrize(
    ("reading", "sex", "age"),
    [
        ("Patient's Sex: F\nPatient's Age: 027Y\nnormal\n", "F", "27"),
        ("Patient's Sex:M\r\nPatient's Age:4Y\r\nimproved", "M", "4"),
        ("normal", "", ""),
    ],
)
def test_montgomery_readings_tell_sex_and_age_where_they_do(tasks, damaged, tmp_path, reading, sex, age):
    first = min((damaged("LXS") / "ClinicalReadings").iterdir())
    first.write_text(reading)

    row = read_index(tasks["LXS"], tmp_path / "data").table.iloc[0]

    assert (row["sex"], row["age"]) == (sex, age)


def test_kermany_keeps_a_patients_images_together_whatever_their_cause(tasks, damaged, tmp_path):
    root = damaged("PneumoniaCXR")
    folder = root / "train" / "PNEUMONIA"
    image = next(folder.iterdir())
    names = [
        "person9001_bacteria_1.jpeg",
        "person9001_virus_2.jpeg",
        "BACTERIA-9002-0001.jpeg",
        "BACTERIA-9002-0002.jpeg",
    ]
    for name in names:
        (folder / name).write_bytes(image.read_bytes())

    table = read_index(tasks["PneumoniaCXR"], tmp_path / "data").table.set_index("id")

    patients = [table.loc[f"train/{name[:-5]}", "patient"] for name in names]
    assert patients == ["train/person9001"] * 2 + ["train/BACTERIA-9002"] * 2


def test_kermany_numbers_of_the_test_folder_are_other_patients(tasks, damaged, tmp_path):
    root = damaged("PneumoniaCXR")
    image = next((root / "test" / "PNEUMONIA").iterdir())
    for part in ("train", "test"):
        (root / part / "PNEUMONIA" / "person9001_virus_6.jpeg").write_bytes(image.read_bytes())

    table = read_index(tasks["PneumoniaCXR"], tmp_path / "data").table

    assert sorted(table.loc[table["patient"].str.contains("9001"), "patient"]) == [
        "test/person9001",
        "train/person9001",
    ]


def test_kermanys_sixteen_join_the_training_part_where_they_are(tasks, phantoms, damaged, tmp_path):
    index = read_index(tasks["PneumoniaCXR"], phantoms)
    set_aside = index.table["id"].str.startswith("val/")
    for folder in sorted((damaged("PneumoniaCXR") / "val").glob("*")):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (tmp_path / "data" / "chest_xray" / "val").rmdir()

    without = read_index(tasks["PneumoniaCXR"], tmp_path / "data").table

    assert set_aside.any()
    assert set(index.table.loc[set_aside, "part"]) == {"train"}
    assert "validation" in set(assign_splits(index, tasks["PneumoniaCXR"].split))
    assert len(without) == len(index.table) - set_aside.sum()


def test_kermany_has_a_name_with_one_number_more_of_the_same_patient(tasks, damaged, tmp_path):
    """`person447_virus_921_1.jpeg` is a file of the published set."""
    folder = damaged("PneumoniaCXR") / "train" / "PNEUMONIA"
    image = next(folder.iterdir())
    for name in ("person447_virus_921_1.jpeg", "person447_virus_920.jpeg"):
        (folder / name).write_bytes(image.read_bytes())

    index = read_index(tasks["PneumoniaCXR"], tmp_path / "data")

    named = index.table["id"].str.contains("person447_")
    assert set(index.table.loc[named, "patient"]) == {"train/person447"}
    assert named.sum() == 2
    assert index.notes == ()


def test_kermany_files_of_other_names_are_patients_of_their_own_and_a_note_tells(tasks, damaged, tmp_path):
    """One of them does not end the reading of 5,856 images."""
    folder = damaged("PneumoniaCXR") / "test" / "NORMAL"
    first, second, *_ = sorted(folder.iterdir())
    first.rename(folder / "holiday.jpeg")
    second.rename(folder / "IM-0115-0001 (1).jpeg")

    index = read_index(tasks["PneumoniaCXR"], tmp_path / "data")

    table = index.table.set_index("id")
    assert table.loc["test/holiday", "patient"] == "test/holiday.jpeg"
    assert table.loc["test/IM-0115-0001 (1)", "patient"] == "test/IM-0115-0001 (1).jpeg"
    (note,) = index.notes
    assert note.startswith("2 images without a patient in the name (test/NORMAL/IM-0115-0001 (1).jpeg, test/NORMAL/")
    assert note.endswith("holiday.jpeg): each counts as its own")
