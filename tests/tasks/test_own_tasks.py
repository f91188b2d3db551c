"""A user's own data by a sheet alone: a table, folders of classes, images with masks. Readers open no image: most files
here are empty.
"""

from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark.data.image_files import files_of, read_image, read_mask
from benchmark.data.index import MASKS
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers import folders, pairs
from benchmark.data.readers import table as table_reader
from benchmark.data.registry import read_index, write_phantom
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.tasks.registry import read_task

SHEET = """
name: Mine
root: mine
split: {method: random, test: 0.25, validation: 0.25}
"""
TABLE = """
reader: table
kind: multiclass
layout:
  csv: list.csv
  images: photographs
  columns: {image: file, label: finding, patient: who}
"""
FOLDERS = """
reader: folders
kind: multiclass
"""
PAIRS = """
reader: pairs
kind: segmentation
labels: [vessel]
"""
LISTS = TABLE.replace("multiclass", "multilabel") + "  separator: '|'\nlabels: [Mass, Edema]\n"
COLUMNS = TABLE.replace(", label: finding", "").replace("multiclass", "multilabel") + "labels: [Mass, Edema]\n"
BINARY = TABLE.replace("multiclass", "binary") + "  positive: [malignant]\nlabels: [cancer]\n"
ORDINAL = TABLE.replace("multiclass", "ordinal") + "labels: ['0', '1', '2']\n"
ROWS = "file,finding,who\na.png,naevus,P1\nb.png,melanoma,P1\nc.png,naevus,P2\nd.png,melanoma,P3\n"


@pytest.fixture
def mine(tmp_path):
    """Write a sheet and files (text for tables, nothing for images); the task's index."""

    def index(sheet, files=(), tables=None):
        for name in files:
            (tmp_path / "data/mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data/mine" / name).touch()
        for name, text in (tables or {}).items():
            (tmp_path / "data/mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data/mine" / name).write_bytes(text.encode() if isinstance(text, str) else text)
        (tmp_path / "Mine.yaml").write_text(SHEET + dedent(sheet))
        return read_index(read_task(tmp_path / "Mine.yaml"), tmp_path / "data")

    return index


@pytest.fixture
def table(mine):
    """The index of a table's text; its photographs a to d lie in photographs/, in two folders."""

    def index(rows=ROWS, sheet=TABLE, **tables):
        files = ["photographs/one/a.png", "photographs/one/b.png", "photographs/two/c.png", "photographs/two/d.png"]
        return mine(sheet, files, {"list.csv": rows, **{f"{name}.csv": text for name, text in tables.items()}})

    return index


@pytest.fixture
def told(table):
    """The one line that a sheet and its files are refused with."""

    def line(*arguments, reader=None, **more):
        with pytest.raises(BenchmarkError) as raised:
            (reader or table)(*arguments, **more)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    return line


@pytest.mark.parametrize("reader", [table_reader, folders, pairs])
def test_the_layout_in_a_readers_docstring_is_one(reader):
    example = "layout:" + reader.__doc__.partition("\nlayout:")[2].partition("\n\n")[0]
    layout = reader.Layout.model_validate(yaml.safe_load(example)["layout"])

    assert layout.model_fields_set == set(reader.Layout.model_fields)


def test_a_table_names_classes_patients_and_where_images_lie(table):
    index = table()

    assert index.labels == ("melanoma", "naevus")
    assert list(index.table.columns) == ["id", "image", "patient", "part", "melanoma", "naevus"]
    assert list(index.table["image"]) == [f"photographs/{p}.png" for p in ("one/a", "one/b", "two/c", "two/d")]
    assert list(index.table["patient"]) == ["P1", "P1", "P2", "P3"]
    assert list(index.table["naevus"]) == [1, 0, 1, 0]
    assert (index.notes, index.phantom) == ((), False)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + ROWS,
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("file,", " file ,").replace("naevus", " naevus "),
        "\n".join(ROWS.splitlines()) + "\n\n",
        ROWS.replace("c.png", "two/c.png").replace("a.png", ".\\one\\a.png"),
    ],
    ids=["BOM", "semicolons", "tabs", "Windows lines", "blanks", "blank lines", "paths"],
)
def test_a_table_as_other_programs_write_it_is_the_same(table, text):
    expected, found = (index.table.set_index("image").drop(columns="id") for index in (table(), table(text)))

    pd.testing.assert_frame_equal(expected, found.sort_index())


def test_rows_without_a_label_and_images_without_a_row_are_counted(table):
    index = table(ROWS.replace("a.png,naevus", "a.png,").replace("d.png,melanoma,P3\n", ""))

    assert list(index.table["id"]) == ["b", "c"]
    assert index.notes == ("1 row of list.csv without a label left out", "1 image without a row in list.csv left out")


def test_names_without_a_suffix_are_given_the_sheets(table, told):
    bare = ROWS.replace(".png", "")

    assert list(table(bare, TABLE + "  suffix: .png\n").table["id"]) == ["a", "b", "c", "d"]
    assert "4 of 4 images are missing" in (line := told(bare))
    assert "layout.suffix adds it" in line


def test_files_of_one_name_are_told_apart_by_their_paths(mine, told):
    files = ["photographs/one/a.png", "photographs/two/a.png"]
    rows = "file,finding,who\none/a.png,naevus,1\ntwo/a.png,melanoma,2\n"

    assert mine(TABLE, files, {"list.csv": rows}).table["id"].tolist() == ["one/a", "two/a"]
    line = told(TABLE, files, {"list.csv": rows.replace("one/", "")}, reader=mine)
    assert "one/a.png and two/a.png have one name" in line or "two/a.png and one/a.png have one name" in line


def test_a_label_column_of_lists_is_parted_and_nothing_found_is_no_label(table):
    rows = "file,finding,who\na.png,Mass|Edema,1\nb.png,Edema,1\nc.png,No Finding,2\nd.png,,3\n"
    index = table(rows, LISTS.replace("labels:", "  negative: [No Finding]\nlabels:"))

    assert index.table[["Mass", "Edema"]].to_numpy().tolist() == [[1, 1], [0, 1], [0, 0]]
    assert index.notes[0] == "1 row of list.csv without a label left out"


def test_columns_of_labels_say_yes_no_or_nothing(table):
    index = table("file,Mass,Edema,who\na.png,1.0,no,1\nb.png,TRUE,0,1\nc.png,,Yes,2\nd.png,,,3\n", COLUMNS)

    np.testing.assert_array_equal(index.table[["Mass", "Edema"]], [[1, 0], [1, 0], [np.nan, 1]])


def test_uncertain_labels_are_read_where_the_recipe_says_what_they_train_as(table, told):
    rows = "file,Mass,Edema,who\na.png,1,-1,1\nb.png,-1.0,0,1\nc.png,0,1,2\nd.png,1,0,3\n"

    assert "row 3: found '-1.0' as Mass: wanted 1, 0 or blank" in told(rows, COLUMNS)
    assert table(rows, COLUMNS + "recipe: {uncertain: ones}\n").table["Edema"].tolist() == [-1, 0, 1, 0]


def test_one_hot_columns_are_classes_and_may_be_renamed(table, told):
    sheet = TABLE.replace(", label: finding", "") + "  rename: {NV: naevus}\nlabels: [MEL, naevus]\n"
    rows = "file,NV,MEL,who\na.png,1,0,1\nb.png,0,1.0,1\nc.png,1,,2\nd.png,,,3\n"

    assert table(rows, sheet).table[["MEL", "naevus"]].to_numpy().tolist() == [[0, 1], [1, 0], [0, 1]]
    assert "row 2: MEL, naevus is 1: wanted one of the classes" in told(rows.replace("1,0,1", "1,1,1"), sheet)
    assert "row 2: no class is 1" in told(rows.replace("1,0,1", "0,0,1"), sheet)


def test_a_binary_label_is_one_column_or_the_values_that_are_positive(table, told):
    rows = ROWS.replace("melanoma", "malignant").replace("c.png,naevus", "c.png,cyst")
    strict = BINARY.replace("labels:", "  negative: [naevus]\nlabels:")
    index = table(rows, BINARY)

    assert index.table["cancer"].tolist() == [0, 1, 0, 1]
    assert index.notes == ("cancer is 0 for: cyst (1), naevus (1)",)
    assert "row 4: found 'cyst' in finding: known: malignant, naevus" in told(rows, strict)
    assert "no row of finding is malignant" in told(ROWS, BINARY)
    numbers = ROWS.replace("melanoma", "1").replace("naevus", "0")
    assert table(numbers, BINARY.replace("  positive: [malignant]\n", "")).table["cancer"].tolist() == [0, 1, 0, 1]


def test_grades_keep_the_sheets_order(table):
    rows = "file,finding,who\na.png,2,1\nb.png,0,1\nc.png,1,2\nd.png,0,3\n"

    assert table(rows, ORDINAL).table[["0", "1", "2"]].to_numpy().argmax(axis=1).tolist() == [2, 0, 1, 0]


def test_cases_are_counted_within_their_patient_and_who_has_none_is_alone(table):
    sheet = TABLE.replace("patient: who", "patient: who, case: lesion, site: place")
    rows = "file,finding,who,lesion,place\na.png,n,P1,1,1.0\nb.png,n,P1,1,\nc.png,m,P2,1,2.0\nd.png,m,,,3\n"
    index = table(rows, sheet)

    assert index.table["case"].tolist() == ["P1/1", "P1/1", "P2/1", "d"]
    assert index.table["patient"].tolist() == ["P1", "P1", "P2", "d"]
    assert index.table["site"].tolist() == ["1", "", "2", "3"]
    assert index.notes == ("1 image without a patient: each counts as a patient of its own, or its case",)


def test_without_a_patients_column_the_case_is_the_patient(table):
    rows = ROWS.replace("b.png,melanoma,P1", "b.png,naevus,P1").replace("P3", "")
    index = table(rows, TABLE.replace("patient: who", "case: who"))

    assert index.table["patient"].tolist() == index.table["case"].tolist() == ["P1", "P1", "P2", "d"]


@pytest.mark.parametrize(
    ("parts", "fold"), [("", "val"), ("  parts: {train: [0, 1], validation: [2], test: [3]}\n", "2")]
)
def test_a_column_of_parts_is_the_official_split(table, told, parts, fold):
    words = ["0", "1", fold, "3"] if parts else ["train", "Train", fold, "test"]
    who = zip(ROWS.replace("b.png,melanoma,P1", "b.png,melanoma,P4").splitlines(), ["fold", *words], strict=True)
    rows = "\n".join(f"{row},{word}" for row, word in who) + "\n"
    sheet = TABLE.replace("patient: who", "patient: who, part: fold") + parts
    index = table(rows, sheet)

    assert index.table["part"].tolist() == ["train", "train", "validation", "test"]
    assert "row 4: found the split 'holdout'" in told(rows.replace(f",{fold}\n", ",holdout\n"), sheet)


def test_a_second_table_is_joined_and_unmatched_rows_are_counted(table, told):
    sheet = TABLE.replace("patient: who", "patient: person") + "  join: {csv: more.csv, by: file}\n"
    more = "file,person\nc.png,P2\na.png,P1\nb.png,P1\nz.png,P9\n"
    index = table(sheet=sheet, more=more)

    assert index.table["patient"].tolist() == ["P1", "P1", "P2", "d"]
    assert index.notes[0] == "1 of 4 rows of list.csv have none in more.csv"
    assert "row 6: file 'a.png' is there twice" in told(sheet=sheet, more=more + "a.png,P3\n")
    assert "no file of" in told(sheet=sheet, more="file,person\ny.png,P2\n")
    assert "no column 'file'" in told(sheet=sheet, more="name,person\na.png,P2\n")


@pytest.mark.parametrize(
    ("rows", "sheet", "line"),
    [
        (ROWS.replace("finding", "findings"), TABLE, "list.csv: no column 'finding': did you mean findings?"),
        (ROWS.replace("c.png,naevus", "c.png,nevus"), TABLE + "labels: [naevus, melanoma]\n",
         "row 4: found 'nevus' in finding: did you mean naevus?"),
        (ROWS.replace("melanoma", "naevus"), TABLE, "finding holds naevus: wanted two classes or more"),
        (ROWS.replace("naevus", "image"), TABLE, "the class image has the name of a column of the index"),
        (ROWS.replace("c.png", "e.png"), TABLE, "1 of 4 images are missing"),
        (ROWS.replace("c.png", "b.png"), TABLE, "1 image listed twice: b"),
        (ROWS.replace("c.png", ""), TABLE, "row 4: names no image in file"),
        (ROWS[:-4], TABLE, "row 5 has 2 cells where the first has 3"),
        (ROWS.replace("c.png", "c.png,also"), TABLE, "row 4 has 4 cells where the first has 3"),
        ("", TABLE, "list.csv: unreadable table"),
        ("file,finding,who\n", TABLE, "list.csv: the table has no rows"),
        (b"\xff\xfe\x00a", TABLE, "list.csv: unreadable table"),
        (ROWS.replace("naevus", "Mass|Oedema"), LISTS, "row 2: found 'Oedema' in finding: did you mean Edema?"),
        (ROWS, LISTS.replace("  separator: '|'\n", ""), "layout.separator is missing"),
        ("file,Mass,Edem,who\na.png,1,1,1\n", COLUMNS, "no column 'Edema' for that label: did you mean Edem?"),
        ("file,Mass,Edema,who\na.png,1,2,1\n", COLUMNS, "row 2: found '2' as Edema: wanted 1, 0 or blank"),
        (ROWS, TABLE.replace(", label: finding", ""), "layout.columns.label, or from columns that `labels` name"),
        (ROWS, TABLE.replace("image: file, ", ""), "columns.image is missing"),
        (ROWS, TABLE.replace("patient:", "mask:"), "columns.mask is a column of the index that no table gives"),
        (ROWS, TABLE + "  suffix: png\n", "suffix 'png': wanted one of .png"),
        (ROWS, TABLE + "  seperator: ','\n", "unknown key 'seperator': did you mean separator?"),
        (ROWS, TABLE + "  positive: [naevus]\n", "layout.positive goes with a binary task"),
        (ROWS, TABLE + "  negative: [naevus]\n", "layout.negative goes with separator or positive"),
        (ROWS, TABLE + "  separator: '|'\n", "layout.separator goes with a multilabel task"),
        (ROWS, TABLE + "  parts: {train: [a]}\n", "layout.parts goes with columns.part"),
        (ROWS, TABLE + "  parts: {test: [a]}\n", "parts: train is missing"),
        (ROWS, TABLE + "  parts: {train: [a], test: [a]}\n", "parts: 'a' stands for two parts"),
        (ROWS, TABLE + "  positive: [yes]\n", "positive.0: YAML reads yes, no, on and off as true and false"),
        (ROWS, TABLE.replace("multiclass", "segmentation") + "labels: [x]\n", "the reader table is for binary and multilabel"),
        (ROWS, TABLE.replace("list.csv", "lists.csv"), "lists.csv is missing"),
        (ROWS, TABLE.replace("photographs", "photos"), "photos is missing"),
    ],
)  # fmt: skip
def test_what_a_table_or_its_sheet_gets_wrong_is_told(told, rows, sheet, line):
    assert line in told(rows, sheet)


CLASSES = ["NORMAL/P1_1.jpeg", "NORMAL/P1_2.PNG", "PNEUMONIA/P2_1.dcm", "PNEUMONIA/deeper/P3_1.tif"]
IN_PARTS = [f"{part}/{name}" for part in ("train", "val", "test") for name in ("A/1.png", "B/2.png")]
PARTED = FOLDERS + "layout: {parts: {train: train, validation: val, test: test}}\n"


def test_a_folders_name_is_the_class(mine):
    files = [*CLASSES, "NORMAL/.P9_1.png", ".thumbnails/x.png", "NORMAL/notes.txt", "loose.png"]
    index = mine(FOLDERS + "layout: {patient: '(P\\d+)_'}\n", files)

    assert index.labels == ("NORMAL", "PNEUMONIA")
    assert index.table["id"].tolist() == ["NORMAL/P1_1", "NORMAL/P1_2", "PNEUMONIA/P2_1", "PNEUMONIA/deeper/P3_1"]
    assert index.table["image"].tolist() == CLASSES
    assert index.table["patient"].tolist() == ["P1", "P1", "P2", "P3"]
    assert index.table["PNEUMONIA"].tolist() == [0, 0, 1, 1]
    assert index.notes == ("1 image in no class's folder left out",)


def test_folders_that_are_parts_are_the_official_split(mine):
    index = mine(
        PARTED.replace("layout: {", "layout: {images: chest_xray, "), [f"chest_xray/{file}" for file in IN_PARTS]
    )

    assert index.table.set_index("id")["part"].to_dict() == {
        "test/A/1": "test", "test/B/2": "test", "train/A/1": "train", "train/B/2": "train",
        "val/A/1": "validation", "val/B/2": "validation",
    }  # fmt: skip
    assert index.table["image"][0] == "chest_xray/test/A/1.png"


def test_one_folder_is_positive_by_the_labels_name_or_the_sheets_word(mine):
    sheet = FOLDERS.replace("multiclass", "binary")

    assert mine(sheet + "labels: [PNEUMONIA]\n", CLASSES).table["PNEUMONIA"].tolist() == [0, 0, 1, 1]
    assert mine(sheet + "labels: [ill]\nlayout: {positive: PNEUMONIA}\n", CLASSES).table["ill"].tolist() == [0, 0, 1, 1]
    assert mine(sheet + "labels: [PNEUMONIA]\n", [*CLASSES, "TB/1.png"]).notes == ("PNEUMONIA is 0 in NORMAL, TB",)


def test_folders_of_grades_keep_the_sheets_order_and_others_are_left_out(mine):
    sheet = FOLDERS.replace("multiclass", "ordinal") + "labels: [none, mild]\n"
    index = mine(sheet, ["mild/1.png", "none/2.png", "unsure/3.png"])

    assert index.table[["none", "mild"]].to_numpy().tolist() == [[0, 1], [1, 0]]
    assert index.notes == ("1 image left out: the sheet lists no class unsure",)


@pytest.mark.parametrize(
    ("sheet", "files", "line"),
    [
        (FOLDERS, ["A/1.png"], "has images in A: wanted a folder for each class"),
        (FOLDERS, ["1.png"], "has images in no folder"),
        (FOLDERS, [*CLASSES, "EMPTY/notes.txt"], "EMPTY has no images: fill it, remove it, or list `labels`"),
        (FOLDERS, [*CLASSES, "part/1.png"], "the class part has the name of a column of the index"),
        (FOLDERS + "labels: [NORMAL, TB]\n", CLASSES, "no images of TB in"),
        (FOLDERS + "labels: [NORMAL, PNEUMONA]\n", CLASSES, "did you mean PNEUMONIA?"),
        (FOLDERS.replace("multiclass", "binary") + "labels: [ill]\n", CLASSES, "layout.positive says which folder is 1"),
        (FOLDERS + "layout: {patient: '(P\\d+)_'}\n", [*CLASSES, "NORMAL/x.png"],
         "finds no patient in the names of 1 file: NORMAL/x.png"),
        (FOLDERS + "layout: {patient: 'P'}\n", CLASSES, "wanted a regular expression with one group"),
        (FOLDERS + "layout: {patient: '(P'}\n", CLASSES, "wanted a regular expression ("),
        (FOLDERS + "layout: {positive: NORMAL}\n", CLASSES, "layout.positive is for binary tasks, this is multiclass"),
        (FOLDERS + "layout: {parts: {test: test}}\n", CLASSES, "parts: train is missing"),
        (FOLDERS + "layout: {images: pictures}\n", CLASSES, "pictures is missing"),
        (FOLDERS.replace("multiclass", "multilabel") + "labels: [A, B]\n", CLASSES, "the reader folders is for"),
        (FOLDERS, ["A/1.png", "A/1.jpg", "B/2.png"], "1 image listed twice: A/1"),
        (PARTED, IN_PARTS[:4], "test is missing"),
        (PARTED + "labels: [image, B]\n", IN_PARTS, "no images of image"),
    ],
)  # fmt: skip
def test_what_folders_or_their_sheet_get_wrong_is_told(told, mine, sheet, files, line):
    assert line in told(sheet, files, reader=mine)


BOTH = ["images/a.jpg", "images/b.tif", "masks/a.png", "masks/b.png"]
FLAT = [f"Image_{eye}{what}" for eye in ("01L", "01R") for what in (".jpg", "_1stHO.png", "_2ndHO.png")]
FLAT_SHEET = PAIRS + "layout: {images: ., masks: ., mask: '{stem}_1stHO.png', observer2: '{stem}_2ndHO.png'}\n"


def test_an_image_and_its_mask_share_a_stem(mine):
    index = mine(PAIRS + "layout: {patient: '(.)'}\n", [*BOTH, "masks/c.png"])

    assert index.table.to_dict("list") == {
        "id": ["a", "b"],
        "image": ["images/a.jpg", "images/b.tif"],
        "patient": ["a", "b"],
        "part": ["", ""],
        "mask": ["masks/a.png", "masks/b.png"],
    }
    assert index.notes == ("1 mask without an image left out",)


def test_images_and_masks_may_lie_in_one_folder(mine):
    index = mine(FLAT_SHEET, [*FLAT, "Image_02L_1stHO.png"])

    assert index.table["image"].tolist() == ["Image_01L.jpg", "Image_01R.jpg"]
    assert index.table["mask"].tolist() == ["Image_01L_1stHO.png", "Image_01R_1stHO.png"]
    assert index.table["mask_observer2"].tolist() == ["Image_01L_2ndHO.png", "Image_01R_2ndHO.png"]
    assert index.notes == ("1 mask without an image left out",)


def test_other_files_beside_the_images_are_counted_where_the_sheet_says_how_images_are_called(mine):
    sheet = FLAT_SHEET.replace(", observer2: '{stem}_2ndHO.png'", ", image: '{stem}.jpg'")

    assert mine(sheet, FLAT).notes == ("2 files among the images not called {stem}.jpg left out",)


def test_drives_own_folders_are_pairs(mine):
    """Stems are what names share: 21 of 21_training.tif and 21_manual1.gif."""
    sheet = (
        PAIRS
        + """
layout:
  images: "{part}/images"
  image: "{stem}_{part}.tif"
  masks: "{part}/1st_manual"
  mask: "{stem}_manual1.gif"
  field_of_view: "{part}/mask/{stem}_{part}_mask.gif"
  parts: {train: training, test: test}
"""
    )
    kinds = ("images/{n}_{p}.tif", "1st_manual/{n}_manual1.gif", "mask/{n}_{p}_mask.gif")
    files = [
        f"{p}/" + kind.format(n=n, p=p) for p, n in (("training", 21), ("training", 22), ("test", 1)) for kind in kinds
    ]
    table = mine(sheet, files).table

    assert table["id"].tolist() == ["test/1_test", "training/21_training", "training/22_training"]
    assert table["part"].tolist() == ["test", "train", "train"]
    assert table["mask"][1] == "training/1st_manual/21_manual1.gif"
    assert table["field_of_view"][0] == "test/mask/1_test_mask.gif"


def test_parts_are_folders_in_the_images_and_the_masks_folder(mine):
    files = [f"{kind}/{part}/deep/1.png" for kind in ("images", "masks") for part in ("train", "val", "test")]
    table = mine(PAIRS + "layout: {parts: {train: train, validation: val, test: test}, mask: '{stem}'}\n", files).table

    assert table["mask"].tolist() == [f"masks/{part}/deep/1.png" for part in ("test", "train", "val")]
    assert table["id"].tolist() == [f"{part}/deep/1" for part in ("test", "train", "val")]


def test_an_image_without_a_mask_is_empty_only_where_the_sheet_says_so(mine, told):
    line = told(PAIRS, [*BOTH, "images/c.jpg"], reader=mine)
    index = mine(PAIRS + "layout: {missing_masks: empty}\n", [*BOTH, "images/c.jpg"])

    assert "1 of 3 images have no masks/{stem}.png" in line
    assert "(c)" in line
    assert index.table["mask"].tolist() == ["masks/a.png", "masks/b.png", "rle:"]
    assert index.notes == ("1 of 3 images have no masks/{stem}.png: their masks are empty",)


def test_a_second_observer_may_have_seen_some_only(mine, told):
    sheet = PAIRS + "layout: {observer2: 'second/{stem}'}\n"
    index = mine(sheet, [*BOTH, "second/a.gif"])

    assert index.table["mask_observer2"].tolist() == ["second/a.gif", ""]
    assert index.notes == ("1 of 2 images have no second/{stem}",)
    assert "second/a.gif, second/a.png in" in told(sheet, ["second/a.png"], reader=mine)


@pytest.mark.parametrize(
    ("sheet", "files", "line"),
    [
        (PAIRS, BOTH[:2], "masks is missing"),
        (PAIRS, BOTH[2:], "images is missing"),
        (PAIRS, [*BOTH[2:], "images/notes.txt"], "no images images/{stem} in"),
        (PAIRS + "layout: {mask: '{stem}_m.png', missing_masks: empty}\n", BOTH, "2 of 2 images have no masks/{stem}_m.png"),
        (PAIRS + "layout: {observer2: 'masks/{stem}_2.png'}\n", BOTH, "2 of 2 images have no masks/{stem}_2.png"),
        (PAIRS + "layout: {mask: mask.png}\n", BOTH, "mask: wanted a file's name with {stem} in it once"),
        (PAIRS + "layout: {images: '{part}/images'}\n", BOTH, "parts is missing: which folders does {part} stand for?"),
        (PAIRS + "layout: {missing_masks: full}\n", BOTH, "missing_masks"),
        (PAIRS + "layout: {patient: '(\\d+)'}\n", BOTH, "finds no patient in the names of 2 files"),
        (FOLDERS.replace("folders", "pairs"), BOTH, "the reader pairs is for segmentation tasks, this is multiclass"),
    ],
)  # fmt: skip
def test_what_pairs_or_their_sheet_get_wrong_is_told(told, mine, sheet, files, line):
    assert line in told(sheet, files, reader=mine)


EVERY = {
    "classes": TABLE,
    "grades": ORDINAL + "groups: [skin_type]\n",
    "lists": LISTS,
    "columns": COLUMNS,
    "binary": BINARY,
    "paths": TABLE.replace("photographs", "a/b") + "  suffix: .JPG\n  rename: {NV: naevus}\nlabels: [naevus, MEL]\n",
    "dicom": TABLE + "  suffix: .dcm\n",
    "joined": TABLE + "  join: {csv: more.csv, by: who}\n",
    "folders": FOLDERS,
    "parts": PARTED + "labels: [A, B, C]\n",
    "patients": FOLDERS + "layout: {patient: 'person(\\d+)_'}\n",
    "positive": FOLDERS.replace("multiclass", "binary") + "labels: [ill]\n",
    "pairs": PAIRS,
    "flat": FLAT_SHEET + "\n",
    "parted pairs": PAIRS
    + "layout: {images: '{part}/i', masks: '{part}/m', mask: '{stem}.gif', parts: {train: tr, test: te}}\n",
}


@pytest.mark.parametrize("sheet", EVERY.values(), ids=EVERY)
def test_phantoms_of_ones_own_sheet_let_it_be_tried(tmp_path, sheet):
    sheet = sheet.replace("patient: who", "patient: who, case: lesion, skin_type: skin, sex: sex")
    (tmp_path / "Mine.yaml").write_text(SHEET + sheet)
    task = read_task(tmp_path / "Mine.yaml")
    roots = [write_phantom(task, tmp_path / name, PhantomSpec(num=30, size=32)) for name in ("data", "again")]
    index = read_index(task, tmp_path / "data")

    assert (len(index.table), index.phantom) == (30, True)
    assert {"train", "validation", "test"} == {*assign_splits(index, task.split)}
    assert index.digest == read_index(task, tmp_path / "again").digest
    files = [sorted(str(path.relative_to(root)) for path in root.rglob("*")) for root in roots]
    assert files[0] == files[1]
    for row in index.table.to_dict("records"):
        pixels, phantom = read_image(index.root / row["image"])
        assert (pixels.shape[:2], phantom) == ((32, 32), True)
        for column in {*MASKS} & {*row}:
            assert files_of(row[column])
            assert 0 < read_mask(row[column], index.root, (32, 32)).mean() < 1
    if task.kind != "segmentation":
        assert (index.table[list(index.labels)].sum() > 0).all()


def test_phantoms_that_could_not_be_made_are_refused(tmp_path):
    for sheet, line in (
        (TABLE + "  suffix: .bmp\n", "a phantom cannot be marked in a .bmp file"),
        (FOLDERS + "layout: {patient: 'x(.)y{9}'}\n", "fits no name that phantoms are given"),
    ):
        (tmp_path / "Mine.yaml").write_text(SHEET + sheet)
        with pytest.raises(BenchmarkError, match=line):
            write_phantom(read_task(tmp_path / "Mine.yaml"), tmp_path / line[:9], PhantomSpec(num=4, size=32))


@pytest.mark.real
def test_chase_is_pairs_in_one_folder(tmp_path, real_data):
    (tmp_path / "Mine.yaml").write_text(
        SHEET.replace("root: mine", "root: CHASE_DB1")
        + FLAT_SHEET.replace("masks: .,", "masks: ., patient: '_(\\d\\d)',")
    )
    if not (real_data / "CHASE_DB1").is_dir():
        pytest.skip("no CHASE_DB1 among the real images")
    index = read_index(read_task(tmp_path / "Mine.yaml"), real_data)

    assert (len(index.table), index.table["patient"].nunique(), index.notes) == (28, 14, ())
    pixels, _ = read_image(index.root / index.table["image"][0])
    assert read_mask(index.table["mask"][0], index.root, pixels.shape[:2]).any()


@pytest.mark.real
def test_a_table_of_grades_is_the_folder_of_aptos(tmp_path, real_data):
    sheet = """
reader: table
kind: ordinal
labels: ["0", "1", "2", "3", "4"]
layout: {csv: train.csv, images: train_images, suffix: .png, columns: {image: id_code, label: diagnosis}}
"""
    (tmp_path / "Mine.yaml").write_text(SHEET.replace("root: mine", "root: APTOS2019") + sheet)
    if not (real_data / "APTOS2019").is_dir():
        pytest.skip("no APTOS2019 among the real images")
    index = read_index(read_task(tmp_path / "Mine.yaml"), real_data)
    graded = pd.read_csv(real_data / "APTOS2019/train.csv").set_index("id_code")["diagnosis"]

    assert len(index.table) == 413
    assert (index.table[list("01234")].to_numpy().argmax(axis=1) == graded.loc[index.table["id"]]).all()
