"""The main job on phantoms, as a user gives it: run, continue, amend, plan, status, report; and what goes wrong."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark import __version__
from benchmark.cell import THREADS
from benchmark.results.store import Store

TINY = ("--set", "image_size=32", "--set", "train_resolution=64", "--set", "max_epochs=2")
MODELS = "scratch:test_efficientnet,scratch:test_resnet"


def records(workspace):
    return Store(workspace.results).records()[0]


@pytest.fixture
def own_data(phantoms, tmp_path, monkeypatch):
    """A copy of the phantoms that a test may damage, taken as the data folder."""

    def copied():
        shutil.copytree(phantoms, tmp_path / "data")
        monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))
        return tmp_path / "data"

    return copied


@pytest.mark.slow
def test_the_main_job_runs_continues_amends_and_reports(cli, workspace):
    first = cli("run", "--models", MODELS, "--tasks", "TXC,PXS", "--seeds", "1", *TINY)
    again = cli("run", "--models", MODELS, "--tasks", "TXC,PXS", "--seeds", "1", *TINY)
    more = cli("run", "--models", MODELS, "--tasks", "TXC,PXS", "--seeds", "2", *TINY, "--workers", "2")

    assert (first.code, again.code, more.code) == (0, 0, 0)
    assert "4 of 4 cells done" in first.text
    assert "4 cells: 0 to run, 4 done before" in again.text
    assert "8 cells: 4 to run, 4 done before" in more.text
    assert len(records(workspace)) == 8
    for record in records(workspace):
        assert record.status == "done"
        assert record.epochs_trained == 2
        assert record.cell.data == "phantom"
        assert record.images_per_second > 0
        assert record.peak_memory_gb > 0
        assert {"torch", "timm", "device", "threads"} <= set(record.environment)
        assert [line["epoch"] for line in record.history] == [1, 2]
        assert len(Store(workspace.results).predictions(record.cell).ids) == record.num_examples["test"]

    plan = cli("plan", "--models", MODELS, "--tasks", "TXC", "--seeds", "4", *TINY)
    assert "8 cells, 4 pending, about" in plan.text
    status = cli("status")
    assert status.code == 0
    assert "scratch:test_resnet 2" in status.text
    report = cli("report", "--tasks", "TXC,PXS", "--baseline", "scratch:test_resnet")
    assert report.code == 0
    folder = workspace.results / "reports" / "PXS+TXC"
    assert sorted(path.name for path in folder.iterdir()) == [
        "cells.csv",
        *(
            f"{name}.{kind}"
            for name in ("curves", "differences", "epochs", "groups")
            for kind in ("csv", "png", "svg", "txt")
        ),
        "matrix.csv",
        "report.html",
        *(f"seeds.{kind}" for kind in ("csv", "png", "svg", "txt")),
        "table.csv",
        "table.md",
        "table.tex",
    ]
    table = pd.read_csv(folder / "table.csv")
    assert table["n"].tolist() == [2] * 4
    assert table["p"].notna().sum() == 2
    assert "PHANTOM IMAGES" in (folder / "table.md").read_text()


@pytest.mark.slow
def test_an_unreadable_image_fails_its_cells_and_no_other(cli, own_data, workspace):
    root = own_data() / "Shenzhen" / "CXR_png"
    victim = sorted(root.iterdir())[18]  # none of those whose bytes stand for the whole in the data's digest
    victim.write_bytes(victim.read_bytes()[:200])

    ran = cli("run", "--models", "scratch:test_resnet", "--tasks", "TXC,VFS-CHASE", "--seeds", "1", *TINY)

    assert ran.code == 1
    by_task = {record.cell.task: record for record in records(workspace)}
    assert by_task["VFS-CHASE"].status == "done"
    assert by_task["TXC"].status == "failed"
    assert str(victim) in by_task["TXC"].error
    assert "unreadable image" in by_task["TXC"].error
    assert "failed: TXC · scratch:test_resnet · seed 0" in ran.text

    again = cli("run", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "1", *TINY)
    assert (again.code, "0 to run, 1 failed before" in again.text) == (1, True)
    shutil.copy(workspace.data / "Shenzhen" / "CXR_png" / victim.name, victim)
    mended = cli("run", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "1", *TINY, "--retry-failed")
    assert mended.code == 0
    done = next(record for record in records(workspace) if record.cell.task == "TXC")
    assert (done.status, done.attempt) == ("done", 2)


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_failed_record_with_its_reason(cli, workspace):
    ran = cli(
        "run", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "1", *TINY, "--set", "learning_rate=1e30"
    )

    (record,) = records(workspace)
    assert (ran.code, record.status) == (1, "failed")
    assert "loss became" in record.error
    assert "epoch" in record.error


@pytest.mark.slow
def test_a_mask_of_another_size_is_a_failed_record(cli, own_data, workspace):
    from PIL import Image

    path = next((own_data() / "CHASE_DB1").glob("*_1stHO.png"))
    Image.open(path).resize((20, 20)).save(path)

    cli("run", "--models", "scratch:test_resnet", "--tasks", "VFS-CHASE", "--seeds", "1", *TINY)

    (record,) = records(workspace)
    assert "the mask is 20 x 20 but its image is" in record.error


@pytest.mark.slow
def test_an_encoder_is_made_registered_and_used(cli, workspace):
    """Classification first, then segmentation from it, then both as models of a grid."""
    one = cli(
        "pretrain", "supervised", "--from", "scratch:test_efficientnet", "--task", "TXC", "--name", "chest", *TINY
    )
    two = cli("pretrain", "supervised", "--from", "chest", "--task", "VFS-CHASE", "--name", "chest-fundus", *TINY)
    taken = cli(
        "pretrain", "supervised", "--from", "scratch:test_efficientnet", "--task", "PXS", "--name", "chest", *TINY
    )
    verified = cli("zoo", "verify")
    ran = cli("run", "--models", "chest,chest-fundus", "--tasks", "PXS", "--seeds", "1", *TINY)

    assert (one.code, two.code, ran.code, verified.code) == (0, 0, 0, 0)
    assert taken.code == 2
    assert "an entry 'chest' already" in taken.text
    shown = cli("zoo", "show", "chest-fundus").text
    assert "made_by:" in shown
    assert "Shenzhen (phantom)" in shown
    assert "family: in-domain" in shown, "it never saw other images"
    for parent in ("TXC''s images: free for use with citation", "; VFS-CHASE''s images: CC BY 4.0"):
        assert parent in shown
    # a U-Net trains no final convolution: those tensors stay fresh, by name, and the account says what share did not
    (last,) = [record for record in records(workspace) if record.cell.model == "chest-fundus"]
    assert 0 < last.weights_account[0]["share"] < 1
    assert last.weights_account[0]["fresh"]
    again = cli(
        "pretrain", "supervised", "--from", "scratch:test_efficientnet", "--task", "TXC", "--name", "chest", *TINY
    )
    assert again.code == 0, "made by the same cell: nothing to do"


@pytest.mark.slow
def test_exact_pixels_bf16_and_fractions_are_cells_of_their_own(cli, workspace):
    settings = [
        ("--set", "pixels=exact"),
        ("--set", "precision=bf16"),
        ("--fraction", "0.5"),
        ("--set", "augmentation=none"),
        ("--set", "loss=ce"),
        ("--set", "test_crops=1"),
        ("--set", "input=native"),
        ("--set", "schedule=cosine"),
    ]
    for setting in settings:
        ran = cli("run", "--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "1", *TINY, *setting)
        assert ran.code == 0, ran.text

    keys = {record.key: record for record in records(workspace)}
    assert len(keys) == len(settings)
    halved = next(record for record in keys.values() if record.cell.fraction == 0.5)
    assert halved.num_examples == {"train": 14, "validation": 3, "test": 8}


@pytest.mark.slow
def test_official_splits_and_fields_of_view_reach_the_scores(cli, workspace):
    ran = cli("run", "--models", "scratch:test_resnet", "--tasks", "VFS,DXC14", "--seeds", "1", *TINY)

    assert ran.code == 0
    by_task = {record.cell.task: record for record in records(workspace)}
    assert by_task["VFS"].num_examples == {"train": 3, "validation": 1, "test": 4}
    named = {
        "dice_per_image",
        "dice_per_image:mask_observer2",
        "dice_per_image:mask in field of view",
        "dice_per_image:mask_observer2 in field of view",
    }
    assert named <= set(by_task["VFS"].scores)
    assert len(by_task["DXC14"].per_label) == 14
    unscored = [label for label, scores in by_task["DXC14"].per_label.items() if scores["auc"] is None]
    assert not unscored or any("no AUC for" in note for note in by_task["DXC14"].notes)


@pytest.mark.slow
def test_out_of_memory_halves_the_micro_batch_and_says_so(workspace, tasks, monkeypatch):
    """A device that takes four images at a time: the real loop, runner and record, an encoder that refuses more."""
    from workers import cell_of

    from benchmark.models.networks import Classifier
    from benchmark.runner.runner import Runner

    forward = Classifier.forward

    def refusing(self, images):
        if self.training and len(images) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", refusing)
    cell = cell_of(workspace, tasks["TXC"], max_epochs=2, batch_size=16)

    record = Runner(workspace=workspace, device=torch.device("cpu")).run(cell)

    assert record.status == "done"
    # 29 images: batches of 16 and 13; pieces of 4 and, at the second's end, of 5
    assert any("each batch of 16 was taken 2 images at a time" in note for note in record.notes)


def test_missing_data_and_weights_are_told_in_one_line(cli, monkeypatch):
    """The command of the brief, without data or network."""
    monkeypatch.delenv("BENCHMARK_DATA")

    ran = cli("run", "--models", "all", "--tasks", "DXC14,PXS")

    assert ran.code == 2
    assert ran.err.count("\n") == 1
    for told in (
        "BENCHMARK_DATA is not set",
        "ChestX-ray14/ for DXC14",
        "SIIM-ACR/ for PXS",
        "weights of 21 of 22 models",
        "benchmark zoo fetch",
    ):
        assert told in ran.err


def test_every_missing_data_set_is_told_at_once(cli, workspace, tmp_path):
    (tmp_path / "empty").mkdir()

    ran = cli("run", "--models", "scratch", "--tasks", "TXC,VFS", "--data", str(tmp_path / "empty"))

    assert ran.code == 2
    assert "TXC: no folder Shenzhen/" in ran.err
    assert "VFS: no folder DRIVE/" in ran.err
    assert not workspace.results.exists(), "nothing is written for a wrong request"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "--models", "imagent", "--tasks", "TXC"), "no model 'imagent': did you mean imagenet"),
        (("run", "--models", "scratch:resnet51", "--tasks", "TXC"), "did you mean resnet5"),
        (("run", "--models", "scratch", "--tasks", "TCX"), "no task 'TCX': did you mean TXC"),
        (("run", "--models", "scratch", "--tasks", "TXC", "--set", "imagesize=3"), "did you mean image_size"),
        (("run", "--models", "scratch", "--tasks", "TXC", "--seeds", "x"), "wanted a count"),
        (("run", "--models", "scratch", "--tasks", "TXC", "--fraction", "0"), "wanted shares above 0"),
        (("run", "--models", "scratch"), "name --models and --tasks"),
        (("run", "--suite", "dmeo"), "no suite 'dmeo': did you mean demo"),
        (("run", "--wrokers", "2"), "--wrokers"),
        (("report", "--tasks", "TXC"), "no finished cell"),
        (("zoo", "show", "swaw"), "did you mean swav"),
        (("zoo", "fetch", "swav", "--offline"), "forbids fetching"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_request_is_one_line_and_exit_code_2(cli, arguments, told):
    ran = cli(*arguments)

    assert ran.code in ((1,) if arguments[:2] == ("zoo", "fetch") else (2,))
    assert told in ran.text


def test_status_without_results_says_what_to_do(cli):
    assert "nothing was run" in cli("status").text


def test_zoo_add_takes_a_file_and_refuses_a_stray_tensor(cli, tmp_path):
    import timm

    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    torch.save(state, tmp_path / "good.pth")
    torch.save({**state, "queue": torch.zeros(3)}, tmp_path / "stray.pth")
    named = ("--architecture", "test_resnet", "--naming", "timm")

    good = cli("zoo", "add", str(tmp_path / "good.pth"), "--name", "good", *named)
    stray = cli("zoo", "add", str(tmp_path / "stray.pth"), "--name", "stray", *named)
    absent = cli("zoo", "add", str(tmp_path / "absent.pth"), "--name", "absent", *named)

    assert (good.code, stray.code, absent.code) == (0, 2, 2)
    assert "100.0% of the parameters of test_resnet" in good.text
    assert " + queue (3,): test_resnet has no such tensor" in stray.text
    assert "no such file" in absent.text
    listed = cli("zoo", "list").text
    assert "good" in listed
    assert "stray" not in listed


@pytest.mark.parametrize(("device", "said"), [
    ("gpu", "--device gpu: wanted auto, cpu, cuda or cuda:N"),
    ("mps", "--device mps: wanted auto, cpu, cuda or cuda:N"),
    ("cuda:64", "--device cuda:64: "),
])  # fmt: skip
def test_a_device_that_is_not_there_refuses_the_request_and_leaves_no_record(cli, workspace, device, said):
    run = ("--models", "scratch:test_resnet", "--tasks", "TXC", "--seeds", "1", "--device", device)
    ran = cli("run", *run)
    pretrained = cli(
        "pretrain", "supervised", "--from", "scratch:test_resnet", "--task", "TXC", "--name", "x", *run[-2:]
    )

    for one in (ran, pretrained):
        assert one.code == 2
        assert said in one.text
    assert records(workspace) == []


@pytest.mark.slow
def test_numbers_do_not_depend_on_how_many_workers_there_are(cli, tmp_path):
    """Two cells one after the other, and side by side: the same bits."""
    asked = ("run", "--models", "scratch:resnet18", "--tasks", "TXC", "--seeds", "2", *TINY)

    alone = cli(*asked, "--workers", "1", "--results", str(tmp_path / "alone"))
    together = cli(*asked, "--workers", "2", "--results", str(tmp_path / "together"))

    assert (alone.code, together.code) == (0, 0)
    one, other = (Store(tmp_path / name) for name in ("alone", "together"))
    for record in one.records()[0]:
        again = other.get(record.cell)
        assert again.history == record.history
        assert np.array_equal(other.predictions(record.cell).score, one.predictions(record.cell).score)
        assert record.environment["threads"] == again.environment["threads"] == str(THREADS)


def test_warnings_of_libraries_are_shown_with_debug_alone(cli, monkeypatch):
    def warning(_):
        import warnings

        warnings.simplefilter("always")
        warnings.warn("a library's own business", RuntimeWarning, stacklevel=1)
        return {}

    monkeypatch.setattr("benchmark.tasks.registry.known_tasks", warning)
    monkeypatch.setenv("BENCHMARK_DEBUG", "")  # taken back afterwards: --debug sets it for all that follows

    assert "own business" not in cli("tasks", "list").text
    assert "own business" in cli("--debug", "tasks", "list").text


def test_the_version_is_told_without_a_verb(cli):
    assert cli("--version").out.strip() == __version__
