"""What damage of each official layout is answered with: one line that names the file, the row, the value, the remedy;
and the spellings of one layout that are read alike.
"""

import shutil

import pandas as pd
import pytest
from conftest import SMALL

from benchmark.data.readers import chestxray14
from benchmark.data.registry import read_index


@pytest.mark.parametrize("name", ["Data_Entry_2017_v2020.csv", "train_val_list.txt", "test_list.txt"])
def test_chestxray14_without_a_table_or_a_list_names_it(damaged, refused, name):
    root = damaged("DXC14")
    (root / name).unlink()

    assert f"DXC14: {root / name} is missing: it comes with the data set" == refused("DXC14")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\xff\xfe\x00\n\x00", b'a,b\n1,2\n3,4,5,6\n"unclosed'])
@pytest.mark.parametrize(("name", "table"), [("DXC14", "Data_Entry_2017_v2020.csv"), ("PXS", "train-rle.csv")])
def test_a_table_that_is_none_is_one_line_with_its_path(damaged, refused, name, table, content):
    path = damaged(name) / table
    path.write_bytes(content)

    assert str(path) in refused(name)


def test_chestxray14_without_a_column_names_it_and_what_there_is(damaged, refused):
    path = damaged("DXC14") / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Finding Labels", "Findings"))

    assert f"{path}: no column 'Finding Labels', found Image Index, Findings, " in refused("DXC14")


def test_chestxray14_with_images_missing_says_how_many_and_which(damaged, refused):
    root = damaged("DXC14")
    gone = sorted((root / "images").iterdir())[5:7]
    for image in gone:
        image.unlink()

    line = refused("DXC14")

    assert line.startswith(f"DXC14: 2 of 48 images are missing under {root} ({gone[0].name}, {gone[1].name})")
    assert "https://nihcc.app.box.com" in line


def test_chestxray14_with_an_image_in_both_lists_names_it(damaged, refused):
    root = damaged("DXC14")
    both = (root / "test_list.txt").read_text().split()[0]
    with (root / "train_val_list.txt").open("a") as listed:
        listed.write(f"{both}\n")

    assert f"DXC14: 1 images are in both train_val_list.txt, test_list.txt: {both}" == refused("DXC14")


def test_an_image_that_lies_in_two_folders_is_refused(damaged, refused):
    root = damaged("DXC14")
    image = next((root / "images").iterdir())
    (root / "images_001").mkdir()
    shutil.copy(image, root / "images_001" / image.name)

    line = refused("DXC14")

    assert f"images/{image.name}" in line
    assert f"images_001/{image.name}" in line
    assert "remove one of the two copies" in line


def test_chestxray14_with_an_unknown_finding_names_its_row_and_the_nearest(damaged, refused):
    path = damaged("DXC14") / "Data_Entry_2017_v2020.csv"
    lines = path.read_text().split("\n")
    # line 11 of the file, as an editor counts
    name, rest = lines[10].split(",", 1)
    lines[10] = f"{name},Efusion|Mass,{rest.split(',', 1)[1]}"
    path.write_text("\n".join(lines))

    assert f"{path}: row 11: unknown finding 'Efusion': did you mean Effusion?" == refused("DXC14")


def test_chestxray14_with_an_image_in_neither_list_names_it(damaged, refused):
    path = damaged("DXC14") / "train_val_list.txt"
    first, *others = path.read_text().split()
    path.write_text("\n".join(others))

    assert "DXC14: 1 images are in neither of train_val_list.txt, test_list.txt: " + first == refused("DXC14")


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


def test_shenzhen_with_a_wrong_file_name_shows_a_right_one(damaged, refused):
    folder = damaged("TXC") / "CXR_png"
    (folder / "CHNCXR_0001_1.png").rename(folder / "CHNCXR_1_1.png")

    assert f"TXC: {folder / 'CHNCXR_1_1.png'}: wanted names like CHNCXR_0001_0.png" == refused("TXC")


def test_shenzhen_without_its_image_folder_says_what_to_unpack(damaged, refused):
    root = damaged("TXC")
    (root / "CXR_png").rename(root / "png")

    assert f"TXC: {root / 'CXR_png'} is missing: unpack the data set's CXR_png folder there" == refused("TXC")


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


def test_siim_with_run_lengths_of_an_absent_image_names_it(damaged, refused):
    root = damaged("PXS")
    path = root / "train-rle.csv"
    path.write_text(path.read_text() + "2.25.99.9, 1 2\n")

    line = refused("PXS")

    assert "PXS: 1 of 25 images of train-rle.csv are missing" in line
    assert "(2.25.99.9)" in line


@pytest.mark.parametrize("name", ["train-rle.csv", "dicom-images-train"])
def test_siim_without_its_table_or_images_names_them(damaged, refused, name):
    root = damaged("PXS")
    (root / name).rename(root / "elsewhere")

    assert f"PXS: {root / name} is missing" in refused("PXS")


def test_siim_table_with_a_third_column_is_refused(damaged, refused):
    path = damaged("PXS") / "train-rle.csv"
    path.write_text("\n".join(line + ",x" for line in path.read_text().split()))

    assert f"{path}: wanted the columns ImageId,EncodedPixels, found 3 columns" == refused("PXS")


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


@pytest.mark.parametrize("gone", ["test/1st_manual/01_manual1.gif", "training/mask/05_training_mask.gif"])
def test_drive_with_a_mask_missing_names_it(damaged, refused, gone):
    root = damaged("VFS")
    (root / gone).unlink()

    line = refused("VFS")

    assert f"in {(root / gone).parent}, found 0" in line
    assert (root / gone).name[:3] in line


def test_drive_without_a_part_says_what_to_unpack(damaged, refused):
    root = damaged("VFS")
    shutil.rmtree(root / "test")

    assert f"VFS: {root / 'test' / 'images'} is missing: unpack the data set there" in refused("VFS")


def test_chase_with_a_wrong_file_name_shows_a_right_one(damaged, refused):
    root = damaged("VFS-CHASE")
    (root / "Image_01L.jpg").rename(root / "Image_1L.jpg")

    assert f"VFS-CHASE: {root / 'Image_1L.jpg'}: wanted names like Image_01L.jpg" == refused("VFS-CHASE")


def test_chase_with_an_observer_missing_names_the_file(damaged, refused):
    root = damaged("VFS-CHASE")
    (root / "Image_03R_2ndHO.png").unlink()

    assert f"VFS-CHASE: {root / 'Image_03R_2ndHO.png'} is missing" in refused("VFS-CHASE")


def test_chase_patients_are_the_children(tasks, phantoms):
    table = read_index(tasks["VFS-CHASE"], phantoms).table

    assert table["patient"].tolist()[:4] == ["01", "01", "02", "02"]
    assert table["eye"].tolist()[:4] == ["L", "R", "L", "R"]
