"""The commands of a report make its encoders, records and tables again, in an empty folder."""

import html
import json
import re
import shlex
import shutil

import pandas as pd
import pytest

SMALL = ("--set", "image_size=32", "--set", "max_epochs=1", "--set", "train_resolution=48")


def scores_in(results):
    """By model and seed, not by key: the file of a pre-trained encoder may have its metadata in another order."""
    records = [json.loads(path.read_text()) for path in (results / "cells").rglob("record.json")]
    return {(r["cell"]["weights"][0]["name"], r["cell"]["seed"]): (r["scores"], r["history"]) for r in records}


@pytest.mark.slow
def test_the_commands_of_the_page_make_the_same_records_in_an_empty_folder(cli, workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        cli("pretrain", "supervised", "--from", "scratch:test_resnet", "--task", "TXC", "--name", "one", *SMALL).code
        == 0
    )
    (made,) = workspace.home.rglob("one*.safetensors")
    shutil.copy(made, tmp_path / "two.safetensors")
    added = cli(
        "zoo", "add", "two.safetensors", "--name", "two", "--architecture", "test_resnet", "--yes", "--title", "It's"
    )
    assert added.code == 0, added.text
    for models in ("one,two", "scratch:test_resnet"):
        ran = cli("run", "--models", models, "--tasks", "PneumoniaCXR", "--seeds", "2", *SMALL, "--set", "test_crops=1")
        assert ran.code == 0, ran.text
    assert cli("report", "--test", "student", "--baseline", "scratch:test_resnet").code == 0
    before = scores_in(workspace.results)
    (page,) = workspace.results.glob("reports/*/report.html")
    commands = html.unescape(re.search(r'<pre id="commands"[^>]*>(.*?)</pre>', page.read_text(), re.DOTALL)[1])
    table = pd.read_csv(page.parent / "table.csv").drop(columns="model_id")

    for name in ("HOME", "RESULTS"):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / "again" / name.lower()))
    for line in commands.splitlines():
        if words := shlex.split(line, comments=True):
            ran = cli(*words[1:])
            assert ran.code == 0, f"{line}\n{ran.text}"

    assert commands.startswith("# benchmark ")
    assert len(before) == 6
    assert scores_in(tmp_path / "again" / "results") == before
    again = pd.read_csv(tmp_path / "again" / "results" / "reports" / "PneumoniaCXR" / "table.csv").drop(
        columns="model_id"
    )
    pd.testing.assert_frame_equal(again, table)
