"""Each official layout: what its files say, spellings that are read alike, what is noted, what damage is answered with."""

import gzip
import shutil

import h5py
import numpy as np
import pandas as pd
import pydicom
import pytest

from benchmark.data.image_files import read_image, read_mask
from benchmark.data.phantoms.chexpert import FINDINGS
from benchmark.data.phantoms.files import write_dataset
from benchmark.data.readers import aptos, chestxray14, patchcam
from benchmark.data.registry import read_index
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.results.predictions import Predictions


def cells(file, row, values):
    """Changes cells of one row of a table."""

    def damage(root):
        table = pd.read_csv(root / file, dtype=str, keep_default_na=False)
        table.loc[row, list(values)] = list(values.values())
        table.to_csv(root / file, index=False)

    return damage


def text(file, old, new):
    """Replaces a text wherever it occurs in a file."""
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


def content(file, new):
    """Replaces the content of a file, or writes a new one."""
    return lambda root: (root / file).write_bytes(new)


def cut(file, size):
    """Cuts bytes off the end of a file, or keeps as many where `size` is positive."""
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[:size])


def last_line(file, line):
    """Adds a line to a file."""
    return lambda root: (root / file).write_text((root / file).read_text() + line + "\n")


def gone(*names):
    """Removes files or folders."""

    def damage(root):
        for name in names:
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()

    return damage


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


def several(*damages):
    """Does one after the other."""

    def damage(root):
        for each in damages:
            each(root)

    return damage


def lines(file, change):
    """Replaces the lines of a file by what a function makes of them."""
    return lambda root: (root / file).write_text("\n".join(change((root / file).read_text().splitlines())) + "\n")


def copies(folder, *names):
    """Copies the first image of a folder to other names."""
    return lambda root: [shutil.copy(min((root / folder).glob("*.*")), root / folder / name) for name in names]


def dataset(file, name, change):
    """Replaces a dataset of an HDF5 file by what a function makes of it."""

    def damage(root):
        with h5py.File(root / file) as opened:
            values = change(opened[name][()])
        write_dataset(root / file, name, values)

    return damage


ENTRY, VALIDATION, TEST = "Data_Entry_2017_v2020.csv", "validation_labels.csv", "test_labels.csv"
H5 = "camelyonpatch_level_2_split_"
PE = "pe_present_on_image"
FIRST_DICOM = "dicom-images-train/2.25.0.1.1/2.25.0.1.2/2.25.0.1.3.dcm"


def labeled_test(root):
    """Gives the test table of APTOS a diagnosis, as some copies have."""
    lines(
        "test.csv", lambda rows: [f"{row},{value}" for row, value in zip(rows, ("diagnosis", 4, 0, 2, 1), strict=True)]
    )(root)


def older_names(root):
    """Turns ChestX-ray14 into its older form: the older table, ages as 058Y, twelve folders of images."""
    rows = pd.read_csv(root / ENTRY, dtype=str)
    rows["Patient Age"] = [f"{int(age):03d}Y" for age in rows["Patient Age"]]
    rows.assign(**{"Unnamed: 11": ""}).to_csv(root / "Data_Entry_2017.csv", index=False)
    (root / ENTRY).unlink()
    for number, image in enumerate(sorted((root / "images").iterdir())):
        folder = root / f"images_{number % 12 + 1:03d}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        image.rename(folder / image.name)


def packed(file):
    """Leaves a file as it is downloaded, packed by gzip."""
    return several(
        lambda root: (root / f"{file}.gz").write_bytes(gzip.compress((root / file).read_bytes())), gone(file)
    )


def images_in_sibling(root):
    shutil.move(root / "images", root.parent / "ChestX-ray14" / "images_001" / "images")


def second_series(root):
    """Moves the first slice of the first study to a series of its own."""
    (root / "train/2.25.0.1.1/2.25.99").mkdir()
    renamed("train/2.25.0.1.1/2.25.0.1.2/2.25.0.1.3.1.dcm", "train/2.25.0.1.1/2.25.99/2.25.0.1.3.1.dcm")(root)
    cells("train.csv", 0, {"SeriesInstanceUID": "2.25.99"})(root)


def names_like_numbers(root):
    """Hexadecimal names may be digits alone, or look like 1e5."""
    renamed("train/2.25.0.1.1/2.25.0.1.2/2.25.0.1.3.1.dcm", "train/2.25.0.1.1/2.25.0.1.2/004512e07.dcm")(root)
    renamed("train/2.25.0.1.1/2.25.0.1.2", "train/2.25.0.1.1/000000000012")(root)
    renamed("train/2.25.0.1.1", "train/123456789012")(root)
    for name, other in (("2.25.0.1.1", "123456789012"), ("2.25.0.1.2", "000000000012"), ("2.25.0.1.3.1", "004512e07")):
        text("train.csv", f"{name},", f"{other},")(root)


RLE, MASKED_IMAGE = "train-rle.csv", "2.25.0.2.3"  # an image without a pneumothorax: its only row is -1
OTHER_ROWS = lines(RLE, lambda rows: [row for row in rows if not row.startswith(MASKED_IMAGE)])
SPLIT_HEADING = "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
QUOTED_HEADING = '"OriginalImage[Width,Height]","OriginalImagePixelSpacing[x,y]"'
QUOTED_VALUES = ',"64,64","0.139,0.139",'
ISIC_CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
FOUR_FINDINGS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
TRUTH, METADATA = "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv"
UNKNOWN_CLASS = lines(TRUTH, lambda rows: [rows[0] + ",UNK", *(row + ",0" for row in rows[1:])])


def siim_spelling(first, blank, mark, end):
    """Writes the table with or without header, a blank before run lengths, a byte-order mark, either line end."""

    def damage(root):
        _, *rows = (root / RLE).read_text().splitlines()
        written = [*([first] if first else []), *(row.replace(",", "," + blank) for row in rows)]
        (root / RLE).write_bytes(mark + "".join(row + end for row in written).encode())

    return damage


BOM = b"\xef\xbb\xbf"
# task, change, columns that may differ: else the index is that of the layout as it was
SPELLINGS = [
    ("DXC14", older_names, ["image", "age"]),
    ("DXC5", several(*(text(name, "CheXpert-v1.0-small/", "CheXpert-v1.0/") for name in ("train.csv", "valid.csv"))), []),
    ("TXC", lambda root: (root / "CXR_png/._CHNCXR_0001_1.png").write_bytes(b"resource fork"), []),
    ("TXC", several(lambda root: (root / "CXR_png/more").mkdir(),
                    renamed("CXR_png/CHNCXR_0001_1.png", "CXR_png/more/CHNCXR_0001_1.png")), ["image"]),
    ("VFS", renamed("test", "testing"), ["image", "mask", "mask_observer2", "field_of_view"]),
    *(("PXS", siim_spelling(*spelling), []) for spelling in (
        (None, "", b"", "\n"), (None, " ", BOM, "\r\n"), ("ImageId,EncodedPixels", "", BOM, "\n"),
        ("ImageId, EncodedPixels", " ", b"", "\r\n"), ("ImageId,EncodedPixels", " ", BOM, "\r\n"), (None, "", BOM, "\n"))),
    *(("NIHCXR4", text(name, SPLIT_HEADING, QUOTED_HEADING), []) for name in (VALIDATION, TEST)),
    ("NIHCXR4", several(text(TEST, SPLIT_HEADING, QUOTED_HEADING), text(TEST, ",64,64,0.139,0.139,", QUOTED_VALUES)), []),
    ("NIHCXR4", several(text(TEST, "YES", "Yes"), text(TEST, "NO,", "no,"),
                        lines(TEST, lambda rows: ["\ufeff" + rows[0], *rows[1:]])), []),
    ("NIHCXR4", several(list_again(VALIDATION, 2), list_again(VALIDATION, 5)), []),
    ("NIHCXR4", images_in_sibling, ["image"]),
    ("Derm27-ISIC", UNKNOWN_CLASS, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "differing"), SPELLINGS)
def test_spellings_of_one_layout_are_read_alike(tasks, phantoms, damaged, tmp_path, name, change, differing):
    change(damaged(name))

    before, after = read_index(tasks[name], phantoms), read_index(tasks[name], tmp_path / "data")

    pd.testing.assert_frame_equal(before.table.drop(columns=differing), after.table.drop(columns=differing))
    assert all((after.root / image).is_file() for image in after.table["image"])
    for column in differing:
        assert not before.table[column].equals(after.table[column])


PNEUMONIA = "train/PNEUMONIA"
READING, LXS_READING = "ClinicalReadings/CHNCXR_0001_1.txt", "ClinicalReadings/MCUCXR_0001_1.txt"
KERMANY_PATIENTS = {
    "person9001_bacteria_1": "person9001", "person9001_virus_2": "person9001", "BACTERIA-9002-0001": "BACTERIA-9002",
    "BACTERIA-9002-0002": "BACTERIA-9002", "person447_virus_921_1": "person447", "person447_virus_920": "person447",
}  # fmt: skip
# task, change, an example, what its row says
ROWS = [
    ("DXC14", several(), "00000001_000.png", {"age": "63", "image": "images/00000001_000.png"}),
    ("DXC14", older_names, "00000001_000.png", {"age": "063", "image": "images_001/images/00000001_000.png"}),
    *(("TXC", content(READING, reading.encode()), "CHNCXR_0001_1", {"sex": sex, "age": age}) for reading, sex, age in (
        ("male 45yrs\nsecondary PTB in the right upper field", "M", "45"), ("Female, 30 Yrs\n", "F", "30"),
        ("female  7 months", "F", ""), ("normal", "", ""), ("", "", ""))),
    ("TXC", gone(READING), "CHNCXR_0001_1", {"sex": "", "age": ""}),
    *(("LXS", content(LXS_READING, reading), "MCUCXR_0001_1", {"sex": sex, "age": age}) for reading, sex, age in (
        (b"Patient's Sex: F\nPatient's Age: 027Y\nnormal\n", "F", "27"),
        (b"Patient's Sex:M\r\nPatient's Age:4Y\r\nimproved", "M", "4"), (b"normal", "", ""))),
    ("PXS", several(OTHER_ROWS, *(last_line(RLE, f"{MASKED_IMAGE},{runs}") for runs in ("1 2", "9 3", "-1"))),
     MASKED_IMAGE, {"mask": "rle:1 2|9 3"}),
    ("DXC5", cells("train.csv", 0, {"Edema": "", "Fracture": "-1.0", "Pneumonia": "1", "Consolidation": "0.0"}),
     "train/patient00001/study1/view1_frontal", {"Edema": 0, "Fracture": -1, "Pneumonia": 1, "Consolidation": 0}),
    *(("PneumoniaCXR", copies(PNEUMONIA, f"{stem}.jpeg"), f"train/{stem}", {"patient": f"train/{patient}"})
      for stem, patient in KERMANY_PATIENTS.items()),
    ("PneumoniaCXR", copies("test/PNEUMONIA", "person9001_virus_6.jpeg"), "test/person9001_virus_6",
     {"patient": "test/person9001"}),  # numbers of the test folder are other patients
    ("PneumoniaCXR", copies("test/NORMAL", "holiday.jpeg"), "test/holiday", {"patient": "test/holiday.jpeg"}),
    ("ECC", second_series, "2.25.0.1.3.1", {"image": "train/2.25.0.1.1/2.25.99/2.25.0.1.3.1.dcm"}),
    ("ECC", second_series, "2.25.0.1.3.2", {"image": "train/2.25.0.1.1/2.25.0.1.2/2.25.0.1.3.2.dcm"}),
    ("ECC", names_like_numbers, "004512e07", {"image": "train/123456789012/000000000012/004512e07.dcm"}),
    ("Derm27-ISIC", cells(METADATA, 0, {"lesion_id": ""}), "image-00001",
     {"case": "image-00001", "patient": "image-00001"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "example", "facts"), ROWS)
def test_a_row_says_what_its_files_say(tasks, damaged, tmp_path, name, change, example, facts):
    change(damaged(name))

    row = read_index(tasks[name], tmp_path / "data").table.set_index("id").loc[example]

    assert facts == {column: row[column] for column in facts}


UNPREDICTED = "are missing: that test is not predicted"
SEVERAL = tuple(
    f"{name}: 1 of {num} images have several findings and are left out" for name, num in ((VALIDATION, 37), (TEST, 13))
)
UNNAMED = ("test/NORMAL/IM-0115-0001 (1).jpeg", "test/NORMAL/holiday.jpeg")
# task, change, all notes
NOTES = [
    ("TXC", several(), ()),
    ("TXC", gone("PHANTOM.json"), ("40 of the published 662 images are here",)),
    ("PXS", OTHER_ROWS, (f"1 images have no row in {RLE} and are left out",)),
    ("APTOS", gone("test.csv", "test_images"), ()),
    ("APTOS", gone("test_images"), (f"4 of 4 images of test.csv {UNPREDICTED}",)),
    ("APTOS", first_images_gone("test_images", "*.png", 1), (f"1 of 4 images of test.csv {UNPREDICTED}",)),
    ("APTOS", gone("test.csv"), ("test_images holds 4 images but test.csv is missing: they are not predicted",)),
    ("PatchCam", gone("test"), ()),
    ("PatchCam", first_images_gone("test", "*.tif", 9), ()),
    ("PatchCam-H5", gone(f"{H5}valid_meta.csv"),
     (f"without {H5}valid_meta.csv nobody knows a patch's slide: each counts as a patient of its own",)),
    ("PneumoniaCXR", copies(PNEUMONIA, "person447_virus_921_1.jpeg"), ()),
    ("PneumoniaCXR", copies("test/NORMAL", "holiday.jpeg", "IM-0115-0001 (1).jpeg"),
     (f"2 images without a patient in the name ({', '.join(UNNAMED)}): each counts as its own",)),
    ("NIHCXR4", several(), SEVERAL),
    ("NIHCXR4", several(list_again(VALIDATION, 2), list_again(VALIDATION, 5)),
     (f"{VALIDATION}: 2 rows repeat an image and are left out", *SEVERAL)),
    ("NIHCXR4", gone("PHANTOM.json"),
     (f"{VALIDATION} has 37 images where 2,414 were published", SEVERAL[0],
      f"{TEST} has 13 images where 1,962 were published", SEVERAL[1])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "notes"), NOTES)
def test_what_is_left_out_or_unknown_is_noted(tasks, damaged, tmp_path, name, change, notes):
    change(damaged(name))

    index = read_index(tasks[name], tmp_path / "data")

    assert index.notes == notes
    assert index.unlabelled is None
    if name == "PatchCam-H5":
        assert (index.table["patient"] == index.table["id"]).all()


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
    ("DXC14", cells(ENTRY, 9, {"Finding Labels": "Efusion|Mass"}),
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
    *(("APTOS", cells("train.csv", 3, {"diagnosis": value}),
       f"{{root}}/train.csv: row 5: found the diagnosis {value!r}: wanted 0 to 4") for value in ("5", "-1", "2.0", "", "Mild")),
    *(("APTOS", text("train.csv", column, "other"), f"{{root}}/train.csv: no column {column}; found ")
      for column in ("id_code", "diagnosis")),
    ("APTOS", cut("train.csv", -3), "{root}/train.csv: row 41: found the diagnosis ''"),
    *(("DXC5", cells("train.csv", 1, {column: value}), f"{{root}}/train.csv: row 3: found {said}") for column, value, said in (
        ("Edema", "2", "'2' as Edema: wanted 1, 0, -1 or blank"), ("Edema", "yes", "'yes' as Edema: wanted 1, 0, -1 or blank"),
        ("Path", "view1.jpg", "the path 'view1.jpg': wanted one like CheXpert-v1.0-small/train/patient00001/"))),
    ("DXC5", text("valid.csv", "Pleural Other", "Other"), "{root}/valid.csv: no column Pleural Other"),
    ("DXC5", first_images_gone("train", "*.jpg", 3), "3 of 48 images are missing"),
    *(("NIHCXR4", cells(TEST, 2, {"Airspace opacity": value}),
       f"{{root}}/{TEST}: row 4: found {value!r} as Airspace opacity: wanted YES or NO") for value in ("HEDGE", "1", "")),
    *(("NIHCXR4", text(VALIDATION, column, "other"), f"{{root}}/{VALIDATION}: no column {column}; found ")
      for column in ("Image Index", "Patient ID", "Nodule or mass")),
    ("NIHCXR4", text(VALIDATION, ",Follow-up #", ""), f"{{root}}/{VALIDATION}: row 2 has 16 values under 15 headings"),
    ("NIHCXR4", first_images_gone("images", "*.png", 3), "3 of 48 images are missing under {root}"),
    ("NIHCXR4", gone("images"), "NIHCXR4: no images*/ folder in {root} and none in {root}/../ChestX-ray14: "),
    ("NIHCXR4", gone(TEST), "test_labels.csv is missing: it comes with the adjudicated labels"),
    ("NIHCXR4", cut(TEST, -30), f"{{root}}/{TEST}: row "),
    *(("PatchCam", cells("train_labels.csv", 3, {"label": value}),
       f"{{root}}/train_labels.csv: row 5: found the label {value!r}: wanted 0 or 1") for value in ("2", "", "tumour")),
    ("PatchCam", first_images_gone("train", "*.tif", 2), "2 of 40 images are missing"),
    ("PatchCam", content("train_labels.csv", b"name,label\na,1\n"),
     "{root}/train_labels.csv: no column id; found name, label"),
    ("PatchCam-H5", cut(f"{H5}test_y.h5", 700), f"{{root}}/{H5}test_y.h5: unreadable HDF5 ("),
    ("PatchCam-H5", list_again(f"{H5}test_meta.csv", -1), f"{{root}}/{H5}test_meta.csv: 9 rows for 8 labels"),
    ("PatchCam-H5", text(f"{H5}test_meta.csv", "wsi", "slide"), f"{{root}}/{H5}test_meta.csv: no column wsi; found"),
    ("PatchCam-H5", cells(f"{H5}test_meta.csv", 0, {"wsi": ""}), f"{{root}}/{H5}test_meta.csv: row 2: found no wsi"),
    ("PatchCam-H5", text(f"{H5}test_meta.csv", "phantom_test_001", "phantom_train_001"),
     "1 patient in more than one split (phantom_train_001)"),
    *(("ECC", cells("train.csv", 3, {column: value}), f"{{root}}/train.csv: row 5: found {said}") for column, value, said in (
        (PE, "2", f"'2' as {PE}: wanted 0 or 1"), (PE, "", f"'' as {PE}: wanted 0 or 1"),
        (PE, "0.0", f"'0.0' as {PE}: wanted 0 or 1"), ("StudyInstanceUID", "", "no StudyInstanceUID"),
        ("SOPInstanceUID", "", "no SOPInstanceUID"))),
    *(("ECC", text("train.csv", column, "other"), f"{{root}}/train.csv: no column {column}; found")
      for column in ("StudyInstanceUID", "SOPInstanceUID", PE)),
    ("ECC", first_images_gone("train", "*.dcm", 5), "5 of 80 images are missing under {root} (train/"),
    ("ECC", list_again("train.csv", 4), "1 image listed twice"),
    ("ECC", gone("train.csv"), "{root}/train.csv is missing"),
    ("DXC14", cells(ENTRY, 47, {"Patient ID": "1"}), "1 patient in more than one split (1)"),
    *(("PXS", cut(FIRST_DICOM, size), f"{{root}}/{FIRST_DICOM}: not a DICOM file ({size} bytes): copy it again from its source")
      for size in (0, 60, 141, 152)),
    ("APTOS", several(labeled_test, cells("test.csv", 1, {"diagnosis": "9"})),
     "{root}/test.csv: row 3: found the diagnosis '9': wanted 0 to 4"),
    *(("APTOS", several(labeled_test, first_images_gone(f"{split}_images", "*.png", 2)),
       said.format(root="{root}", num=num, split=split))
      for split, num in (("train", 40), ("test", 4)) for said in (
        "2 of {num} images are missing under {root}/{split}_images", "unpack the competition's {split}_images folder again")),
    *(("PatchCam-H5", packed(f"{H5}valid_{kind}.h5"), said) for kind in "xy"
      for said in (f"{{root}}/{H5}valid_{kind}.h5 is missing", f"gunzip {H5}valid_{kind}.h5.gz")),
    ("PatchCam-H5", dataset(f"{H5}train_y.h5", "y", lambda labels: np.r_[labels[:3], labels[:1] + 2, labels[4:]]),
     f'{{root}}/{H5}train_y.h5: row 3 of "y": found the label 2: wanted 0 or 1'),
    ("PatchCam-H5", dataset(f"{H5}train_y.h5", "y", lambda labels: np.repeat(labels, 2, axis=1)),
     f'{{root}}/{H5}train_y.h5: dataset "y" is 24 x 2 x 1 x 1: wanted one label a patch'),
    ("PatchCam-H5", lambda root: write_dataset(root / f"{H5}test_y.h5", "x", np.zeros((8, 1, 1, 1), np.uint8)),
     f'{{root}}/{H5}test_y.h5: no dataset "y"; found x'),
    ("Derm27", cut("metadata.csv", -30), "{root}/metadata.csv: row 61 has"),
    ("Derm27-ISIC", several(UNKNOWN_CLASS, cells(TRUTH, 2, dict.fromkeys(ISIC_CLASSES, "0"))),
     "GroundTruth.csv: row 4: no class is 1: wanted one of the classes to be"),
    ("ECC", gone("train/2.25.0.1.1"), "of 80 images are missing"),
    ("NIHCXR4", several(list_again(VALIDATION, 1), cells(VALIDATION, 37, {"Fracture": "YES"})),
     f"{{root}}/{VALIDATION}: row 39: 00000001_000.png is listed twice, with other findings"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGE)
def test_damage_is_answered_with_one_line_that_names_it(damaged, refused, name, damage, said):
    root = damaged(name)
    damage(root)

    assert said.format(root=root) in refused(name)


def test_an_image_that_lies_in_two_folders_is_refused(damaged, refused):
    root = damaged("DXC14")
    (root / "images_001").mkdir()
    shutil.copy(root / "images/00000001_000.png", root / "images_001")

    message = refused("DXC14")

    assert {"images/00000001_000.png", "images_001/00000001_000.png"} <= {*message.replace(",", " ").split()}
    assert "remove one of the two copies" in message


# task, tables, column of ids: the labels of the index are those of the tables
LABEL_TABLES = [
    ("PatchCam", ["train_labels.csv"], "id", {"tumour": "label"}),
    ("ECC", ["train.csv"], "SOPInstanceUID", {PE: PE}),
    ("Derm27-ISIC", [TRUTH], "image", {name: name for name in ISIC_CLASSES}),
    ("NIHCXR4", [VALIDATION, TEST], "Image Index", {name: name for name in FOUR_FINDINGS}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "files", "key", "columns"), LABEL_TABLES)
def test_labels_are_the_tables(tasks, phantoms, name, files, key, columns):
    index = read_index(tasks[name], phantoms)
    tables = pd.concat(pd.read_csv(index.root / file) for file in files).set_index(key)
    written = tables[list(columns.values())].replace({"YES": 1, "NO": 0})

    assert (index.table[list(columns)].to_numpy() == written.loc[index.table["id"]].to_numpy()).all()


def test_aptos_diagnoses_are_classes_and_a_labeled_test_is_the_test(tasks, phantoms, damaged, tmp_path):
    plain = read_index(tasks["APTOS"], phantoms)
    labeled_test(damaged("APTOS"))
    index = read_index(tasks["APTOS"], tmp_path / "data")
    grades = pd.concat(pd.read_csv(index.root / file) for file in ("train.csv", "test.csv")).set_index("id_code")[
        "diagnosis"
    ]

    assert (index.table[list(index.labels)].to_numpy().argmax(1) == grades.loc[index.table["id"]]).all()
    assert index.unlabelled is None
    assert index.table["part"].value_counts().to_dict() == {"train": 40, "test": 4}
    assert (index.table["image"].str.partition("_")[0] == index.table["part"]).all()
    listed = pd.read_csv(plain.root / "test.csv")["id_code"]
    assert plain.unlabelled["id"].tolist() == listed.tolist()
    assert plain.unlabelled["image"].tolist() == [f"test_images/{name}.png" for name in listed]
    assert not set(listed) & set(plain.table["id"])


def test_patchcams_own_test_is_kept_apart_without_labels(tasks, phantoms):
    index = read_index(tasks["PatchCam"], phantoms)
    files = sorted((index.root / "test").glob("*.tif"))

    assert index.unlabelled["id"].tolist() == [file.stem for file in files]
    assert index.unlabelled["image"].tolist() == [f"test/{file.name}" for file in files]
    assert index.table["image"].str.startswith("train/").all()


@pytest.mark.parametrize(
    ("reader", "score", "written"),
    [
        (aptos, [[0.1, 0.2, 0.3, 0.3, 0.1], [0, 0, 0.1, 0.2, 0.7]], "id_code,diagnosis\nc0ffee,2\n0a0a0a,4\n"),
        (patchcam, [[0.25], [0.75]], "id,label\nc0ffee,0.25\n0a0a0a,0.75\n"),
    ],
)
def test_a_submission_is_the_competitions_table_in_the_order_of_the_predictions(reader, score, written):
    score = np.array(score)
    predicted = Predictions(
        kind="classification",
        ids=np.array(["c0ffee", "0a0a0a"]),
        groups={},
        columns=tuple(map(str, range(score.shape[1]))),
        truth=np.full(score.shape, np.nan),
        score=score,
    )

    assert reader.submission(predicted).to_csv(index=False) == written


def test_a_long_table_of_findings_is_counted_right(tasks, tmp_path):
    """Row i has finding k where i is a multiple of k + 2, so each count is a division."""
    num, labels = 20_000, tasks["DXC14"].labels
    kinds = [[label for k, label in enumerate(labels) if i % (k + 2) == 0] for i in range(num)]
    written = pd.Series(["|".join(kind) or "No Finding" for kind in kinds])

    findings = chestxray14._findings(written, labels, tmp_path / "Data_Entry_2017.csv")

    assert {label: -(-num // (k + 2)) for k, label in enumerate(labels)} == findings.sum().to_dict()


def test_chestxray14_phantoms_keep_their_official_test_split(tasks, phantoms):
    index = read_index(tasks["DXC14"], phantoms)

    splits = assign_splits(index, tasks["DXC14"].split)

    assert set((index.root / "test_list.txt").read_text().split()) == set(index.table["id"][splits == "test"])


def test_chexperts_radiologists_table_is_the_test_and_its_training_table_alone_has_no_splits(
    tasks, phantoms, damaged, tmp_path
):
    (damaged("CheXpert5") / "valid.csv").unlink()
    both, alone = read_index(tasks["DXC5"], phantoms).table, read_index(tasks["CheXpert5"], tmp_path / "data").table
    folders = both["id"].str.partition("/")[0]

    assert (folders.map({"train": "train", "valid": "test"}) == both["part"]).all()
    assert (both.loc[both["part"] == "test", list(tasks["DXC5"].labels)] >= 0).all(axis=None)
    assert set(alone["part"]) == {""}
    wanted = both[both["part"] == "train"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.drop(columns="part"), wanted[alone.columns.drop("part")])


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("CheXpert5", {"layout": {"tables": ["test.csv"]}},
         "CheXpert5: layout: tables.0: Input should be 'train.csv' or 'valid.csv', found 'test.csv'"),
        ("CheXpert5", {"layout": {"table": ["train.csv"]}}, "CheXpert5: layout: unknown key 'table': did you mean tables?"),
        ("CheXpert5", {"layout": {"tables": []}}, "CheXpert5: layout: tables: "),
        ("NIHCXR4", {"labels": ("Fracture", "Edema", "Other")},
         "NIHCXR4: no class Edema here: wanted Fracture, Pneumothorax"),
    ],
)  # fmt: skip
def test_a_sheet_that_does_not_fit_its_layout_is_refused(tasks, phantoms, task, changes, message):
    with pytest.raises(BenchmarkError) as raised:
        read_index(tasks[task].model_copy(update=changes), phantoms)

    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_printed_sizes_of_the_re_split_leave_167429_of_chexperts_training_table(tasks):
    """Azizi 2021, supplement A.2: 67,429, 22,240 and 33,745 images; the table has 223,414."""
    task = tasks["CheXpert5"]
    rest = task.counts["images"] - task.split.test - task.split.validation

    assert (task.split.test, task.split.validation, rest) == (33_745, 22_240, 167_429)
    assert task.subset_size("printed") == 67_429 == rest - 100_000
    assert task.complete_recipe().max_epochs == round(30_000 * 256 / rest)
    assert tasks["DXC5"].labels == FINDINGS
    assert set(task.labels) <= set(FINDINGS)


@pytest.mark.parametrize("name", ["Derm27", "Derm27-ISIC"])
def test_skin_recipes_are_azizis_as_far_as_a_recipe_says_them(tasks, name):
    """Section 4.3: SGD, batches of 256, 448 pixels; a learning rate of the seven from 10^-3.5 to 10^-0.5."""
    recipe = tasks[name].complete_recipe()

    assert (recipe.optimizer, recipe.batch_size, recipe.image_size, recipe.loss) == ("sgd", 256, 448, "ce")
    assert np.isclose(np.log10(recipe.learning_rate), np.linspace(-3.5, -0.5, 7)).any()
    assert tasks[name].case == "case"


def test_nihs_validation_table_trains_and_images_of_several_findings_are_left_out(tasks, phantoms):
    index = read_index(tasks["NIHCXR4"], phantoms)
    splits = index.table.set_index("id")["part"]

    for name, expected in ((VALIDATION, "train"), (TEST, "test")):
        written = pd.read_csv(index.root / name)["Image Index"]
        assert {expected} == set(splits.loc[written[written.isin(splits.index)]])
    assert len(list((index.root / "images").iterdir())) == len(index.table) + 2


def test_nihs_images_are_looked_for_in_chestxray14_where_there_are_none_here(tasks, damaged, tmp_path):
    images_in_sibling(damaged("NIHCXR4"))

    table = read_index(tasks["NIHCXR4"], tmp_path / "data").table

    assert table["image"].tolist() == [f"../ChestX-ray14/images_001/images/{name}" for name in table["id"]]


def test_montgomery_lungs_are_both_masks_together(tasks, phantoms):
    index = read_index(tasks["LXS"], phantoms)
    named = index.table["mask"][0]

    left, right = (read_mask(one, index.root, (64, 64)) for one in named.split("|"))

    assert left.any()
    assert right.any()
    assert not (left & right).any()
    assert (read_mask(named, index.root, (64, 64)) == (left | right)).all()


def test_drive_has_a_second_observer_in_the_test_split_only(tasks, phantoms):
    table = read_index(tasks["VFS"], phantoms).table

    assert (table["part"] == "test").tolist() == (table["mask_observer2"] != "").tolist()
    assert (table["field_of_view"] != "").all()


def test_chase_patients_are_the_children(tasks, phantoms):
    table = read_index(tasks["VFS-CHASE"], phantoms).table

    assert table["patient"].tolist()[:4] == ["01", "01", "02", "02"]
    assert table["eye"].tolist()[:4] == ["L", "R", "L", "R"]


def test_kermanys_sixteen_join_the_training_split_where_they_are(tasks, phantoms, damaged, tmp_path):
    index = read_index(tasks["PneumoniaCXR"], phantoms)
    set_aside = index.table["id"].str.startswith("val/")
    gone("val")(damaged("PneumoniaCXR"))

    without = read_index(tasks["PneumoniaCXR"], tmp_path / "data").table

    assert set_aside.any()
    assert set(index.table.loc[set_aside, "part"]) == {"train"}
    assert len(without) == len(index.table) - set_aside.sum()


def test_each_hdf5_row_is_the_patch_the_label_and_the_slide_of_its_number(tasks, phantoms):
    index = read_index(tasks["PatchCam-H5"], phantoms)
    table, root = index.table, index.root

    assert table["part"].value_counts().to_dict() == {"train": 24, "validation": 8, "test": 8}
    assert (assign_splits(index, tasks["PatchCam-H5"].split) == table["part"]).all()
    for file_split, split in (("train", "train"), ("valid", "validation"), ("test", "test")):
        rows = table[table["part"] == split]
        assert rows["patient"].tolist() == pd.read_csv(root / f"{H5}{file_split}_meta.csv")["wsi"].tolist()
        with h5py.File(root / f"{H5}{file_split}_x.h5") as x, h5py.File(root / f"{H5}{file_split}_y.h5") as y:
            assert len(rows) == len(x["x"]) == len(y["y"])
            for row in rows.itertuples():
                number = int(row.id.removeprefix(f"{file_split}-"))
                assert row.image == f"{H5}{file_split}_x.h5#{number}"
                assert row.tumour == y["y"][number, 0, 0, 0]
                assert read_image(root / row.image)[0].tolist() == x["x"][number].tolist()


def test_the_digest_of_hdf5_patches_is_of_the_sampled_rows_not_of_their_file(tasks, damaged, tmp_path):
    """Of 40 rows eight are sampled: the first in the order of ids is, the second is not; compression changes no pixel."""
    root, digests = damaged("PatchCam-H5"), []

    def darker(row):
        return lambda images: np.concatenate([images[:row], images[row : row + 1] // 2, images[row + 1 :]])

    for change in (
        several(),
        dataset(f"{H5}test_x.h5", "x", darker(1)),
        lambda root: [compress(path) for path in root.glob("*_x.h5")],
        dataset(f"{H5}test_x.h5", "x", darker(0)),
    ):
        change(root)
        digests.append(read_index(tasks["PatchCam-H5"], tmp_path / "data").digest)

    assert digests[0] == digests[1] == digests[2] != digests[3]


def compress(path):
    with h5py.File(path) as file:
        images = file["x"][()]
    path.unlink()
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=images, compression="gzip")


def test_files_of_other_lengths_are_met_when_the_image_is_opened(tasks, damaged, tmp_path):
    root = damaged("PatchCam-H5")
    dataset(f"{H5}train_x.h5", "x", lambda images: images[:20])(root)
    images = read_index(tasks["PatchCam-H5"], tmp_path / "data").table.set_index("id")["image"]

    with pytest.raises(BenchmarkError, match=rf"{H5}train_x.h5: no row 23: it holds 20 images"):
        read_image(root / images["train-000023"])


def test_run_lengths_that_leave_their_image_name_them_when_it_is_opened(tasks, damaged, tmp_path):
    root = damaged("PXS")
    several(OTHER_ROWS, last_line(RLE, f"{MASKED_IMAGE},1 5000"))(root)
    index = read_index(tasks["PXS"], tmp_path / "data")
    row = index.table.set_index("id").loc[MASKED_IMAGE]

    with pytest.raises(BenchmarkError, match="end at pixel 5,001 of an image of 64 x 64"):
        read_mask(row["mask"], root, read_image(root / row["image"])[0].shape[:2])


def test_each_ct_row_is_the_slice_that_the_table_names_through_three_windows(tasks, phantoms):
    task = tasks["ECC"]
    index = read_index(task, phantoms)

    for row in index.table.iloc[::17].itertuples():
        inside = pydicom.dcmread(index.root / row.image)
        assert (inside.StudyInstanceUID, inside.SeriesInstanceUID) == (row.study, row.series)
        assert inside.SOPInstanceUID == row.id
    assert (index.table["patient"] == index.table["study"]).all()
    splits = assign_splits(index, task.split)
    assert splits.groupby(index.table["study"].to_numpy()).nunique().eq(1).all()
    pixels, phantom = read_image(index.root / index.table["image"][0], task.windows)
    assert (pixels.shape, phantom) == ((64, 64, 3), True)
    # air is dark in all; the lung is not black under its own window alone
    assert pixels[0, 0].max() < 80
    assert pixels[..., 0].astype(int).sum() != pixels[..., 2].astype(int).sum()


def test_a_case_is_a_lesion_of_one_patient_and_one_class(tasks, phantoms):
    index, isic = read_index(tasks["Derm27"], phantoms), read_index(tasks["Derm27-ISIC"], phantoms)
    by_case = index.table.groupby("case")
    numbers = pd.read_csv(index.root / "metadata.csv", dtype=str)
    about = pd.read_csv(isic.root / METADATA, dtype=str).set_index("image")

    assert by_case["patient"].nunique().max() == 1
    assert by_case[list(index.labels)].nunique().to_numpy().max() == 1
    assert numbers.groupby("lesion_id")["patient_id"].nunique().max() > 1  # counted anew for each patient, as theirs
    assert index.table.groupby("patient")["case"].nunique().max() == 2
    assert isic.table["age"].tolist() == about.loc[isic.table["id"], "age_approx"].tolist()
    assert (isic.table["patient"] == isic.table["case"]).all()


@pytest.mark.real
def test_real_copies_have_the_counts_of_their_tables(tasks, real_data):
    """PAD-UFES-20's lesion ids are repeated between patients: 579 of them are 609 lesions. APTOS: a copy of 516."""
    if not all((real_data / name).is_dir() for name in ("PAD-UFES-20", "APTOS2019")):
        pytest.skip("no PAD-UFES-20 or APTOS2019 among the real images")
    lesions, eyes = read_index(tasks["Derm27"], real_data), read_index(tasks["APTOS"], real_data)
    table = lesions.table
    diagnoses = {"BCC": 194, "NEV": 182, "SEK": 131, "ACK": 114, "MEL": 43, "SCC": 22}
    splits = assign_splits(lesions, tasks["Derm27"].split)

    assert (len(table), table["patient"].nunique(), table["case"].nunique()) == (686, 537, 609)
    assert table[list(lesions.labels)].sum().to_dict() == diagnoses
    assert table["skin_type"].value_counts().to_dict() == {
        "": 254, "2": 235, "3": 122, "1": 44, "4": 27, "5": 3, "6": 1,
    }  # fmt: skip
    assert lesions.notes == ("686 of the published 2,298 images are here",)
    assert splits.groupby(table["patient"].to_numpy()).nunique().eq(1).all()
    if set(eyes.table["part"]) == {""}:
        pytest.skip("the competition's own copy of APTOS")
    grades = eyes.table.groupby("part")[list(eyes.labels)].sum()
    assert grades.loc["train"].tolist() == [134, 20, 136, 74, 49]
    assert eyes.table["part"].value_counts().to_dict() == {"train": 413, "test": 103}
    assert eyes.notes == ("516 of the published 3,662 images are here",)
    assert eyes.unlabelled is None
    assert not eyes.phantom
    assert not lesions.phantom
