"""Damage to an official layout: one line that names the file, the row, what was found and the remedy."""

import shutil

import pandas as pd
import pytest


def cell(file, row, column, value):
    """Changes one cell of a table."""

    def damage(root):
        table = pd.read_csv(root / file, dtype=str, keep_default_na=False)
        table.loc[row, column] = value
        table.to_csv(root / file, index=False)

    return damage


def text(file, old, new):
    """Replaces a text wherever it occurs in a file."""
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


def content(file, new):
    """Replaces the whole content of a file."""
    return lambda root: (root / file).write_bytes(new)


def cut(file, size):
    """Cuts bytes off the end of a file, or keeps as many where `size` is positive."""
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[:size])


def last_line(file, line):
    """Adds a line to a file."""
    return lambda root: (root / file).write_text((root / file).read_text() + line + "\n")


def gone(name):
    """Removes a file or a folder."""
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def renamed(name, other):
    """Renames a file or a folder."""
    return lambda root: (root / name).rename(root / other)


def first_images_gone(folder, pattern, count):
    """Removes the first images of a folder and all below it."""

    def damage(root):
        for file in sorted((root / folder).rglob(pattern))[:count]:
            file.unlink()

    return damage


def list_again(file, row):
    """Repeats a line of a file at its end."""
    return lambda root: last_line(file, (root / file).read_text().splitlines()[row])(root)


ENTRY, VALIDATION, TEST = "Data_Entry_2017_v2020.csv", "validation_labels.csv", "test_labels.csv"
H5 = "camelyonpatch_level_2_split_"
PE = "pe_present_on_image"
BROKEN_TABLES = (b"", b"\x89PNG\xff\xfe\x00\n\x00", b'a,b\n1,2\n3,4,5,6\n"unclosed')
# task, damage, what the message says ({root}: the data set's folder)
DAMAGE = [
    *(("DXC14", gone(name), f"DXC14: {{root}}/{name} is missing: it comes with the data set")
      for name in (ENTRY, "train_val_list.txt", "test_list.txt")),
    *((task, content(file, broken), f"{{root}}/{file}")
      for task, file in (("DXC14", ENTRY), ("PXS", "train-rle.csv"), ("ECC", "train.csv"), ("APTOS", "train.csv"))
      for broken in BROKEN_TABLES),
    ("DXC14", text(ENTRY, "Finding Labels", "Findings"), f"{{root}}/{ENTRY}: no column Finding Labels; found Image Index, "),
    ("DXC14", first_images_gone("images", "*.png", 2), "DXC14: 2 of 48 images are missing under {root} (00000001_000.png, "),
    ("DXC14", first_images_gone("images", "*.png", 2), "https://nihcc.app.box.com"),
    ("DXC14", cell(ENTRY, 9, "Finding Labels", "Efusion|Mass"),
     f"{{root}}/{ENTRY}: row 11: unknown finding 'Efusion': did you mean Effusion?"),
    ("DXC14", text("train_val_list.txt", "00000001_000.png\n", ""),
     "DXC14: 1 images are in neither of train_val_list.txt, test_list.txt: 00000001_000.png"),
    ("DXC14", last_line("test_list.txt", "00000001_000.png"),
     "DXC14: 1 images are in both train_val_list.txt, test_list.txt: 00000001_000.png"),
    ("TXC", renamed("CXR_png/CHNCXR_0001_1.png", "CXR_png/CHNCXR_1_1.png"),
     "TXC: {root}/CXR_png/CHNCXR_1_1.png: wanted names like CHNCXR_0001_0.png"),
    ("TXC", renamed("CXR_png", "png"), "TXC: {root}/CXR_png is missing: unpack the data set's CXR_png folder there"),
    ("PXS", last_line("train-rle.csv", "2.25.99.9, 1 2"), "PXS: 1 of 25 images of train-rle.csv are missing"),
    ("PXS", last_line("train-rle.csv", "2.25.99.9, 1 2"), "(2.25.99.9)"),
    *(("PXS", gone(name), f"PXS: {{root}}/{name} is missing") for name in ("train-rle.csv", "dicom-images-train")),
    ("PXS", text("train-rle.csv", "\n", ",x\n"),
     "{root}/train-rle.csv: wanted the columns ImageId,EncodedPixels, found 3 columns"),
    ("VFS", gone("test/1st_manual/01_manual1.gif"), "VFS: wanted one file 01_manual1.* in {root}/test/1st_manual, found 0"),
    ("VFS", gone("training/mask/05_training_mask.gif"), "VFS: wanted one file 05_*mask.* in {root}/training/mask, found 0"),
    ("VFS", gone("test"), "VFS: {root}/test/images is missing: unpack the data set there"),
    ("VFS-CHASE", renamed("Image_01L.jpg", "Image_1L.jpg"),
     "VFS-CHASE: {root}/Image_1L.jpg: wanted names like Image_01L.jpg"),
    ("VFS-CHASE", gone("Image_03R_2ndHO.png"), "VFS-CHASE: {root}/Image_03R_2ndHO.png is missing"),
    *(("LXS", gone(f"ManualMask/{side}/MCUCXR_0003_1.png"), f"{{root}}/ManualMask/{side}/MCUCXR_0003_1.png is missing")
      for side in ("leftMask", "rightMask")),
    ("LXS", renamed("ManualMask", "masks"), "unpack the data set's ManualMask folder"),
    *(("APTOS", cell("train.csv", 3, "diagnosis", value),
       f"{{root}}/train.csv: row 5: found the diagnosis {value!r}: wanted 0 to 4") for value in ("5", "-1", "2.0", "", "Mild")),
    *(("APTOS", text("train.csv", column, "other"), f"{{root}}/train.csv: no column {column}; found ")
      for column in ("id_code", "diagnosis")),
    ("APTOS", cut("train.csv", -3), "{root}/train.csv: row 41: found the diagnosis ''"),
    *(("DXC5", cell("train.csv", 1, column, value), f"{{root}}/train.csv: row 3: found {said}") for column, value, said in (
        ("Edema", "2", "'2' as Edema: wanted 1, 0, -1 or blank"), ("Edema", "yes", "'yes' as Edema: wanted 1, 0, -1 or blank"),
        ("Path", "view1.jpg", "the path 'view1.jpg': wanted one like CheXpert-v1.0-small/train/patient00001/"))),
    ("DXC5", text("valid.csv", "Pleural Other", "Other"), "{root}/valid.csv: no column Pleural Other"),
    ("DXC5", first_images_gone("train", "*.jpg", 3), "3 of 48 images are missing"),
    *(("NIHCXR4", cell(TEST, 2, "Airspace opacity", value),
       f"{{root}}/{TEST}: row 4: found {value!r} as Airspace opacity: wanted YES or NO") for value in ("HEDGE", "1", "")),
    *(("NIHCXR4", text(VALIDATION, column, "other"), f"{{root}}/{VALIDATION}: no column {column}; found ")
      for column in ("Image Index", "Patient ID", "Nodule or mass")),
    ("NIHCXR4", text(VALIDATION, ",Follow-up #", ""), f"{{root}}/{VALIDATION}: row 2 has 16 values under 15 headings"),
    ("NIHCXR4", first_images_gone("images", "*.png", 3), "3 of 48 images are missing under {root}"),
    ("NIHCXR4", gone("images"), "NIHCXR4: no images*/ folder in {root} and none in {root}/../ChestX-ray14: "),
    ("NIHCXR4", gone(TEST), "test_labels.csv is missing: it comes with the adjudicated labels"),
    ("NIHCXR4", cut(TEST, -30), f"{{root}}/{TEST}: row "),
    *(("PatchCam", cell("train_labels.csv", 3, "label", value),
       f"{{root}}/train_labels.csv: row 5: found the label {value!r}: wanted 0 or 1") for value in ("2", "", "tumour")),
    ("PatchCam", first_images_gone("train", "*.tif", 2), "2 of 40 images are missing"),
    ("PatchCam", content("train_labels.csv", b"name,label\na,1\n"),
     "{root}/train_labels.csv: no column id; found name, label"),
    ("PatchCam-H5", cut(f"{H5}test_y.h5", 700), f"{{root}}/{H5}test_y.h5: unreadable HDF5 ("),
    ("PatchCam-H5", list_again(f"{H5}test_meta.csv", -1), f"{{root}}/{H5}test_meta.csv: 9 rows for 8 labels"),
    ("PatchCam-H5", text(f"{H5}test_meta.csv", "wsi", "slide"), f"{{root}}/{H5}test_meta.csv: no column wsi; found"),
    ("PatchCam-H5", cell(f"{H5}test_meta.csv", 0, "wsi", ""), f"{{root}}/{H5}test_meta.csv: row 2: found no wsi"),
    ("PatchCam-H5", text(f"{H5}test_meta.csv", "phantom_test_001", "phantom_train_001"),
     "1 patient in more than one split (phantom_train_001)"),
    *(("ECC", cell("train.csv", 3, column, value), f"{{root}}/train.csv: row 5: found {said}") for column, value, said in (
        (PE, "2", f"'2' as {PE}: wanted 0 or 1"), (PE, "", f"'' as {PE}: wanted 0 or 1"),
        (PE, "0.0", f"'0.0' as {PE}: wanted 0 or 1"), ("StudyInstanceUID", "", "no StudyInstanceUID"),
        ("SOPInstanceUID", "", "no SOPInstanceUID"))),
    *(("ECC", text("train.csv", column, "other"), f"{{root}}/train.csv: no column {column}; found")
      for column in ("StudyInstanceUID", "SOPInstanceUID", PE)),
    ("ECC", first_images_gone("train", "*.dcm", 5), "5 of 80 images are missing under {root} (train/"),
    ("ECC", list_again("train.csv", 4), "1 image listed twice"),
    ("ECC", gone("train.csv"), "{root}/train.csv is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGE)
def test_damage_is_answered_with_one_line_that_names_it(damaged, refused, name, damage, said):
    root = damaged(name)
    damage(root)

    assert said.format(root=root) in refused(name)
