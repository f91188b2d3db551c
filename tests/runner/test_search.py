"""Searching recipe fields on the validation part; and cells that seeds or fields would only copy."""

import numpy as np
import pytest
import torch
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_record

from benchmark.errors import BenchmarkError
from benchmark.experiment.groups import group_cells
from benchmark.experiment.preparation import read_indexes
from benchmark.experiment.request import RunRequest
from benchmark.experiment.selection import read_search
from benchmark.recipe import Recipe
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.kinds.sweep import SweepCurves
from benchmark.reporting.figures.registry import plot
from benchmark.reporting.frame import frame_of
from benchmark.reporting.sweeps import sweep_table, sweeps_of
from benchmark.reporting.table_writers import markdown_of
from benchmark.reporting.tables import summary
from benchmark.results.record import SearchTrial
from benchmark.results.store import Store
from benchmark.runner.runner import Runner
from benchmark.runner.search import choose

NET = "scratch:test_resnet"
TINY = ("image_size=32", "train_resolution=64", "max_epochs=3", "min_epochs=1")


def cells_of(workspace, **asked):
    settings = [*TINY, *asked.pop("settings", ())]
    grid = RunRequest.of(
        workspace, asked.pop("models", NET), asked.pop("tasks", "TXC"), settings=settings, **asked
    ).grid()
    return grid, grid.cells(read_indexes(grid))


def run(workspace, watch=lambda _: None, **asked):
    grid, cells = cells_of(workspace, **asked)
    runner = Runner(workspace=workspace, device=torch.device("cpu"), watch=watch)
    records = {}
    for bundle in group_cells(cells, {task.name: task for task in grid.tasks}):
        for cell, record in runner.run_together(bundle):
            assert record.status == "done", record.traceback
            records[cell.key] = record
    return [records[cell.key] for cell in cells]


def predicted(workspace, record):
    return Store(workspace.results).predictions(record.cell).score


@pytest.mark.parametrize(("protocol", "rates"), [("finetune", "1e-5,1e-2"), ("linear", "1e-4,1e-2,1")])
def test_the_candidate_with_the_best_validation_score_is_judged_and_no_other(workspace, protocol, rates):
    """The reference is a plain cell of each rate: same trainings, and the chosen one's test to the last bit."""
    plain = run(workspace, protocol=protocol, seeds="2", sweep=[f"learning_rate={rates}"])

    searches = run(workspace, protocol=protocol, seeds="2", search=[f"learning_rate={rates}"])

    assert len(searches) == 2
    for record in searches:
        alike = [one for one in plain if one.cell.seed == record.cell.seed]
        best = max(alike, key=lambda one: (one.validation["auc"], -min(e["validation_loss"] for e in one.history)))
        assert [trial.score for trial in record.search] == [one.validation["auc"] for one in alike]
        (chosen,) = [trial.settings for trial in record.search if trial.chosen]
        assert chosen == {"learning_rate": best.cell.recipe.learning_rate}
        assert record.scores == best.scores
        assert np.array_equal(predicted(workspace, record), predicted(workspace, best))
        assert record.history == best.history


def test_an_interrupted_search_continues_and_ends_bit_equal(workspace, tmp_path):
    asked = {"seeds": "1", "search": ["learning_rate=1e-5,1e-3,1e-2"]}
    (whole,) = run(workspace, **asked)
    lines = []

    def interrupt(event):
        if event["event"] == "epoch":
            lines.append(event)
            if len(lines) == 5:  # in the second candidate's second epoch
                raise KeyboardInterrupt

    elsewhere = type(workspace)(**{**vars(workspace), "results": tmp_path / "interrupted"})
    with pytest.raises(KeyboardInterrupt):
        run(elsewhere, interrupt, **asked)
    again = []
    (resumed,) = run(elsewhere, again.append, **asked)

    epochs = [event for event in again if event["event"] == "epoch"]
    assert len(epochs) == 3 * 3 - 5, "what was trained is not trained again"
    assert resumed.search == whole.search
    assert np.array_equal(predicted(elsewhere, resumed), predicted(workspace, whole))


def test_the_rule_prefers_score_then_loss_then_order():
    def trial(score, loss, error=""):
        return SearchTrial(settings={}, score=score, loss=loss, error=error)

    assert choose([trial(0.7, 0.1), trial(0.8, 0.9)]) == 1
    assert choose([trial(0.8, 0.9), trial(0.8, 0.1)]) == 1
    assert choose([trial(0.8, 0.1), trial(0.8, 0.1)]) == 0
    assert choose([trial(None, None, "diverged"), trial(None, 0.5)]) == 1
    assert choose([trial(None, None, "diverged")]) is None


def test_a_search_is_a_cell_of_its_own_and_its_order_does_not_matter(workspace):
    _, (one,) = cells_of(workspace, seeds="1", search=["learning_rate=1e-3,1e-2", "batch_size=4,8"])
    _, (other,) = cells_of(workspace, seeds="1", search=["batch_size=4,8,learning_rate=1e-3,1e-2"])
    _, (plain,) = cells_of(workspace, seeds="1", settings=["learning_rate=1e-3", "batch_size=4"])

    assert one.key == other.key != plain.key
    assert one.recipe == plain.recipe
    assert len(one.candidates()) == 4


def test_ranges_of_exponents_and_no_decay_can_be_searched():
    assert read_search(["learning_rate=log:-3:-1:3,weight_decay=0,1e-4"]) == {
        "learning_rate": (0.001, 0.01, 0.1),
        "weight_decay": (None, 0.0001),
    }


@pytest.mark.parametrize(("text", "said"), [
    ("learning_rate", "wanted NAME=A,B"),
    ("learning_rate=1e-3", "wanted NAME=A,B"),
    ("learning_rate=1e-3,0.001", "two different values"),
    ("learning_rate=log:1:2", "wanted log:LOW:HIGH:NUM"),
    ("rate=1,2", "recipe has no field 'rate'"),
    ("learning_rate=fast,slow", "learning_rate: found 'fast'"),
])  # fmt: skip
def test_a_wrong_search_is_one_line(text, said):
    with pytest.raises(BenchmarkError, match=said):
        read_search([text])


@pytest.mark.parametrize("protocol", ["logistic", "knn"])
def test_seeds_that_change_nothing_make_one_cell(workspace, protocol, monkeypatch):
    """Fixed weights, all images: every seed would give the same answer. Folds and drawn subsets are other questions."""
    from benchmark.experiment import grid as grids

    monkeypatch.setattr(grids, "find_weight_file", lambda *_: type("File", (), {"sha256": "ab" * 32})())
    asked = {"models": "imagenet", "protocol": protocol, "settings": []}

    def seeds(**more):
        _, cells = cells_of(workspace, **{**asked, **more})
        return [(cell.seed, cell.fold) for cell in cells]

    assert seeds(seeds="3") == [(0, None)]
    assert seeds(seeds="4,7") == [(0, None)]
    assert seeds(seeds="2", folds=2) == [(0, 0), (0, 1)]
    assert len(seeds(seeds="3", subsets="12")) == 3
    assert len(seeds(seeds="3", models=NET)) == 3
    assert len(seeds(seeds="3", protocol="linear")) == 3


def test_a_field_that_a_protocol_does_not_use_makes_no_cells_and_is_named(workspace, cli):
    grid, cells = cells_of(
        workspace, protocol="knn", seeds="1", sweep=["learning_rate=0.1,0.01"], settings=["max_epochs=7"]
    )
    _, usual = cells_of(workspace, protocol="knn", seeds="1", settings=[])
    told = cli("plan", "--models", NET, "--tasks", "TXC", "--protocol", "linear,knn", "--seeds", "1",
               "--search", "learning_rate=0.1,0.01")  # fmt: skip

    assert [cell.key for cell in cells] == [usual[0].key]
    assert "knn does not use learning_rate, max_epochs, min_epochs" in " ".join(grid.notes)
    assert "2 cells, 2 pending" in told.text
    assert "knn does not use learning_rate: no other cells for it" in told.text


def read_sweep(values, scores, validations, search=None, weights=None):
    """Records of one model, two seeds each, in a sweep of the learning rate."""
    records = []
    for value, score, validation in zip(values, scores, validations, strict=True):
        for seed in range(2):
            cell = made_up_cell(weights or IMAGENET, seed, recipe=Recipe(learning_rate=value), search=search)
            facts = {"validation": {"auc": validation + seed / 1000}}
            records.append(made_up_record(cell, score + seed / 1000, **facts))
    return records


def test_a_sweep_is_one_table_of_validation_beside_test_with_the_chosen_value_marked(tasks):
    """The best test score, of the first rate, is not what validation chooses."""
    records = read_sweep([1e-4, 1e-3, 1e-2], [0.95, 0.90, 0.80], [0.85, 0.88, 0.70])
    by_key = {record.key: record for record in records}
    frame = frame_of(records, tasks)

    (sweep,) = sweeps_of(frame, by_key)
    text = markdown_of(sweep_table(sweep, summary(frame, "imagenet")))

    assert sweep.fields == ("learning_rate",)
    assert "| imagenet | 0.0001 | 85.05 ± 0.07 | 95.05 ± 0.07 | 2 |" in text
    assert "|  | **0.001** | **88.05 ± 0.07 ✓** | **90.05 ± 0.07** | **2** |" in text
    assert text.count("✓**") == 1
    assert "would be choosing on the test set" in text


def test_tables_that_differ_in_more_than_a_sweep_stay_apart(tasks):
    one = made_up_record(made_up_cell(IMAGENET, recipe=Recipe(learning_rate=1e-3, image_size=96)))
    other = made_up_record(made_up_cell(IMAGENET, recipe=Recipe(learning_rate=1e-4)))
    third = made_up_record(made_up_cell(SCRATCH, recipe=Recipe(learning_rate=1e-3)))

    for records in ([one, other], [other, third]):
        by_key = {record.key: record for record in records}
        assert sweeps_of(frame_of(records, tasks), by_key) == []


def test_sweeps_and_searches_are_drawn_with_every_number_in_the_table(tasks):
    records = read_sweep([1e-4, 1e-3, 1e-2], [0.95, 0.90, 0.80], [0.85, 0.88, 0.70])
    search = {"learning_rate": (1e-4, 1e-3), "weight_decay": (None, 1e-4)}
    trials = [
        SearchTrial(
            settings={"learning_rate": rate, "weight_decay": decay}, score=0.8 + 0.01 * n, loss=0.3, chosen=n == 2
        )
        for n, (rate, decay) in enumerate((r, d) for r in search["learning_rate"] for d in search["weight_decay"])
    ]
    cells = [made_up_cell(IMAGENET, seed, recipe=Recipe(learning_rate=1e-4), search=search) for seed in range(3)]
    records += [made_up_record(cell, 0.9, search=trials) for cell in cells]
    material = ReportData(frame=frame_of(records, tasks), records={r.key: r for r in records}, baseline="imagenet")

    figure = plot(material, SweepCurves())

    assert figure.table["searched"].tolist() == [False] * 3 + [True] * 4
    assert figure.table.loc[figure.table["chosen"], "validation"].tolist() == pytest.approx([0.8805, 0.82])
    assert figure.table["test"].dropna().tolist() == pytest.approx([0.9505, 0.9005, 0.8005])
    assert "chooses nothing" in figure.caption


def test_nothing_swept_is_one_line(tasks):
    records = [made_up_record(made_up_cell())]
    material = ReportData(frame=frame_of(records, tasks), records={records[0].key: records[0]}, baseline="x")

    with pytest.raises(BenchmarkError, match="nothing was swept or searched"):
        plot(material, SweepCurves())
