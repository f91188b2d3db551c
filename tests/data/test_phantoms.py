"""Phantoms: marked and complete or refused, written again alike, in their tables' columns, with findings that can be seen."""

import re

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import SMALL
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from benchmark.data.phantom_mark import is_phantom
from benchmark.data.phantoms.drawing.lesion import skin
from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.drawing.retinopathy import retinopathy
from benchmark.data.phantoms.folder import PhantomSpec, marked
from benchmark.data.registry import read_index, write_phantom
from benchmark.errors import BenchmarkError


def test_phantoms_that_are_interrupted_stay_marked_as_incomplete(tmp_path):
    with pytest.raises(KeyboardInterrupt), marked(tmp_path / "set", "TXC", SMALL["TXC"]):
        raise KeyboardInterrupt

    with pytest.raises(BenchmarkError, match="interrupted"):
        is_phantom(tmp_path / "set")


def test_phantoms_are_refused_into_a_folder_with_other_files(tasks, tmp_path):
    (tmp_path / "Shenzhen").mkdir()
    (tmp_path / "Shenzhen" / "notes.txt").write_text("mine")

    for renew in (False, True):
        with pytest.raises(
            BenchmarkError, match=f"{re.escape(str(tmp_path / 'Shenzhen'))}.*files that are no phantoms"
        ):
            write_phantom(tasks["TXC"], tmp_path, SMALL["TXC"], renew=renew)
    assert [path.name for path in (tmp_path / "Shenzhen").iterdir()] == ["notes.txt"]


def test_phantoms_of_one_spec_stay_and_are_replaced_by_others_with_renew_alone(tasks, tmp_path):
    task, few, more = tasks["TXC"], PhantomSpec(num=8, size=32), PhantomSpec(num=9, size=32)
    image = write_phantom(task, tmp_path, few) / "CXR_png" / "CHNCXR_0001_1.png"
    written = image.stat().st_mtime_ns

    write_phantom(task, tmp_path, few)
    assert written == image.stat().st_mtime_ns
    with pytest.raises(BenchmarkError, match="other phantoms"):
        write_phantom(task, tmp_path, more)
    write_phantom(task, tmp_path, more, renew=True)
    assert len(read_index(task, tmp_path).table) == 9


def test_tasks_of_one_official_layout_share_its_phantoms_whichever_they_are_written_for(tasks, tmp_path):
    spec, contents = PhantomSpec(num=16, size=32), []
    for name in ("DXC5", "CheXpert5"):
        root = write_phantom(tasks[name], tmp_path / name, spec)
        contents.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})

    assert contents[0] == contents[1]
    assert tmp_path / "DXC5" / tasks["DXC5"].root == write_phantom(tasks["CheXpert5"], tmp_path / "DXC5", spec)
    both, training = (
        read_index(tasks["DXC5"], tmp_path / "CheXpert5"),
        read_index(tasks["CheXpert5"], tmp_path / "DXC5"),
    )
    assert len(training.table) < len(both.table)


def test_phantoms_of_a_described_layout_serve_that_description_alone(tasks, tmp_path):
    spec = PhantomSpec(num=16, size=32)
    write_phantom(tasks["Derm27"], tmp_path, spec)
    other = tasks["Derm27"].model_copy(update={"layout": {"csv": "other.csv", "columns": {"image": "i", "label": "l"}}})

    with pytest.raises(BenchmarkError, match="other phantoms"):
        write_phantom(other, tmp_path, spec)


@pytest.mark.parametrize(
    ("name", "num"), [*(("ECC", num) for num in (1, 2, 7, 24)), *(("PatchCam-H5", num) for num in (1, 5, 13))]
)
def test_as_many_images_are_written_as_the_spec_says(tasks, tmp_path, name, num):
    root = write_phantom(tasks[name], tmp_path, PhantomSpec(num=num, size=32))

    assert len(read_index(tasks[name], tmp_path).table) == num
    if name == "ECC":
        assert len(list(root.rglob("*.dcm"))) == num


COLUMNS = {
    ("Derm27", "metadata.csv"): "lesion_id patient_id gender age fitspatrick region diagnostic img_id",
    ("Derm27-ISIC", "ISIC_2019_Training_GroundTruth.csv"): "image MEL NV BCC AK BKL DF VASC SCC",
    ("Derm27-ISIC", "ISIC_2019_Training_Metadata.csv"): "image age_approx anatom_site_general lesion_id sex",
    ("APTOS", "test.csv"): "id_code",
    ("ECC", "train.csv"): "StudyInstanceUID SeriesInstanceUID SOPInstanceUID pe_present_on_image negative_exam_for_pe "
    "qa_motion qa_contrast flow_artifact rv_lv_ratio_gte_1 rv_lv_ratio_lt_1 leftsided_pe chronic_pe "
    "true_filling_defect_not_pe rightsided_pe acute_and_chronic_pe central_pe indeterminate",
}


@pytest.mark.parametrize(("name", "file"), COLUMNS)
def test_a_phantom_has_the_columns_of_its_official_table(tasks, phantoms, name, file):
    columns = list(pd.read_csv(phantoms / tasks[name].root / file))

    assert sorted(columns) == sorted(COLUMNS[name, file].split())
    if name == "ECC":  # the competition's own order
        assert columns == COLUMNS[name, file].split()


def test_two_exams_of_five_have_an_embolism_and_say_so_throughout(tasks, tmp_path):
    table = pd.read_csv(write_phantom(tasks["ECC"], tmp_path, PhantomSpec(num=96, size=32)) / "train.csv")
    exams = table.groupby("StudyInstanceUID")
    ill = exams["pe_present_on_image"].max()

    assert 6 <= exams.size().mean() <= 10
    assert exams["negative_exam_for_pe"].nunique().eq(1).all()
    assert (ill == 1 - exams["negative_exam_for_pe"].first()).all()
    assert ill.mean() == pytest.approx(0.4, abs=0.1)


def test_labels_of_hdf5_patches_have_the_published_shape(tasks, phantoms):
    for split, num in (("train", 24), ("valid", 8), ("test", 8)):
        with h5py.File(phantoms / tasks["PatchCam-H5"].root / f"camelyonpatch_level_2_split_{split}_y.h5") as file:
            assert file["y"].shape == (num, 1, 1, 1)


@pytest.mark.parametrize("size", [32, 96])
def test_higher_grades_have_more_lesions(size):
    """Pixels much darker or brighter than any fundus's vessels or disc: none at grade 0, more with every grade."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    view, shares = np.hypot(x, y) < 0.44 * size, []
    for grade in range(5):
        rng = np.random.default_rng(grade)
        pixels = np.stack([retinopathy(rng, size, size, grade)[view] for _ in range(12)])
        shares.append((pixels[..., 0] < 95).mean() + (pixels[..., 2] > 95).mean())

    assert np.diff(shares).min() > 0


def test_the_kind_of_a_lesion_can_be_learned_on_any_skin():
    """By a forest on colors against the rim's: far above the chance of one in six."""
    rng, size, num = np.random.default_rng(0), 32, 120
    kinds = np.arange(num) % 6
    images = np.stack([skin(rng, size, int(kind), float(rng.random())) for kind in kinds]).astype(float)
    rim = np.median(images[:, :3].reshape(num, -1, 3), axis=1)[:, None, None]
    middle = np.sort((images / rim)[:, size // 5 : -size // 5, size // 5 : -size // 5].reshape(num, -1, 3), axis=1)
    features = middle[:, :: middle.shape[1] // 20].reshape(num, -1)
    scores = cross_val_score(RandomForestClassifier(50, random_state=0), features, kinds, cv=3)

    assert scores.mean() > 0.8


def test_skin_follows_its_tone_and_its_seed():
    pale, dark = (skin(np.random.default_rng(1), 48, 0, tone) for tone in (0.0, 1.0))
    again, other = (skin(np.random.default_rng(seed), 48, 0, 0.0) for seed in (1, 2))

    assert (pale.shape, pale.dtype) == ((48, 48, 3), np.uint8)
    assert pale.mean() > dark.mean() + 60
    assert (pale == again).all()
    assert (pale != other).any()


def test_several_lesions_lie_side_by_side_and_none_is_bare_skin():
    bare, two = (skin(np.random.default_rng(1), 64, kinds, 0.2).astype(float) for kinds in ([], [2, 7]))
    darker = (two < 0.6 * np.median(bare, axis=(0, 1))).all(axis=2)

    assert bare.std(axis=(0, 1)).max() < 15
    assert darker[:32, :32].mean() > 0.1
    assert darker[:32, 32:].mean() > 0.1
    assert darker[32:].mean() < 0.1


@pytest.mark.parametrize("size", [32, 64])
def test_a_fracture_is_a_thin_bright_line_in_the_lungs(size):
    """The same stream draws the same chest up to the finding; then only brightness and noise differ."""
    for seed in range(8):
        plain, broken = (chest(np.random.default_rng(seed), size, findings, faint=1) for findings in ([], ["Fracture"]))
        assert (plain.lungs == broken.lungs).all()
        levels = [image.pixels[..., 0] / np.median(image.pixels) for image in (plain, broken)]
        brighter = levels[1] - levels[0] > 0.5

        assert 4 <= brighter[plain.lungs].sum() < 0.15 * plain.lungs.sum()
        assert brighter[~plain.lungs].sum() <= 0.02 * brighter.size
