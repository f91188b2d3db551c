"""The papers' tables: every printed number has its place, marks and tests are those of scipy, what is not run is told."""

import math
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import CHECKOUT
from made_up import made_up_record
from made_up_page import SUITES as ALL_SUITES
from made_up_page import made_up_answers
from scipy import stats

from benchmark.cell import Cell, Weights
from benchmark.errors import BenchmarkError
from benchmark.experiment.suite import read_suite
from benchmark.reporting.data import ReportData
from benchmark.reporting.frame import frame_of
from benchmark.reporting.paper_cells import table_numbers
from benchmark.reporting.paper_grids import csv_of, paper_table
from benchmark.reporting.paper_tables import layout_of, tables_in, tables_named
from benchmark.reporting.published import read_published
from benchmark.reporting.table_writers import Line, PrintedTable, Span, escaped, latex_of, markdown_of
from benchmark.results.store import Store
from benchmark.tasks.registry import read_tasks
from benchmark.zoo.catalog import read_zoo

SUITES = ("taher2021", "truong2021", "azizi2021")
NAMES = {
    "taher2021": ["2", "3", "4", "5", "6", "7", "8"],
    "truong2021": ["2", "3", "4", *(f"B{n}" for n in range(1, 9)), "C1", "C2", "C3", "C4", "G1"],
    "azizi2021": ["1", "2", "3", "4", *(f"B.{n}" for n in range(1, 7))],
}
PUBLISHED = read_published(CHECKOUT / "results" / "published")
ENTRIES = read_zoo(CHECKOUT / "model_zoo.yaml")
TASKS = read_tasks(CHECKOUT / "tasks")


def suite_of(name, **changed):
    return read_suite(name, CHECKOUT / "tasks" / "suites").model_copy(update=changed)


def runs(task, model, scores, *, data="official", protocol="finetune", settings=(), **changed):
    """A done record for each score, seeds from 0."""
    sheet = TASKS[task]
    facts = {name: changed.pop(name) for name in ("subset", "fraction", "data_digest") if name in changed}
    made = []
    for seed, score in enumerate(scores):
        weights = [
            Weights(name=m, architecture="resnet50", sha256="ab" * 32, naming="torchvision") for m in model.split("+")
        ]
        cell = Cell(
            weights=tuple(weights),
            task=task,
            task_digest=sheet.digest,
            data=data,
            protocol=protocol,
            recipe=sheet.complete_recipe(settings=settings),
            seed=seed,
            **{"data_digest": "1" * 16, **facts},
        )
        made.append(made_up_record(cell, scores={sheet.metric: score}, **changed))
    return made


def made(records, suite="taher2021", table="2", **changed):
    suite = suite_of(suite, **changed)
    data = ReportData(
        frame=frame_of(records, TASKS),
        records={record.key: record for record in records},
        published=PUBLISHED,
        tasks=TASKS,
        entries=ENTRIES,
        suites={**ALL_SUITES, suite.name: suite},
        predictions=made_up_answers,
    )
    return table_numbers(layout_of(table, tables_in(suite)[table], suite, TASKS), data)


def cell(table, row, column):
    found = table.cells[(table.cells["row"] == row) & (table.cells["column"].str.endswith(column))]
    return found.iloc[0]


def shown(table, row, column, line="ours"):
    """What is printed in a cell, in one of the lines of its row."""
    grid = paper_table(table)
    place = [path[-1] for path in grid.columns].index(column)
    first = next(n for n, each in enumerate(grid.lines) if row in each.heads)
    written = next(each for each in grid.lines[first:] if each.heads[-1] == line).cells[place]
    return "".join(span.text for span in written)


@pytest.mark.parametrize("suite", SUITES)
def test_every_table_of_the_paper_is_there_and_every_printed_number_has_one_cell(suite):
    assert list(tables_in(suite_of(suite))) == NAMES[suite]
    for name in NAMES[suite]:
        cells = made([], suite, name).cells.drop_duplicates(["row_number", "column_number"])
        placed = cells[cells["published_mean"].notna()]
        printed = PUBLISHED[(PUBLISHED["paper"] == suite) & (PUBLISHED["table"] == name)]

        assert len(placed) == len(printed), name
        assert sorted(placed["printed_mean"]) == sorted(printed["printed_mean"]), name
        tasks = "" if name == "G1" else placed["task"]  # of any task with five classes
        told = tasks + placed["protocol"] + placed["metric"] + placed["published_model"]
        wanted = printed["task"] + printed["protocol"] + printed["metric"] + printed["model"]
        assert sorted(told) == sorted(wanted), name


def test_nothing_run_shows_the_paper_alone_and_says_so():
    table = made([], table="5")
    text = markdown_of(paper_table(table))

    assert set(table.cells["state"]) == {"not run"}
    assert table.cells["mean"].isna().all()
    assert "Published only: nothing of this table was run here." in text
    assert shown(table, "SwAV", "DXC₁₄") == "·"
    assert shown(table, "SwAV", "DXC₁₄", "published") == "81.93 ± 0.18 (10)"


def test_a_table_without_printed_numbers_shows_ours_alone():
    models = suite_of("azizi2021-small").models.split(",")
    records = [one for n, model in enumerate(models) for one in runs("TXC", model, [0.7 + n / 100, 0.71 + n / 100])]

    table = made(records, "azizi2021-small", "1")

    assert set(table.cells[table.cells["state"] == "run"]["model"]) == set(models)
    assert shown(table, "MICLe", "Shenzhen, AUC", "ChestX-ray14→PAD-UFES-20") == "75.50 ± 0.71 (2)"
    assert "ublished" not in markdown_of(paper_table(table))


def test_the_best_of_table_5_are_those_that_the_paper_prints_bold():
    """Read off the columns of the paper's table by eye: the highest mean of each."""
    table = made([], table="5")

    best = table.cells[table.cells["published_best"]].groupby("task")["row"].apply(set).to_dict()
    assert best == {
        "DXC14": {"SwAV"},
        "DXC5": {"SimCLR-v1"},
        "TXC": {"SeLa-v2"},
        "ECC": {"SeLa-v2", "DeepCluster-v2"},
        "PXS": {"DeepCluster-v2"},
        "LXS": {"SeLa-v2", "SwAV"},
        "VFS": {"DeepCluster-v2"},
    }
    above = table.cells[table.cells["published_beats_baseline"] & (table.cells["task"] == "DXC14")]["row"]
    assert set(above) == {"PCL-v1", "Barlow Twins"}


def test_the_papers_daggers_are_scipys_t_tests_of_its_moments():
    """CheXpert against ImageNet→ChestX-ray14 on PXS; the code's sd has n below the root, so it is scaled."""
    row = cell(made([]), "CheXpert", "PXS")

    scale = math.sqrt(10 / 9)
    expected = stats.ttest_ind_from_stats(0.6930, 0.0050 * scale, 10, 0.6952, 0.0038 * scale, 10).pvalue
    assert row["published_p_best"] == pytest.approx(expected)
    assert row["published_not_different"] == (expected >= 0.05)


def test_ours_are_the_moments_and_tests_of_the_records():
    one, two, three = [0.955, 0.961, 0.958], [0.970, 0.981, 0.975, 0.978], [0.971, 0.980, 0.973]
    records = [*runs("TXC", "imagenet", one), *runs("TXC", "chexpert", two), *runs("TXC", "cxr14", three)]
    table = made(records)

    best, other, base = (cell(table, row, "TXC") for row in ("CheXpert", "ChestX-ray14", "ImageNet"))
    assert (best["mean"], best["sd"], best["n"]) == (pytest.approx(np.mean(two)), pytest.approx(np.std(two, ddof=1)), 4)
    assert (best["best"], other["best"], other["beats_baseline"], base["beats_baseline"]) == (True, False, True, False)
    assert other["p_best"] == pytest.approx(stats.ttest_ind(three, two).pvalue)
    assert (other["not_different"], base["not_different"]) == (True, False)
    sd = 0.0095 * math.sqrt(10 / 9)
    welch = stats.ttest_ind_from_stats(np.mean(two), np.std(two, ddof=1), 4, 0.9707, sd, 10, equal_var=False)
    assert best["difference"] == pytest.approx(np.mean(two) - 0.9707)
    assert welch.pvalue < 0.3, "by the seeds alone"
    assert 0.9 < best["p"] < 1, "of another random split: its test images count as well"
    assert shown(table, "CheXpert", "TXC") == "97.60 ± 0.47 (4)"
    assert shown(table, "ChestX-ray14", "TXC") == "97.47 ± 0.47 (3)‡"
    assert shown(table, "CheXpert", "TXC", "difference") == f"+0.53, p = {best['p']:.3f}"


def test_marks_are_bold_underlined_and_daggers_in_each_form():
    records = [*runs("TXC", "imagenet", [0.95, 0.96]), *runs("TXC", "chexpert", [0.97, 0.98])]
    records += runs("TXC", "cxr14", [0.96, 0.98])
    grid = paper_table(made(records))

    text, latex = markdown_of(grid), latex_of(grid)
    assert "**97.50 ± 0.71** (2)" in text
    assert "<u>97.00 ± 1.41</u> (2)‡" in text
    assert r"\textbf{97.50 $\pm$ 0.71} (2)" in latex
    assert r"\underline{97.00 $\pm$ 1.41} (2)\ddag{}" in latex
    assert "27 tests in this table" not in text, "its own count is told"
    tests = int(made(records).cells[["p", "p_best", "published_p_best"]].notna().to_numpy().sum())
    assert f"{tests} tests in this table, p not corrected" in text


def test_transfer_that_does_not_apply_is_a_dash_unless_it_was_run_which_is_marked_and_not_compared():
    table = made([*runs("DXC14", "imagenet", [0.80, 0.81]), *runs("DXC14", "chexpert", [0.81, 0.82])])
    assert cell(table, "ChestX-ray14", "DXC₁₄")["state"] == "not applicable"
    assert shown(table, "ChestX-ray14", "DXC₁₄") == "–"
    assert shown(table, "ChestX-ray14", "DXC₁₄", "published") == "–"

    seen = runs("DXC14", "cxr14", [0.98, 0.99], notes=["overlap: cxr14 was trained on the images of this task"])
    table = made([*runs("DXC14", "imagenet", [0.80, 0.81]), *runs("DXC14", "chexpert", [0.81, 0.82]), *seen])
    assert shown(table, "ChestX-ray14", "DXC₁₄") == "98.50 ± 0.71 (2)†"
    assert not cell(table, "ChestX-ray14", "DXC₁₄")["best"]
    assert cell(table, "CheXpert", "DXC₁₄")["best"]


def test_missing_cells_are_empty_in_the_csv_and_a_point_in_print(tmp_path):
    table = made([*runs("TXC", "imagenet", [0.95, 0.96])])
    (tmp_path / "table.csv").write_bytes(csv_of(table))

    read = pd.read_csv(tmp_path / "table.csv").set_index(["row", "column"])
    assert read["state"].value_counts().to_dict() == {"not run": 25, "not applicable": 4, "run": 1}
    assert read.loc[read["state"] != "run", ["mean", "sd", "difference", "p"]].isna().all(axis=None)
    assert shown(table, "CheXpert", "TXC") == "·"


def test_phantoms_are_marked_never_compared_with_the_paper_and_never_beside_official_images():
    phantom = runs("TXC", "chexpert", [0.5, 0.6], data="phantom", data_digest="2" * 16)
    table = made(phantom)
    assert table.phantom
    assert table.cells[["difference", "p"]].isna().all(axis=None)
    assert "PHANTOM IMAGES" in markdown_of(paper_table(table))

    both = made([*phantom, *runs("PXS", "imagenet", [0.67, 0.68])])
    assert not both.phantom
    assert cell(both, "CheXpert", "TXC")["state"] == "not run"
    assert "phantoms" in both.notes[-1]
    assert "Left out: TXC" in both.notes[-1]


def test_the_tasks_own_recipe_is_taken_and_other_ones_are_named():
    own = runs("TXC", "imagenet", [0.95, 0.96])
    other = runs("TXC", "imagenet", [0.70, 0.71, 0.72], settings=("image_size=96",))

    table = made(own + other)
    assert cell(table, "ImageNet", "TXC")["mean"] == pytest.approx(0.955)
    assert "image_size=96: 3 runs" in table.notes[-1]

    alone = made(other)
    assert cell(alone, "ImageNet", "TXC")["mean"] == pytest.approx(0.71)
    assert "image_size=96" in alone.notes[0]


def test_a_row_may_have_a_recipe_of_its_own():
    """Truong 2021, appendix B.2: DINO is fine-tuned at 1e-4 in batches of 16."""
    usual = runs("PneumoniaCXR", "dino", [0.90, 0.91, 0.92], subset=50)
    own = runs("PneumoniaCXR", "dino", [0.93, 0.94], subset=50, settings=("learning_rate=1e-4", "batch_size=16"))

    table = made(usual + own, "truong2021", "3")

    row = table.cells[(table.cells["row"] == "Pneumonia Chest X-ray · DINO") & (table.cells["subset"] == "50")].iloc[0]
    assert (row["mean"], row["n"], row["published_mean"]) == (pytest.approx(0.935), 2, 0.9256)


def test_epochs_are_printed_by_both_readings():
    table = made(runs("PXS", "imagenet", [0.67, 0.68], best_epoch=30, epochs_trained=50), table="6")

    text = shown(table, "ImageNet", "#Epochs(↓)")
    assert text == "best epoch 30.0 ± 0.0 (2); epochs trained 50.0 ± 0.0 (2)"
    told = table.cells[(table.cells["metric"] == "epochs") & (table.cells["state"] == "run")]
    assert told["difference"].round(1).tolist() == [-15.9, 4.1]
    assert "does not say" in markdown_of(paper_table(table))


def test_the_best_of_several_models_is_named():
    singles = [*runs("APTOS", "swav", [0.6, 0.62], protocol="linear", subset=50)]
    singles += runs("APTOS", "dino", [0.7, 0.71], protocol="linear", subset=50)
    fused = runs("APTOS", "dino+simclr-v1+swav", [0.8, 0.81], protocol="dvme", subset=50)
    table = made(singles + fused, "truong2021", "4")

    row = table.cells[(table.cells["task"] == "APTOS") & (table.cells["subset"] == "50") & table.cells["chosen"]].iloc[
        0
    ]
    assert (row["model"], row["published_model"], row["mean"]) == ("dino", "swav", pytest.approx(0.705))
    text = markdown_of(paper_table(table))
    assert "0.7050 ± 0.0071 (2) dino" in text
    assert "<u>" not in text.split("0.8050")[0].split("APTOS")[1], "best is bold, not underlined"
    assert "a flattering choice" in text


def test_full_of_patchcam_is_fifty_thousand_here_and_all_in_print():
    row = cell(made([], "truong2021", "B1"), "Full", "DINO")

    assert (row["subset"], row["published_mean"]) == ("50000", 0.8487)


def test_numbers_of_a_paper_that_had_other_images_are_not_tested():
    table = made(runs("Derm27", "bit-r101x3", [0.6, 0.61]), "azizi2021", "3")

    row = cell(table, "ResNet-101 (3×) · BiT · ImageNet-21k", "Top-1 Accuracy")
    assert row["state"] == "run"
    assert row["difference"] == pytest.approx(0.605 - row["published_mean"])
    assert math.isnan(row["p"])
    assert row["differs"].startswith("the paper's photographs are private")
    assert f"Derm27: not tested against the paper, because ours differ: {row['differs']}" in markdown_of(
        paper_table(table)
    )


def test_the_auc_of_one_label_is_taken_from_the_records():
    labelled = {"Edema": {"auc": 0.84}, "Atelectasis": {"auc": 0.66}}
    table = made(runs("CheXpert5", "simclr-v1", [0.76, 0.77], per_label=labelled), "azizi2021", "B.6")

    assert cell(table, "ResNet-50 (1×) · SimCLR ImageNet", "Edema")["mean"] == pytest.approx(0.84)
    assert cell(table, "ResNet-50 (1×) · SimCLR ImageNet", "Consolidation")["state"] == "not run"


def test_a_name_that_stands_for_two_files_is_told_and_left_open():
    first = runs("TXC", "imagenet", [0.95, 0.96])
    weights = first[0].cell.weights[0].model_copy(update={"sha256": "cd" * 32})
    second = [r.cell.model_copy(update={"weights": (weights,)}) for r in first]
    table = made([*first, *(made_up_record(c, 0.9) for c in second)])

    assert cell(table, "ImageNet", "TXC")["state"] == "not run"
    assert "imagenet stands for 2 models: --models chooses one." in paper_table(table).notes


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"title": "x", "rows": [{"modle": "imagenet"}], "columns": [{}]}, "did you mean model?"),
        (
            {"title": "x", "rows": [{"model": "imagenet"}], "columns": [{"task": "TXX"}]},
            "no task 'TXX': did you mean TXC",
        ),
        ({"title": "x", "rows": [{"head": "A"}], "columns": [{"task": "TXC"}]}, "wanted a model, or best_of"),
        ({"rows": [], "columns": []}, "key 'title' is missing"),
    ],
)
def test_a_table_that_says_too_little_is_one_line(fields, told):
    suite = suite_of("taher2021", tables={"T": fields})

    with pytest.raises(BenchmarkError, match=r"suite taher2021: tables\.T") as raised:
        layout_of("T", tables_named(["T"], suite)["T"], suite, TASKS)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


AWKWARD = 'a_b & 5 % of $x$ # {y} ~ ^ \\ < > | " ± × → – · † ‡ ₁₄ é ü – -- ≥ 漢'


def test_latex_escapes_what_it_would_take_for_its_own():
    text = escaped(AWKWARD)

    assert text.isascii()
    assert r"a\_b \& 5 \% of \$x\$ \# \{y\}" in text
    assert "-{}-" in text
    assert "[U+6F22]" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
@pytest.mark.parametrize("suite", SUITES)
def test_latex_compiles_alone_and_inside_a_paper(suite, tmp_path):
    for name in NAMES[suite]:
        (tmp_path / f"table-{name}.tex").write_text(latex_of(paper_table(made([], suite, name))), encoding="utf-8")
    odd = PrintedTable(
        title=AWKWARD, stub=(AWKWARD,), columns=((AWKWARD,),), lines=(Line(heads=("[x]",), cells=((Span(AWKWARD),),)),)
    )
    (tmp_path / "odd.tex").write_text(latex_of(odd, odd), encoding="utf-8")
    inputs = "".join(rf"\input{{table-{name}.tex}}\clearpage " for name in NAMES[suite])
    paper = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}A.{inputs}B.\end{{document}}"
    (tmp_path / "paper.tex").write_text(paper, encoding="utf-8")

    for file in ("paper", f"table-{NAMES[suite][-1]}", "odd"):
        ran = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{file}.tex"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-600:]
        assert (tmp_path / f"{file}.pdf").is_file()


def test_latex_is_balanced_wherever_it_is_not_compiled():
    text = latex_of(paper_table(made([], table="6")))

    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert r"\multicolumn{2}{c}{PXS}" in text
    assert r"\cmidrule(lr){3-4}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert {line.count("&") for line in body[1:]} == {7}


def test_the_verb_regenerates_tables_by_name(cli, workspace):
    for record in runs("TXC", "imagenet", [0.95, 0.96]) + runs("TXC", "swav", [0.96, 0.97]):
        Store(workspace.results).put(record, None)

    ran = cli("report", "--suite", "taher2021", "--table", "5", "--table", "2")

    assert ran.code == 0, ran.err
    assert "95.50 ± 0.71 (2)" in ran.out
    folder = workspace.results / "reports" / "taher2021"
    assert {file.name for file in folder.iterdir()} == {f"table-{n}.{e}" for n in "25" for e in ("csv", "md", "tex")}


def test_the_verb_shows_what_the_paper_printed_before_anything_is_run(cli, workspace):
    ran = cli("report", "--suite", "truong2021", "--table", "all")

    assert ran.code == 0, ran.err
    assert "Published only" in ran.out
    files = {file.name for file in (workspace.results / "reports" / "truong2021").iterdir()}
    assert {f"table-{name}.tex" for name in NAMES["truong2021"]} <= files


def test_the_verb_draws_figures_by_name_with_their_captions(cli, workspace):
    for record in runs("TXC", "imagenet", [0.95, 0.96], data="phantom") + runs(
        "TXC", "scratch", [0.9, 0.91], data="phantom"
    ):
        Store(workspace.results).put(record, None)

    ran = cli("report", "--suite", "taher2021", "--figure", "1")

    assert ran.code == 0, ran.err
    folder = workspace.results / "reports" / "taher2021"
    assert {file.name for file in folder.iterdir()} == {f"figure-1.{e}" for e in ("png", "svg", "csv", "txt")}
    assert "PHANTOM IMAGES" in (folder / "figure-1.txt").read_text(encoding="utf-8")
    assert "no such figure" in cli("report", "--suite", "taher2021", "--figure", "nope").text


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--suite", "taher2021", "--table", "list"], 0, "table 5: fourteen self-supervised ImageNet models"),
        (["--suite", "truong2021", "--table", "B9"], 2, "truong2021 has no such table: known: 2, 3, 4, B1"),
        (["--table", "5"], 2, "wanted --suite as well (azizi2021-small, azizi2021, taher2021, truong2021)"),
        (["--suite", "modern", "--table", "5"], 2, "the suite modern describes no tables"),
        (["--suite", "taher2021"], 2, "no finished cell"),
    ],
)
def test_the_verb_tells_tables_and_wrong_names_in_a_line(cli, arguments, code, told):
    ran = cli("report", *arguments)

    assert ran.code == code
    assert told in ran.text
