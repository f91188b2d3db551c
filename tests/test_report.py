"""Tables: every figure in a row is checked against the records that it came from; what must not mix does not."""

import io

import numpy as np
import pytest
from made_up import IMAGENET, SCRATCH, made_up_cell, made_up_record
from PIL import Image
from scipy import stats

from benchmark.cell import Recipe
from benchmark.report.figures import curves_figure, seeds_figure
from benchmark.report.frame import frame_of, setting_of
from benchmark.report.tables import default_baseline, markdown, summary

ONE, TWO = [0.90, 0.91, 0.92, 0.93], [0.80, 0.83, 0.84, 0.86, 0.82]


def records(**changed):
    pairs = [(SCRATCH, TWO), (IMAGENET, ONE)]
    cells = [(made_up_cell(w, seed, **changed), score) for w, scores in pairs for seed, score in enumerate(scores)]
    return [made_up_record(cell, score) for cell, score in cells]


def test_a_row_has_mean_sd_n_and_the_t_test_of_its_records(tasks):
    rows = summary(frame_of(records(), tasks), SCRATCH.name).set_index("model")

    row = rows.loc["imagenet"]
    expected = stats.ttest_ind(ONE, TWO)
    assert (row["mean"], row["sd"], row["n"]) == (pytest.approx(np.mean(ONE)), pytest.approx(np.std(ONE, ddof=1)), 4)
    assert (row["p"], row["difference"]) == (pytest.approx(expected.pvalue), pytest.approx(np.mean(ONE) - np.mean(TWO)))
    assert (row["best_epoch"], row["epochs_trained"], row["epochs_trained_sd"]) == (3, 5, 0)
    assert rows.loc[SCRATCH.name, "n"] == 5
    assert np.isnan(rows.loc[SCRATCH.name, "p"])


def test_the_printed_table_says_what_its_numbers_are(tasks):
    text = markdown(summary(frame_of(records(), tasks), SCRATCH.name))

    assert "| imagenet | 91.50 ± 1.29 | 4 | +8.50 [" in text
    assert "TXC: tuberculosis in chest radiographs" in text
    assert "1 test in this table, not corrected" in text
    assert "PHANTOM IMAGES" in text


def test_phantoms_and_official_images_never_share_a_table(tasks):
    both = records() + records(data="official")

    rows = summary(frame_of(both, tasks), SCRATCH.name)

    assert rows.groupby("block")["data"].nunique().tolist() == [1, 1]
    assert sorted(rows["n"]) == [4, 4, 5, 5]
    assert markdown(rows).count("PHANTOM IMAGES") == 1


@pytest.mark.parametrize("changed", [{"recipe": Recipe(image_size=96)}, {"data_digest": "2" * 16}, {"fraction": 0.1}])
def test_other_settings_and_other_images_never_mix_into_one_mean(tasks, changed):
    rows = summary(frame_of(records() + records(**changed), tasks), SCRATCH.name)

    assert rows["block"].nunique() == 2
    assert sorted(rows["n"]) == [4, 4, 5, 5]


def test_a_name_that_stood_for_two_files_is_told_apart(tasks):
    other = IMAGENET.model_copy(update={"sha256": "cd" * 32})
    twice = [made_up_record(made_up_cell(w, seed)) for w in (IMAGENET, other) for seed in (0, 1)]

    assert set(frame_of(twice, tasks)["model"]) == {"imagenet@abababab", "imagenet@cdcdcdcd"}


def test_failed_cells_are_no_rows(tasks):
    failed = made_up_record(made_up_cell(), status="failed", error="no")

    assert frame_of([failed], tasks).empty


def test_settings_are_told_by_what_differs_from_the_task(tasks):
    recipe = tasks["PXS"].complete_recipe(settings=("image_size=96", "early_stop=none"))

    assert setting_of(recipe, tasks["PXS"]) == "early_stop=None, image_size=96"
    assert setting_of(tasks["PXS"].complete_recipe(), tasks["PXS"]) == ""


def test_the_baseline_is_imagenet_then_scratch(tasks):
    frame = frame_of(records(), tasks)

    assert default_baseline(frame) == "imagenet"
    assert default_baseline(frame[frame["model"] != "imagenet"]) == SCRATCH.name


def test_one_seed_has_no_sd_and_no_p(tasks):
    single = [made_up_record(made_up_cell(weights)) for weights in (SCRATCH, IMAGENET)]

    text = markdown(summary(frame_of(single, tasks), SCRATCH.name))

    assert "| imagenet | 90.00 | 1 | +0.00 | – |" in text


def test_figures_are_drawn_for_any_number_of_models(tasks):
    many = [IMAGENET.model_copy(update={"name": f"a-long-model-name-{n}", "sha256": f"{n:064x}"}) for n in range(1, 10)]
    made = records() + [made_up_record(made_up_cell(w, seed), 0.8 + seed / 100) for w in many for seed in range(2)]
    frame = frame_of(made + records(task="PXS"), tasks)

    for png in (seeds_figure(frame, summary(frame, "imagenet")), curves_figure(frame, made + records(task="PXS"))):
        image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
        assert image.shape[0] > 300
        assert image.std() > 10, "an empty picture"
