"""A suite's file is checked before anything runs, and by editors through its JSON schema."""

import json

import jsonschema
import pytest
import yaml
from conftest import CHECKOUT

from benchmark.experiment.suite_file import check_suite, suite_schema

SHIPPED = sorted((CHECKOUT / "tasks" / "suites").glob("*.yaml"))
MINE = {"name": "mine", "title": "which?", "models": "scratch:resnet18,scratch:resnet34", "tasks": "TXC"}


@pytest.fixture
def write_suite(tmp_path):
    def write(**fields):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(MINE | fields))
        return str(path)

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_suite_passes_the_check_and_the_schema(path, workspace):
    grid = check_suite(str(path), workspace)

    assert grid.models
    jsonschema.Draft202012Validator(suite_schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"models": "scratch:resnet18,swaw"}, "'swaw': did you mean swav"),
        ({"recipes": {"TXD": {}}}, "recipes: 'TXD' is not in the grid: did you mean TXC"),
        ({"recipe": {"image_sice": 96}}, "'image_sice': did you mean image_size"),
        ({"baseline": "imagenet"}, "baseline: 'imagenet' is not in the grid"),
        (
            {"overrides": [{"models": ["swav"], "protocol": "linear", "recipe": {}}]},
            "overrides: models: 'swav' is not in the grid",
        ),
        ({"pretrain": [{"name": "near", "start": "swaw", "task": "TXD"}]}, "pretrain near: no task 'TXD'"),
        ({"phantoms": {"TXD": {"num": 8, "size": 32}}}, "phantoms: 'TXD'"),
        ({"modells": "all"}, "unknown key 'modells': did you mean models"),
    ],
)
def test_what_a_run_would_refuse_or_pass_over_is_named(cli, write_suite, fields, said):
    ran = cli("suite", "check", write_suite(**fields))

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert said in ran.text


def test_encoders_that_the_suite_trains_first_need_not_exist(cli, write_suite):
    near = {"name": "near", "start": "scratch:resnet18", "task": "DXC14", "recipe": {"max_epochs": 1}}

    ran = cli("suite", "check", write_suite(models="near,scratch:resnet18", pretrain=[near], baseline="near"))

    assert "2 models, 1 task (TXC), 1 protocol, 10 seeds" in ran.out


@pytest.mark.parametrize("wrong", [{"recipe": {"schedule": "linear"}}, {"recipes": {"TXC": {"sice": 1}}}, {"foo": 1}])
def test_the_schema_knows_recipe_fields_and_their_values(cli, wrong):
    validator = jsonschema.Draft202012Validator(json.loads(cli("suite", "schema").out))

    assert validator.is_valid(MINE | {"recipe": {"schedule": "cosine", "image_size": 96}})
    assert not validator.is_valid(MINE | wrong)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_suites_file_may_stand_behind_the_verb(cli, write_suite, verb):
    path = write_suite(
        recipe={"image_size": 32, "max_epochs": 1, "test_crops": 1}, seeds="0,", models="scratch:resnet18"
    )

    assert "1 cell" in cli(verb, path).out
    assert "SUITE and --suite" in cli(verb, path, "--suite", "demo").err
