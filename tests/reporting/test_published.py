"""The papers' numbers as files: of known tasks, models and metrics, complete, alike where two tables print the same.

Whether they are what the papers print is held in test_published_texts.py.
"""

import csv
import io
import math
import re
from collections import Counter
from itertools import chain, product

import pandas as pd
import pytest
from conftest import CHECKOUT

from benchmark.errors import BenchmarkError
from benchmark.reporting.published import COLUMNS, PrintedNumber, read_published
from benchmark.tasks.kinds import KINDS
from benchmark.tasks.registry import read_tasks
from benchmark.workspace import find_workspace
from benchmark.zoo.catalog import find_entry, read_zoo

PUBLISHED = CHECKOUT / "results" / "published"
TASKS = read_tasks(CHECKOUT / "tasks")
ROWS = {
    path.stem: list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) for path in PUBLISHED.glob("*.csv")
}
FUSION = "dino+simclr-v1+swav"
PROTOCOLS = {"finetune", "linear", "logistic", "knn", "dvme", "dvme-no-attention", "dvme-finetune"}
PER_TABLE = {
    "taher2021": {"2": 26, "3": 9, "4": 21, "5": 105, "6": 18, "7": 36, "8": 32},
    "truong2021": {"2": 60, "3": 60, "4": 24, "B1": 50, "B2": 25, "B3": 25, "B4": 30, "B5": 50, "B6": 25, "B7": 25}
    | {"B8": 30, "C1": 20, "C2": 10, "C3": 10, "C4": 12, "G1": 6},
    "azizi2021": {"1": 27, "2": 8, "3": 5, "4": 5, "B.1": 10, "B.2": 24, "B.3": 75, "B.4": 40, "B.5": 96, "B.6": 60},
}
# weights that the papers made themselves, or that no entry stands for
NO_ENTRY = (
    {f"simclr-{made}-{net}" for made in ("derm", "chexpert") for net in ("r50x1", "r50x4", "r152x2")}
    | {f"simclr-imagenet-{made}-{net}" for made in ("derm", "chexpert") for net in ("r50x1", "r50x4", "r152x2")}
    | {"simclr-imagenet-derm-r152x2-best", "simclr-imagenet-derm-r50x4-best"}
    | {"simclr-chexpert-r152x2-best", "simclr-imagenet-chexpert-r152x2-best"}
    | {f"micle-{of}-{net}" for of in ("derm", "imagenet-derm") for net in ("r50x4", "r152x2")}
    | {f"micle-imagenet-derm-{net}-best" for net in ("r50x4", "r152x2")}
    | {
        f"micle-{of}-{net}-{how}-augmentation"
        for of, net, how in product(("derm", "imagenet-derm"), ("r50x4", "r152x2"), ("full", "partial"))
    }
    | {f"supervised-imagenet-{net}" for net in ("r50x1", "r50x4", "r152x2")}
    | {"resnet50"}  # table G1: whichever weights
)
# (paper, task, model, protocol, subset, metric) of which two tables print what cannot both be right
DISAGREE = (
    {("taher2021", task, "scratch", "finetune", "", "mean_auc") for task in ("DXC14", "DXC5")}
    | {("truong2021", "PatchCam", "dino", "linear", "5000", "auc")}
    | {
        ("azizi2021", "Derm27", model, "finetune", "", metric)
        for metric, models in {
            "accuracy": "simclr-v1 simclr-v1-4x simclr-v2-r152-2x simclr-derm-r50x1 simclr-derm-r50x4 simclr-derm-r152x2 "
            "simclr-imagenet-derm-r50x1 simclr-imagenet-derm-r50x4 simclr-imagenet-derm-r152x2 micle-derm-r50x4 "
            "micle-derm-r152x2 micle-imagenet-derm-r50x4 micle-imagenet-derm-r152x2",
            "mean_auc": "simclr-v1-4x simclr-v2-r152-2x simclr-derm-r50x1 simclr-derm-r50x4 simclr-derm-r152x2 "
            "simclr-imagenet-derm-r50x1 simclr-imagenet-derm-r50x4 simclr-imagenet-derm-r152x2",
        }.items()
        for model in models.split()
    }
    | {("azizi2021", "CheXpert5", "simclr-v2-r152-2x", "finetune", "", "mean_auc")}
)


@pytest.fixture(scope="module")
def frame():
    return read_published(PUBLISHED)


def test_each_table_has_as_many_rows_as_the_paper_prints_numbers(frame):
    counted = {paper: Counter(row["table"] for row in rows) for paper, rows in ROWS.items()}

    assert counted == PER_TABLE
    assert len(frame) == sum(map(len, ROWS.values()))
    assert tuple(frame.columns) == COLUMNS


def test_a_row_is_of_a_known_task_and_of_a_metric_that_it_is_scored_by(frame):
    for row in frame[frame["task"] != ""].itertuples():
        task = TASKS[row.task]
        if row.metric.startswith("auc:"):
            assert row.metric.removeprefix("auc:") in task.labels
        else:
            assert row.metric in (*KINDS[task.kind].metrics, "epochs")
    assert set(frame.loc[frame["task"] == "", "table"]) == {"G1"}
    assert set(frame["protocol"]) <= PROTOCOLS


def test_a_model_is_an_entry_of_the_zoo_or_declared_here_as_none(frame):
    zoo = read_zoo(CHECKOUT / "model_zoo.yaml")
    without = {model for model in set(frame["model"]) if not model.startswith("scratch:") and "+" not in model}
    without -= set(zoo)

    assert without == NO_ENTRY, "a slug is listed if and only if it is needed"
    assert [find_entry(m, zoo).is_scratch for m in sorted(set(frame["model"])) if m.startswith("scratch:")] == [
        True
    ] * 2
    assert set(FUSION.split("+")) <= set(zoo)
    assert {model for model in set(frame["model"]) if "+" in model} == {FUSION}


def test_a_title_of_a_paper_is_one_model(frame):
    titled = frame[~frame["title"].isin(["Best single baseline"]) & ~frame["table"].isin(["3", "4", "B.1"])]

    assert not titled[["paper", "title", "model"]].drop_duplicates().duplicated(["paper", "title"]).any()


def test_runs_are_ten_five_or_five_and_ten_as_the_papers_say(frame):
    spread = frame[frame["sd"].notna()]
    told = spread.groupby(["paper", "task"])["n"].agg(set).to_dict()

    assert {key: n for key, n in told.items() if n != {5}} == {
        ("azizi2021", "CheXpert5"): {10},
        **{("taher2021", task): {10} for task in ("DXC14", "DXC5", "TXC", "ECC", "PXS", "LXS", "VFS")},
    }
    assert set(frame.loc[frame["sd"].isna(), "table"]) == {"B.1", "B.2", "B.5", "G1"}
    assert frame.loc[frame["half_width"].notna(), "table"].unique().tolist() == ["B.1"]
    assert frame.loc[frame["ddof"].notna(), "paper"].unique().tolist() == ["taher2021"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # percent, with its trailing zero
        ("taher2021 2 DXC14 imagenet finetune - mean_auc", ("81.70", "0.15", 0.817, 0.0015, 10)),
        ("taher2021 6 LXS scratch finetune - epochs", ("92.6", "51.38", 92.6, 51.38, 10)),
        ("truong2021 B1 PatchCam dino linear 500 auc", ("0.8058", "0.0100", 0.8058, 0.01, 5)),
        ("truong2021 B2 APTOS scratch linear 100 kappa", ("-0.0272", "0.0300", -0.0272, 0.03, 5)),
        ("truong2021 G1 - resnet50 linear - trainable_parameters", ("10.2", "", 10_200, math.nan, pd.NA)),
        (f"truong2021 G1 - {FUSION} dvme - trainable_parameters", ("3.6", "", 3_600_000, math.nan, pd.NA)),
        ("azizi2021 B.1 Derm27 bit-r101x3 finetune - accuracy", ("0.6845", "", 0.6845, math.nan, pd.NA)),
    ],
)
def test_numbers_come_in_the_frames_units_and_as_printed(frame, row, expected):
    names = ["paper", "table", "task", "model", "protocol", "subset", "metric"]
    asked = ["" if part == "-" else part for part in row.split()]

    ((_, found),) = frame[(frame[names] == asked).all(axis=1)].iterrows()

    columns = ["printed_mean", "printed_sd", "mean", "sd", "n"]
    pd.testing.assert_series_equal(
        found[columns], pd.Series(expected, columns), check_dtype=False, check_names=False, check_exact=True
    )


def test_what_two_tables_print_of_one_cell_agrees_but_for_what_is_listed_and_noted(frame):
    """In the coarser printing of the two; a row that does not names the other's table."""
    told = {}
    for row in frame[frame["half_width"].isna()].itertuples():
        told.setdefault((row.paper, row.task, row.model, row.protocol, row.subset, row.metric), []).append(row)

    def alike(one, other):
        pairs = [(one.mean, other.mean, one.printed_mean, other.printed_mean, one.unit, other.unit)]
        if one.printed_sd and other.printed_sd:
            pairs += [(one.sd, other.sd, one.printed_sd, other.printed_sd, one.unit, other.unit)]
        return all(abs(a - b) <= 0.5 * max(_step(pa, ua), _step(pb, ub)) + 1e-12 for a, b, pa, pb, ua, ub in pairs)

    unlike = {
        key: [(one, other) for one in rows for other in rows if one.table != other.table and not alike(one, other)]
        for key, rows in told.items()
    }
    assert {key for key, pairs in unlike.items() if pairs} == set(DISAGREE)
    for one, other in chain.from_iterable(unlike.values()):
        assert re.search(rf"tables? [^;]*{re.escape(other.table)}\b[^;]* print", one.note), (one, other)


def _step(printed, unit):
    """One unit of a printed number's last digit, as a share."""
    return 10.0 ** -len(printed.partition(".")[2]) * (0.01 if unit == "percent" else 1)


GOOD = "made,1,TXC,imagenet,ImageNet,finetune,,auc,percent,95.62,0.63,,,10,\n"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda head, row: head.replace("model,", "modle,") + row, "line 1: unknown column 'modle': did you mean model?"),
        (lambda head, row: head.replace(",note", "") + row, "line 1: column 'note' is missing"),
        (lambda head, row: head.replace("table,task", "task,table") + row, "line 1: columns paper,task,table"),
        (lambda _, __: "", "line 1: column 'paper' is missing"),
        (lambda head, row: head + row + row.replace("95.62", "95,62"), "line 3: 16 fields, wanted 15"),
        (lambda head, row: head + row[:30], "line 2: 6 fields, wanted 15"),
        (lambda head, row: head + row.replace("95.62", "9S.62"), "line 2: mean: "),
        (lambda head, row: head + row.replace("95.62", ""), "line 2: mean: "),
        (lambda head, row: head + row.replace("percent,95.62", "percent,195.62"), "line 2: auc of 195.62 percent"),
        (lambda head, row: head + row.replace("percent", "share"), "line 2: auc of 95.62 share"),
        (lambda head, row: head + row.replace("95.62", "-5.62"), "line 2: auc of -5.62 percent is below"),
        (lambda head, row: head + row.replace("percent", "epochs"), "line 2: unit 'epochs' of auc: wanted share or percent"),
        (lambda head, row: head + row.replace(",auc,", ",aucc,"), "line 2: no such metric 'aucc', did you mean auc?"),
        (lambda head, row: head + row.replace(",10,", ",,"), "line 2: an sd is over n runs"),
        (lambda head, row: head + row.replace("0.63,,", ",0,"), "line 2: ddof without an sd"),
        (lambda head, row: head + row.replace("made", "other"), "line 2: a row of 'other': it belongs in other.csv"),
        (lambda head, row: head + row + row.replace("95.62", "95.63"), "TXC imagenet finetune auc is in line 2"),
        (lambda head, row: head + row + row.replace("ImageNet", '"Image'), "after line 2: not CSV"),
        (lambda head, row: (head + row).encode() + b"\xff\xfe\n", "cannot be read: 'utf-8'"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line_that_names_file_and_row(tmp_path, damage, told):
    made = damage(",".join(PrintedNumber.model_fields) + "\n", GOOD)
    path = tmp_path / "made.csv"
    path.write_bytes(made if isinstance(made, bytes) else made.encode())

    with pytest.raises(BenchmarkError) as raised:
        read_published(tmp_path)

    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert told in str(raised.value)


def test_a_file_of_ones_own_is_read_and_no_file_is_no_row(tmp_path):
    head = ",".join(PrintedNumber.model_fields)
    (tmp_path / "made.csv").write_text(f"\ufeff{head}\r\n{GOOD}\r\n", encoding="utf-8", newline="")

    assert read_published(tmp_path)["mean"].tolist() == [0.9562]
    assert read_published(tmp_path / "nowhere").empty
    assert tuple(read_published(tmp_path / "nowhere").columns) == COLUMNS


def test_the_published_numbers_lie_where_a_project_looks_for_them():
    assert find_workspace(project=CHECKOUT).published == PUBLISHED
