"""Grids: which cells there are, in which order, and how long they may take."""

import pytest
import yaml
from made_up import SCRATCH, made_up_cell, made_up_record

from benchmark.data.registry import read_index
from benchmark.errors import BenchmarkError
from benchmark.experiment.estimate import seconds_of
from benchmark.experiment.grid import TaskRun, cells_of, weights_of
from benchmark.experiment.plan import plan_rows
from benchmark.experiment.suite import read_suite
from benchmark.recipe import Recipe
from benchmark.results.store import Store
from benchmark.zoo.catalog import InputStatistics, ZooEntry, scratch


@pytest.fixture
def grid(workspace, tasks):
    indexes = {name: read_index(tasks[name], workspace.data) for name in ("TXC", "PXS")}
    chosen = [TaskRun(task=tasks[name], recipe=tasks[name].complete_recipe()) for name in indexes]
    models = [[(scratch("resnet18"), "")], [(scratch("resnet34"), "")]]
    return cells_of(models, chosen, indexes, [0, 1, 2]), indexes


def test_a_grid_is_models_by_tasks_by_seeds_seed_by_seed(grid):
    cells, _ = grid

    assert len({cell.key for cell in cells}) == 2 * 2 * 3
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4 + [2] * 4
    assert {cell.data for cell in cells} == {"phantom"}


def test_a_plan_tells_what_is_done_failed_and_pending(grid, tasks, tmp_path):
    cells, indexes = grid
    store = Store(tmp_path)
    store.put(made_up_record(cells[0]), None)
    store.put(made_up_record(cells[4], status="failed", error="no"), None)

    rows = {(row.task, row.model): row for row in plan_rows(cells, indexes, tasks, store)}

    row = rows["TXC", "scratch:resnet18"]
    assert (row.done, row.failed, [cell.seed for cell in row.pending]) == (1, 1, [2])
    assert row.images == (29, 3, 8)
    assert len(rows["PXS", "scratch:resnet34"].pending) == 3
    assert rows["PXS", "scratch:resnet34"].hours is None


def test_an_estimate_is_seconds_per_image_times_images_and_epochs():
    """The record: 20 s for 5 epochs of 100 images, 1 s for 5 of 10, 5 s for a test of 50."""
    asked, record = made_up_cell(seed=1), made_up_record(made_up_cell())

    assert seconds_of(asked, (200, 20, 100), [record]) == pytest.approx(
        5 * (20 / 500 * 200 + 1 / 50 * 20) + 5 / 50 * 100
    )


def test_an_estimate_takes_the_cap_where_nothing_stopped_by_the_same_rules():
    record = made_up_record(made_up_cell(recipe=Recipe(max_epochs=2)))

    assert seconds_of(made_up_cell(recipe=Recipe(max_epochs=7)), (100, 10, 50), [record]) == pytest.approx(7 * 4.2 + 5)


def test_an_estimate_of_steps_is_of_their_images_and_one_of_a_search_of_all_its_candidates():
    """3,000 steps of 8 are 100 epochs of 240 images; at 0.04 s an image, and 0.02 s of each of 10 for validation."""
    recipe = Recipe(max_steps=3000, batch_size=8, learning_rate=0.1)
    searched = made_up_cell(recipe=recipe, search={"learning_rate": (0.1, 0.2, 0.3)})
    record = made_up_record(made_up_cell())

    once = 100 * (0.04 * 240 + 0.02 * 10)
    assert seconds_of(made_up_cell(recipe=recipe), (100, 10, 50), [record]) == pytest.approx(once + 5)
    assert seconds_of(searched, (100, 10, 50), [record]) == pytest.approx(3 * once + 5)


@pytest.mark.parametrize(
    "other", [{"recipe": Recipe(image_size=96)}, {"weights": SCRATCH.model_copy(update={"architecture": "resnet34"})}]
)
def test_another_size_or_architecture_is_no_basis(other):
    assert seconds_of(made_up_cell(), (100, 10, 50), [made_up_record(made_up_cell(**other))]) is None


def test_input_statistics_follow_the_recipe():
    own = InputStatistics(mean=(0, 0, 0), std=(1, 1, 1))
    entry = ZooEntry(
        name="simclr",
        family="ssl",
        architecture="resnet50",
        container="torch",
        naming="plain",
        licence="l",
        cite="c",
        input=own,
    )

    assert weights_of(entry, "ab", Recipe()).mean == (0.485, 0.456, 0.406)
    assert weights_of(entry, "ab", Recipe(input="native")).mean == (0, 0, 0)


def test_the_shipped_suites_read_and_name_what_exists(workspace, tasks):
    for path in (workspace.project / "tasks" / "suites").glob("*.yaml"):
        suite = read_suite(path.stem, path.parent)
        assert suite.name == path.stem
        assert set(suite.phantoms) | set(suite.recipes) | {step.task for step in suite.pretrain} <= set(tasks)
        for name in suite.recipes:
            tasks[name].complete_recipe(suite.recipe, suite.recipes[name])


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"modles": "all"}, "did you mean models"), ({"phantoms": {"TXC": {"num": 0, "size": 64}}}, "phantoms.TXC.num")],
)
def test_a_wrong_suite_is_told_in_one_line(tmp_path, changed, told):
    sheet = {"name": "s", "title": "t", "models": "all", "tasks": "all", **changed}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(sheet))

    with pytest.raises(BenchmarkError, match=told):
        read_suite("s", tmp_path)
    with pytest.raises(BenchmarkError, match="no suite 'demos'"):
        read_suite("demos", tmp_path)
