"""What the HTML report contains, read back from its bytes."""

import json
import re
import warnings
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from made_up_page import made_up_failure, made_up_page, made_up_run, made_up_study
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.reporting.format import OVERLAP, points, starred_p
from benchmark.reporting.frame import frame_of
from benchmark.reporting.page.inline_svg import inline_svg
from benchmark.reporting.page.leaderboard import family_name, leaderboard
from benchmark.reporting.page.pairs import p_of_pairs, pairs
from benchmark.reporting.page.results_matrix import results_matrix
from benchmark.reporting.published import COLUMNS as PUBLISHED
from benchmark.stats.significance import independent_t, welch_t

MODELS = ["scratch", "imagenet", "swav"]
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>&\u2028"
HOSTILE_NAME = "<script>document.title='taken'<img src=x onerror=alert(1)>&"  # of signs that a record's name may have


class _Read(HTMLParser):
    """Elements by name, and the text of the embedded data."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self._in = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):  # noqa: ARG002 - its caller names it
        self._in = None

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data

    def named(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def data(self):
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def study():
    return made_up_study(MODELS, ["TXC", "DXC14"], 4, epochs=6)


def test_a_page_is_one_file_that_asks_nothing_of_a_network(study):
    text = made_up_page(*study)
    read = _Read(text)

    assert not read.named("link")
    assert not read.named("img")
    assert not [script for script in read.named("script") if "src" in script]
    assert not re.search(r"@import|url\(", text)
    assert "default-src 'none'" in text


def test_tables_have_captions_and_heads_have_scopes(study):
    read = _Read(made_up_page(*study))

    assert len(read.named("caption")) == len(read.named("table")) >= 5
    assert {head.get("scope") for head in read.named("th")} == {"col", "row"}


def test_every_record_is_behind_its_cell(study):
    held = _Read(made_up_page(*study)).data
    names = held["run"]

    found = {
        run[names.index("key")]: run
        for block in held["blocks"].values()
        for cell in block["cells"].values()
        for run in cell["runs"]
    }
    assert set(found) == set(study[0].frame["key"])
    for record in study[0].frame_records:
        run = dict(zip(names, found[record.key], strict=True))
        assert run["seed"] == record.cell.seed
        assert run["score"] == pytest.approx(next(iter(record.scores.values())), abs=5e-7)
        losses = [line["validation_loss"] for line in record.history]
        assert run["loss"] == pytest.approx(losses, rel=5e-4)
        assert held["environments"][run["environment"]] == record.environment
        assert held["accounts"][run["account"]] == record.weights_account


def test_labels_and_groups_are_means_over_the_runs(study):
    held = _Read(made_up_page(*study)).data
    (block,) = (b for b in held["blocks"].values() if b["task"] == "DXC14")
    records = [r for r in study[0].frame_records if r.cell.task == "DXC14" and r.cell.model == "swav"]
    hernia = [record.per_label["Hernia"]["auc"] for record in records]

    labels = {(label, name): rest for label, name, *rest in block["cells"]["swav"]["labels"]}
    assert labels["Hernia", "auc"] == pytest.approx([np.mean(hernia), np.std(hernia, ddof=1), 4], abs=1e-6)
    groups = {(group, value): rest for group, value, *rest in block["cells"]["swav"]["groups"]}
    assert groups["sex", "F"][3] == 240


def test_text_of_records_stays_text():
    hostile = made_up_run(HOSTILE_NAME, "TXC", 0, notes=[HOSTILE], environment={HOSTILE: HOSTILE}, stopped=HOSTILE)
    failed = made_up_failure("swav", "TXC", 9, HOSTILE)
    contents = made_up_study(
        MODELS,
        ["TXC"],
        2,
        epochs=3,
        more=[hostile],
        failed=[failed],
        unread=[HOSTILE],
        suite={"title": HOSTILE, "models": "all", "tasks": "TXC"},
    )

    text = made_up_page(*contents, bibtex=HOSTILE)
    read = _Read(text)

    assert len(read.named("script")) == 2
    assert not read.named("img")
    (block,) = read.data["blocks"].values()
    assert HOSTILE_NAME in block["cells"]
    assert [HOSTILE] in read.data["notes"]
    assert text.count("</script>") == 2


def test_a_figure_is_part_of_the_page_in_its_colors_and_with_ids_of_its_own():
    svg = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 300 90">
    <style>*{{color: red}}</style><script>alert(1)</script><defs><path id="m1" d="M 0 0
    L 1 1"/></defs><g clip-path="url(#p1)" onclick="alert(1)"><use xlink:href="#m1" style="fill: #0072b2; stroke: #123456"/>
    <use xlink:href="https://example.org/x"/><text>{escape(HOSTILE)}</text></g></svg>""".encode()

    text = str(inline_svg(svg, "loss curves", "<said>"))

    assert text.startswith('<svg viewBox="0 0 300 90" role="img" aria-label="&lt;said&gt;" style="min-width: 340px; ')
    assert '<path id="loss-curves-m1" d="M 0 0 L 1 1">' in text
    assert '<use href="#loss-curves-m1" style="fill: var(--blue); stroke: #123456">' in text
    assert 'clip-path="url(#loss-curves-p1)"' in text
    for unwanted in ("<style", "<script", "onclick", "example.org", "<img"):
        assert unwanted not in text


def test_unknown_numbers_reach_the_page_as_null():
    nothing = made_up_run("byol", "TXC", 0, scores={"auc": None}, history=[], best_epoch=None, epochs_trained=None)
    diverged = [{"epoch": 1.0, "validation_loss": float("nan")}, {"epoch": 2.0, "validation_loss": 0.5}]
    broken = made_up_run("byol", "TXC", 1, history=diverged)
    contents = made_up_study(MODELS, ["TXC"], 2, epochs=3, more=[nothing, broken])

    held = _Read(made_up_page(*contents)).data

    (block,) = held["blocks"].values()
    runs = [dict(zip(held["run"], run, strict=True)) for run in block["cells"]["byol"]["runs"]]
    assert runs[0]["score"] is None
    assert runs[0]["loss"] == []
    assert runs[1]["loss"] == [None, 0.5]


def test_one_run_has_neither_sd_nor_test():
    text = made_up_page(*made_up_study(MODELS, ["TXC"], 1))

    rows = re.findall(r'<tr data-family="ssl".*?</tr>', text, re.DOTALL)
    assert len(rows) == 1
    cells = re.sub(r"<[^>]*>", "", rows[0])
    assert "±" not in cells
    assert "[" not in cells
    assert 'data-v="" data-none="" data-holm="" data-bh="">–</td>' in rows[0]


def test_corrections_on_the_leaderboard_are_over_the_tests_of_a_table(study):
    lines = [line for line in leaderboard(*study) if line["task"] == "TXC" and not line["is_baseline"]]
    plain = [line["p_of"]["none"] for line in lines]

    for name, method in (("holm", "holm"), ("bh", "fdr_bh")):
        assert [line["p_of"][name] for line in lines] == pytest.approx(multipletests(plain, method=method)[1], rel=1e-3)


@pytest.mark.parametrize(("name", "test"), [("student", independent_t), ("welch", welch_t)])
def test_the_matrix_holds_what_the_tests_give_pair_by_pair(name, test):
    random = np.random.default_rng(3)
    runs = [random.normal(0.8, 0.01, n) for n in (10, 7, 2, 1)] + [np.full(5, 0.1 + 0.2), np.full(3, 0.7)]

    found = p_of_pairs(runs, equal_variances=name == "student")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns of runs that do not vary
        wanted = [test(runs[i], runs[j]).p for i in range(len(runs)) for j in range(i + 1, len(runs))]
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_the_family_of_the_matrix_is_all_pairs_that_can_be_tested():
    alone = made_up_run("byol", "TXC", 0)
    contents = made_up_study(MODELS, ["TXC"], 3, more=[alone])

    (found,) = pairs(contents[0].frame, [*MODELS, "byol"]).values()

    assert found["models"] == [*MODELS, "byol"]
    assert found["family"] == 3
    assert [p is None for p in found["p"]["student"]["holm"]] == [False, False, True, False, True, True]


def test_holes_of_the_grid_are_told_apart():
    failed = made_up_failure("swav", "TXC", 2, "out of memory")
    contents = made_up_study(
        ["scratch", "imagenet", "swav", "cxr14"],
        ["TXC", "DXC14"],
        3,
        without={("TXC", "swav"), ("DXC14", "cxr14"), ("DXC14", "scratch")},
        more=[made_up_run("swav", "TXC", seed) for seed in (0, 1)],
        failed=[failed],
    )

    found = results_matrix(*contents)

    tasks = [column.task for column in found.columns]
    cells = {(model, task): p for model, _, row in found.rows for task, p in zip(tasks, row, strict=True)}
    assert cells["swav", "TXC"].state == "failed"
    assert cells["swav", "TXC"].runs == "2/3, 1 failed"
    assert cells["cxr14", "DXC14"].state == "overlap"
    assert cells["cxr14", "DXC14"].text == "–"
    assert cells["scratch", "DXC14"].state == "missing"
    assert cells["scratch", "DXC14"].runs == "0/3"
    assert cells["imagenet", "TXC"].state == "done"
    assert found.num_incomplete == 2


def test_a_suite_s_wants_show_models_and_tasks_that_were_not_begun():
    suite = {"models": ",".join([*MODELS, "byol"]), "tasks": "TXC,DXC14,VFS"}
    contents = made_up_study(MODELS, ["TXC", "DXC14"], 4, suite=suite)

    found = results_matrix(*contents)

    assert [model for model, _, _ in found.rows] == ["scratch", "imagenet", "swav", "byol"]
    assert [column.task for column in found.columns] == ["DXC14", "TXC", "VFS"]
    assert [p.runs for p in found.rows[-1][2]] == ["0/10"] * 3
    assert found.rows[0][2][1].runs == "4/10"


def test_weights_that_saw_the_images_are_marked_and_have_no_verdict():
    seen = ["overlap: cxr14 was trained on the images of this task (ChestX-ray14)"]
    runs = [made_up_run("cxr14", "DXC14", seed, mean=0.95, notes=seen) for seed in range(3)]
    contents = made_up_study(["imagenet"], ["DXC14"], 3, more=runs)

    (place,) = next(row for model, _, row in results_matrix(*contents).rows if model == "cxr14")

    assert place.text.endswith(OVERLAP)
    assert place.verdict == ""


def test_families_are_the_zoo_s(study):
    assert family_name(("swav",), study[0].entries) == "ssl"
    assert family_name(("imagenet", "swav"), study[0].entries) == "supervised + ssl"
    assert family_name(("scratch:resnet18",), study[0].entries) == "scratch"
    assert family_name(("somebody's",), study[0].entries) == "not in the zoo"


def _published(*, ddof=None, **changed):
    row = {"paper": "taher2021", "table": "5", "task": "TXC", "model": "swav", "title": "SwAV", "protocol": "finetune"}
    row |= {
        "subset": "",
        "metric": "auc",
        "unit": "",
        "mean": 0.8,
        "sd": 0.01,
        "ddof": ddof,
        "n": 10,
        "note": "as printed",
    }
    return pd.DataFrame([{**row, **changed}], columns=PUBLISHED)


def test_published_numbers_stand_beside_ours():
    contents = made_up_study(MODELS, ["DXC14"], 4, published=_published(task="DXC14", metric="mean_auc"))
    ours = contents[0].frame.loc[contents[0].frame["model"] == "swav", "score"]

    text = made_up_page(*contents)

    test = stats.ttest_ind_from_stats(ours.mean(), ours.std(), 4, 0.8, 0.01, 10, equal_var=False)
    assert "taher2021, table 5" in text
    assert '<td class="number">80.00 ± 1.00 (10)</td>' in text
    assert points(ours.mean() - 0.8) in text
    assert f'<td class="number">{starred_p(test.pvalue)}</td><td class="note">as printed</td>' in text


def test_published_numbers_that_ours_differ_from_are_shown_untested():
    contents = made_up_study([], [], published=_published(), more=[
        made_up_run("swav", "TXC", seed, data_status="partial", num_images=60, num_published=662) for seed in range(4)
    ])  # fmt: skip

    (row,) = re.findall(r"<tr><th scope=.row.>[^\n]*table 5.*</tr>", made_up_page(*contents))

    assert "[" not in row
    assert '<td class="number">–</td><td class="note">not tested, ours differ: 60 of 662 images' in row


@pytest.mark.parametrize("other", [{"protocol": "linear"}, {"subset": "50"}, {"metric": "accuracy"}, {"task": "DXC5"}])
def test_published_numbers_of_another_question_do_not(other):
    text = made_up_page(*made_up_study(MODELS, ["TXC"], 4, published=_published(**other)))

    assert "No published number" in text


def test_phantoms_are_marked_and_compared_with_nothing_published():
    contents = made_up_study(MODELS, ["TXC"], 4, data="phantom", published=_published())
    text = made_up_page(*contents)

    assert "Phantom images: these numbers say nothing about medicine." in text
    assert "taher2021, table 5" not in text
    assert text.count('<span class="badge">phantom</span>') >= len(contents[1]) + 3


def test_an_official_study_has_no_banner_and_a_mixed_one_names_its_phantoms(study):
    mixed = made_up_study(MODELS, ["TXC"], 2, more=[made_up_run("swav", "VFS", 0, data="phantom")])

    assert 'class="phantom"' not in made_up_page(*study)
    assert "(VFS)" in made_up_page(*mixed)


def test_a_frame_without_rows_has_no_page(study):
    with pytest.raises(ValueError, match="at least one done cell"):
        made_up_page(replace(study[0], frame=frame_of([], {})), study[1])


def test_a_study_without_any_score_still_has_a_page():
    unscored = [made_up_run("swav", "TXC", seed, scores={"auc": None}) for seed in range(2)]
    contents = made_up_study([], [], more=unscored)

    (row,) = results_matrix(*contents).rows
    assert row[2][0].state == "unscored"
    assert "no run has a score" in made_up_page(*contents)
