"""Task sheets: the shipped ones agree with the record, a wrong one is told in one line."""

import pytest
import yaml
from conftest import CHECKOUT

from benchmark.data.registry import READERS
from benchmark.errors import BenchmarkError
from benchmark.experiment.suite import read_suite
from benchmark.tasks.registry import read_task

SHEET = {
    "name": "T",
    "version": 1,
    "title": "t",
    "reader": "shenzhen",
    "root": "R",
    "kind": "binary",
    "labels": ["TB"],
    "split": {"method": "random", "test": 0.2},
    "metric": "auc",
    "licence": "l",
    "cite": "c",
    "get": "g",
}


def sheet(folder, **changed):
    path = folder / "T.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**SHEET, **changed}.items() if v is not None}))
    return path


def test_every_shipped_task_names_a_reader_and_a_licence(tasks):
    for task in tasks.values():
        assert task.reader in READERS
        assert task.licence
        assert "http" in task.get


def test_the_fourteen_labels_stand_in_the_papers_order(tasks):
    assert tasks["DXC14"].labels[:3] == ("Atelectasis", "Cardiomegaly", "Effusion")
    assert tasks["DXC14"].labels[-2:] == ("Pleural_Thickening", "Hernia")
    assert len(tasks["DXC14"].labels) == 14


def test_recipes_are_those_of_appendix_b(tasks):
    """Hosseinzadeh Taher 2021, appendix B: learning rates, schedules, sizes."""
    recipes = {name: task.complete_recipe() for name, task in tasks.items()}

    for name in ("DXC14", "DXC5", "TXC"):
        assert (recipes[name].learning_rate, recipes[name].schedule, recipes[name].loss) == (2e-4, "plateau", "bce")
    for name in ("PXS", "LXS", "VFS", "VFS-CHASE"):
        assert (recipes[name].learning_rate, recipes[name].schedule) == (1e-3, "cosine")
    assert (recipes["DXC5"].max_epochs, recipes["DXC5"].early_stop) == (10, None)
    assert (recipes["DXC14"].image_size, recipes["PXS"].image_size, recipes["VFS"].image_size) == (224, 224, 512)
    assert (recipes["PXS"].loss, recipes["LXS"].loss, recipes["VFS"].loss) == ("dice", "dice", "bce")


def test_facts_may_be_corrected_without_orphaning_results(tmp_path):
    before = read_task(sheet(tmp_path)).digest

    assert read_task(sheet(tmp_path, licence="another", cite="better", title="clearer")).digest == before
    assert read_task(sheet(tmp_path, version=2)).digest != before
    assert read_task(sheet(tmp_path, split={"method": "random", "test": 0.3})).digest != before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"lables": ["TB"]}, "unknown key 'lables': did you mean labels"),
        ({"reader": None}, "key 'reader' is missing"),
        ({"kind": "regression"}, "kind.*'binary'.*found 'regression'"),
        ({"metric": "aucs"}, "metric 'aucs' of a binary task: did you mean auc"),
        ({"metric": "exam_auc_max"}, "needs `exam`"),
        ({"kind": "multiclass", "labels": ["A"]}, "two classes or more, one is listed"),
        ({"kind": "ordinal", "labels": []}, "lists its labels in their order"),
        ({"commonest": 3}, "commonest is for multiclass tasks that list no labels"),
        ({"windows": [[400, 40], [700, 100]]}, "windows: wanted one .grey. or three"),
        ({"recipe": {"loss": "ce", "sampling": "oversample", "framing": "whole"}}, "leaves no crops to cut"),
        ({"kind": "multiclass", "metric": None, "labels": ["A", "B"], "recipe": {"loss": "bce"}}, "wanted ce"),
        (
            {"kind": "multilabel", "metric": None, "labels": ["A", "B"], "recipe": {"sampling": "oversample"}},
            "sampling=oversample is for",
        ),
        ({"scored": ["Edema"]}, "scored 'Edema' is not among the labels"),
        ({"unscored": ["Edema"]}, "unscored 'Edema' is not among the labels"),
        ({"scored": ["TB"], "unscored": ["TB"]}, "scored and unscored: wanted one of them"),
        ({"unscored": ["TB"]}, "unscored leaves no label to score"),
        ({"labels": ["A", "B"]}, "a binary task has one label, 2 are listed"),
        ({"kind": "multilabel", "labels": ["A", "A"]}, "a label is listed twice"),
        ({"split": {"method": "random"}}, "a random split needs `test`"),
        ({"split": {"method": "official", "test": 0.2}}, "an official one has none"),
        ({"recipe": {"learnin_rate": 1}}, "did you mean learning_rate"),
        ({"recipe": {"loss": "dice"}}, "loss=dice is for segmentation"),
        ({"recipe": {"augmentation": "fundus-segmentation"}}, "is for segmentation"),
        ({"name": "Other"}, "the file of that task is Other.yaml"),
    ],
)
def test_a_wrong_sheet_is_told_in_one_line(tmp_path, changed, told):
    with pytest.raises(BenchmarkError, match=told) as fault:
        read_task(sheet(tmp_path, **changed))

    assert str(fault.value).startswith(str(tmp_path / "T.yaml"))
    assert "\n" not in str(fault.value)


def test_a_sheet_that_is_no_yaml_is_told(tmp_path):
    (tmp_path / "T.yaml").write_text("name: [unclosed")

    with pytest.raises(BenchmarkError, match="not YAML"):
        read_task(tmp_path / "T.yaml")


def test_exact_pixels_are_refused_for_segmentation(tasks):
    with pytest.raises(BenchmarkError, match="PXS is a segmentation task: pixels=exact is for classification"):
        tasks["PXS"].complete_recipe(settings=("pixels=exact",))


@pytest.mark.parametrize("task", ["PatchCam", "PatchCam-H5", "APTOS", "PneumoniaCXR", "NIHCXR4"])
def test_the_second_papers_tasks_train_by_its_appendix(tasks, task):
    """Truong 2021, appendix B.1 and B.2: 30 epochs at least and 50 at most, rates cut to a tenth; one crop for the test."""
    recipe = tasks[task].complete_recipe()

    assert (recipe.learning_rate, recipe.batch_size, recipe.test_crops) == (1e-3, 64, 1)
    assert (recipe.min_epochs, recipe.max_epochs, recipe.early_stop) == (30, 50, 10)
    assert (recipe.schedule, recipe.plateau_factor, recipe.plateau_patience) == ("plateau", 0.1, 5)


@pytest.mark.parametrize("name", ["taher2021", "truong2021", "azizi2021"])
def test_the_papers_suites_draw_first_weights_as_the_papers_do(tasks, name):
    suite = read_suite(name, CHECKOUT / "tasks" / "suites")
    layers = [{}, *suite.recipes.values(), *(override.recipe for override in suite.overrides)]

    recipes = [tasks[name].complete_recipe(suite.recipe, layer) for name in suite.tasks.split(",") for layer in layers]

    assert {recipe.initialization for recipe in recipes} == {"torchvision"}
