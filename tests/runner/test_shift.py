"""Distribution shift: a model that was trained on one task is judged on another, on the labels that the two share."""

import numpy as np
import pytest
import torch
from made_up import made_up_cell, made_up_record
from sklearn.metrics import accuracy_score, roc_auc_score

import benchmark as bm
from benchmark.cell import Shift
from benchmark.errors import BenchmarkError
from benchmark.experiment.preparation import prepare_grid
from benchmark.experiment.request import RunRequest
from benchmark.experiment.shift import read_shifts, shifts_to_run
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.registry import figure_specs, plot
from benchmark.reporting.frame import frame_of
from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.runner.shift import ShiftJudge
from benchmark.scoring.evaluate import scores_of
from benchmark.scoring.shared_labels import Outputs, judged_across
from benchmark.tasks.shift import shared_labels, with_shifts

NET = "scratch:test_resnet"
TINY = ["image_size=32", "train_resolution=64", "max_epochs=1", "batch_size=16"]


def cells_of(workspace, task, target, **options):
    prepared = prepare_grid(RunRequest.of(workspace, NET, task, settings=TINY, seeds="1", **options).grid())
    (cell,) = prepared.cells_to_run()
    return cell, read_shifts(target, prepared, allow_overlap=True)


def run(workspace, cells, **options):
    runner = Runner(workspace=workspace, device=torch.device("cpu"), **options)
    records = [record for _, record in runner.run_together(cells)]
    assert [record.status for record in records] == ["done"] * len(cells), records
    return records


def outputs(truth, score):
    return Outputs(
        ids=np.array([f"image {n}" for n in range(len(truth))]),
        groups={},
        columns=("MEL", "NEV", "BCC", "SEK"),
        score=np.asarray(score),
        labels=("BCC", "MEL", "NV", "DF"),
        truth=np.asarray(truth, dtype=float),
    )


PAIRS = (("BCC", "BCC"), ("MEL", "MEL"), ("NEV", "NV"))
RNG = np.random.default_rng(0)
SCORE = RNG.dirichlet(np.ones(4), size=40)
CLASS = RNG.integers(0, 4, size=40)


def test_exclusive_classes_are_renormalized_and_images_of_other_classes_left_out():
    predictions, num_left_out = judged_across(outputs(np.eye(4)[CLASS], SCORE), PAIRS, exclusive=True)

    kept = CLASS != 3
    probability = SCORE[kept][:, [2, 0, 1]] / SCORE[kept][:, [2, 0, 1]].sum(axis=1, keepdims=True)
    scores, _ = scores_of(predictions)
    assert num_left_out == (~kept).sum() > 0
    assert predictions.columns == ("BCC", "MEL", "NV")
    assert scores["accuracy"] == pytest.approx(accuracy_score(CLASS[kept], probability.argmax(axis=1)))
    expected = np.mean([roc_auc_score(CLASS[kept] == n, probability[:, n].astype("float32")) for n in range(3)])
    assert scores["mean_auc"] == pytest.approx(expected)


def test_labels_that_do_not_exclude_each_other_have_the_mean_of_their_aucs():
    truth = RNG.integers(0, 2, size=(40, 4)).astype(float)
    truth[0, 1] = np.nan

    predictions, num_left_out = judged_across(outputs(truth, SCORE), PAIRS, exclusive=False)

    labeled = np.arange(40) > 0
    expected = [
        roc_auc_score(truth[:, 0], SCORE[:, 2]),
        roc_auc_score(truth[labeled, 1], SCORE[labeled, 0]),
        roc_auc_score(truth[:, 2], SCORE[:, 1]),
    ]
    assert num_left_out == 0
    assert scores_of(predictions)[0]["mean_auc"] == pytest.approx(np.mean(expected))


def test_an_image_that_could_not_be_decoded_stays_without_a_truth():
    truth = np.eye(4)[CLASS]
    truth[5] = np.nan

    predictions, _ = judged_across(outputs(truth, SCORE), PAIRS, exclusive=True)

    assert np.isnan(predictions.truth).any(axis=1).sum() == 1
    assert "image 5" in predictions.ids


def test_shared_labels_are_those_with_one_word(tasks):
    cxr, five, isic, derm = (tasks[name] for name in ("DXC14", "CheXpert5", "Derm27-ISIC", "Derm27"))

    assert shared_labels(five, cxr, five.labels, cxr.labels) == (
        ("Atelectasis", "Atelectasis"),
        ("Cardiomegaly", "Cardiomegaly"),
        ("Pleural Effusion", "Effusion"),
        ("Consolidation", "Consolidation"),
        ("Edema", "Edema"),
    )
    assert shared_labels(derm, isic, ("BCC", "NEV", "MEL", "SEK"), isic.labels) == (
        ("MEL", "MEL"),
        ("NEV", "NV"),
        ("BCC", "BCC"),
    )
    with pytest.raises(BenchmarkError, match=r"share no label: CheXpert5 has Atelectasis, .*; NIHCXR4 has Fracture, "):
        shared_labels(five, tasks["NIHCXR4"], five.labels, tasks["NIHCXR4"].labels)
    with pytest.raises(BenchmarkError, match=r"share one class \(MEL\), wanted two"):
        shared_labels(derm, isic, ("MEL", "SEK"), isic.labels)


def test_what_cannot_be_judged_is_refused_before_anything_is_trained(workspace):
    prepared = prepare_grid(RunRequest.of(workspace, NET, "DXC14", settings=TINY, seeds="1").grid())
    frozen = prepare_grid(RunRequest.of(workspace, NET, "DXC14", protocol="linear", seeds="1").grid())

    left_out = read_shifts("NIHCXR4", prepared)

    assert left_out.shifts == {}
    assert "its training images are of NIHCXR4, ChestX-ray14 too" in left_out.notes[0]
    assert read_shifts("NIHCXR4", prepared, allow_overlap=True).shifts["DXC14"][0].labels == (
        ("Pneumothorax", "Pneumothorax"),
    )
    with pytest.raises(BenchmarkError, match="did you mean CheXpert5"):
        read_shifts("CheXpert", prepared)
    with pytest.raises(BenchmarkError, match="wanted one that trains on images"):
        read_shifts("CheXpert5", frozen)


@pytest.mark.parametrize(("task", "target"), [("CheXpert5", "DXC14"), ("Derm27-ISIC", "Lesions")])
def test_kept_weights_give_the_predictions_that_the_trained_model_gave(workspace, tmp_path, task, target):
    sheet = (workspace.project / "tasks" / "Derm27-ISIC.yaml").read_text()
    workspace.own_tasks.mkdir(parents=True)
    sheet = sheet.replace("name: Derm27-ISIC", "name: Lesions").replace("seed: 0", "seed: 1")  # the same images
    (workspace.own_tasks / "Lesions.yaml").write_text(sheet)
    cell, shifts = cells_of(workspace, task, target)
    (shifted,) = shifts.of(cell)
    at_once = Store(workspace.results)
    run(workspace, [cell, shifted], keep_weights=True)
    first, record = at_once.predictions(shifted), at_once.get(cell)

    assert "weights.safetensors" in record.files
    assert shifts_to_run(shifts, [cell], at_once, retry_failed=False).due == {}
    later = Store(tmp_path / "later")
    later.take(record, at_once)
    assert shifts_to_run(shifts, [cell], later, retry_failed=False).due == {cell.key: [shifted]}
    (judged,) = run(type(workspace)(**{**vars(workspace), "results": later.root}), [shifted])

    again = later.predictions(shifted)
    assert np.array_equal(again.score, first.score)
    assert judged.scores == at_once.get(shifted).scores
    assert judged.cell.source == cell
    assert f"trained on {task}, tested on {target} without further training: " in "; ".join(judged.notes)
    overlaps = f"overlap: {task}, which it was trained on, has images of this test split" in "; ".join(judged.notes)
    assert overlaps == (target == "Lesions")


def test_a_search_is_judged_by_the_recipe_that_it_chose(workspace):
    cell, shifts = cells_of(workspace, "CheXpert5", "DXC14", search=["learning_rate=1e-5,1e-2"])
    (shifted,) = shifts.of(cell)
    store = Store(workspace.results)
    run(workspace, [cell, shifted], keep_weights=True)
    first = store.predictions(shifted).score
    (store.folder(shifted) / "record.json").unlink()

    run(workspace, [shifted])

    assert np.array_equal(store.predictions(shifted).score, first)


def test_a_kill_between_training_and_judging_is_continued_without_training(workspace, monkeypatch, tmp_path):
    """The state of the training stays until the record of the source is written, which comes last."""
    cell, shifts = cells_of(workspace, "CheXpert5", "DXC14")
    (shifted,) = shifts.of(cell)
    events = []
    with monkeypatch.context() as patch:
        patch.setattr(ShiftJudge, "judge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(workspace, [cell, shifted])
    assert Store(workspace.results).get(cell) is None

    run(workspace, [cell, shifted], watch=lambda event: events.append(event["event"]))

    undisturbed = type(workspace)(**{**vars(workspace), "results": tmp_path / "undisturbed"})
    run(undisturbed, [cell, shifted])
    assert "epoch" not in events
    one, other = (Store(place.results).predictions(shifted).score for place in (workspace, undisturbed))
    assert np.array_equal(one, other)


def test_the_bars_show_a_model_on_the_shared_labels_of_both_tasks(tasks):
    shift = Shift(
        source="CheXpert5",
        task="DXC14",
        task_digest="2" * 16,
        data="phantom",
        data_digest="3" * 16,
        labels=(("Edema", "Edema"), ("Pleural Effusion", "Effusion")),
    )
    records = []
    for seed, (first, second) in enumerate([(0.8, 0.6), (0.9, 0.8)]):
        cell = made_up_cell(seed=seed, task="CheXpert5")
        of_labels = {"Edema": {"auc": first}, "Pleural Effusion": {"auc": first - 0.2}, "Atelectasis": {"auc": 0.1}}
        records.append(made_up_record(cell, scores={"mean_auc": 0.5}, per_label=of_labels))
        records.append(made_up_record(cell.shifted(shift), scores={"mean_auc": second}))
    known = with_shifts(tasks, [record.cell for record in records])
    data = ReportData(frame=frame_of(records, known), records={record.key: record for record in records}, tasks=known)

    table = plot(data, figure_specs({"shift": {"kind": "shift"}})["shift"]).table

    assert table["task"].unique().tolist() == ["CheXpert5-to-DXC14"]
    assert table["mean"].tolist() == pytest.approx([0.75, 0.7])
    assert table["sd"].tolist() == pytest.approx([np.std([0.7, 0.8], ddof=1), np.std([0.6, 0.8], ddof=1)])
    assert table["n"].tolist() == [2, 2]


@pytest.mark.slow
def test_the_command_line_judges_plans_and_reports_shifts(workspace, cli):
    grid = ["--models", NET, "--tasks", "CheXpert5", "--seeds", "2"]
    grid += [word for setting in TINY for word in ("--set", setting)]

    planned = cli("plan", *grid, "--evaluate-on", "DXC14", "--keep-weights")
    trained = cli("run", *grid)
    refused = cli("run", *grid, "--evaluate-on", "DXC14")
    none_shared = cli("run", *grid, "--evaluate-on", "NIHCXR4")
    store = Store(workspace.results)
    for record in store.records()[0]:
        (store.folder(record.cell) / "record.json").unlink()
    judged = cli("run", *grid, "--evaluate-on", "DXC14")

    assert "CheXpert5-to-DXC14" in planned.out
    assert "4 cells, 4 pending" in planned.text
    assert "MB for the weights of 2 pending cells" in planned.text
    assert trained.code == 0, trained.text
    assert refused.code == 1
    assert "2 cells of --evaluate-on cannot be judged: their models were trained before and not kept" in refused.text
    assert none_shared.code == 2
    assert "share no label" in none_shared.text
    assert judged.code == 0, judged.text
    frame = bm.load_results(workspace.results)
    assert dict(frame["task"].value_counts()) == {"CheXpert5": 2, "CheXpert5-to-DXC14": 2}
    assert frame["block"].nunique() == 2
    assert cli("report", "--tasks", "CheXpert5*").code == 0
    table = (workspace.results / "reports" / "CheXpert5+CheXpert5-to-DXC14" / "table.md").read_text()
    assert "trained on CheXpert5, tested on DXC14" in table
    assert (workspace.results / "reports" / "CheXpert5+CheXpert5-to-DXC14" / "shift.png").is_file()
    assert cli("judge", "--all").code == 0
    assert "ChestX-ray8" in cli("zoo", "cite", "--run").out
