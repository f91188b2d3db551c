"""What is the same for every verb: help, names, JSON, completion."""

import json
import os
import re
import subprocess
import sys

import pytest
from made_up import made_up_cell
from typer.main import get_command

from benchmark.api.grid_progress import GridProgress
from benchmark.api.progress import Lines
from benchmark.cli.completion import (
    complete_fields,
    complete_models,
    complete_protocols,
    complete_suites,
    complete_tasks,
)
from benchmark.cli.console import PlainConsole, table_of
from benchmark.cli.main import app
from benchmark.errors import BenchmarkError


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


def test_a_data_sets_own_folder_is_not_the_data_folder(cli, workspace):
    folder = workspace.data / "Shenzhen"

    ran = cli("plan", "--models", "scratch:resnet18", "--tasks", "TXC", "--data", str(folder))

    assert ran.code == 2
    assert f"give its parent folder, {workspace.data}" in ran.err


def test_names_are_completed_at_the_end_of_a_list():
    assert complete_models("imagenet,swa") == ["imagenet,swav"]
    assert "TXC" in complete_tasks("T")
    assert complete_suites("dem") == ["demo"]
    assert complete_protocols("linear,log") == ["linear,logistic"]
    assert complete_fields("image_s") == ["image_size="]


@pytest.mark.parametrize(
    ("options", "some", "none"),
    [
        (("zoo", "list", "--family", "ssl"), ["swav", "moco-v1"], ["imagenet", "scratch"]),
        (("zoo", "list", "--license", "mit"), ["pcl-v1"], ["imagenet"]),
        (("zoo", "list", "--max-parameters", "22"), ["dino"], ["imagenet"]),  # ViT-S/8 has 21.7 million, ResNet-50 23.5
        (("tasks", "list", "--kind", "segmentation"), ["VFS", "PXS"], ["TXC"]),
        (("tasks", "list", "--license", "cc by"), ["Derm27"], ["DXC14"]),
        (("tasks", "list", "--max-images", "662"), ["TXC", "VFS"], ["DXC14", "PXS", "NIHCXR4"]),
    ],
    ids=" ".join,
)
def test_lists_are_filtered(cli, options, some, none):
    names = {row["name"] for row in json.loads(cli(*options, "--json").out)}

    assert names >= set(some)
    assert not names & set(none)


def test_a_filter_by_an_unknown_family_suggests_a_known_one(cli):
    ran = cli("zoo", "list", "--family", "sssl")

    assert (ran.code, "did you mean ssl" in ran.err) == (2, True)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_name_in_a_table_is_broken_at_any_width(width, capsys):
    names = ["scratch:mobilenetv2_100", "convnext_tiny.fb_in22k", "https://zenodo.org/records/17627332"]
    table = table_of("model", "architecture", "source", "note", prose=["note"], optional=["source"])
    for name in names:
        table.add_row(name, names[1], names[2], "a note of several words that may be broken between any two of them")

    PlainConsole(width=width).print(table)

    printed = capsys.readouterr().out
    shown = names if width in (20, 40, 200) else names[:2]
    assert all(printed.count(name) >= 1 for name in shown)
    assert ("left out" in printed) == (width == 80)
    assert width < 80 or max(len(line.rstrip()) for line in printed.splitlines()) <= width


EVENTS = [
    {"event": "workers", "count": 1, "device": "cpu"},
    {"event": "started", "key": 0},
    {"event": "epoch", "key": 0, "epoch": 5, "validation_loss": 0.5, "validation_auc": 0.75},
    {"event": "done", "key": 0, "scores": {"auc": 0.9}},
    {"event": "started", "key": 1},
    {"event": "failed", "key": 1, "reason": "out of memory"},
]


@pytest.mark.parametrize("width", [60, 140])
def test_progress_names_what_differs_and_says_how_long_it_will_take(width, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    cell = made_up_cell()
    other = cell.model_copy(update={"recipe": cell.recipe.model_copy(update={"learning_rate": 0.5})})
    other.__dict__.pop("key", None)  # a copy keeps what was computed
    keys = [cell.key, other.key]

    with GridProgress([cell, other], {cell.task: "auc"}, Lines(tmp_path / "log.txt")) as grid:
        for event in EVENTS[:3]:
            grid.show({**event, **({"key": keys[event["key"]]} if "key" in event else {})})
        grid.bars.refresh()
        for event in EVENTS[3:]:
            grid.show({**event, "key": keys[event["key"]]})

    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().err)
    rate = f"learning_rate={cell.recipe.learning_rate}"
    assert "5/200" in printed
    assert "at most" in printed
    assert f"[1/2] {cell.title} · {rate}: auc 0.9000; about" in printed
    assert printed.count("out of memory") == 1
    assert max(len(line) for line in re.split(r"[\r\n]+", printed) if "5/200" in line) <= width
    log = (tmp_path / "log.txt").read_text().splitlines()
    assert [line[26:] for line in log if "failed" in line] == [
        f"[2/2] failed: {cell.title} · learning_rate=0.5: out of memory"
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d 1 worker on cpu", log[0])


def test_a_log_file_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    with pytest.raises(BenchmarkError, match="cannot be written: No such file or directory"):
        Lines(tmp_path / "missing" / "log.txt")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_an_error_is_red_on_a_terminal_unless_no_color_is_set(no_color):
    ours, theirs = os.openpty()
    code = "from benchmark.cli.main import main; main(['zoo', 'show', 'nosuch'])"
    environment = {**os.environ, "NO_COLOR": no_color}

    subprocess.run([sys.executable, "-c", code], env=environment, stderr=theirs, check=False)

    os.close(theirs)
    assert (b"\x1b[31m" in os.read(ours, 10_000)) == (not no_color)
    os.close(ours)
