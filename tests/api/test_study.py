"""The folder that `benchmark init` makes: its README's commands run in it."""

import re
import shlex

import pytest
import yaml

SMALL = ("--set", "image_size=32", "--set", "max_epochs=1", "--set", "test_crops=1", "--set", "train_resolution=32")


def test_the_commands_of_a_new_studys_readme_run_on_phantoms(cli, tmp_path, monkeypatch, phantoms):
    study = tmp_path / "my study"
    made = cli("init", str(study), "--models", "scratch:resnet18", "--tasks", "TXC", "--seeds", "2", *SMALL)
    assert made.code == 0, made.text
    monkeypatch.chdir(study)

    for line in re.search(r"```sh\n(.*?)```", (study / "README.md").read_text(), re.DOTALL)[1].splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            for name, _, value in (word.partition("=") for word in words[1:]):
                monkeypatch.setenv(name, value.replace("$PWD", str(study)))
        else:
            ran = cli(*words[1:])
            assert ran.code == 0, f"{line}\n{ran.text}"

    assert (study / "data").resolve() == phantoms.resolve()
    assert (study / "results" / "reports" / "my study" / "report.html").is_file()
    assert len(list((study / "results" / "cells" / "TXC").glob("*/record.json"))) == 2
    assert yaml.safe_load((study / "study.yaml").read_text())["recipe"]["image_size"] == 32


def test_without_a_data_folder_a_note_says_what_to_put_there(cli, tmp_path, monkeypatch):
    monkeypatch.delenv("BENCHMARK_DATA")

    assert cli("init", str(tmp_path / "study"), "--tasks", "TXC,APTOS").code == 0

    note = (tmp_path / "study" / "data" / "README.md").read_text()
    assert "`Shenzhen/` for TXC: get the Shenzhen set from" in note
    assert "for APTOS" in note
    assert "10 seeds" in cli("suite", "check", str(tmp_path / "study" / "study.yaml")).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--models", "swaw", "--tasks", "TXD"), "'swaw': did you mean swav"),
        (("--models", "swaw", "--tasks", "TXD"), "'TXD': did you mean TXC"),
        (("--set", "image_sice=32"), "'image_sice': did you mean image_size"),
        (("--seeds", "many"), "--seeds many: wanted"),
    ],
)
def test_a_wrong_name_makes_no_folder(cli, tmp_path, options, said):
    ran = cli("init", str(tmp_path / "study"), *options)

    assert (ran.code, said in ran.err) == (2, True)
    assert not (tmp_path / "study").exists()


def test_a_folder_with_files_is_left_as_it_is(cli, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    assert "is there already" in cli("init", str(tmp_path)).err
    assert {path.name for path in tmp_path.iterdir()} <= {"notes.txt", "home", "results"}
