"""What a command line may ask for: protocols, fusions, portions, sweeps, a suite's overrides; and what it may not."""

import re

import pytest
import yaml

from benchmark.errors import BenchmarkError
from benchmark.experiment.groups import MAX_GROUP, group_cells
from benchmark.experiment.preparation import check_splits, read_indexes
from benchmark.experiment.request import RunRequest
from benchmark.experiment.selection import read_portions, read_sweep
from benchmark.experiment.suite import read_suite
from benchmark.protocols.registry import PROTOCOLS, incompatibility
from benchmark.recipe import Recipe
from benchmark.results.store import Store

ONE, TWO = "scratch:resnet18", "scratch:resnet34"


def cells_of(workspace, models, tasks, **asked):
    grid = RunRequest.of(workspace, models, tasks, **{"seeds": "1", **asked}).grid()
    return grid.cells(read_indexes(grid))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_every_protocol_says_what_trains_and_changes_known_fields_alone(protocol):
    assert protocol.train or protocol.train_together
    assert protocol.title
    assert {*protocol.recipe, *protocol.unused} <= Recipe.model_fields.keys()
    assert not protocol.train_together or protocol.frozen, "cells are trained together on features alone"


def test_protocols_are_listed_by_their_rank():
    assert list(PROTOCOLS)[:4] == ["finetune", "linear", "logistic", "knn"]


@pytest.mark.parametrize(("text", "wanted"), [
    (("0.01,0.1,1", None), [(0.01, None), (0.1, None), (1.0, None)]),
    ((None, "S, 500,F"), [(1.0, "S"), (1.0, "500"), (1.0, "F")]),
    ((None, None), [(1.0, None)]),
    (("0.5,0.5", None), [(0.5, None)]),
])  # fmt: skip
def test_fractions_and_subsets_are_lists(text, wanted):
    assert read_portions(*text) == wanted


@pytest.mark.parametrize(("text", "said"), [
    (("0,1", None), "above 0, up to 1, found '0'"),
    (("2", None), "up to 1, found '2'"),
    (("x", None), "found 'x'"),
    (("1", "S"), "wanted one of them"),
    ((None, " , "), "names no size"),
])  # fmt: skip
def test_a_wrong_portion_is_one_line(text, said):
    with pytest.raises(BenchmarkError, match=said):
        read_portions(*text)


def test_sweeps_are_all_combinations_and_want_two_values():
    assert read_sweep([]) == [()]
    assert read_sweep(["a=1,2", "b=3,4"]) == [("a=1", "b=3"), ("a=1", "b=4"), ("a=2", "b=3"), ("a=2", "b=4")]
    for wrong in ("a", "a=1", "a="):
        with pytest.raises(BenchmarkError, match="wanted NAME=A,B"):
            read_sweep([wrong])


def test_a_sweep_makes_cells_of_their_own(workspace):
    cells = cells_of(workspace, ONE, "TXC", protocol="linear", sweep=["learning_rate=0.1,0.01"], folds=2)

    assert len({cell.key for cell in cells}) == 2 * 2
    assert {cell.recipe.learning_rate for cell in cells} == {0.1, 0.01}


def test_two_names_of_one_size_are_one_cell(workspace):
    """S of APTOS is 50 images, F all of them."""
    cells = cells_of(workspace, ONE, "APTOS", subsets="S,50,F")

    assert [cell.subset for cell in cells] == [50, None]


def test_a_fusions_encoders_are_in_one_order_however_they_are_named(workspace):
    one, other = (cells_of(workspace, name, "TXC", protocol="dvme") for name in (f"{TWO}+{ONE}", f"{ONE} + {TWO}"))

    assert one[0].key == other[0].key
    assert one[0].model == f"{ONE}+{TWO}"


@pytest.mark.parametrize(("models", "protocol", "task", "said"), [
    (ONE, "dvme", "TXC", "fuses encoders: wanted two or more joined by"),
    (f"{ONE}+{TWO}", "linear", "TXC", "takes one encoder"),
    (f"{ONE}+{TWO}", "dvme", "PXS", "a segmentation needs maps"),
    (ONE, "logistic", "PXS", "wanted finetune or linear"),
    (ONE, "lineal", "TXC", "no protocol 'lineal': did you mean linear"),
    (f"{ONE}+{ONE}", "dvme", "TXC", "two different encoders or more"),
    (f"{ONE}+nothing", "dvme", "TXC", "no model 'nothing'"),
])  # fmt: skip
def test_a_combination_that_makes_no_sense_is_refused_with_the_reason(workspace, models, protocol, task, said):
    with pytest.raises(BenchmarkError) as refused:
        cells_of(workspace, models, task, protocol=protocol)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("setting", ["test_crops=10", "augmentation=crop-flip-rotate"])
def test_features_that_would_have_to_be_computed_anew_are_refused(workspace, setting):
    with pytest.raises(BenchmarkError, match="computes each image's features once"):
        cells_of(workspace, ONE, "TXC", protocol="linear", settings=[setting])


def test_of_several_protocols_each_model_is_asked_by_those_that_take_it(workspace):
    cells = cells_of(workspace, f"{ONE},{ONE}+{TWO}", "TXC", protocol="linear,finetune,dvme")

    assert {(cell.model, cell.protocol) for cell in cells} == {
        (ONE, "linear"), (ONE, "finetune"), (f"{ONE}+{TWO}", "dvme"),
    }  # fmt: skip
    assert incompatibility("dvme", "binary", ONE)
    assert not incompatibility("dvme-finetune", "binary", f"{ONE}+{TWO}")


def test_a_protocols_recipe_is_its_own_and_what_is_set_goes_before_it(workspace):
    usual, changed = (
        cells_of(workspace, ONE, "TXC", protocol="linear", settings=settings)[0].recipe
        for settings in ([], ["learning_rate=0.5"])
    )

    assert (usual.learning_rate, usual.batch_size, usual.min_epochs, usual.max_epochs) == (1e-3, 64, 30, 50)
    assert (usual.plateau_factor, usual.plateau_patience, usual.early_stop) == (0.1, 5, 10)
    assert changed.learning_rate == 0.5
    decoder = cells_of(workspace, ONE, "PXS", protocol="linear")[0].recipe
    assert decoder == cells_of(workspace, ONE, "PXS")[0].recipe


def test_a_subset_that_the_training_part_has_not_is_refused_before_anything_runs(workspace, cli):
    cells = cells_of(workspace, ONE, "APTOS", subsets="500", folds=2)
    grid = RunRequest.of(workspace, ONE, "APTOS").grid()
    indexes = read_indexes(grid)

    (line,), notes = check_splits(cells, indexes, {task.name: task for task in grid.tasks})

    assert line.startswith("APTOS: a subset of 500 images is asked for, the training split has 1")
    assert notes == []
    ran = cli("run", "--models", ONE, "--tasks", "APTOS", "--subsets", "500", "--folds", "2", "--seeds", "1")
    assert (ran.code, "a subset of 500 images" in ran.text) == (2, True)
    assert not list(workspace.results.glob("cells/*"))


def test_training_images_of_one_class_are_refused_before_anything_runs(workspace, cli):
    ran = cli("run", "--models", ONE, "--tasks", "TXC", "--fractions", "0.001", "--seeds", "3")

    assert ran.code == 2
    assert len(re.findall("TXC: all 1 training images are of one class", ran.text)) == 1
    assert not list(workspace.results.glob("cells/*"))


def test_each_seed_draws_a_fraction_of_its_own_to_be_checked(workspace):
    cells = cells_of(workspace, ONE, "APTOS", fractions="0.1", seeds="4")
    grid = RunRequest.of(workspace, ONE, "APTOS").grid()

    _, notes = check_splits(cells, read_indexes(grid), {task.name: task for task in grid.tasks})

    assert notes
    assert all(re.search(r"\(in [1-4] of 4 splits\)$", note) for note in notes)


def test_a_part_without_a_class_is_told_by_plan_and_by_the_record(workspace, cli):
    """Forty phantoms of five grades: neither four images nor three for validation can have all."""
    line = r"the validation split has no image of [^;]+; other splits have some"
    asked = ["--models", ONE, "--tasks", "APTOS", "--seeds", "1", "--set", "image_size=32", "--set", "max_epochs=1"]

    planned = cli("plan", *asked, "--folds", "8")
    ran = cli("run", *asked)

    assert re.search(rf"APTOS: {line} \(in \d of 8 splits\)", planned.text)
    assert re.search(f"APTOS: {line}", ran.text)
    ((record,), _) = Store(workspace.results).records()
    assert re.search(line, " ".join(record.notes))


def test_heads_of_one_encoder_are_put_together_and_nothing_else(workspace):
    tasks = {task.name: task for task in RunRequest.of(workspace, ONE, "TXC,APTOS,PXS").grid().tasks}
    asked = {"seeds": "2", "folds": 2, "sweep": ["learning_rate=0.1,0.01"]}
    cells = cells_of(workspace, ONE, "TXC,APTOS", protocol="linear", **asked)
    others = cells_of(workspace, ONE, "PXS", protocol="linear") + cells_of(
        workspace, ONE, "TXC", protocol="knn,finetune"
    )

    made = group_cells(cells + others, tasks)

    assert sorted(len(bundle) for bundle in made) == [1, 1, 1, 4, 4, 4, 4]  # fresh weights are each seed's own
    assert [cell.key for bundle in made for cell in bundle if len(bundle) == 1] == [cell.key for cell in others]
    many = [cells[0].model_copy(update={"fold": 0, "folds": 9, "subset": number + 1}) for number in range(150)]
    assert [len(bundle) for bundle in group_cells(many, tasks)] == [MAX_GROUP, 150 - MAX_GROUP]


def test_a_suite_names_protocols_sizes_folds_and_what_some_models_change(workspace, tmp_path):
    path = tmp_path / "own.yaml"
    grid = {"name": "own", "title": "own", "models": f"{ONE},{TWO}", "tasks": "APTOS", "seeds": "1"}
    grid |= {"protocol": "finetune,linear", "subsets": "S,F", "folds": 2}
    grid["overrides"] = [{"models": [TWO], "protocol": "finetune", "recipe": {"learning_rate": 0.5}}]
    path.write_text(yaml.safe_dump(grid))

    cells = cells_of(workspace, None, None, suite=str(path))

    assert len(cells) == 2 * 2 * 2 * 2
    changed = {(cell.model, cell.protocol) for cell in cells if cell.recipe.learning_rate == 0.5}
    assert changed == {(TWO, "finetune")}
    assert {cell.subset for cell in cells_of(workspace, None, None, suite=str(path), fractions="1")} == {None}


def test_the_second_papers_suite_asks_what_its_tables_do(workspace):
    suite = read_suite("truong2021", workspace.project / "tasks" / "suites")
    wish = RunRequest.of(workspace, None, "APTOS,NIHCXR4", suite="truong2021", subsets="20,F")
    grid = wish.grid()
    cells = grid.cells(read_indexes(grid))

    assert {cell.protocol for cell in cells} == {"linear", "finetune", "dvme", "dvme-no-attention"}
    assert len(cells) == 2 * 2 * 5 * (5 + 5 + 1 + 1)
    assert {cell.recipe.min_epochs for cell in cells} == {30}
    rates = {cell.recipe.learning_rate for cell in cells if cell.model == "dino" and cell.protocol == "finetune"}
    assert rates == {1e-4}
    tokens = {w.features for cell in cells if cell.protocol != "finetune" for w in cell.weights if w.name == "dino"}
    assert tokens == {"class-tokens-4"}
    assert set(suite.figures) >= {"2", "D1", "D2", "F1"}
