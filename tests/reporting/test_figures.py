"""Figures: they show what the records say, their texts never meet, and the same records give the same bytes."""

import io
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from made_up import made_up_cell, made_up_record
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from benchmark.cell import Shift, Weights
from benchmark.errors import BenchmarkError
from benchmark.experiment.suite import read_suite
from benchmark.reporting.data import Attention, Features, ReportData
from benchmark.reporting.figures.kinds.convergence import Convergence, TimeToQuality
from benchmark.reporting.figures.kinds.embedding import Tsne, classes_of, embed
from benchmark.reporting.figures.kinds.forest import Forest
from benchmark.reporting.figures.kinds.label_efficiency import LabelEfficiency
from benchmark.reporting.figures.kinds.ranks import CriticalDifference, MeanRanks
from benchmark.reporting.figures.kinds.seeds import Seeds
from benchmark.reporting.figures.kinds.subgroups import Subgroups
from benchmark.reporting.figures.quality import median_with_censored
from benchmark.reporting.figures.registry import FIGURES, draw, figure_specs, plot
from benchmark.reporting.figures.specs import PublishedTable
from benchmark.reporting.figures.style import styled, width_of, wrapped
from benchmark.reporting.frame import frame_of
from benchmark.results.predictions import Predictions
from benchmark.results.record import SearchTrial
from benchmark.tasks.shift import with_shifts
from benchmark.zoo.catalog import ZooEntry

PAPER = [
    "imagenet",
    "scratch",
    "inat2021",
    "inat2021-mini",
    "insdis",
    "moco-v1",
    "pcl-v1",
    "pirl",
    "pcl-v2",
    "simclr-v1",
    "moco-v2",
    "simclr-v2",
    "sela-v2",
    "infomin",
    "byol",
    "deepcluster-v2",
    "swav",
    "barlow-twins",
    "cxr14",
    "chexpert",
    "imagenet-cxr14",
    "imagenet-chexpert",
]
SEVEN = ("DXC14", "DXC5", "TXC", "ECC", "PXS", "LXS", "VFS")
LONG = [
    "imagenet",
    "an-encoder-with-a-name-that-somebody-thought-was-a-good-idea-at-the-time",
    "dino+simclr-v1+swav+barlow-twins+deepcluster-v2",
    "averylongnamewithoutanysignatwhichonecouldbreakit0123456789",
    "a $trange_name^{2}$",
]
GROUPS = {"sex": ("F", "M"), "age": ("0-19", "20-39", "40-59", "60-79", "80-99")}


def weights(name):
    if name == "scratch":
        return Weights(name=name, architecture="resnet50", naming="none")
    digest = "".join(f"{ord(sign):02x}" for sign in name)[:64].ljust(64, "0")
    return Weights(name=name, architecture="resnet50", sha256=digest, naming="torchvision")


def made_up(tasks, models, names=SEVEN, seeds=10, **changed):
    """Records with curves, groups and timings: the later a model stands in the list, the better and faster it is."""
    records = []
    for number, task in enumerate(names):
        rng, metric = np.random.default_rng(number), tasks[task].metric
        for place, model in enumerate(models):
            for seed in range(seeds):
                best = float(0.75 + 0.03 * number + 0.004 * place * rng.uniform(0.3, 1.2) + rng.normal(0, 0.006))
                last = int(rng.integers(12, 30))
                history = [
                    {
                        "epoch": epoch,
                        "train_loss": 1 / epoch,
                        "learning_rate": 1e-3,
                        "validation_loss": 0.4 + math.exp(-epoch / (8 - place / 4)),
                        f"validation_{metric}": best * (1 - 0.3 * math.exp(-epoch / (6 - place / 5))),
                    }
                    for epoch in range(1, last + 1)
                ]
                groups = {
                    group: {
                        value: {metric: best + rng.normal(0, 0.01), "num": 40.0 + 9 * n}
                        for n, value in enumerate(values)
                    }
                    for group, values in GROUPS.items()
                }
                cell = made_up_cell(weights(model), seed, task, tasks[task].complete_recipe(), **changed)
                num = round((cell.subset or 3000) * cell.fraction)
                records.append(
                    made_up_record(
                        cell,
                        scores={metric: best},
                        history=history,
                        epochs_trained=last,
                        best_epoch=last,
                        per_group=groups,
                        timings={"train": 10.0 * last, "validation": 1.0 * last},
                        environment={"device": "CPU"},
                        num_examples={"train": num, "validation": 10, "test": 50},
                    )
                )
    return records


def predicted(_key, num=60):
    rng = np.random.default_rng(1)
    truth = np.eye(3)[np.arange(num) % 3]
    return Predictions(
        kind="multiclass",
        ids=np.array([f"image-{n}" for n in range(num)]),
        groups={},
        columns=("none", "mild", "severe"),
        truth=truth,
        score=rng.dirichlet(np.ones(3), num),
    )


def featured(_key, num=60):
    rng = np.random.default_rng(2)
    ids = np.array([f"image-{n}" for n in range(num)])
    return Features(values=rng.normal(size=(num, 16)) + 3 * (np.arange(num) % 3)[:, None], ids=ids)


def attended(_key):
    return Attention(
        weights=np.array([[0.2, 0.1, 0.7], [0.15, 0.25, 0.6], [0.3, 0.3, 0.4]]), encoders=("simclr-v1", "swav", "dino")
    )


def made_here():
    """An entry of an encoder whose probes were defined for half of its steps."""
    history = [
        {"epoch": step, "step": 10 * step, "train_loss": 4 / step, "validation_spread": 0.9} for step in range(1, 9)
    ]
    for line in history[4:]:
        line |= {"validation_linear": 0.5 + line["step"] / 400, "validation_knn": 0.5 + line["step"] / 500}
    return ZooEntry(
        name="made-here", title="", family="in-domain", method="SimCLR", architecture="resnet50", source="file:encoder",
        container="safetensors", naming="timm", licence="", cite="",
        made_by={"from": "scratch:resnet50", "task": "DXC14", "data": "phantom", "history": history},
    )  # fmt: skip


def report_data(records, tasks, **changed):
    loaders = {"predictions": predicted, "features": featured, "attention": attended}
    held = {record.key: record for record in records}
    entries = {name: made_here() for name in {weights.name for r in records for weights in r.cell.weights}}
    facts = {"frame": frame_of(records, tasks), "records": held, "baseline": "imagenet", "entries": entries}
    return ReportData(**{**facts, **loaders, **changed})


def judged_elsewhere(tasks, models, seeds=3):
    """Data of models that are trained on CheXpert5 and judged on DXC14 too."""
    labels = (("Edema", "Edema"), ("Pleural Effusion", "Effusion"))
    shift = Shift(
        source="CheXpert5", task="DXC14", task_digest="2" * 16, data="phantom", data_digest="3" * 16, labels=labels
    )
    records = []
    for record in made_up(tasks, models, ("CheXpert5",), seeds):
        auc = record.scores["mean_auc"]
        per_label = {own: {"auc": auc} for own, _ in labels}
        records += [
            record.model_copy(update={"per_label": per_label}),
            made_up_record(record.cell.shifted(shift), scores={"mean_auc": auc - 0.1}),
        ]
    return report_data(records, with_shifts(tasks, [record.cell for record in records]))


@pytest.fixture(scope="module")
def held(tasks):
    """Data by number of models: two, five with long names, and the first paper's on its tasks."""
    few = made_up(tasks, PAPER[:2], names=("TXC", "PXS"), seeds=3)

    def sizes(models):
        made = [made_up(tasks, models, ("TXC", "DXC14"), 3, fraction=fraction) for fraction in (0.01, 0.1, 0.5, 1.0)]
        return [record for records in made for record in records]

    some = sizes(LONG)
    return {
        "two shifted": judged_elsewhere(tasks, PAPER[:2]),
        "long shifted": judged_elsewhere(tasks, LONG),
        "paper shifted": judged_elsewhere(tasks, PAPER),
        "two": report_data(few, tasks),
        "two in sizes": report_data(sizes(PAPER[:2]), tasks),
        "long": report_data([record for record in some if record.cell.fraction == 1], tasks),
        "sizes": report_data(some, tasks),
        "paper": report_data(made_up(tasks, PAPER, seeds=3), tasks),
        "paper in sizes": report_data(sizes(PAPER), tasks),
        "two swept": report_data(swept(tasks, PAPER[:2]), tasks),
        "long swept": report_data(swept(tasks, LONG), tasks),
        "paper swept": report_data(swept(tasks, PAPER), tasks),
    }


def swept(tasks, models):
    """Runs at three learning rates, and runs that search two fields."""
    records = []
    for record in made_up(tasks, models, ("TXC",), 2):
        recipe, metric = record.cell.recipe, tasks["TXC"].metric
        for number, rate in enumerate((1e-4, 1e-3, 1e-2)):
            cell = record.cell.model_copy(update={"recipe": recipe.model_copy(update={"learning_rate": rate})})
            scores = {metric: record.scores[metric] - 0.02 * number}
            records.append(record.model_copy(update={"cell": cell, "key": cell.key, "validation": scores}))
        search = {"learning_rate": (1e-4, 1e-3), "weight_decay": (None, 1e-4)}
        cell = record.cell.model_copy(
            update={"recipe": recipe.model_copy(update={"learning_rate": 1e-4}), "search": search}
        )
        trials = [
            SearchTrial(settings=settings, score=0.8 + 0.01 * number, loss=0.4, chosen=number == 3)
            for number, (settings, _) in enumerate(cell.candidates())
        ]
        records.append(record.model_copy(update={"cell": cell, "key": cell.key, "search": trials}))
    return records


def texts_of(figure):
    """Each text on the canvas and its box in pixels."""
    with styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        unseen = set()
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                drawn = {id(label) for tick in axis._update_ticks() for label in (tick.label1, tick.label2)}
                labels = [
                    label for tick in [*axis.majorTicks, *axis.minorTicks] for label in (tick.label1, tick.label2)
                ]
                unseen |= {id(label) for label in labels if id(label) not in drawn}
            if not axes.axison:
                unseen |= {id(text) for text in [*axes.xaxis.findobj(Text), *axes.yaxis.findobj(Text)]}
        shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        return [(text.get_text(), text.get_window_extent(renderer)) for text in shown if id(text) not in unseen]


def assert_texts_are_apart(figure):
    canvas, found = figure.bbox, texts_of(figure)
    assert len(found) > 2
    for text, box in found:
        inside = box.x0 >= -0.5 and box.y0 >= -0.5 and box.x1 <= canvas.x1 + 0.5 and box.y1 <= canvas.y1 + 0.5
        assert inside, f"{text!r} leaves the canvas: {box} of {canvas}"
    for (one, first), (other, second) in itertools.combinations(found, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across < 1 or down < 1, f"{one!r} and {other!r} meet: {first}, {second}"
    for axes in figure.axes:
        if axes.axison and (legend := axes.get_legend()):
            assert legend.get_window_extent().y1 <= axes.bbox.y0
        for legend in figure.legends:
            assert not axes.axison or legend.get_window_extent().y1 <= axes.bbox.y0


@pytest.mark.parametrize("which", ["two", "long", pytest.param("paper", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", sorted(FIGURES))
def test_no_text_meets_another_or_leaves_the_canvas(held, kind, which):
    of = held["sizes"] if kind == "label-efficiency" and which == "long" else held[which]
    if kind == "label-efficiency" and which != "long":
        of = held[f"{which} in sizes"]
    if kind in ("sweep", "shift"):
        of = held[f"{which} {'swept' if kind == 'sweep' else 'shifted'}"]
    one_task = {"tasks": ("TXC",), "models": tuple(dict.fromkeys(of.frame["model"]))[:5]}

    figure = plot(of, FIGURES[kind].spec(**one_task) if kind in ("tsne", "attention") else FIGURES[kind].spec())

    assert_texts_are_apart(figure.figure)


@pytest.mark.parametrize("kind", sorted(FIGURES))
def test_a_figure_is_png_svg_and_csv_and_the_same_bytes_each_time(held, kind):
    of = held[{"label-efficiency": "two in sizes", "sweep": "two swept", "shift": "two shifted"}.get(kind, "two")]

    first, second = (draw(of, FIGURES[kind].spec()) for _ in range(2))

    assert (first.svg, first.csv, first.png) == (second.svg, second.csv, second.png)
    assert np.asarray(Image.open(io.BytesIO(first.png)).convert("L")).std() > 10, "an empty picture"
    told = " ".join(re.findall(r"<text[^>]*>([^<]*)<", first.svg.decode()))
    assert "imagenet" in told, "text is text"
    assert "phantom images: no clinical meaning" in told
    assert "PHANTOM" in first.caption
    assert not re.search(rb"20\d\d-\d\d-\d\d", first.svg)
    table = pd.read_csv(io.BytesIO(first.csv))
    assert set(table["data"].dropna()) == {"phantom"}


def test_official_images_are_not_marked_as_phantoms(tasks):
    drawn = draw(report_data(made_up(tasks, PAPER[:2], ("TXC",), 2, data="official"), tasks), Seeds())

    assert b"phantom" not in drawn.svg
    assert "PHANTOM" not in drawn.caption


def test_each_seed_and_the_moments_of_its_model_are_in_the_table(held):
    of = held["two"]

    table = plot(of, Seeds()).table

    runs = of.frame[(of.frame["task"] == "TXC") & (of.frame["model"] == "scratch")]["score"]
    rows = table[(table["task"] == "TXC") & (table["model"] == "scratch")]
    assert rows["score"].tolist() == runs.tolist()
    assert rows["mean"].iloc[0] == pytest.approx(np.mean(runs))
    assert rows["sd"].iloc[0] == pytest.approx(np.std(runs, ddof=1))
    other = of.frame[(of.frame["task"] == "TXC") & (of.frame["model"] == "imagenet")]["score"]
    assert rows["p"].iloc[0] == pytest.approx(stats.ttest_ind(runs, other, equal_var=False).pvalue)


def test_p_is_corrected_over_the_tests_of_a_panel(held):
    table = plot(held["paper"], Forest(correction="holm")).table

    one = table[table["task"] == "TXC"].sort_values("p")
    by_hand = np.minimum(1, np.maximum.accumulate(one["p"].to_numpy() * np.arange(len(one), 0, -1)))
    assert len(one) == 21
    assert one["p_adjusted"].to_numpy() == pytest.approx(by_hand)


def test_methods_stand_in_the_papers_order_and_what_was_not_run_is_named(held):
    spec = Seeds(models=("imagenet", "swav", "byol", "dino"), tasks=("PXS", "DXC14", "APTOS"))

    figure = plot(held["paper"], spec)

    assert list(dict.fromkeys(figure.table["model"])) == ["imagenet", "swav", "byol"]
    assert list(dict.fromkeys(figure.table["task"])) == ["PXS", "DXC14"]
    assert "Not run: dino, APTOS." in figure.caption


def test_a_cell_that_is_missing_is_shown_as_missing(tasks):
    records = made_up(tasks, PAPER[:3], ("TXC", "PXS"), 2)
    records = [record for record in records if (record.cell.task, record.cell.model) != ("PXS", "scratch")]

    for spec in (Seeds(), Forest()):
        figure = plot(report_data(records, tasks), spec)

        assert "–" in [text for text, _ in texts_of(figure.figure)]
        assert "nothing was run" in figure.caption
        row = figure.table[(figure.table["task"] == "PXS") & (figure.table["model"] == "scratch")].iloc[0]
        assert row["n"] == 0
        assert "score" not in row or math.isnan(row["score"])


def published():
    rows = [
        ("taher2021", "5", "TXC", "imagenet", "finetune", "", "auc", 0.9562, 0.0063, 0, 10),
        ("taher2021", "5", "TXC", "swav", "finetune", "", "auc", 0.9572, 0.0050, 0, 10),
        ("taher2021", "5", "TXC", "imagenet", "linear", "", "auc", 0.1, 0.1, 0, 10),
        ("taher2021", "4", "TXC", "imagenet", "finetune", "", "auc", 0.1, 0.1, 0, 10),
        ("taher2021", "5", "TXC", "imagenet", "finetune", "10%", "auc", 0.1, 0.1, 0, 10),
    ]
    return pd.DataFrame(
        rows, columns=["paper", "table", "task", "model", "protocol", "subset", "metric", "mean", "sd", "ddof", "n"]
    )


def test_the_published_stand_beside_official_images_alone(tasks):
    spec = Seeds(published=PublishedTable(paper="taher2021", table="5"))
    official, phantom = (
        report_data(made_up(tasks, ["imagenet", "scratch"], ("TXC",), 3, data=data), tasks, published=published())
        for data in ("official", "phantom")
    )

    shown, hidden = plot(official, spec), plot(phantom, spec)

    told = shown.table.drop_duplicates("model").set_index("model")["published_mean"]
    assert told["imagenet"] == 0.9562
    assert math.isnan(told["scratch"])
    assert "Hollow: the mean and sd printed in table 5 of taher2021 (n in that sd)." in shown.caption
    assert_texts_are_apart(shown.figure)
    assert "published_mean" not in hidden.table
    assert "Hollow" not in hidden.caption


def run_of(tasks, model, seed, scores, **changed):
    history = [{"epoch": e, "validation_loss": 1.0, "validation_auc": score} for e, score in enumerate(scores, 1)]
    facts = {"history": history, "epochs_trained": len(scores), "timings": {"train": 8.0, "validation": 2.0}}
    cell = made_up_cell(weights(model), seed, "TXC", tasks["TXC"].complete_recipe())
    return made_up_record(cell, scores[-1], **{**facts, **changed})


def test_the_epoch_at_which_the_baselines_best_is_reached_and_who_never_does(tasks):
    records = [
        run_of(tasks, "imagenet", 0, [0.5, 0.78, 0.8]),
        run_of(tasks, "imagenet", 1, [0.6, 1.0]),  # the mean of their best is 0.9
        run_of(tasks, "scratch", 0, [0.5, 0.6, 0.7, 0.82, 0.7]),
        run_of(tasks, "scratch", 1, [0.5, 0.6]),
    ]

    table = plot(report_data(records, tasks), TimeToQuality(percentages=(90,), unit="seconds")).table

    assert table["target"].tolist() == pytest.approx([0.81] * 4)
    rows = table.set_index(["model", "seed"])
    assert rows.loc[("imagenet", 0), ["epoch", "censored"]].tolist() == [3, True]
    assert rows.loc[("imagenet", 1), ["epoch", "censored", "seconds"]].tolist() == [2, False, 10.0]
    assert rows.loc[("scratch", 0), ["epoch", "censored", "seconds"]].tolist() == [4, False, 8.0]
    assert rows.loc[("scratch", 1), ["epoch", "censored"]].tolist() == [2, True]


def test_the_median_counts_runs_that_never_arrive_as_last():
    assert median_with_censored([3, 5, 9], [False, False, True]) == 5
    assert median_with_censored([3, 2, 9], [False, True, False]) == 9
    assert math.isnan(median_with_censored([3, 2, 2], [False, True, True]))
    assert math.isnan(median_with_censored([3, 2], [False, True]))


def test_a_curve_is_the_mean_of_the_runs_that_still_train(tasks):
    records = [
        run_of(tasks, "imagenet", seed, scores) for seed, scores in enumerate([[0.5, 0.7, 0.9], [0.6, 0.6], [0.4, 0.8]])
    ]

    table = plot(report_data(records, tasks), Convergence()).table.set_index("epoch")

    assert table["running"].tolist() == [3, 3, 1]
    assert table["n"].tolist() == [3, 3, 3]
    assert table["mean"].tolist() == pytest.approx([0.5, 0.7, 0.9])
    interval = stats.t.interval(0.95, 2, loc=0.7, scale=stats.sem([0.7, 0.6, 0.8]))
    assert table.loc[2, ["low", "high"]].tolist() == pytest.approx(interval)
    assert math.isnan(table.loc[3, "low"])
    sd = plot(report_data(records, tasks), Convergence(band="sd")).table.set_index("epoch")
    assert sd.loc[2, "high"] == pytest.approx(0.8)


def test_sizes_of_one_recipe_stand_on_one_line_and_other_recipes_do_not(tasks):
    records = [r for fraction in (0.1, 1.0) for r in made_up(tasks, PAPER[:2], ("TXC",), 3, fraction=fraction)]
    records += made_up(tasks, PAPER[:2], ("TXC",), 3, subset=50)
    other = [
        r
        for fraction in (0.1, 1.0)
        for r in made_up(tasks, PAPER[:2], ("TXC",), 3, fraction=fraction, data_digest="2" * 16)
    ]

    one, two = (plot(report_data(made, tasks), LabelEfficiency()) for made in (records, records + other))

    assert [len(figure.figure.axes) for figure in (one, two)] == [1, 2]
    assert sorted(set(one.table["size"])) == [50, 300, 3000]
    of = plot(report_data(records, tasks), LabelEfficiency(against="fraction")).table
    assert sorted(set(of["size"])) == [10, 100]
    row = one.table[(one.table["model"] == "scratch") & (one.table["size"] == 50)].iloc[0]
    runs = [r.scores["auc"] for r in records if r.cell.subset == 50 and r.cell.model == "scratch"]
    assert [row["low"], row["high"]] == pytest.approx(stats.t.interval(0.95, 2, np.mean(runs), stats.sem(runs)))


def test_subgroups_have_the_interval_of_their_runs(held):
    of = held["two"]

    table = plot(of, Subgroups(groups=("sex",))).table

    keys = of.frame[(of.frame["task"] == "TXC") & (of.frame["model"] == "scratch")]["key"]
    runs = [of.records[key].per_group["sex"]["F"]["auc"] for key in keys]
    row = table[(table["task"] == "TXC") & (table["model"] == "scratch") & (table["value"] == "F")].iloc[0]
    assert [row["low"], row["high"]] == pytest.approx(stats.t.interval(0.95, 2, np.mean(runs), stats.sem(runs)))
    assert set(table["group"]) == {"sex"}


def test_ranks_are_of_tasks_that_all_models_have_or_of_models_that_have_all(tasks):
    records = made_up(tasks, PAPER[:4], SEVEN[:4], 3)
    records = [record for record in records if (record.cell.task, record.cell.model) != ("TXC", "scratch")]
    of = report_data(records, tasks)

    fewer_tasks, fewer_models = (plot(of, CriticalDifference(leave_out=what)) for what in ("tasks", "models"))

    assert set(fewer_tasks.table["tasks"]) == {3}
    assert len(fewer_tasks.table) == 4
    assert "missing: TXC." in fewer_tasks.caption
    assert len(fewer_models.table) == 3
    assert "missing: scratch." in fewer_models.caption
    # Demšar 2006, table 5a: q = 2.569 of four models
    assert fewer_tasks.table["critical_distance"].iloc[0] == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 3)), abs=2e-3)
    means = of.frame[of.frame["task"] != "TXC"].pivot_table(index="task", columns="model", values="score")
    expected = means.rank(axis=1, ascending=False).mean()
    assert fewer_tasks.table.set_index("model")["mean_rank"].to_dict() == pytest.approx(expected.to_dict())
    ranked = plot(of, MeanRanks()).table
    assert ((ranked["low"] <= ranked["mean_rank"]) & (ranked["mean_rank"] <= ranked["high"])).all()


def test_a_task_in_two_settings_is_not_ranked_twice(tasks):
    records = made_up(tasks, PAPER[:3], ("TXC", "PXS"), 2) + made_up(tasks, PAPER[:3], ("TXC",), 2, fraction=0.1)

    with pytest.raises(BenchmarkError, match="TXC has 2 settings"):
        plot(report_data(records, tasks), CriticalDifference())

    assert set(plot(report_data(records, tasks), CriticalDifference(share="")).table["tasks"]) == {2}


def test_features_are_embedded_by_seed_and_near_ones_stay_near():
    features = featured("").values

    first, second = (embed(features, perplexity=10, seed=3) for _ in range(2))

    np.testing.assert_array_equal(first, second)
    gaps = np.linalg.norm(first[:, None] - first, axis=2) + np.diag(np.full(60, np.inf))
    assert (gaps.argmin(axis=1) % 3 == np.arange(60) % 3).all()
    with pytest.raises(BenchmarkError, match="perplexity 60 wants more examples"):
        embed(features, perplexity=60, seed=0)


def test_the_picture_of_features_tells_perplexity_seed_and_classes(held):
    figure = plot(held["two"], Tsne(perplexity=7, seed=5, examples=40))

    assert "perplexity 7, seed 5" in figure.caption
    assert set(figure.table["class"]) == {"none", "mild", "severe"}
    assert set(figure.table.groupby(["block", "model"]).size()) == {40}
    assert set(figure.table["perplexity"]) == {7}


def test_classes_are_words():
    def of(truth, columns, kind="classification"):
        truth = np.array(truth, dtype=float)
        ids = np.array([str(n) for n in range(len(truth))])
        told = Predictions(kind=kind, ids=ids, groups={}, columns=columns, truth=truth, score=np.zeros(truth.shape))
        return classes_of(told).tolist()

    assert of([[1], [0], [math.nan]], ("TB",)) == ["TB", "no TB", "unknown"]
    assert of([[1, 0], [1, 1], [0, 0], [math.nan, 1]], ("mass", "nodule")) == ["mass", "several", "none", "nodule"]


def test_attention_is_the_mean_of_the_runs_and_is_written_into_its_cells(held):
    figure = plot(held["two"], FIGURES["attention"].spec(tasks=("TXC",), models=("imagenet",)))

    row = figure.table[(figure.table["from"] == "simclr-v1") & (figure.table["to"] == "dino")].iloc[0]
    assert (row["mean"], row["n"]) == (pytest.approx(0.7), 3)
    assert "0.70\n± 0.00" in [text for text, _ in texts_of(figure.figure)]


def test_the_curves_of_a_pretraining_are_those_of_its_entry(held):
    figure = plot(held["two"], FIGURES["pretraining"].spec(models=("imagenet",)))

    history = made_here().made_by["history"]
    titles = [panel.get_title(loc="left").split("\n")[0] for panel in figure.figure.axes]
    drawn = [panel.lines[0].get_xydata() for panel in figure.figure.axes]
    assert titles == ["DXC14: training loss", "DXC14: linear probe", "DXC14: nearest neighbors"]
    assert drawn[0].tolist() == [[line["step"], line["train_loss"]] for line in history]
    assert drawn[2][4:].tolist() == [[line["step"], 100 * line["validation_knn"]] for line in history[4:]]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("tsne", "no features are kept"),
        ("attention", "no attention is kept"),
        ("label-efficiency", "two sizes"),
        ("subgroups", "no record has scores of subgroups"),
        ("convergence", "no record has its validation score"),
        ("time-to-quality", "no record has its validation score"),
        ("forest", "nothing to compare"),
        ("critical-difference", "two models on two tasks"),
        ("mean-ranks", "two models on two tasks"),
        ("pretraining", "no encoder of these runs was made here"),
    ],
)
def test_what_does_not_exist_is_refused_with_its_reason(tasks, kind, reason):
    records = [made_up_record(made_up_cell(weights("imagenet"), seed)) for seed in range(3)]
    nothing = {name: ReportData.__dataclass_fields__[name].default for name in ("features", "attention")}

    with pytest.raises(BenchmarkError, match=reason) as raised:
        plot(report_data(records, tasks, entries={}, **nothing), FIGURES[kind].spec())

    assert "\n" not in str(raised.value)


def test_figures_of_tasks_that_were_not_run_say_how_to_run_them(held):
    with pytest.raises(BenchmarkError, match="benchmark run --tasks APTOS"):
        plot(held["two"], Seeds(tasks=("APTOS",)))


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        ({"kind": "seed"}, "figure 1: kind 'seed': did you mean seeds"),
        ({}, "figure 1: kind None"),
        ({"kind": "seeds", "modles": []}, "unknown key 'modles': did you mean models"),
        ({"kind": "forest", "correction": "bonferroni"}, "correction"),
    ],
)
def test_a_figure_that_nobody_could_draw_is_refused(figure, reason):
    with pytest.raises(BenchmarkError, match=re.escape(reason)):
        figure_specs({"1": figure})


def test_the_suites_figures_are_known_and_of_known_models_and_tasks(tasks):
    from conftest import CHECKOUT

    from benchmark.zoo.catalog import read_zoo

    entries = read_zoo(CHECKOUT / "model_zoo.yaml")
    for suite in ("taher2021", "truong2021", "azizi2021"):
        specs = figure_specs(read_suite(suite, CHECKOUT / "tasks" / "suites").figures)
        assert specs, suite
        for name, spec in specs.items():
            assert spec.title, name
            assert set(spec.tasks) <= set(tasks), name
            assert {part for model in spec.models for part in model.split("+")} <= set(entries), name


def test_names_are_wrapped_to_their_room_and_lose_no_sign():
    for name in (*LONG, *PAPER):
        lines = wrapped(name, 1.0).split("\n")

        assert "".join(lines).replace("\\$", "$").replace(" ", "") == name.replace(" ", "")
        assert all(width_of(line) <= 1.0 for line in lines)
