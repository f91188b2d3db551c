"""The layout of RSNA's pulmonary embolism competition: what its table says, and what damage to it is answered with."""

import shutil

import pandas as pd
import pydicom
import pytest

from benchmark.data.image_files import read_image
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.data.splitting import assign_splits

LABEL = "pe_present_on_image"
# the order of the competition's own table
COLUMNS = [
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "pe_present_on_image", "negative_exam_for_pe",
    "qa_motion", "qa_contrast", "flow_artifact", "rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1", "leftsided_pe", "chronic_pe",
    "true_filling_defect_not_pe", "rightsided_pe", "acute_and_chronic_pe", "central_pe", "indeterminate",
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tasks, tmp_path_factory):
    """A small phantom of the layout."""
    return write_phantom(tasks["ECC"], tmp_path_factory.mktemp("written"), PhantomSpec(num=96, size=32))


@pytest.fixture
def root(written, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(written, tmp_path / "data" / written.name)


@pytest.fixture
def index(tasks, root):
    """Its index."""
    return read_index(tasks["ECC"], root.parent)


def rewrite(path, change):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(path, index=False)


def test_phantoms_have_the_competitions_columns_and_two_studies_of_five_are_ill(root):
    table = pd.read_csv(root / "train.csv")
    exams = table.groupby("StudyInstanceUID")

    assert list(table.columns) == COLUMNS
    assert len(table) == 96
    assert 6 <= exams.size().mean() <= 10
    assert exams["negative_exam_for_pe"].nunique().eq(1).all()
    assert (exams[LABEL].max() == 1 - exams["negative_exam_for_pe"].first()).all()
    assert exams[LABEL].max().mean() == pytest.approx(0.4, abs=0.1)


def test_each_row_is_the_slice_that_the_table_names(root, index):
    written = pd.read_csv(root / "train.csv").set_index("SOPInstanceUID")

    for row in index.table.iloc[::17].itertuples():
        inside = pydicom.dcmread(index.root / row.image)
        assert (inside.StudyInstanceUID, inside.SeriesInstanceUID) == (row.study, row.series)
        assert inside.SOPInstanceUID == row.id
        assert written.loc[row.id, LABEL] == row.pe_present_on_image
    assert (index.table["patient"] == index.table["study"]).all()
    assert (index.table[LABEL] == written.loc[index.table["id"], LABEL].to_numpy()).all()


def test_the_sheet_shows_slices_through_three_windows(tasks, index):
    pixels, phantom = read_image(index.root / index.table["image"][0], tasks["ECC"].windows)

    assert pixels.shape == (32, 32, 3)
    assert phantom
    # air is dark in all; the lung is not black under its own window alone
    assert pixels[0, 0].max() < 80
    assert pixels[..., 0].astype(int).sum() != pixels[..., 2].astype(int).sum()


def test_a_study_lies_in_one_part(tasks, index):
    parts = assign_splits(index, tasks["ECC"].split)

    assert parts.groupby(index.table["study"].to_numpy()).nunique().eq(1).all()
    assert set(parts) == {"train", "validation", "test"}


def test_two_series_of_one_study_are_read_from_their_own_folders(tasks, root):
    path = root / "train.csv"
    table = pd.read_csv(path, dtype=str)
    study, series = table.loc[0, ["StudyInstanceUID", "SeriesInstanceUID"]]
    (root / "train" / study / "2.25.99").mkdir()
    moved = root / "train" / study / series / f"{table.loc[0, 'SOPInstanceUID']}.dcm"
    shutil.move(moved, root / "train" / study / "2.25.99" / moved.name)
    rewrite(path, lambda table: table.__setitem__("SeriesInstanceUID", table["SeriesInstanceUID"].where(
        table.index != 0, "2.25.99")))  # fmt: skip

    images = read_index(tasks["ECC"], root.parent).table.set_index("id")["image"]

    assert images[moved.stem] == f"train/{study}/2.25.99/{moved.name}"
    assert images[table.loc[1, "SOPInstanceUID"]].startswith(f"train/{study}/{series}/")


def test_names_that_look_like_numbers_stay_as_they_are_written(tasks, root):
    """Hexadecimal names may be digits alone, or look like 1e5."""
    path = root / "train.csv"
    table = pd.read_csv(path, dtype=str)
    study, series, name = table.loc[0, COLUMNS[:3]]
    (root / "train" / study / series / f"{name}.dcm").rename(root / "train" / study / series / "004512e07.dcm")
    (root / "train" / study / series).rename(root / "train" / study / "000000000012")
    (root / "train" / study).rename(root / "train" / "123456789012")

    def change(table):
        of_study = table["StudyInstanceUID"] == study
        table.loc[0, "SOPInstanceUID"] = "004512e07"
        table.loc[of_study, "SeriesInstanceUID"] = "000000000012"
        table.loc[of_study, "StudyInstanceUID"] = "123456789012"

    rewrite(path, change)
    images = read_index(tasks["ECC"], root.parent).table.set_index("id")["image"]

    assert images["004512e07"] == "train/123456789012/000000000012/004512e07.dcm"


def test_missing_studies_are_counted_by_their_slices(root, refused):
    studies = sorted((root / "train").iterdir())
    num = len(list(studies[0].rglob("*.dcm")))
    shutil.rmtree(studies[0])

    assert f"{num} of 96 images are missing" in refused("ECC")


@pytest.mark.parametrize("num", [1, 2, 7, 24])
def test_as_many_slices_are_written_as_were_ordered(tasks, tmp_path, num):
    root = write_phantom(tasks["ECC"], tmp_path / "few", PhantomSpec(num=num, size=32))

    assert len(read_index(tasks["ECC"], tmp_path / "few").table) == num == len(list(root.rglob("*.dcm")))
