"""`data verify`: a whole folder passes; each kind of damage changes the check that is for it, and no other."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import CHECKOUT, in_new_process
from PIL import Image

from benchmark.data import checks, scan
from benchmark.data import image_files as pixels
from benchmark.data import verify as verifying
from benchmark.data.phantoms.files import write_image, write_mask
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.data.splitting import assign_splits
from benchmark.data.verify import CHECKS, verify
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace


def verified(task, data, **options):
    """Check name -> check, decoded by two threads."""
    given = {"quick": False, "threads": 2, "progress": lambda _done, _total: None} | options
    workspace = Workspace(project=CHECKOUT, results=data, home=data, data=data)
    return {check.name: check for check in verify(task, workspace, **given).checks}


@pytest.fixture
def changed(tasks, phantoms, tmp_path):
    """What the damaged folder's checks say, where the verdict is another than before the damage."""

    def compare(name, **options):
        before = verified(tasks[name], phantoms, **options)
        after = verified(tasks[name], tmp_path / "data", **options)
        return {check: told for check, told in after.items() if told.verdict != before[check].verdict}

    return compare


def grey(path):
    """An image's grey values, read by Pillow alone."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def blank(path):
    """One value in every pixel, and still marked as a phantom."""
    height, width = grey(path).shape
    write_image(path, np.full((height, width, 1), 90, np.uint8))


@pytest.fixture
def of_two_parts(tasks, phantoms):
    """Two images of TXC with one label, of training and of test."""
    index = read_index(tasks["TXC"], phantoms)
    parts = assign_splits(index, tasks["TXC"].split)
    with_tb = index.table[index.table["TB"] == 1]
    return [with_tb["image"][parts == part].iloc[0] for part in ("train", "test")]


@pytest.mark.parametrize("name", ["TXC", "VFS-CHASE"])
def test_whole_phantoms_pass_every_check(tasks, phantoms, name):
    told = verified(tasks[name], phantoms)

    assert list(CHECKS) == list(told)
    assert {"PASS"} == {check.verdict for check in told.values()}, told
    assert all(check.finding and not check.fix for check in told.values())


def test_every_shipped_task_can_be_verified_on_its_phantoms(tasks, tmp_path):
    """None fails: what is made to be learnt from is whole, and of different images."""
    for task in tasks.values():
        write_phantom(task, tmp_path / task.name, PhantomSpec(num=24, size=48))
        told = verified(task, tmp_path / task.name)
        assert not [check for check in told.values() if check.verdict == "FAIL"], task.name
        if task.name not in ("CheXpert5", "NIHCXR4"):  # these leave some of their folder's images aside
            assert told["files"].verdict == "PASS", told["files"]
        assert told["images"].verdict == "PASS", told["images"]


def test_a_truncated_image_fails_and_is_named(damaged, changed):
    image = damaged("TXC") / "CXR_png" / "CHNCXR_0003_0.png"
    image = image if image.is_file() else image.with_name("CHNCXR_0003_1.png")
    image.write_bytes(image.read_bytes()[:200])
    told = changed("TXC")

    assert {"images"} == set(told)
    assert told["images"].verdict == "FAIL"
    assert f"1 unreadable image: CXR_png/{image.name}" in told["images"].finding
    assert [f"CXR_png/{image.name}"] == [line["image"] for line in told["images"].details["unreadable"]]
    assert str(image) in told["images"].details["unreadable"][0]["reason"]


def test_where_a_sheet_leaves_unreadable_images_out_they_are_a_warning(tasks, damaged, tmp_path):
    root = damaged("TXC")
    next((root / "CXR_png").glob("*.png")).write_bytes(b"")
    lenient = tasks["TXC"].model_copy(update={"unreadable": "leave out"})

    assert verified(lenient, tmp_path / "data")["images"].verdict == "WARN"


def test_whatever_a_decoder_raises_is_said_of_its_image(tasks, phantoms, monkeypatch):
    def fails(path, windows=None):
        raise MemoryError(f"{path.name} {windows}")

    monkeypatch.setattr(scan, "read_image", fails)
    told = verified(tasks["TXC"], phantoms)["images"]

    assert told.verdict == "FAIL"
    assert all("MemoryError" in line["reason"] for line in told.details["unreadable"])


def test_a_blank_image_is_a_warning(damaged, changed, of_two_parts):
    blank(damaged("TXC") / of_two_parts[0])
    told = changed("TXC")

    assert {name: check.verdict for name, check in told.items()} == {"images": "WARN"}
    assert f"1 blank image (one value only): {of_two_parts[0]}" in told["images"].finding


def test_phantoms_in_a_folder_not_marked_as_one_fail(damaged, changed):
    (damaged("TXC") / "PHANTOM.json").unlink()
    told = changed("TXC")

    assert told["images"].verdict == "FAIL"
    assert "40 phantoms in a folder that is not marked as one" in told["images"].finding
    assert {"images", "index", "counts"} == set(told)  # the published counts count, too


def test_sizes_are_those_that_pillow_reads(tasks, damaged, tmp_path, of_two_parts):
    path = damaged("TXC") / of_two_parts[0]
    write_image(path, np.arange(70 * 90 * 3, dtype=np.uint8).reshape(70, 90, 3))
    told = verified(tasks["TXC"], tmp_path / "data")["images"].details
    sizes = {grey(file).shape for file in path.parent.glob("*.png")}

    assert len(sizes) == told["num_sizes"] == 2
    assert told["side"] == {"smallest": 64, "largest": 90}
    assert (told["gray"], told["color"]) == (39, 1)


def test_one_image_in_two_parts_fails(damaged, changed, of_two_parts):
    root = damaged("TXC")
    (root / of_two_parts[1]).write_bytes((root / of_two_parts[0]).read_bytes())
    told = changed("TXC")

    assert {name: check.verdict for name, check in told.items()} == {"duplicates": "FAIL"}
    assert "the same image trains and tests: 1 image in more than one split" in told["duplicates"].finding
    (group,) = told["duplicates"].details["groups"]
    assert group["parts"] == ["test", "train"]
    assert group["labels_agree"]
    assert {image[8:-4] for image in of_two_parts} == set(group["ids"])


def test_one_image_twice_in_a_part_is_a_warning_and_other_labels_are_named(tasks, phantoms, damaged, changed):
    index = read_index(tasks["TXC"], phantoms)
    training = index.table[assign_splits(index, tasks["TXC"].split) == "train"]
    ill, well = (training["image"][training["TB"] == label].iloc[0] for label in (1, 0))
    root = damaged("TXC")
    (root / ill).write_bytes((root / well).read_bytes())
    told = changed("TXC")

    assert {name: check.verdict for name, check in told.items()} == {"duplicates": "WARN"}
    assert "1 image with different labels" in told["duplicates"].finding
    assert "more than once in a split" in told["duplicates"].finding


def test_rows_of_one_file_are_told_apart_by_their_pixels(tasks, tmp_path):
    task = tasks["PatchCam-H5"]
    write_phantom(task, tmp_path, PhantomSpec(num=16, size=32))
    index = read_index(task, tmp_path)
    told = verified(task, tmp_path)
    table = index.table.assign(image=[index.table["image"].iloc[0]] * 2 + index.table["image"].tolist()[2:])
    seen = scan.scan(replace(index, table=table), [0, 1, 2], windows=None, threads=1, progress=lambda *_: None)

    assert "PASS" == told["duplicates"].verdict == told["files"].verdict
    assert seen[0].digest == seen[1].digest != seen[2].digest


def test_an_image_file_that_no_row_names_is_a_warning(damaged, changed):
    root = damaged("TXC")
    (root / "more" / "deep").mkdir(parents=True)
    for name in ("x.png", "y.PNG", ".hidden.png", "notes.txt"):
        (root / "more" / "deep" / name).write_bytes(b"")
    told = changed("TXC")

    assert {name: check.verdict for name, check in told.items()} == {"files": "WARN"}
    assert told["files"].details["extra"] == ["more/deep/x.png", "more/deep/y.PNG"]


def test_images_in_another_data_sets_folder_are_not_searched_for_others(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    table = index.table.assign(image="../other/" + index.table["image"])

    assert checks.check_files(replace(index, table=table)).verdict == "PASS"


def test_a_challenges_unlabelled_images_are_not_taken_for_others(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    without = replace(index, table=index.table.drop(index=[3]))
    secret = index.table.loc[[3], ["id", "image"]]

    assert checks.check_files(without).verdict == "WARN"
    assert checks.check_files(replace(without, unlabelled=secret)).verdict == "PASS"


def masks_of(tasks, phantoms):
    """The masks' names, and the phantoms' height and width."""
    index = read_index(tasks["VFS-CHASE"], phantoms)
    return index.table["mask"], grey(index.root / index.table["image"].iloc[0]).shape


def test_a_mask_of_another_size_fails(tasks, phantoms, damaged, changed):
    names, (height, width) = masks_of(tasks, phantoms)
    name = names.iloc[2]
    write_mask(damaged("VFS-CHASE") / name, np.eye(50, dtype=bool))
    told = changed("VFS-CHASE")

    assert {check: of.verdict for check, of in told.items()} == {"masks": "FAIL"}
    assert f"the mask is 50 x 50 but its image is {width} x {height}" in told["masks"].finding
    assert name in told["masks"].finding


def test_a_mask_of_grey_edges_and_one_over_the_whole_image_are_warnings(tasks, phantoms, damaged, changed):
    names, (height, width) = masks_of(tasks, phantoms)
    first, second = names.iloc[[0, 1]]
    root = damaged("VFS-CHASE")
    ramp = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    write_image(root / first, ramp[..., None])
    full = np.ones((height, width), dtype=bool)
    full[0, 0] = False
    write_mask(root / second, full)
    told = changed("VFS-CHASE")

    assert {check: of.verdict for check, of in told.items()} == {"masks": "WARN"}
    assert "1 mask of more than two values, thresholded at half" in told["masks"].finding
    assert "1 mask over more than 95% of the image" in told["masks"].finding
    of_first = told["masks"].details["mask"]
    assert pytest.approx(of_first["share"]["max"]) == 1 - 1 / (height * width)


def test_masks_shares_are_those_of_their_pixels_and_empty_ones_are_counted(tasks, phantoms, damaged, tmp_path):
    names, shape = masks_of(tasks, phantoms)
    root = damaged("VFS-CHASE")
    write_mask(root / names.iloc[0], np.zeros(shape, dtype=bool))
    told = verified(tasks["VFS-CHASE"], tmp_path / "data")["masks"].details["mask"]
    shares = [(grey(root / name) > 127).mean() for name in names]

    assert told["empty"] == 1
    assert {"min": 0, "mean": np.mean(shares), "max": max(shares)} == pytest.approx(told["share"])


def test_run_lengths_that_leave_their_image_fail_and_name_it(damaged, changed):
    path = damaged("PXS") / "train-rle.csv"
    others = [line for line in path.read_text().splitlines() if not line.startswith("2.25.0.2.3")]
    path.write_text("\n".join([*others, "2.25.0.2.3,1 5000"]) + "\n")
    told = changed("PXS")

    assert told["masks"].verdict == "FAIL"
    assert "2.25.0.2.3.dcm" in told["masks"].finding


def test_what_the_reader_refuses_is_said_and_leaves_the_other_checks_out(damaged, changed, cli, tmp_path):
    (damaged("TXC") / "CXR_png" / "photo.png").write_bytes(b"")
    told = changed("TXC")
    ran = cli("data", "verify", "TXC", "--data", str(tmp_path / "data"))

    assert told["index"].verdict == "FAIL"
    assert "wanted names like CHNCXR_0001_0.png" in told["index"].finding
    assert {"left out"} == {told[name].verdict for name in CHECKS[1:]}
    assert ran.code == 1
    assert "1 FAIL, 8 left out; 0 of 0 images opened" in ran.text


def test_counts_unlike_the_published_are_a_warning_with_both_numbers(tasks, phantoms):
    task = tasks["DXC14"].model_copy(
        update={"counts": {"images": 48, "train": 1000, "Hernia": 3, "normal": 2, "villages": 4}}
    )
    index = replace(read_index(task, phantoms), phantom=False)
    table = index.table
    told = checks.check_counts(index, task, assign_splits(index, task.split))
    hernia, normal = (table["Hernia"] == 1).sum(), (table[list(task.labels)].sum(axis=1) == 0).sum()

    assert told.verdict == "WARN"
    assert f"train {(table['part'] == 'train').sum()} of 1,000" in told.finding
    assert {"here": hernia, "published": 3} == told.details["compared"]["Hernia"]
    assert {"here": normal, "published": 2} == told.details["compared"]["normal"]
    assert told.details["not_compared"] == ["villages"]
    alike = task.model_copy(update={"counts": {"images": 48, "patients": table["patient"].nunique()}})
    assert checks.check_counts(index, alike, None).verdict == "PASS"


def test_a_random_splits_training_part_is_counted_with_its_validation(tasks, phantoms):
    task = tasks["TXC"].model_copy(update={"counts": {"train": 32, "test": 8}})
    index = replace(read_index(task, phantoms), phantom=False)

    assert checks.check_counts(index, task, assign_splits(index, task.split)).verdict == "PASS"


def test_prevalence_uncertain_and_unlabelled_values_are_counted(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    table = index.table.copy()
    table["TB"] = [1.0] * 9 + [0.0] * 27 + [-1.0] * 3 + [np.nan]
    told = checks.check_labels(replace(index, table=table), exclusive=False)
    none = checks.check_labels(replace(index, table=table.assign(TB=0.0)), exclusive=False)

    counted = {"positive": 9, "negative": 27, "uncertain": 3, "not_labelled": 1, "prevalence": 0.25}
    assert told.verdict == "PASS"
    assert counted == told.details["labels"]["TB"]
    assert "TB 9 (25.0%); 3 values uncertain; 1 values not labelled" in told.finding
    assert none.verdict == "WARN"
    assert "no positive of TB" in none.finding


def test_classes_are_counted(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    table = index.table.assign(TB=0.0, mild=[1.0] * 30 + [0.0] * 10, severe=[0.0] * 30 + [1.0] * 10)
    told = checks.check_labels(replace(index, table=table, labels=("severe", "mild")), exclusive=True)

    assert "2 classes: mild 30, severe 10" in told.finding


def test_a_patient_in_two_parts_fails(tasks, phantoms):
    index = read_index(tasks["DXC14"], phantoms)
    parts = assign_splits(index, tasks["DXC14"].split)
    assert checks.check_patients(index, parts, one_each=False).verdict == "PASS"
    table = index.table.copy()
    one, other = parts.index[parts == "train"][0], parts.index[parts == "test"][0]
    table.loc[one, "patient"] = table.loc[other, "patient"]
    told = checks.check_patients(replace(index, table=table), parts, one_each=False)

    assert told.verdict == "FAIL"
    assert [table.loc[other, "patient"]] == told.details["in_two_parts"]
    assert table.loc[other, "patient"] in told.finding


def test_unknown_patients_are_a_warning_unless_the_sheet_says_that_each_has_one_image(tasks, phantoms):
    index = read_index(tasks["PatchCam"], phantoms)
    told = verified(tasks["PatchCam"], phantoms)["patients"]
    stated = tasks["PatchCam"].model_copy(update={"counts": {"images": 40, "patients": 40}})

    assert told.verdict == "WARN"
    assert "patients unknown: split by image" in told.finding
    assert len(index.table) == told.details["patients"]
    assert verified(stated, phantoms)["patients"].verdict == "PASS"


def test_a_label_that_a_part_lacks_is_a_warning_where_it_is_scored(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    parts = assign_splits(index, tasks["TXC"].split)
    table = index.table.copy()
    table.loc[parts == "test", "TB"] = 0.0
    lacking = replace(index, table=table)
    told = checks.check_split(lacking, parts, "", None)

    assert told.verdict == "WARN"
    assert "no positive of TB in test" in told.finding
    assert told.details["parts"]["test"] == {"images": 8, "prevalence": {"TB": 0.0}}
    assert checks.check_split(lacking, parts, "", ("another",)).verdict == "PASS"
    assert checks.check_split(index, parts, "", None).verdict == "PASS"


def test_a_split_that_cannot_be_made_fails_alone(tasks, phantoms):
    official = tasks["PneumoniaCXR"].split
    told = verified(tasks["TXC"].model_copy(update={"split": official}), phantoms)

    assert {"split"} == {name for name, check in told.items() if check.verdict == "FAIL"}
    assert "the data set has no official splits" in told["split"].finding


def test_a_quick_look_opens_a_sample_spread_over_the_table(tasks, phantoms, monkeypatch):
    monkeypatch.setattr(verifying, "QUICK", 8)
    opened = []
    monkeypatch.setattr(
        scan, "read_image", lambda path, windows=None: opened.append(path.name) or pixels.read_image(path, windows)
    )
    told = verified(tasks["TXC"], phantoms, quick=True)
    images = [name.removeprefix("CXR_png/") for name in read_index(tasks["TXC"], phantoms).table["image"]]

    assert len(opened) == 8
    assert {images[0], images[-1]} < set(opened)
    assert max(np.diff(sorted(images.index(name) for name in opened))) <= 6
    assert "8 of 8 decode, a sample of 40" in told["images"].finding
    assert "of a sample of 40" in told["duplicates"].finding


def test_images_are_seen_in_their_order_with_few_ahead(tasks, phantoms):
    index = read_index(tasks["TXC"], phantoms)
    progress = []
    seen = scan.scan(index, range(40), windows=None, threads=3, progress=lambda *of: progress.append(of))

    assert list(range(40)) == [one.row for one in seen]
    assert [(done, 40) for done in range(1, 41)] == progress
    begun = []
    ahead = scan._in_order(lambda row: begun.append(row) or row, range(40), 2)
    next(ahead)
    ahead.close()
    assert len(begun) <= 2 * scan.AHEAD


def test_the_verb_prints_the_checks_and_writes_them_all(cli, workspace, tmp_path):
    file = tmp_path / "told" / "TXC.json"
    ran = cli("data", "verify", "TXC", "--threads", "2", "--json", str(file))
    told = json.loads(file.read_text())

    assert ran.code == 0, ran.text
    last = ran.out.strip().splitlines()[-1]
    assert f"TXC in {workspace.data / 'Shenzhen'}: 9 PASS, 0 WARN, 0 FAIL; 40 of 40 images opened" == last
    assert list(told) == ["format", "task", "version", "root", "phantom", "images", "looked_at", "checks"]
    assert list(CHECKS) == [check["name"] for check in told["checks"]]
    assert {"name", "verdict", "finding", "fix", "details"} == set(told["checks"][0])
    assert (told["images"], told["looked_at"], told["phantom"]) == (40, 40, True)


def test_twenty_unreadable_images_are_printed_and_all_are_written(cli, damaged, tmp_path):
    root = damaged("TXC")
    for image in sorted((root / "CXR_png").glob("*.png"))[:25]:
        image.write_bytes(image.read_bytes()[:100])
    file = tmp_path / "told.json"
    ran = cli("data", "verify", "TXC", "--data", str(root.parent), "--json", str(file))
    images = next(check for check in json.loads(file.read_text())["checks"] if check["name"] == "images")

    assert ran.code == 1
    assert sum(line.startswith(str(root)) for line in ran.out.splitlines()) == 20
    assert f"and 5 more unreadable images: {file} names all" in ran.text
    assert len(images["details"]["unreadable"]) == 25


def test_warnings_end_well(cli, damaged):
    root = damaged("TXC")
    (root / "other.png").write_bytes(b"")
    ran = cli("data", "verify", "TXC", "--data", str(root.parent), "--quick")

    assert ran.code == 0
    assert "8 PASS, 1 WARN, 0 FAIL" in ran.text


def test_a_folder_that_is_not_there_is_a_wrong_request(cli, tmp_path):
    missing = cli("data", "verify", "TXC", "--data", str(tmp_path))
    unknown = cli("data", "verify", "TXX")

    assert missing.code == 2
    assert "no folder Shenzhen/" in missing.err
    assert unknown.code == 2
    assert "did you mean TXC" in unknown.err


def test_a_folder_that_may_not_be_listed_is_one_line(tasks, phantoms, monkeypatch):
    def refuses(task, workspace):
        raise PermissionError(13, "Permission denied", str(workspace.data / task.root))

    monkeypatch.setattr(verifying, "index_of", refuses)
    with pytest.raises(BenchmarkError, match=r"TXC: .*Shenzhen: cannot be read \(Permission denied\)"):
        verified(tasks["TXC"], phantoms)


def test_an_interruption_ends_in_one_line(cli, monkeypatch, tmp_path):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(verifying, "scan", interrupted)
    ran = cli("data", "verify", "TXC", "--json", str(tmp_path / "told.json"))

    assert ran.code == 130
    assert ran.text == "interrupted: nothing was written, the same command begins anew"
    assert not (tmp_path / "told.json").exists()


def test_verifying_works_without_torch():

    ran = in_new_process("import benchmark.data.verify, sys; assert 'torch' not in sys.modules")

    assert ran.returncode == 0, ran.stderr


@pytest.mark.real
@pytest.mark.parametrize("name", ["TXC", "VFS-CHASE"])
def test_real_folders_do_not_fail(tasks, real_data, name):
    told = verified(tasks[name], real_data)

    assert not [check for check in told.values() if check.verdict == "FAIL"]
    assert told["duplicates"].verdict == "PASS"
    assert pd.Series({check.name: check.verdict for check in told.values()}).drop("index").isin(["PASS", "WARN"]).all()
