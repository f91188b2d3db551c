"""`benchmark compare`: every number against scipy, the sentence against the numbers; nothing told of one run."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_predictions, made_up_record
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

from benchmark.reporting.compare import compare_sides
from benchmark.reporting.compare_sentences import comparison_sentences
from benchmark.reporting.format import points
from benchmark.reporting.frame import frame_of
from benchmark.results.store import Store
from benchmark.stats.bootstrap import resampled

RNG = np.random.default_rng(5)
NOISE = RNG.normal(0, 0.005, (3, 2, 8))
# by task: the scores of imagenet and of scratch; better, the same, worse
MEANS = {"TXC": (0.95, 0.90), "ECC": (0.80, 0.80), "PXS": (0.60, 0.64)}


def filled(folder, means=MEANS, seeds=8, shift=0.0, **changed):
    """A results folder with scores that are known."""
    store = Store(folder)
    for place, (task, pair) in enumerate(means.items()):
        for side, (weights, mean) in enumerate(zip((IMAGENET, SCRATCH), pair, strict=True)):
            for seed in range(seeds):
                cell = made_up_cell(weights, seed, task, **changed)
                store.put(made_up_record(cell, mean + shift + NOISE[place, side, seed]), None)
    return folder


def scores(task, side, seeds=8):
    place = list(MEANS).index(task)
    return MEANS[task][side] + NOISE[place, side, :seeds]


def table_at(path):
    return pd.read_csv(path).set_index("task")


def test_every_number_is_scipys_and_statsmodels(cli, workspace, tmp_path):
    filled(workspace.results)

    ran = cli("compare", "imagenet", SCRATCH.name, "--csv", str(tmp_path / "rows.csv"), "--margin", "0.8")

    assert ran.code == 0, ran.err
    rows = table_at(tmp_path / "rows.csv")
    p = []
    for task in MEANS:
        one, two, row = scores(task, 0), scores(task, 1), rows.loc[task]
        test = stats.ttest_ind(one, two, equal_var=False)
        low, high = test.confidence_interval()
        pairs = stats.ttest_rel(one, two)
        assert row[["n_first", "n_second", "n_pairs"]].tolist() == [8, 8, 8]
        assert row[["mean_first", "sd_first"]].tolist() == pytest.approx([one.mean(), one.std(ddof=1)])
        assert row[["difference", "low", "high", "p"]].tolist() == pytest.approx(
            [one.mean() - two.mean(), low, high, test.pvalue]
        )
        assert row[["paired_mean", "paired_p"]].tolist() == pytest.approx([(one - two).mean(), pairs.pvalue])
        assert row["p_equivalent"] == pytest.approx(ttost_ind(one, two, -0.008, 0.008, usevar="unequal")[0])
        cohen = (one.mean() - two.mean()) / np.sqrt((one.var(ddof=1) + two.var(ddof=1)) / 2)
        assert row["g"] == pytest.approx(cohen * (1 - 3 / (4 * 14 - 1)), rel=1e-3)
        p.append(test.pvalue)
    assert rows.loc[list(MEANS), "p_holm"].tolist() == pytest.approx(multipletests(p, method="holm")[1])
    assert rows["verdict"].to_dict()["TXC"] == "better"
    assert rows["verdict"].to_dict()["PXS"] == "worse"


def test_the_sentence_says_which_by_how_much_how_sure_and_where(cli, workspace):
    filled(workspace.results)

    ran = cli("compare", "imagenet", SCRATCH.name)

    assert "Neither is better throughout: of 3 tasks, imagenet is better on 1 (TXC)" in ran.text
    assert f"{SCRATCH.name} on 1 (PXS); they cannot be told apart on 1" in ran.text
    assert "Welch's t, p adjusted by Holm over 3 tests, < 0.05" in ran.text
    assert "No mean over tasks: they are scored by different metrics (auc, dice_pooled)." in ran.text
    assert "Intervals, p and equivalence are about the training seed" in ran.text
    assert "PHANTOM IMAGES" in ran.text


def test_one_task_is_answered_in_its_own_numbers(cli, workspace):
    filled(workspace.results)

    ran = cli("compare", SCRATCH.name, "imagenet", "--tasks", "TXC")

    difference = points(scores("TXC", 1).mean() - scores("TXC", 0).mean())
    assert f"imagenet is better than {SCRATCH.name} on TXC: {SCRATCH.name} - imagenet is {difference} [" in ran.text
    assert "p < 0.001 (Welch's t, 8 and 8 runs; Hedges' g" in ran.text


def test_other_test_sets_are_drawn_under_all_runs_of_both(cli, workspace, tmp_path):
    """The reference counts, in each of the same replicates, the pairs of a positive and a negative that are in order."""
    store, truth = Store(workspace.results), np.arange(40) % 2
    held = {}
    for side, weights in enumerate((IMAGENET, SCRATCH)):
        for seed in range(3):
            noise = np.random.default_rng([side, seed]).normal(0, 1, 40)
            held[side, seed] = 1 / (1 + np.exp(-(0.5 + side) * truth - noise))
            cell = made_up_cell(weights, seed)
            predictions = replace_scores(made_up_predictions(40), held[side, seed])
            auc = roc_auc_score(truth, held[side, seed])
            store.put(made_up_record(cell, auc), predictions)

    ran = cli("compare", "imagenet", SCRATCH.name, "--csv", str(tmp_path / "rows.csv"))

    row = table_at(tmp_path / "rows.csv").loc["TXC"]
    counts = np.concatenate(list(resampled([f"p{n}" for n in range(40)])))
    positive, negative = counts[:, truth == 1], counts[:, truth == 0]
    num_pairs = positive.sum(axis=1) * negative.sum(axis=1)
    ordered = {run: s[truth == 1][:, None] > s[truth == 0] for run, s in held.items()}
    auc = {run: np.einsum("rp,pn,rn->r", positive, pairs, negative) / num_pairs for run, pairs in ordered.items()}
    drawn = np.mean([auc[0, seed] - auc[1, seed] for seed in range(3)], axis=0)
    assert auc[0, 0][7] == pytest.approx(roc_auc_score(truth, held[0, 0], sample_weight=counts[7]))
    assert row[["test_low", "test_high"]].tolist() == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert "over other test sets of this size" in ran.text


def replace_scores(predictions, score):
    predictions.score = score.reshape(-1, 1).astype("float32")
    predictions.groups["patient"] = np.array([f"p{n}" for n in range(len(score))])
    return predictions


def test_what_cannot_be_told_apart_is_said_to_be_so(cli, workspace):
    filled(workspace.results, {"ECC": MEANS["TXC"][:1] * 2, "TXC": (0.8, 0.8)}, seeds=3)

    ran = cli("compare", "imagenet", SCRATCH.name)

    assert "cannot be told apart on any of 2 tasks; 3 against 3 runs show differences of 3.1 sd or more" in ran.text
    assert "better than" not in ran.text


def test_a_single_run_a_side_is_tested_by_nothing(cli, workspace, tmp_path):
    filled(workspace.results, seeds=1)

    ran = cli("compare", "imagenet", SCRATCH.name, "--csv", str(tmp_path / "rows.csv"))

    rows = table_at(tmp_path / "rows.csv")
    assert set(rows["verdict"]) == {"not tested"}
    assert rows[["p", "p_holm", "g", "low", "p_equivalent", "sd_first"]].isna().all().all()
    assert "3 could not be tested (under two runs a side). No test could be made." in ran.text
    assert "nan" not in ran.text


def test_a_task_of_one_side_alone_is_missing_and_in_no_family(cli, workspace, tmp_path):
    filled(workspace.results)
    for record in Store(workspace.results).records()[0]:
        if (record.cell.task, record.cell.model) == ("ECC", SCRATCH.name):
            shutil.rmtree(Store(workspace.results).folder(record.cell))

    ran = cli("compare", "imagenet", SCRATCH.name, "--csv", str(tmp_path / "rows.csv"))

    rows = table_at(tmp_path / "rows.csv")
    assert rows.loc["ECC", "verdict"] == "missing"
    assert np.isnan(rows.loc["ECC", "difference"])
    assert "Holm over 2 tests" in ran.text
    assert "Not compared, because the other has no runs: imagenet alone on ECC." in ran.text


def test_phantoms_are_a_family_of_their_own(tasks):
    made = [
        made_up_record(made_up_cell(weights, seed, data=data), 0.9 + RNG.normal(0, 0.01))
        for data in ("phantom", "official")
        for weights in (IMAGENET, SCRATCH)
        for seed in range(4)
    ]
    frame = frame_of(made, tasks)

    rows = compare_sides(*(frame[frame["model"] == w.name] for w in (IMAGENET, SCRATCH)), margin=0.01)

    assert rows["data"].tolist() == ["official", "phantom"]
    assert rows["p_holm"].tolist() == rows["p"].tolist(), "one test each: nothing to correct"
    official, phantom = (comparison_sentences(part, "a", "b") for _, part in rows.groupby("data"))
    assert not any("PHANTOM" in line for line in official)
    assert any("PHANTOM" in line for line in phantom)


def test_pairs_are_runs_of_one_seed_and_fold(tasks):
    first = [
        made_up_record(made_up_cell(IMAGENET, s, fold=f, folds=3), 0.9 + s / 50 + f / 90)
        for s in (0, 1)
        for f in range(3)
    ]
    second = [made_up_record(made_up_cell(SCRATCH, s, fold=f, folds=3), 0.9 + f / 70) for s in (1, 2) for f in range(3)]
    frames = [frame_of(records, tasks) for records in (first, second)]

    row = compare_sides(*frames, margin=0.01).iloc[0]

    pairs = stats.ttest_rel([0.92, 0.92 + 1 / 90, 0.92 + 2 / 90], [0.9, 0.9 + 1 / 70, 0.9 + 2 / 70])
    assert (row["n_first"], row["n_second"], row["n_pairs"]) == (6, 6, 3)
    assert row["paired_p"] == pytest.approx(pairs.pvalue)
    assert any("not independent" in line for line in comparison_sentences(pd.DataFrame([row]), "a", "b"))


def test_a_replication_is_told_model_by_model_and_task_by_task(cli, tmp_path):
    again, before = tmp_path / "again", tmp_path / "before"
    filled(before)
    filled(again)
    store = Store(again)
    for record in store.records()[0]:
        cell, score = record.cell, next(iter(record.scores.values()))
        if (cell.task, cell.model) == ("TXC", "imagenet"):
            store.put(made_up_record(cell, score - 0.03), None)
        if (cell.task, cell.model) == ("ECC", "imagenet"):
            store.put(made_up_record(cell, score + 0.0001), None)

    ran = cli("compare", str(again), str(before), "--csv", str(tmp_path / "rows.csv"), "--margin", "1.5")

    rows = pd.read_csv(tmp_path / "rows.csv").set_index(["task", "model"])
    assert len(rows) == 6
    assert rows["verdict"].value_counts().to_dict() == {"identical": 4, "worse": 1, "equivalent": 1}
    assert rows.loc[("TXC", "imagenet"), "verdict"] == "worse"
    assert rows.loc[("TXC", "imagenet"), "difference"] == pytest.approx(-0.03)
    assert (
        "Of 6 results (a model on a task) that both have: 4 identical, 1 worse, 1 equivalent within ± 1.5 points"
        in ran.text
    )
    assert "32 of 48 cells that both have are equal to the last bit" in ran.text


def test_another_epochs_loss_is_no_equal_cell(cli, tmp_path):
    for name in ("again", "before"):
        filled(tmp_path / name, {"TXC": MEANS["TXC"]}, seeds=2)
    store = Store(tmp_path / "again")
    record = store.records()[0][0]
    history = [{**line, "train_loss": line["train_loss"] + 1e-16 + 2e-16} for line in record.history]
    store.put(record.model_copy(update={"history": history}), None)

    ran = cli("compare", str(tmp_path / "again"), str(tmp_path / "before"))

    assert "3 of 4 cells that both have are equal to the last bit" in ran.text


def test_weights_replaced_between_two_runs_are_not_the_same_model(cli, tmp_path):
    filled(tmp_path / "before", {"TXC": MEANS["TXC"]}, seeds=3)
    store = Store(tmp_path / "again")
    other = IMAGENET.model_copy(update={"sha256": "cd" * 32})
    for seed in range(3):
        store.put(made_up_record(made_up_cell(other, seed)), None)

    ran = cli("compare", str(tmp_path / "again"), str(tmp_path / "before"))

    assert "have no model on the same task, images and settings" in ran.text
    assert ran.text.count("imagenet@") == 2


def test_damaged_records_are_named_and_left_out(cli, workspace):
    filled(workspace.results)
    path = next(workspace.results.glob("cells/TXC/*/record.json"))
    path.write_text(path.read_text()[:100])

    ran = cli("compare", "imagenet", SCRATCH.name)

    assert ran.code == 0
    assert f"left out: {path}" in ran.text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("imagent", SCRATCH.name), "no finished cell of 'imagent'"),
        (("imagent", SCRATCH.name), "did you mean imagenet"),
        (("imagenet", "imagenet"), "wanted two models"),
        (("imagenet", SCRATCH.name, "--tasks", "VFS"), "no finished cell of VFS; there are some of ECC, PXS, TXC"),
        (("imagenet", SCRATCH.name, "--margin", "0"), "wanted points above 0"),
        (("{results}", "imagenet"), "is a results folder, imagenet is none"),
        (("{results}", "{results}"), "with itself"),
        (("{results}", "{results}/.", "--results", "x"), "two folders are compared with each other"),
    ],
)
def test_a_wrong_request_is_one_line(cli, workspace, arguments, told):
    filled(workspace.results, seeds=2)

    ran = cli("compare", *(a.format(results=workspace.results) for a in arguments))

    assert ran.code == 2
    assert told in ran.text
    assert ran.err.count("\n") == 1


def test_the_csv_says_nothing_as_empty(cli, workspace, tmp_path):
    filled(workspace.results, seeds=1)

    cli("compare", "imagenet", SCRATCH.name, "--csv", str(tmp_path / "rows.csv"))

    raw = pd.read_csv(io.StringIO((tmp_path / "rows.csv").read_text()), dtype=str, keep_default_na=False)
    assert set(raw["p"]) == {""}
