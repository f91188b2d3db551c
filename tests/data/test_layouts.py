"""What damage of each official layout is answered with: one line that names the file, the row, the value, the remedy;
and the spellings of one layout that are read alike.
"""

import shutil

import pandas as pd
import pytest
from conftest import SMALL

from benchmark.data.readers import chestxray14
from benchmark.data.registry import read_index


def test_an_image_that_lies_in_two_folders_is_refused(damaged, refused):
    root = damaged("DXC14")
    image = next((root / "images").iterdir())
    (root / "images_001").mkdir()
    shutil.copy(image, root / "images_001" / image.name)

    line = refused("DXC14")

    assert f"images/{image.name}" in line
    assert f"images_001/{image.name}" in line
    assert "remove one of the two copies" in line


def test_chestxray14_with_a_patient_in_both_lists_names_the_patient(damaged, refused, tasks, phantoms):
    table = read_index(tasks["DXC14"], phantoms).table
    several = table[(table["part"] == "train") & table["patient"].duplicated()].iloc[0]
    root = damaged("DXC14")
    train, test = root / "train_val_list.txt", root / "test_list.txt"
    train.write_text(train.read_text().replace(several["id"] + "\n", ""))
    test.write_text(test.read_text() + several["id"] + "\n")

    assert f"1 patient in more than one split ({several['patient']})" in refused("DXC14")


def test_chestxray14_reads_alike_under_its_older_names(tasks, phantoms, damaged, tmp_path):
    """The older table, ages as 058Y, and twelve folders of images."""
    before = read_index(tasks["DXC14"], phantoms).table
    root = damaged("DXC14")
    rows = pd.read_csv(root / "Data_Entry_2017_v2020.csv", dtype=str)
    rows["Patient Age"] = [f"{int(age):03d}Y" for age in rows["Patient Age"]]
    rows["Unnamed: 11"] = ""
    rows.to_csv(root / "Data_Entry_2017.csv", index=False)
    (root / "Data_Entry_2017_v2020.csv").unlink()
    for number, image in enumerate(sorted((root / "images").iterdir())):
        folder = root / f"images_{number % 12 + 1:03d}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        image.rename(folder / image.name)

    table = read_index(tasks["DXC14"], tmp_path / "data").table

    assert all((root / image).is_file() for image in table["image"])
    assert table["image"].str.startswith("images_0").all()
    assert before["age"].astype(int).tolist() == table["age"].astype(int).tolist()
    same = before.columns.difference(["image", "age"])
    pd.testing.assert_frame_equal(before[same], table[same])


def test_a_table_as_long_as_the_official_one_is_counted_right(tasks, tmp_path):
    """112,120 rows. Row i has finding k where i is a multiple of k + 2, so each count is a division."""
    num, labels = 112_120, tasks["DXC14"].labels
    kinds = [[label for k, label in enumerate(labels) if i % (k + 2) == 0] for i in range(num)]
    written = pd.Series(["|".join(kind) or "No Finding" for kind in kinds])

    findings = chestxray14._findings(written, labels, tmp_path / "Data_Entry_2017.csv")

    assert {label: -(-num // (k + 2)) for k, label in enumerate(labels)} == findings.sum().to_dict()


@pytest.mark.parametrize(
    ("reading", "sex", "age"),
    [
        ("male 45yrs\nsecondary PTB in the right upper field", "M", "45"),
        ("Female, 30 Yrs\n", "F", "30"),
        ("female  7 months", "F", ""),
        ("normal", "", ""),
        ("", "", ""),
        (None, "", ""),
    ],
)
def test_shenzhen_readings_tell_sex_and_age_where_they_do(tasks, damaged, tmp_path, reading, sex, age):
    path = damaged("TXC") / "ClinicalReadings" / "CHNCXR_0001_1.txt"
    path.unlink()
    if reading is not None:
        path.write_text(reading)

    row = read_index(tasks["TXC"], tmp_path / "data").table.set_index("id").loc["CHNCXR_0001_1"]

    assert (sex, age) == (row["sex"], row["age"])


def test_shenzhen_images_in_a_folder_further_down_are_found(tasks, damaged, tmp_path):
    folder = damaged("TXC") / "CXR_png"
    (folder / "more").mkdir()
    (folder / "CHNCXR_0001_1.png").rename(folder / "more" / "CHNCXR_0001_1.png")

    index = read_index(tasks["TXC"], tmp_path / "data")

    assert all((index.root / image).is_file() for image in index.table["image"])
    assert len(index.digest) == 16


def test_shenzhen_leaves_the_hidden_files_of_other_systems_alone(tasks, damaged, tmp_path):
    (damaged("TXC") / "CXR_png" / "._CHNCXR_0001_1.png").write_bytes(b"resource fork")

    assert len(read_index(tasks["TXC"], tmp_path / "data").table) == SMALL["TXC"].num


def test_shenzhen_that_is_smaller_than_published_notes_it(tasks, damaged, tmp_path, phantoms):
    (damaged("TXC") / "PHANTOM.json").unlink()

    assert read_index(tasks["TXC"], tmp_path / "data").notes == ("40 of the published 662 images are here",)
    assert read_index(tasks["TXC"], phantoms).notes == ()


@pytest.mark.parametrize("first", [None, "ImageId,EncodedPixels", "ImageId, EncodedPixels"])
@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_siim_table_reads_alike_in_every_spelling(tasks, phantoms, tmp_path, first, blank, mark, end):
    """With or without header, a blank before the run lengths, a byte-order mark, either line end."""
    task, root = tasks["PXS"], tmp_path / "data" / "SIIM-ACR"
    root.mkdir(parents=True)
    (root / "dicom-images-train").symlink_to(phantoms / "SIIM-ACR" / "dicom-images-train")
    _, *rows = (phantoms / "SIIM-ACR" / "train-rle.csv").read_text().splitlines()
    lines = [first] * (first is not None) + [row.replace(",", "," + blank) for row in rows]
    (root / "train-rle.csv").write_bytes(mark + "".join(line + end for line in lines).encode())

    table = read_index(task, tmp_path / "data").table

    pd.testing.assert_frame_equal(read_index(task, phantoms).table, table)


def test_siim_joins_several_rows_of_one_image(tasks, damaged, tmp_path):
    path = damaged("PXS") / "train-rle.csv"
    image = "2.25.0.2.3"  # without a pneumothorax: its only row is -1
    others = [line for line in path.read_text().splitlines() if not line.startswith(image)]
    path.write_text("\n".join([*others, f"{image},1 2", f"{image},9 3", f"{image},-1"]) + "\n")

    table = read_index(tasks["PXS"], tmp_path / "data").table.set_index("id")

    assert table.loc[image, "mask"] == "rle:1 2|9 3"
    assert len(table) == SMALL["PXS"].num


def test_siim_counts_the_images_without_a_row(tasks, damaged, tmp_path):
    path = damaged("PXS") / "train-rle.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "2.25.0.2.3" not in line) + "\n")

    index = read_index(tasks["PXS"], tmp_path / "data")

    assert index.notes == ("1 images have no row in train-rle.csv and are left out",)
    assert "2.25.0.2.3" not in set(index.table["id"])


@pytest.mark.parametrize("kept", [0, 60, 141, 152])
def test_siim_with_a_cut_dicom_header_names_the_file(damaged, refused, kept):
    path = next(damaged("PXS").rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:kept])

    assert f"{path}: not a DICOM file ({kept} bytes): copy it again from its source" == refused("PXS")


def test_drive_reads_alike_with_its_test_folder_under_the_other_name(tasks, phantoms, damaged, tmp_path):
    before = read_index(tasks["VFS"], phantoms).table
    root = damaged("VFS")
    (root / "test").rename(root / "testing")

    table = read_index(tasks["VFS"], tmp_path / "data").table

    assert before[["id", "patient", "part"]].equals(table[["id", "patient", "part"]])
    assert all((root / image).is_file() for image in table["image"])


def test_drive_has_a_second_observer_in_the_test_part_only(tasks, phantoms):
    table = read_index(tasks["VFS"], phantoms).table

    assert (table["part"] == "test").tolist() == (table["mask_observer2"] != "").tolist()
    assert (table["field_of_view"] != "").all()


def test_chase_patients_are_the_children(tasks, phantoms):
    table = read_index(tasks["VFS-CHASE"], phantoms).table

    assert table["patient"].tolist()[:4] == ["01", "01", "02", "02"]
    assert table["eye"].tolist()[:4] == ["L", "R", "L", "R"]
