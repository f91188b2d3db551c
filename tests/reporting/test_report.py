"""Tables: every figure in a row is checked against the records that it came from; what must not mix does not."""

import io

import numpy as np
import pandas as pd
import pytest
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_record
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

from benchmark.errors import BenchmarkError
from benchmark.experiment.suite import own_recipe
from benchmark.recipe import Recipe
from benchmark.reporting.commands import commands_of
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.kinds.convergence import Convergence, TimeToQuality
from benchmark.reporting.figures.kinds.seeds import Seeds
from benchmark.reporting.figures.registry import draw, plot
from benchmark.reporting.frame import cell_changes, frame_of, model_notes
from benchmark.reporting.groups import groups_of
from benchmark.reporting.replicates import with_replicates, with_replicates_of_single_runs
from benchmark.reporting.table_writers import latex_of, markdown_of
from benchmark.reporting.tables import block_tables, default_baseline, summary
from benchmark.results.predictions import Predictions
from benchmark.results.store import Store

ONE, TWO = [0.90, 0.91, 0.92, 0.93], [0.80, 0.83, 0.84, 0.86, 0.82]


def records(**changed):
    pairs = [(SCRATCH, TWO), (IMAGENET, ONE)]
    cells = [(made_up_cell(w, seed, **changed), score) for w, scores in pairs for seed, score in enumerate(scores)]
    return [made_up_record(cell, score) for cell, score in cells]


def test_a_row_has_mean_sd_n_and_the_t_test_of_its_records(tasks):
    rows = summary(frame_of(records(), tasks), SCRATCH.name).set_index("model")

    row = rows.loc["imagenet"]
    expected = stats.ttest_ind(ONE, TWO, equal_var=False)
    assert (row["mean"], row["sd"], row["n"]) == (pytest.approx(np.mean(ONE)), pytest.approx(np.std(ONE, ddof=1)), 4)
    assert (row["p"], row["difference"]) == (pytest.approx(expected.pvalue), pytest.approx(np.mean(ONE) - np.mean(TWO)))
    assert (row["best_epoch"], row["epochs_trained"], row["epochs_trained_sd"]) == (3, 5, 0)
    assert rows.loc[SCRATCH.name, "n"] == 5
    assert np.isnan(rows.loc[SCRATCH.name, "p"])


def test_the_printed_table_says_what_its_numbers_are(tasks):
    text = markdown_of(*block_tables(summary(frame_of(records(), tasks), SCRATCH.name)))

    assert "| imagenet | 91.50 ± 1.29 | 4 | +8.50 [" in text
    assert "TXC: tuberculosis in chest radiographs" in text
    assert "1 test in this table, not corrected" in text
    assert "PHANTOM IMAGES" in text


def several(num=6, **changed):
    """Runs of the baseline and of models whose means move away from it."""
    rng = np.random.default_rng(3)
    others = [IMAGENET.model_copy(update={"name": f"model-{n}", "sha256": f"{n:064x}"}) for n in range(1, num)]
    shifted = [(SCRATCH, 0.8)] + [(w, 0.8 + 0.004 * n) for n, w in enumerate(others)]
    cells = [(made_up_cell(w, seed, **changed), mean) for w, mean in shifted for seed in range(5)]
    return [made_up_record(cell, mean + 0.006 * rng.standard_normal()) for cell, mean in cells]


def test_corrected_p_are_those_of_statsmodels_over_the_tests_of_each_block(tasks):
    frame = frame_of(several() + several(num=3, task="PXS"), tasks)
    rows = summary(frame, SCRATCH.name)

    for _, block in rows.groupby("block"):
        tested = block[block["p"].notna()]
        for column, method in (("p_holm", "holm"), ("p_bh", "fdr_bh")):
            assert tested[column].to_numpy() == pytest.approx(multipletests(tested["p"], method=method)[1])
    assert rows.loc[rows["is_baseline"], ["p", "p_holm", "p_bh", "hedges_g"]].isna().all(axis=None)
    assert "5 tests in this table, not corrected for their number; p (Holm): corrected for it" in markdown_of(
        *block_tables(rows)
    )


def test_the_smallest_effect_is_that_of_so_many_runs_a_side(tasks):
    rows = summary(frame_of(several(), tasks), SCRATCH.name)

    expected = TTestIndPower().solve_power(nobs1=5, alpha=0.05, power=0.8)
    assert rows.loc[~rows["is_baseline"], "smallest_effect"].unique() == pytest.approx([expected], rel=1e-4)
    assert f"{expected:.2f} sd and more" in markdown_of(*block_tables(rows))


def test_the_test_can_be_chosen(tasks):
    made = several(num=2)
    frame = frame_of(made, tasks)
    one, two = (frame.loc[frame["model"] == m].sort_values("seed")["score"] for m in ("model-1", SCRATCH.name))

    found = {name: summary(frame, SCRATCH.name, name).set_index("model").loc["model-1"] for name in
             ("student", "welch", "paired", "wilcoxon")}  # fmt: skip
    assert found["student"]["p"] == pytest.approx(stats.ttest_ind(one, two).pvalue)
    assert found["welch"]["p"] == pytest.approx(stats.ttest_ind(one, two, equal_var=False).pvalue)
    assert found["paired"]["p"] == pytest.approx(stats.ttest_rel(one, two).pvalue)
    assert found["wilcoxon"]["p"] == pytest.approx(stats.wilcoxon(one, two).pvalue)
    text = markdown_of(*block_tables(summary(frame, SCRATCH.name, "paired")))
    assert "Student's t-test of pairs of the same seed" in text
    assert "power" not in text, "two independent sides are not what was tested"


def test_pairs_are_runs_of_the_same_seed_alone(tasks):
    made = [made_up_record(made_up_cell(IMAGENET, seed), 0.9 + seed / 100) for seed in (0, 1, 2)]
    made += [made_up_record(made_up_cell(SCRATCH, seed), 0.8 + seed**2 / 100) for seed in (1, 2, 3)]
    row = summary(frame_of(made, tasks), SCRATCH.name, "paired").set_index("model").loc["imagenet"]

    expected = stats.ttest_rel([0.91, 0.92], [0.81, 0.84])
    assert (row["n_tested"], row["p"]) == (2, pytest.approx(expected.pvalue))
    assert row["difference"] == pytest.approx(0.09)


def test_the_table_is_latex_too(tasks):
    text = latex_of(*block_tables(summary(frame_of(records(), tasks), SCRATCH.name)))

    assert r"imagenet & 91.50 $\pm$ 1.29 & 4 & +8.50 [" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    assert "PHANTOM IMAGES" in text


def test_subgroups_have_mean_sd_n_and_the_mark_of_weights_that_saw_the_images(tasks):
    told = [{"sex": {"F": {"auc": 0.9, "num": 30.0}, "M": {"auc": score, "num": 20.0}}} for score in (0.7, 0.8, None)]
    note = ["overlap: imagenet was trained on the images of this task (x)"]
    made = [made_up_record(made_up_cell(IMAGENET, n), per_group=g, notes=note) for n, g in enumerate(told)]
    groups = groups_of(frame_of(made, tasks), made).set_index("value")

    assert (groups.loc["M", "mean"], groups.loc["M", "n"]) == (pytest.approx(0.75), 2)
    assert groups.loc["M", "sd"] == pytest.approx(np.std([0.7, 0.8], ddof=1))
    assert groups["overlap"].all()


def test_family_and_share_are_in_the_words_of_the_zoo_and_of_print(tasks):
    made = [made_up_record(made_up_cell(IMAGENET, 0, **c)) for c in ({}, {"subset": 50}, {"fraction": 0.1})]
    fused = made_up_cell(IMAGENET).model_copy(update={"weights": (IMAGENET, SCRATCH), "protocol": "dvme"})
    frame = frame_of([*made, made_up_record(fused)], tasks, {"imagenet": "supervised"})

    assert set(frame.loc[frame["protocol"] == "finetune", "share"]) == {"", "50", "10%"}
    assert frame.groupby("protocol")["family"].first().to_dict() == {
        "dvme": "scratch+supervised",
        "finetune": "supervised",
    }


def predictions(seed, num=60):
    """Five images a patient, scores that tell the label a little."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(0).random((num, 1)) < 0.5
    score = np.clip(0.5 + 0.15 * (truth - 0.5) + 0.2 * rng.standard_normal((num, 1)), 0, 1)
    return Predictions(
        kind="classification",
        ids=np.array([f"image-{n:03}" for n in range(num)]),
        groups={"patient": np.array([f"patient-{n // 5}" for n in range(num)])},
        columns=("TB",),
        truth=truth.astype(float),
        score=score,
    )


@pytest.mark.parametrize(("by", "units"), [("patient", 12), ("image", 60)])
def test_replicates_of_the_test_set_give_the_difference_over_all_runs(tasks, by, units):
    """The value of a model is the mean over its runs, here of four and of five sets of predictions."""
    made = records()
    frame = frame_of(made, tasks)
    answers = {r.key: predictions(r.cell.seed + 10 * (r.cell.model == "imagenet")) for r in made}

    rows = with_replicates(summary(frame, SCRATCH.name), frame, answers.__getitem__, tasks, by)

    row = rows.set_index("model").loc["imagenet"]
    means = [
        np.mean([roc_auc_score(predictions(n).truth, predictions(n).score) for n in seeds])
        for seeds in (range(10, 14), range(5))
    ]
    assert row["replicates_difference"] == pytest.approx(means[0] - means[1])
    assert row["replicates_low"] < row["replicates_difference"] < row["replicates_high"]
    assert row["test_low"] < means[0] < row["test_high"]
    assert row["replicates_units"] == units
    assert np.isnan(rows.set_index("model").loc[SCRATCH.name, "replicates_low"])
    assert f"1,000 test sets drawn by {by}" in markdown_of(*block_tables(rows))


def test_replicates_that_cannot_be_drawn_are_one_line(tasks):
    made = records()
    frame = frame_of(made, tasks)
    answers = {r.key: predictions(1, 60 if r.cell.model == "imagenet" else 50) for r in made}

    with pytest.raises(BenchmarkError, match="drawn by image: TXC, imagenet: not the same test images"):
        with_replicates(summary(frame, SCRATCH.name), frame, answers.__getitem__, tasks, "image")


def test_the_commands_make_the_cells_again(tasks):
    sheet = tasks["TXC"]
    own, other = sheet.complete_recipe(), sheet.complete_recipe(settings=("image_size=96",))
    made = [
        made_up_record(made_up_cell(w, s, recipe=own, data="official")) for w in (SCRATCH, IMAGENET) for s in range(3)
    ]
    made += [made_up_record(made_up_cell(IMAGENET, 7, recipe=other, subset=50, data="official"))]
    commands = commands_of(frame_of(made, tasks), {r.key: r for r in made}, tasks)

    assert set(commands) == {
        "benchmark run --tasks TXC --models imagenet,scratch:resnet18 --seeds 0-2",
        "benchmark run --tasks TXC --models imagenet --seeds 7, --set image_size=96 --subset 50",
    }


def test_the_verb_writes_a_page_tables_and_figures(cli, workspace):
    for record in records():
        Store(workspace.results).put(record, predictions(len(record.cell.model)))

    ran = cli("report", "--tasks", "TXC", "--test", "welch", "--bootstrap", "patient")

    assert ran.code == 0, ran.err
    folder = workspace.results / "reports" / "TXC"
    wanted = {"report.html", "table.md", "table.tex", "table.csv", "cells.csv", "seeds.png", "seeds.svg", "curves.png"}
    assert wanted <= {file.name for file in folder.iterdir()}
    table = pd.read_csv(folder / "table.csv").set_index("model")
    expected = stats.ttest_ind(TWO, ONE, equal_var=False).pvalue
    assert table.loc[SCRATCH.name, "p"] == pytest.approx(expected)
    assert table.loc[SCRATCH.name, "replicates_units"] == 12
    assert "Welch's independent two-sample t-test" in ran.text


def test_a_suite_that_ran_in_part_is_reported_of_what_was_run(cli, workspace):
    for seed in range(2):
        record = made_up_record(made_up_cell(IMAGENET, seed, task="APTOS"), None, scores={"kappa": 0.8 + seed / 10})
        Store(workspace.results).put(record, None)

    ran = cli("report", "--suite", "truong2021")

    assert ran.code == 0, ran.err
    assert "APTOS" in ran.out
    assert "tables of the paper: benchmark report --suite truong2021 --table all" in ran.text


def test_phantoms_and_official_images_never_share_a_table(tasks):
    both = records() + records(data="official")

    rows = summary(frame_of(both, tasks), SCRATCH.name)

    assert rows.groupby("block")["data"].nunique().tolist() == [1, 1]
    assert sorted(rows["n"]) == [4, 4, 5, 5]
    assert markdown_of(*block_tables(rows)).count("PHANTOM IMAGES") == 1


@pytest.mark.parametrize("changed", [{"recipe": Recipe(image_size=96)}, {"data_digest": "2" * 16}, {"fraction": 0.1}])
def test_other_settings_and_other_images_never_mix_into_one_mean(tasks, changed):
    rows = summary(frame_of(records() + records(**changed), tasks), SCRATCH.name)

    assert rows["block"].nunique() == 2
    assert sorted(rows["n"]) == [4, 4, 5, 5]


def test_a_name_that_stood_for_two_files_is_told_apart(tasks):
    other = IMAGENET.model_copy(update={"sha256": "cd" * 32})
    twice = [made_up_record(made_up_cell(w, seed)) for w in (IMAGENET, other) for seed in (0, 1)]

    frame = frame_of(twice, tasks)

    assert frame["model"].nunique() == frame["model_id"].nunique() == 2
    assert all(name.startswith("imagenet@") for name in frame["model"])
    assert summary(frame, "x")["n"].tolist() == [2, 2]
    notes = model_notes([record.cell for record in twice])
    assert [note.split(" is ")[0] for note in notes] == sorted(set(frame["model"]))
    assert all(f"file {digest}" in " ".join(notes) for digest in ("abababab", "cdcdcdcd"))


@pytest.mark.parametrize("changed", [
    {"naming": "timm"}, {"architecture": "resnet34"}, {"mean": (0.5, 0.5, 0.5)}, {"features": "class-tokens-4"},
])  # fmt: skip
def test_an_entry_that_was_read_or_fed_otherwise_is_another_model(tasks, changed):
    """0.91 and 0.71 under one name and one file are not 0.81 of six runs."""
    other = IMAGENET.model_copy(update=changed)
    made = [made_up_record(made_up_cell(w, seed), score) for w, score in ((IMAGENET, 0.91), (other, 0.71))
            for seed in range(3)]  # fmt: skip

    rows = summary(frame_of(made, tasks), "imagenet")

    assert sorted(rows["mean"]) == pytest.approx([0.71, 0.91])
    assert rows["n"].tolist() == [3, 3]
    assert rows["model"].nunique() == 2


@pytest.mark.parametrize("changed", [{"naming": "timm"}, {"architecture": "resnet34"}, {"sha256": "cd" * 32}])
def test_an_entry_that_was_replaced_between_tasks_is_not_one_model_over_both(tasks, changed):
    cells = [made_up_cell(IMAGENET), made_up_cell(IMAGENET.model_copy(update=changed), task="PXS")]

    assert frame_of([made_up_record(cell) for cell in cells], tasks)["model"].nunique() == 2


def test_a_fusion_whose_second_file_changed_is_another_model(tasks):
    second = IMAGENET.model_copy(update={"name": "other", "sha256": "cd" * 32})
    pairs = [(IMAGENET, second), (IMAGENET, second.model_copy(update={"sha256": "ef" * 32}))]
    cells = [made_up_cell().model_copy(update={"weights": pair, "protocol": "dvme"}) for pair in pairs]

    frame = frame_of([made_up_record(cell) for cell in cells], tasks)

    assert frame["model"].nunique() == 2
    assert all(name.startswith("imagenet+other@") for name in frame["model"])


def test_input_statistics_that_the_recipe_asks_for_leave_the_name_as_it_is(tasks):
    """Fed otherwise in another table, it is the same entry: one name in both."""
    native = IMAGENET.model_copy(update={"mean": (0.0, 0.0, 0.0)})
    cells = [made_up_cell(IMAGENET), made_up_cell(native, recipe=Recipe(input="native"))]

    assert set(frame_of([made_up_record(cell) for cell in cells], tasks)["model"]) == {"imagenet"}


def test_copies_of_a_deterministic_answer_are_one_run_with_an_interval_over_test_sets(tasks):
    """Three seeds of nearest neighbours over fixed weights: n is 1, nothing is tested."""
    other = IMAGENET.model_copy(update={"name": "other", "sha256": "cd" * 32})
    made = [
        made_up_record(made_up_cell(w, seed, protocol="knn"), 0.879) for w in (IMAGENET, other) for seed in range(3)
    ]
    frame = frame_of(made, tasks)
    answers = {r.key: predictions(1 if r.cell.model == "imagenet" else 2) for r in made}

    rows = with_replicates_of_single_runs(summary(frame, "imagenet"), frame, answers.__getitem__, tasks)

    assert rows["n"].tolist() == [1, 1]
    assert rows["p"].isna().all()
    auc = roc_auc_score(predictions(1).truth, predictions(1).score)
    first = rows.set_index("model").loc["imagenet"]
    assert first["test_low"] < auc < first["test_high"]
    assert "No seed changes the answer: it is one run, and no test of runs is made." in markdown_of(*block_tables(rows))
    assert "±" not in markdown_of(*block_tables(rows)).split("\n")[-2]


def test_runs_that_do_not_vary_are_said_to_be_the_same(tasks):
    made = [made_up_record(made_up_cell(SCRATCH, seed), 0.879) for seed in range(3)]

    assert "87.90 (the same in all 3 runs)" in markdown_of(*block_tables(summary(frame_of(made, tasks), SCRATCH.name)))


@pytest.mark.parametrize(("changed", "said"), [
    ({"data_status": "partial", "num_images": 1605, "num_published": 112120},
     "PARTIAL DATA: 1,605 of 112,120 published images"),
    ({"data_status": "own"}, "OWN DATA OR SPLIT"),
])  # fmt: skip
def test_what_is_not_the_whole_published_data_set_is_said_to_be_so(tasks, changed, said):
    made = [made_up_record(made_up_cell(w, seed, data="official"), **changed) for w in (SCRATCH, IMAGENET)
            for seed in range(2)]  # fmt: skip
    frame = frame_of(made, tasks)
    rows = summary(frame, "imagenet")
    drawing = draw(ReportData(frame=frame, records={r.key: r for r in made}, baseline="imagenet"), Seeds())

    assert said in markdown_of(*block_tables(rows))
    assert said in latex_of(*block_tables(rows))
    assert said in drawing.caption
    assert rows["data"].unique().tolist() == [changed["data_status"]]


@pytest.mark.parametrize(("changed", "said"), [
    ({}, "Runs differ in the training seed and share the images of all splits"),
    ({"fold": 1, "folds": 5}, "Runs of several folds share training images"),
])  # fmt: skip
def test_the_caption_says_what_varies_and_that_validation_images_are_labelled(tasks, changed, said):
    made = [made_up_record(made_up_cell(SCRATCH, seed, subset=50, **changed)) for seed in range(2)]

    text = markdown_of(*block_tables(summary(frame_of(made, tasks), SCRATCH.name)))

    assert said in text
    assert "100 training images, 10 validation images, labeled too; 50 test images" in text


def test_failed_cells_are_no_rows(tasks):
    failed = made_up_record(made_up_cell(), status="failed", error="no")

    assert frame_of([failed], tasks).empty


def test_settings_are_told_by_what_differs_from_the_task(tasks):
    recipe = tasks["PXS"].complete_recipe(settings=("image_size=96", "early_stop=none"))

    own = own_recipe(tasks["PXS"], "finetune")

    def changes(**cell):
        return list(map(str, cell_changes(made_up_cell(**cell), own)))

    assert changes(recipe=recipe) == ["early_stop=None", "image_size=96"]
    assert changes(recipe=own) == []
    assert changes(recipe=own, search={"image_size": (own.image_size, 96)}) == ["image_size chosen on validation of 2"]


def test_the_baseline_is_imagenet_then_scratch(tasks):
    frame = frame_of(records(), tasks)

    assert default_baseline(frame) == "imagenet"
    assert default_baseline(frame[frame["model"] != "imagenet"]) == SCRATCH.name


def test_one_seed_has_no_sd_and_no_p(tasks):
    single = [made_up_record(made_up_cell(weights)) for weights in (SCRATCH, IMAGENET)]

    text = markdown_of(*block_tables(summary(frame_of(single, tasks), SCRATCH.name)))

    assert "| imagenet | 90.00 | 1 | +0.00 | – |" in text


def test_figures_are_drawn_for_any_number_of_models(tasks):
    many = [IMAGENET.model_copy(update={"name": f"a-long-model-name-{n}", "sha256": f"{n:064x}"}) for n in range(1, 10)]
    made = records() + [made_up_record(made_up_cell(w, seed), 0.8 + seed / 100) for w in many for seed in range(2)]
    frame = frame_of(made + records(task="PXS"), tasks)

    by_key = {record.key: record for record in made + records(task="PXS")}
    material = ReportData(frame=frame, records=by_key, baseline="imagenet")
    for spec in (Seeds(), Convergence(of="loss")):
        image = np.asarray(Image.open(io.BytesIO(draw(material, spec).png)).convert("L"))
        assert image.shape[0] > 300
        assert image.std() > 10, "an empty picture"


def test_protocols_stand_in_their_order_small_shares_first_and_no_epoch_is_no_number(tasks):
    """Logistic regression has no epochs; a table of it says so, and the page's figures do without them."""
    told = {"epochs_trained": None, "best_epoch": None, "history": []}
    asked = [("knn", None), ("linear", 500), ("linear", 50), ("finetune", None), ("linear", None)]
    cells = [
        made_up_record(made_up_cell(IMAGENET, seed, protocol=protocol, subset=subset), **told)
        for protocol, subset in asked
        for seed in range(2)
    ]

    frame = frame_of(cells, tasks)

    in_order = list(dict.fromkeys(zip(frame["protocol"], frame["subset"].fillna(0), strict=True)))
    assert in_order == [("finetune", 0), ("linear", 50), ("linear", 500), ("linear", 0), ("knn", 0)]
    text = markdown_of(*block_tables(summary(frame, "imagenet")))
    assert "nan" not in text.lower()


def test_time_to_quality_of_runs_without_epochs_is_a_fault(tasks):
    told = {"epochs_trained": None, "best_epoch": None, "history": []}
    other = IMAGENET.model_copy(update={"name": "other", "sha256": "cd" * 32})
    made = [made_up_record(made_up_cell(IMAGENET, seed), **told) for seed in range(2)]
    history = [{"epoch": 1, "validation_loss": 1.0, "validation_auc": 0.7}]
    made.append(made_up_record(made_up_cell(other, 0), history=history, epochs_trained=1, best_epoch=1))
    material = ReportData(frame=frame_of(made, tasks), records={r.key: r for r in made}, baseline="imagenet")

    with pytest.raises(BenchmarkError, match="nothing to reach"):
        plot(material, TimeToQuality())


def test_a_report_of_somebody_elses_results_is_written_where_the_user_says(cli, workspace, tmp_path):
    for record in records():
        Store(workspace.results).put(record, predictions(len(record.cell.model)))
    before = sorted(workspace.results.rglob("*"))

    ran = cli("report", "--tasks", "TXC", "--output", str(tmp_path / "mine"))

    assert ran.code == 0, ran.err
    assert {"report.html", "table.csv"} <= {file.name for file in (tmp_path / "mine").iterdir()}
    assert sorted(workspace.results.rglob("*")) == before
