"""Folders and tables of a user's own that are made to do harm, or are a mistake: one line, in no time and no memory."""

import tracemalloc

import pytest

from benchmark.data.index import listing
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.data.user_layouts import MAX_CLASSES, files_below
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.tasks.spec import TaskSpec

SHEET = {"name": "Mine", "root": "mine", "split": {"method": "random", "test": 0.25}}
TABLE = {**SHEET, "reader": "table", "kind": "multiclass",
         "layout": {"csv": "list.csv", "columns": {"image": "file", "label": "finding"}}}  # fmt: skip
FOLDERS = {**SHEET, "reader": "folders", "kind": "multiclass"}


@pytest.fixture
def refusal(tmp_path):
    """The one line that a sheet is refused with."""

    def read(sheet) -> str:
        with pytest.raises(BenchmarkError) as raised:
            read_index(TaskSpec.model_validate(sheet), tmp_path)
        message = str(raised.value)
        assert "\n" not in message
        assert len(message) < 900
        return message

    return read


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_a_label_column_of_as_many_values_as_rows_is_no_classes(mine, refusal):
    """A column of 1 and 0 for each of them would take 37 gigabytes."""
    rows = "".join(f"{number}.png,value {number}\n" for number in range(70_000))
    (mine / "list.csv").write_text(f"file,finding\n{rows}")

    tracemalloc.start()
    said = refusal(TABLE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "finding holds 70,000 different values (value 0, value 1, value 10 (and 69997 more)): wanted classes" in said
    assert f"at most {MAX_CLASSES:,}" in said
    assert peak < 200_000_000


def test_nor_are_folders_without_end(mine, refusal):
    for number in range(MAX_CLASSES + 1):
        (mine / f"{number}").mkdir()
        (mine / f"{number}" / "a.png").touch()

    assert "holds 1,001 different values" in refusal(FOLDERS)


def test_a_misspelt_name_among_very_many_long_ones_is_answered_at_once():
    """Comparing it with all of them would take an hour."""
    known = [f"{number} " + "x" * 5000 for number in range(100_000)]

    said = did_you_mean("y" * 5000, known)

    assert len(said) < 5000


@pytest.mark.parametrize("target", ["..", "."])
def test_a_link_that_leads_back_ends_the_walk_in_one_line(mine, refusal, target):
    (mine / "a" / "b").mkdir(parents=True)
    (mine / "a" / "x.png").touch()
    (mine / "a" / "b" / "back").symlink_to(target)

    for walk in (files_below, lambda folder: listing(folder, [".png"])):
        with pytest.raises(BenchmarkError, match=r"are one folder, by a link: remove the link"):
            walk(mine)
    assert "are one folder, by a link" in refusal(FOLDERS)


def test_links_that_multiply_end_the_walk_too(mine):
    """Two links a folder, forty folders deep: 2^40 ways to the last."""
    for number in range(40):
        (mine / f"{number:02}").mkdir()
        for name in ("left", "right"):
            (mine / f"{number:02}" / name).symlink_to(mine / f"{number + 1:02}")
    (mine / "40").mkdir()

    with pytest.raises(BenchmarkError, match="are one folder, by a link"):
        files_below(mine / "00")


def test_a_link_to_itself_is_one_line(mine):
    (mine / "itself").symlink_to("itself")

    with pytest.raises(BenchmarkError, match="itself: Too many levels of symbolic links"):
        files_below(mine)


def test_a_link_to_another_folder_is_followed_as_ever(mine, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").touch()
    (mine / "here").symlink_to(tmp_path / "elsewhere")

    assert files_below(mine) == ["here/x.png"]
    assert listing(mine, [".png"]) == {"x.png": "here/x.png"}


@pytest.mark.parametrize("changed", [{"root": "ä" * 300}, {"layout": {**TABLE["layout"], "csv": "."}},
                                     {"layout": {**TABLE["layout"], "csv": "ä" * 300}}])  # fmt: skip
def test_what_the_system_refuses_is_one_line(mine, refusal, changed):
    assert mine.is_dir()
    assert refusal({**TABLE, **changed}).startswith("/")


@pytest.mark.parametrize(
    "changed",
    [
        {"root": "../mine"},
        {"layout": {**TABLE["layout"], "images": ".."}},
        {"layout": {**TABLE["layout"], "csv": "/etc/list.csv"}},
        {"layout": {**TABLE["layout"], "join": {"csv": "a/../../b.csv", "by": "x"}}},
    ],
)
def test_phantoms_are_written_inside_the_data_sets_folder_alone(tmp_path, changed):
    task = TaskSpec.model_validate({**TABLE, **changed})

    with pytest.raises(BenchmarkError, match="leads out of the data set's folder"):
        write_phantom(task, tmp_path / "data", PhantomSpec(num=8, size=32))

    assert list(tmp_path.iterdir()) == []
