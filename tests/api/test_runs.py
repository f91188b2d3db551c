"""The verbs as functions: what they return, and that they do what the command line does."""

import numpy as np
import pandas as pd
import pytest
from conftest import in_new_process

import benchmark as bm
from benchmark.results.store import Store

TINY = {"image_size": 32, "train_resolution": 64, "max_epochs": 1}
MODELS = ["scratch:test_resnet", "scratch:test_efficientnet"]
GRID = {"models": MODELS, "tasks": ["TXC"], "seeds": 2, "settings": TINY}
OPTIONS = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(autouse=True)
def places(workspace, monkeypatch):
    """The folders of a test, as environment variables."""
    for name in ("home", "results", "data", "project"):
        monkeypatch.setenv(f"BENCHMARK_{name.upper()}", str(getattr(workspace, name)))
    return workspace


class Recorder(bm.Progress):
    """Keeps what a run reports."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_import_is_quick_and_every_name_is_there():
    ran = in_new_process(
        "import sys, benchmark as bm\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'rich', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(bm.__all__) <= set(dir(bm))\n"
        "assert all(getattr(bm, name) for name in bm.__all__)\n"
        "assert bm.stats.iqm([[0.0, 1.0, 2.0, 3.0]]) == 1.5\n"
        "try: bm.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise AssertionError"
    )

    assert ran.returncode == 0, ran.stderr


def test_every_function_has_an_example_and_says_what_it_raises():
    for name in bm.__all__:
        function = getattr(bm, name)
        if callable(function) and not isinstance(function, type):
            assert ">>> " in function.__doc__, name
            assert f"bm.{name}(" in function.__doc__, name


def test_a_plan_is_a_table_and_counts(places):
    plan = bm.plan(**GRID)

    assert (plan.num_cells, plan.num_pending, plan.hours) == (4, 4, None)
    assert plan.frame["model"].tolist() == MODELS
    assert plan.frame[["num_train", "num_validation", "num_test"]].to_numpy().tolist() == [[29, 3, 8]] * 2
    assert not places.results.exists(), "a plan writes nothing"


@pytest.mark.parametrize(
    ("python", "text"),
    [
        ({"seeds": [3]}, "3,"),
        ({"seeds": "0-2"}, "0-2"),
        ({"fractions": [0.5, 1]}, "2"),
        ({"subsets": 12}, "2"),
        ({"sweep": {"learning_rate": [1e-3, 1e-4]}}, "2"),
        ({"search": {"weight_decay": [None, 1e-4]}}, "2"),
    ],
)
def test_lists_numbers_and_dicts_stand_for_texts(python, text):
    plan = bm.plan(**{**GRID, **python})

    num_seeds = {"3,": 1, "0-2": 3, "2": 2}[text]
    num_recipes = 2 if {"fractions", "sweep"} & set(python) else 1
    assert plan.num_cells == 2 * num_seeds * num_recipes


def test_a_wrong_request_raises_one_error_with_every_fault():
    with pytest.raises(bm.BenchmarkError, match="did you mean imagenet") as raised:
        bm.plan(models="imagent,swaw", tasks="TXC")

    assert "did you mean swav" in str(raised.value)


@pytest.mark.slow
def test_python_and_the_command_line_make_the_same_records(places, cli, tmp_path, capfd):
    progress = Recorder()
    outcome = bm.run(**GRID, results=tmp_path / "python", workers=2, progress=progress)
    printed = capfd.readouterr()
    again = bm.run(**GRID, results=tmp_path / "python")
    line = cli("run", "--models", ",".join(MODELS), "--tasks", "TXC", "--seeds", "2", *OPTIONS)

    assert line.code == 0, line.text
    assert (outcome.num_cells, outcome.num_done, outcome.is_complete) == (4, 4, True)
    assert printed.out == "", "Python prints nothing of its own"
    assert "4 cells: 4 to run" in progress.lines
    assert again.num_done == 4
    stores = Store(tmp_path / "python"), Store(places.results)
    by_key = [{record.key: record for record in store.records()[0]} for store in stores]
    assert by_key[0].keys() == by_key[1].keys()
    for key, record in by_key[0].items():
        assert (record.scores, record.history) == (by_key[1][key].scores, by_key[1][key].history)
    compared = bm.compare(tmp_path / "python", places.results)
    assert set(compared.table["verdict"]) == {"identical"}

    frame = bm.load_results(places.results)
    exported = cli("export").out
    assert frame.to_csv(index=False) == exported
    rows = bm.summary(frame, baseline=MODELS[0])
    made = bm.report(tasks="TXC", baseline=MODELS[0], output=tmp_path / "report")
    assert cli("report", "--tasks", "TXC", "--baseline", MODELS[0]).code == 0
    by_cli = places.results / "reports" / "TXC"
    assert sorted(made.files) == sorted(path.name for path in by_cli.iterdir())
    assert all(
        (made.folder / name).read_bytes() == (by_cli / name).read_bytes()
        for name in made.files
        if name != "report.html"
    )
    assert bm.figure("seeds", tasks="TXC").table["score"].notna().all()
    table = pd.read_csv(places.results / "reports" / "TXC" / "table.csv")
    shared = [name for name in ("mean", "sd", "n", "difference", "low", "high", "p", "p_holm") if name in table]
    pd.testing.assert_frame_equal(rows[shared].astype(float), table[shared].astype(float), check_exact=False)
    assert rows["n"].tolist() == [2, 2]
    other = bm.compare(*MODELS, test_sets=False)
    assert other.table["n_first"].tolist() == [2]
    assert any("cannot be told apart" in line or "better" in line for line in other.sentences["phantom"])
    status = bm.status()
    assert [row["done"] for row in status.counts] == [2, 2]


def test_results_that_are_not_there_are_an_error():
    with pytest.raises(bm.BenchmarkError, match="no finished cell in"):
        bm.load_results()
    with pytest.raises(bm.BenchmarkError, match="no column block"):
        bm.summary(pd.DataFrame({"score": [1.0]}))
    with pytest.raises(bm.BenchmarkError, match="wanted points above 0"):
        bm.compare("a", "b", margin=0)


def test_an_encoder_takes_bytes_and_normalizes_them():
    import torch

    from benchmark.zoo.forms import build_encoder

    module = bm.load_encoder("scratch:test_resnet", seed=3)
    images = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).remainder(256).to(torch.uint8)

    with torch.inference_mode():
        features = module(images)
        mean, sd = (torch.tensor(x).view(1, 3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        bare = module[1]((images / 255 - mean) / sd)
    assert features.shape == (2, module[1].num_features)
    assert torch.allclose(features, bare, atol=1e-5)
    assert not module.training
    assert [*module[1].state_dict()] == [*build_encoder("test_resnet", "pooled", 0).state_dict()]


def test_a_checkpoint_is_added_and_loaded(tmp_path):
    import timm
    import torch

    source = timm.create_model("test_resnet", num_classes=0).eval()
    torch.save(source.state_dict(), tmp_path / "net.pth")

    added = bm.add_checkpoint(
        tmp_path / "net.pth", name="mine", architecture="test_resnet", naming="timm", mean=(0, 0, 0), std=(1, 1, 1)
    )
    module = bm.load_encoder("mine")

    assert "100.0% of the parameters of test_resnet" in added.description
    assert len(added.entry.sha256) == 64
    images = torch.full((1, 3, 32, 32), 51, dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(module(images), source(images / 255), atol=1e-6)
    with pytest.raises(bm.BenchmarkError, match="has an entry 'mine' already"):
        bm.add_checkpoint(tmp_path / "net.pth", name="mine")


def test_a_task_is_three_tables_without_a_common_patient():
    splits = bm.load_task("TXC")

    tables = (splits.train, splits.validation, splits.test)
    assert [len(table) for table in tables] == [29, 3, 8]
    assert len({patient for table in tables for patient in set(table["patient"])}) == sum(
        table["patient"].nunique() for table in tables
    )
    assert set(splits.labels) <= set(splits.train)


@pytest.mark.slow
def test_a_tasks_images_come_in_batches():
    images = bm.load_task("TXC").open_images(settings={"image_size": 32, "train_resolution": 64}, seed=1)

    batch = next(iter(images.test.batches(4)))
    assert len(images.train) == 29
    assert batch.images.dtype.is_floating_point is False
    assert np.isin(batch.images.shape[1], (1, 3))
