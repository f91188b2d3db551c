"""`benchmark data prepare | split`, `benchmark tasks check | add | remove`, subsets, folds and submissions, as a user
gives them.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark.data.phantoms import folder as phantom
from benchmark.data.phantoms.drawing.lesion import skin
from benchmark.data.phantoms.files import write_image
from benchmark.results.store import Store
from benchmark.runner.records import Unreadable

TINY = ("--set", "image_size=32", "--set", "max_epochs=1", "--set", "batch_size=8")
MODEL = ("--models", "scratch:test_resnet", "--seeds", "1")


def records(workspace):
    return Store(workspace.results).records()[0]


def test_prepare_tells_the_size_first_and_run_uses_what_it_built(cli, workspace):
    planned = cli("data", "prepare", "TXC", "--set", "image_size=32", "--dry-run")
    built = cli("data", "prepare", "TXC", "--set", "image_size=32")
    caches = sorted(path.name for path in workspace.pixels.iterdir() if path.is_dir())

    assert "TXC: 29 images, short side 512: about 0.00 GB" in planned.text
    assert "TXC: 11 images, square 37: about 0.00 GB" in planned.text
    assert built.code == 0
    assert len(caches) == 2
    assert cli("run", "--tasks", "TXC", *MODEL, *TINY).code == 0
    assert caches == sorted(path.name for path in workspace.pixels.iterdir() if path.is_dir())


def test_prepare_says_where_nothing_is_kept(cli):
    assert "decoded anew each time: there is nothing to prepare" in cli("data", "prepare", "ECC").text


def test_one_cache_serves_all_folds(cli, workspace):
    built = cli("data", "prepare", "TXC", "--set", "image_size=32", "--folds", "3")
    caches = sorted(path.name for path in workspace.pixels.iterdir() if path.is_dir())
    ran = cli("run", "--tasks", "TXC", *MODEL, *TINY, "--folds", "3")

    assert (built.code, ran.code) == (0, 0)
    assert sorted(record.cell.fold for record in records(workspace)) == [0, 1, 2]
    assert caches == sorted(path.name for path in workspace.pixels.iterdir() if path.is_dir())


def test_a_split_is_written_with_its_hash_counts_and_prevalence(cli, tmp_path):
    ran = cli("data", "split", "TXC", "--out", str(tmp_path))
    table = pd.read_csv(tmp_path / "TXC.split.csv", dtype=str)
    told = json.loads((tmp_path / "TXC.split.json").read_text())

    assert ran.code == 0
    assert list(table.columns) == ["id", "patient", "part"]
    assert {part: its["images"] for part, its in told["parts"].items()} == table["part"].value_counts().to_dict()
    in_test = table[table["part"] == "test"]["id"].str.endswith("_1").mean()
    assert told["parts"]["test"]["prevalence"]["TB"] == pytest.approx(in_test)
    assert told["phantom"] is True
    assert told["sha256"][:16] in ran.text


def test_a_given_split_is_used_until_it_is_forgotten(cli, workspace, tmp_path):
    cli("data", "split", "TXC", "--out", str(tmp_path))
    table = pd.read_csv(tmp_path / "TXC.split.csv", dtype=str)
    swapped = table.assign(part=table["part"].map({"test": "train", "train": "test", "validation": "validation"}))
    swapped.iloc[2:].to_csv(tmp_path / "mine.csv", index=False)

    assert cli("data", "split", "TXC", "--use", str(tmp_path / "mine.csv")).code == 0
    mine = cli("run", "--tasks", "TXC", *MODEL, *TINY)
    assert "split by your own TXC.csv" in mine.text
    assert "2 examples not named there left out" in mine.text
    assert cli("data", "split", "TXC", "--forget").code == 0
    cli("run", "--tasks", "TXC", *MODEL, *TINY)

    by_split = {tuple(record.num_examples.values()): record.cell.data_digest for record in records(workspace)}
    assert len(by_split) == len(set(by_split.values())) == 2
    counts = swapped.iloc[2:]["part"].value_counts()
    assert (counts["train"], counts["validation"], counts["test"]) in by_split


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(part="holdout"), "row 2: found the split 'holdout': wanted train, validation, test"),
        (lambda t: pd.concat([t, t.head(1)]), "1 example listed twice"),
        (lambda t: t.assign(id="x" + t["id"]), "40 examples of it are not in TXC"),
        (lambda t: t.rename(columns={"part": "fold"}), "no column part; found id, patient, fold"),
        (lambda t: t[t["part"] != "test"], "leave none for test"),
    ],
)
def test_a_wrong_split_is_refused_and_not_kept(cli, workspace, tmp_path, change, told):
    cli("data", "split", "TXC", "--out", str(tmp_path))
    change(pd.read_csv(tmp_path / "TXC.split.csv", dtype=str)).to_csv(tmp_path / "mine.csv", index=False)

    ran = cli("data", "split", "TXC", "--use", str(tmp_path / "mine.csv"))

    assert ran.code == 2
    assert told in ran.text
    assert not workspace.own_splits.exists()


def test_a_subset_trains_on_as_many_of_each_class_and_its_table_says_so(cli, workspace):
    ran = cli("run", "--tasks", "APTOS", *MODEL, *TINY, "--subset", "10")
    report = cli("report", "--tasks", "APTOS")

    assert ran.code == 0
    (record,) = records(workspace)
    assert record.num_examples["train"] == record.cell.subset == 10
    assert "10 training images" in report.text


def test_named_subsets_are_the_tasks_and_all_is_everything(cli, workspace):
    everything = cli("plan", "--tasks", "APTOS", *MODEL, "--subset", "F")
    unknown = cli("plan", "--tasks", "APTOS", *MODEL, "--subset", "XL")

    assert "29 / 3 / 8" in everything.text
    assert unknown.code == 2
    assert "--subset XL: wanted a number of training images, or one of S, M, F" in unknown.text
    assert cli("plan", "--tasks", "APTOS", *MODEL, "--subset", "5", "--fraction", "0.5").code == 2
    assert records(workspace) == []


def test_folds_are_runs_of_one_cell_in_the_table(cli, workspace):
    ran = cli("run", "--tasks", "PneumoniaCXR", *MODEL, *TINY, "--folds", "2", "--subset", "6")
    report = cli("report", "--tasks", "PneumoniaCXR")
    rows = pd.read_csv(workspace.results / "reports" / "PneumoniaCXR" / "table.csv")

    assert ran.code == 0
    assert "2 folds" in report.text
    assert rows["n"].tolist() == [2]


def test_a_challenges_secret_test_is_predicted_and_written_as_it_wants_it(cli, workspace):
    ran = cli("run", "--tasks", "APTOS,PatchCam", *MODEL, *TINY)
    report = cli("report", "--tasks", "APTOS,PatchCam", "--submission")
    folder = workspace.results / "reports" / "APTOS+PatchCam"
    grades = pd.read_csv(next(folder.glob("submission-APTOS-*.csv")), dtype={"id_code": str})
    patches = pd.read_csv(next(folder.glob("submission-PatchCam-*.csv")), dtype={"id": str})

    assert (ran.code, report.code) == (0, 0)
    wanted = pd.read_csv(workspace.data / "APTOS2019" / "test.csv", dtype=str)
    assert sorted(grades["id_code"]) == sorted(wanted["id_code"])
    assert set(grades["diagnosis"]) <= {0, 1, 2, 3, 4}
    test_patches = {path.stem for path in (workspace.data / "histopathologic-cancer-detection" / "test").iterdir()}
    assert set(patches["id"]) == test_patches
    assert patches["label"].between(0, 1).all()


def test_no_submission_where_every_image_has_a_label(cli):
    cli("run", "--tasks", "TXC", *MODEL, *TINY)

    refused = cli("report", "--tasks", "TXC", "--submission")

    assert refused.code == 2
    assert "no cell here predicted images without labels" in refused.text


def test_slices_that_cannot_be_decoded_are_left_out_counted_and_named(cli, workspace, tmp_path, monkeypatch):
    shutil.copytree(
        workspace.data / "rsna-str-pulmonary-embolism-detection",
        tmp_path / "data" / "rsna-str-pulmonary-embolism-detection",
    )
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))
    slices = sorted((tmp_path / "data").rglob("*.dcm"))
    for file in slices[5:8]:
        file.write_bytes(file.read_bytes()[:900])

    assert cli("run", "--tasks", "ECC", *MODEL, *TINY).code == 0

    (record,) = records(workspace)
    (note,) = [note for note in record.notes if "decoded" in note]
    assert note.startswith("3 images could not be decoded and were left out: ")
    assert slices[5].name in note
    assert {"auc", "exam_auc_max", "exam_auc_top10"} <= set(record.scores)
    predicted = Store(workspace.results).predictions(record.cell)
    assert set(predicted.groups) == {"patient", "study", "series"}


def test_what_could_not_be_decoded_is_remembered_over_an_interruption(tmp_path):
    """A resumed training opens the test part again, and of the training part nothing."""
    file = tmp_path / "unreadable.json"
    Unreadable(file, lambda: {"train/a.dcm": "cut off"}).collect()

    assert Unreadable(file, dict).collect() == {"train/a.dcm": "cut off"}
    assert set(Unreadable(file, lambda: {"test/b.dcm": "empty"}).collect()) == {"train/a.dcm", "test/b.dcm"}


def test_a_cache_leaves_out_what_cannot_be_decoded_where_the_task_says_so(cli, workspace, tmp_path, monkeypatch):
    """A user's own task that is cached."""
    root = own_tree(tmp_path / "data" / "skin")
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))
    broken = min((root / "dark").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    strict, tolerant = own_sheet(tmp_path / "a", name="Strict"), own_sheet(tmp_path / "b", unreadable="leave out")
    for sheet in (strict, tolerant):
        shutil.copy(sheet, workspace.own_tasks) if workspace.own_tasks.is_dir() else shutil.copytree(
            sheet.parent, workspace.own_tasks
        )

    failed = cli("run", "--tasks", "Strict", *MODEL, *TINY)
    ran = cli("run", "--tasks", "Skin", *MODEL, *TINY)

    assert (failed.code, ran.code) == (1, 0)
    assert "unreadable image" in failed.text
    record = next(record for record in records(workspace) if record.cell.task == "Skin")
    assert any(note.startswith("1 image could not be decoded") and broken.name in note for note in record.notes)


def own_tree(root):
    """A folder per class: light and dark lesions. Its images are marked as phantoms, and so is the folder."""
    rng = np.random.default_rng(0)
    with phantom.marked(root, "folders", phantom.PhantomSpec(num=24, size=32)):
        for number in range(24):
            place = root / ("dark" if number % 2 else "light") / f"{number:03d}.png"
            write_image(place, skin(rng, 32, number % 2, 0.3))
    return root


def own_sheet(folder, **changed):
    folder.mkdir()
    sheet = {
        "name": "Skin",
        "reader": "folders",
        "root": "skin",
        "kind": "multiclass",
        "split": {"method": "random", "test": 0.25, "validation": 0.2},
    }
    path = folder / f"{changed.get('name', 'Skin')}.yaml"
    path.write_text(yaml.safe_dump({**sheet, **changed}))
    return path


def test_a_users_own_task_is_checked_kept_run_and_reported(cli, workspace, tmp_path, monkeypatch):
    own_tree(tmp_path / "data" / "skin")
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))
    sheet = own_sheet(tmp_path / "mine")

    checked = cli("tasks", "check", str(sheet))
    assert checked.code == 0
    assert "dark 50.0 %, light 50.0 %" in checked.text
    assert cli("run", "--tasks", "Skin", *MODEL, *TINY).code == 2, "checking keeps nothing"

    assert cli("tasks", "add", str(sheet)).code == 0
    assert "Skin" in cli("tasks", "list").text
    assert "reader: folders" in cli("tasks", "show", "Skin").text
    assert cli("run", "--tasks", "Skin", *MODEL, *TINY).code == 0
    assert "accuracy" in cli("report", "--tasks", "Skin").text
    (record,) = records(workspace)
    assert {"accuracy", "mean_sensitivity", "mean_auc"} <= set(record.scores)

    assert cli("tasks", "remove", "Skin").code == 0
    assert "Skin" not in cli("tasks", "list").text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"reader": "folder"}, "no reader 'folder': did you mean folders"),
        ({"root": "skins"}, "no folder skins/ in"),
        ({"kind": "multiclas"}, "found 'multiclas'"),
        ({"layout": {"parts": {"train": "training"}}}, "training"),
        ({"metric": "acuracy"}, "metric 'acuracy' of a multiclass task: did you mean accuracy"),
    ],
)
def test_a_wrong_sheet_of_ones_own_is_one_line_and_not_kept(cli, workspace, tmp_path, monkeypatch, changed, told):
    own_tree(tmp_path / "data" / "skin")
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))

    added = cli("tasks", "add", str(own_sheet(tmp_path / "mine", **changed)))

    assert added.code == 2
    assert told in added.text
    assert not workspace.own_tasks.exists()


def test_an_own_task_may_not_take_a_shipped_name(cli, tmp_path, monkeypatch):
    own_tree(tmp_path / "data" / "skin")
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))

    added = cli("tasks", "add", str(own_sheet(tmp_path / "mine", name="TXC")))

    assert added.code == 2
    assert "the project has a task TXC already" in added.text


def test_subgroup_scores_stand_in_the_report(cli, workspace):
    cli("run", "--tasks", "Derm27", *MODEL, *TINY)
    cli("report", "--tasks", "Derm27")
    groups = pd.read_csv(workspace.results / "reports" / "Derm27" / "groups.csv")

    assert {"skin_type", "age"} <= set(groups["group"])
    assert set(groups["metric"]) == {"accuracy"}
    by_type = groups[groups["group"] == "skin_type"]
    (record,) = records(workspace)
    predicted = Store(workspace.results).predictions(record.cell)
    assert by_type["num_examples"].sum() == len(set(predicted.groups["case"]))
