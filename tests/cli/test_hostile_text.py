"""Text of someone else's results and zoo files is shown letter by letter: no markup, no control of the terminal, no formula,
no figure that breaks, no report that never ends.
"""

import json
import pickle
import xml.etree.ElementTree as ET
from io import StringIO

import matplotlib.figure
import pandas as pd
import pytest
import timm
import torch
from made_up import made_up_cell, made_up_record
from pydantic import ValidationError
from rich.console import Console

from benchmark.api.progress import bytes_bar
from benchmark.cell import Weights
from benchmark.checksums import write_json
from benchmark.cli.console import out, table_of
from benchmark.cli.report import terminal_of
from benchmark.errors import BenchmarkError
from benchmark.reporting.figures.style import image_bytes, styled, wrapped
from benchmark.reporting.table_writers import Line, PrintedTable, Span, frame_csv, latex_of, markdown_of
from benchmark.text import first_few, printable, shown

HOSTILE = ["[/]", "[bold red]x", ":warning:", "\x1b[31mred\x1b]0;owned\x07", "a\u202eb", "a\x9bb", "\ud800", "\x00"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_on_the_terminal_shows_every_letter_and_obeys_none(text, capfd):
    table = table_of("name", text)
    table.add_row(text, "1")

    out().print(table)

    shown = capfd.readouterr().out
    assert shown.count(printable(text)) == 2
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\x00", "\u202e"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fault_shows_no_control_characters(text):
    said = str(BenchmarkError(f"no model {text}: {first_few([text])}, {shown(text)}"))

    assert said.isprintable()
    assert said.encode()


def test_lines_and_letters_of_all_languages_stay_as_they_are():
    text = "first\nsecond\tΔ 日本語 é ± – …"

    assert printable(text) == text == str(BenchmarkError(*text.split("\n")))


def test_a_fault_is_one_line_whatever_is_told_in_it_and_stays_so_on_its_way_from_a_worker():
    fault = BenchmarkError("a name of\ntwo lines", "and a list", "of\nits own")

    assert str(fault) == "a name of\\ntwo lines\nand a list\nof\\nits own"
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)  # noqa: S301 - our own


def grid(text: str) -> PrintedTable:
    return PrintedTable(
        title=text, stub=(text,), columns=((text,),), lines=(Line(heads=(text,), cells=((Span(text),),)),)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_printed_tables_hold_no_control_characters(text, tmp_path):
    with (tmp_path / "out").open("w", encoding="utf-8") as file:
        Console(file=file, width=200).print(terminal_of(grid(text)))

    for written in (markdown_of(grid(text)), latex_of(grid(text)), (tmp_path / "out").read_text(encoding="utf-8")):
        assert not set(written) & {"\x1b", "\x07", "\x9b", "\x00", "\ud800"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_figure_of_any_text_is_well_formed(text):
    with styled():
        figure = matplotlib.figure.Figure()
        figure.text(0.1, 0.5, wrapped(text, 3.0))
        _, svg = image_bytes(figure)

    ET.fromstring(svg)  # noqa: S314 - our own


def test_so_is_one_whose_text_was_not_wrapped():
    with styled():
        figure = matplotlib.figure.Figure()
        figure.text(0.1, 0.5, "a\x02b")
        with pytest.warns(UserWarning, match="missing from font"):
            _, svg = image_bytes(figure)

    ET.fromstring(svg)  # noqa: S314 - our own


def test_a_text_without_end_is_cut_off_in_figures():
    lines = wrapped("x" * 5000, 1.0)

    assert len(lines) < 1000
    assert lines.endswith("…")


def test_spreadsheets_compute_no_text_and_numbers_stay_numbers():
    frame = pd.DataFrame({
        "group": ["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "\t=1", "plain", "-1.5", "+3", "-", "–", None],
        "value": [-0.5, 1.0, 2.0, 3.0, -4.0, 5.0, 6.0, 7.0, 8.0, 9.0, float("nan")],
        "count": range(-5, 6),
        "true": [True, False] * 5 + [True],
    })  # fmt: skip

    written = frame_csv(frame)

    read = pd.read_csv(StringIO(written), dtype=str, keep_default_na=False)
    assert read["group"].tolist() == [
        "'=1+1", "'+cmd|' /C calc'!A0", "'@SUM(A1)", "'-2+3", "'\t=1", "plain", "-1.5", "+3", "'-", "–", ""
    ]  # fmt: skip
    plain = frame.drop(columns="group")
    assert frame_csv(plain) == plain.to_csv(index=False)


def foreign(results, fields) -> None:
    """A record from elsewhere, whose digest is right."""
    folder = results / "cells" / "TXC" / fields["key"]
    folder.mkdir(parents=True)
    write_json(folder / "record.json", fields)


@pytest.mark.parametrize("name", ["[/]", "\x1b[31m", "../../x", "x" * 5000, "a/b", "", "a\nb", "a\\b", ".."])
def test_a_record_of_a_name_that_no_entry_can_have_is_left_out(workspace, cli, name):
    fields = json.loads(made_up_record(made_up_cell()).model_dump_json())
    fields["cell"]["weights"][0]["name"] = name
    foreign(workspace.results, fields)

    ran = cli("status")

    assert ran.code == 0
    assert "left out: " in ran.text
    assert "cell.weights.0.name: Value error, wanted a name of 1 to 100 letters" in ran.text
    assert "\x1b" not in ran.out + ran.err
    with pytest.raises(ValidationError):
        Weights(name=name, architecture="resnet18", naming="none")


def test_the_error_of_a_record_from_elsewhere_is_shown_letter_by_letter(workspace, cli):
    failed = made_up_record(made_up_cell(), status="failed", error="[/] \x1b[31mred", scores={})
    foreign(workspace.results, json.loads(failed.model_dump_json()))

    ran = cli("status")

    assert ran.code == 0
    assert r"(attempt 1): [/] \x1b[31mred" in ran.out
    assert "\x1b" not in ran.text


def test_an_entry_of_markup_is_listed_as_it_is_written(workspace, cli):
    entry = {"name": "net", "family": "[/]", "architecture": "a", "container": "torch", "naming": "plain",
             "source": "https://h/x", "licence": "[bold]", "cite": "c"}  # fmt: skip
    workspace.own_zoo.parent.mkdir(parents=True)
    workspace.own_zoo.write_text(json.dumps({"entries": [entry]}))

    ran = cli("zoo", "list")

    assert ran.code == 0
    (line,) = [line for line in ran.out.splitlines() if line.split()[:1] == ["net"]]
    assert "[/]" in line
    assert "[bold]" in line


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (("zoo", "add", "x" * 300, "--name", "mine"), "File name too long"),
        (("data", "split", "TXC", "--out", "x" * 300), "File name too long"),
        (("data", "split", "TXC", "--out", "/proc/nowhere"), "No such file or directory"),
        (("tasks", "add", "x" * 300 + ".yaml"), "File name too long"),
        (("tasks", "check", "/proc/self/mem.yaml"), "no such fact sheet"),
        (("zoo", "fetch", "swav", "--from-file", "/proc/self/mem"), "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_one_line_of_every_verb(cli, verb, said):
    ran = cli(*verb)

    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("error: ")


@pytest.mark.parametrize("name", ["../kept", "../../kept", "/etc/kept", "..", ""])
def test_no_task_of_elsewhere_is_removed_by_its_name(cli, workspace, name):
    workspace.own_tasks.mkdir(parents=True)
    for folder in (workspace.own_tasks.parent, workspace.home.parent):
        (folder / "kept.yaml").write_text("mine")

    ran = cli("tasks", "remove", name)

    assert ran.code == 2
    assert "no task " in ran.err
    assert (workspace.own_tasks.parent / "kept.yaml").exists()
    assert (workspace.home.parent / "kept.yaml").exists()


def test_names_of_a_files_tensors_are_shown_letter_by_letter(cli, tmp_path):
    state = timm.create_model("test_resnet", num_classes=2).state_dict()
    torch.save({"state_dict": state, "\x1b[31m[/]": 1, "x" * 900: 2}, tmp_path / "net.pth")

    ran = cli("zoo", "add", str(tmp_path / "net.pth"), "--name", "mine", "--architecture", "test_resnet", "--yes")

    assert ran.code == 0
    assert r"beside them \x1b[31m[/], xxx" in ran.err
    assert "\x1b" not in ran.text
    assert len(ran.text) < 1500


def test_the_progress_of_a_url_is_shown_as_it_is_written(monkeypatch, capfd):
    """Braces and brackets would be taken for fields and markup."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with bytes_bar("https://host/{x}/[/].pth") as show:
        show(1, 2)

    assert "{x}/[/]" in capfd.readouterr().err
