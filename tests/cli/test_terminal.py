"""What is the same for every verb: help, names, JSON, completion."""

import json

import pytest
from typer.main import get_command

from benchmark.cli.completion import (
    complete_fields,
    complete_models,
    complete_protocols,
    complete_suites,
    complete_tasks,
)
from benchmark.cli.main import app


def verbs(command, path=()):
    for name, member in getattr(command, "commands", {}).items():
        yield from verbs(member, (*path, name))
    if path and not getattr(command, "commands", {}):
        yield path, command


VERBS = dict(verbs(get_command(app)))


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_says_what_it_does_and_what_its_options_mean(path):
    command = VERBS[path]

    first = (command.help or "").split()[0]
    assert first[0].isupper()
    assert not first.endswith("s"), f"help begins with a verb: {first}"
    for parameter in command.params:
        assert parameter.help or parameter.name == "help", parameter.name
        assert "[default" not in (parameter.help or ""), "rich takes it for markup"


def test_help_is_short_too(cli):
    assert cli("zoo", "list", "-h").out == cli("zoo", "list", "--help").out


def test_lists_are_json_for_other_programs(cli):
    entries, tasks = (json.loads(cli(noun, "list", "--json").out) for noun in ("zoo", "tasks"))

    assert {entry["name"]: entry["file"] for entry in entries}.keys() >= {"imagenet", "swav"}
    assert next(entry["file"] for entry in entries if entry["name"] == "scratch") == "fresh weights"
    assert next(task["metric"] for task in tasks if task["name"] == "TXC") == "auc"
    assert json.loads(cli("status", "--json").out)["counts"] == []


@pytest.mark.parametrize(
    ("models", "named_tasks", "said"),
    [
        (
            "imagent,swaw",
            "TCX",
            ["'imagent': did you mean imagenet", "'swaw': did you mean swav", "'TCX': did you mean"],
        ),
        ("resnet50", "TXC", ["no model 'resnet50': an architecture with random weights is scratch:resnet50"]),
        ("weights/my net.pth", "TXC", ["`benchmark zoo add 'weights/my net.pth' --name NAME`"]),
    ],
)
def test_every_wrong_name_is_told_at_once_with_what_was_meant(cli, models, named_tasks, said):
    ran = cli("plan", "--models", models, "--tasks", named_tasks)

    assert ran.code == 2
    assert ran.err.count("\n") == 1
    for text in said:
        assert text in ran.err


def test_names_are_completed_at_the_end_of_a_list():
    assert complete_models("imagenet,swa") == ["imagenet,swav"]
    assert "TXC" in complete_tasks("T")
    assert complete_suites("dem") == ["demo"]
    assert complete_protocols("linear,log") == ["linear,logistic"]
    assert complete_fields("image_s") == ["image_size="]
