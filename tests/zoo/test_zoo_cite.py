"""`zoo cite`: BibTeX of entries, and of what was run."""

import re

import pytest
from made_up import made_up_cell, made_up_record

from benchmark.cell import Weights
from benchmark.reporting.bibliography import bibliography
from benchmark.results.store import Store
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry, add_entry, read_zoo, scratch
from benchmark.zoo.citations import bibtex_of

GIVEN = "@inproceedings{doe2020,\n  author = {Doe, Jane},\n  title = {Nets & more},\n  year = 2020\n}"


def entry_of(name, cite="nobody", **fields):
    defaults = {"family": "own", "architecture": "resnet18", "container": "torch", "naming": "timm", "licence": "CC0"}
    return ZooEntry(name=name, cite=cite, **{**defaults, **fields})


def cited(*entries, models=None, tasks=()):
    known = {entry.name: entry for entry in entries}
    sheets = {task.name: task for task in tasks}
    return "\n".join(bibliography(models or list(known), list(sheets), known, sheets))


def parsed(text: str) -> dict[str, str]:
    """Key -> content of each BibTeX entry, read by counting braces, as BibTeX does; escaped ones count not."""
    found = {}
    for start in re.finditer(r"^@\w+\{([^,\s]+),", text, re.MULTILINE):
        depth, end = 1, start.end()
        while depth:
            if text[end] == "\\":
                end += 1
            else:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        assert start[1] not in found
        found[start[1]] = text[start.end() : end - 1].strip()
    return found


def test_prose_becomes_a_note_whose_special_signs_are_latexs():
    text = cited(entry_of("mine", "Doe & Roe. 50% of {nets}_1 #2 ~ ^ \\x $3. doi 10.1/a_b"))

    assert parsed(text) == {
        "mine": r"note = {Doe \& Roe. 50\% of \{nets\}\_1 \#2 \textasciitilde{} \textasciicircum{} "
        r"\textbackslash{}x \$3. doi 10.1/a\_b}"
    }


@pytest.mark.parametrize(
    ("citation", "kind", "fields"),
    [
        (
            "He K, van der Maaten L, et al. What is it? CVPR 2020. arXiv:1911.05722",
            "inproceedings",
            {"author": "He, K. and van der Maaten, L. and others", "title": "What is it?", "year": "2020"},
        ),
        (
            "Mac Aodha O. A title. Medical Image Analysis 2025;102(3):10-19, doi 10.1/a_b",
            "article",
            {"journal": "Medical Image Analysis", "volume": "102", "number": "3", "pages": "10--19", "doi": "10.1/a_b"},
        ),
        ("He K. A title. arXiv:2003.04297 (2020)", "misc", {"year": "2020", "eprint": "2003.04297"}),
        ("He K. A title. Data in Brief 2020; doi 10.2/c", "article", {"note": "Data: doi 10.2/c"}),
    ],
)
def test_a_citation_in_prose_gives_the_fields_that_it_states(citation, kind, fields):
    entry = bibtex_of("key", citation)

    assert entry.startswith(f"@{kind}{{key,")
    assert fields.items() <= dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE)).items()


def test_bibtex_that_an_entry_gives_is_printed_as_it_is():
    text = cited(entry_of("mine", "prose", bibtex=GIVEN))

    assert text == f"% mine\n{GIVEN}\n"
    assert "prose" not in text


def test_one_work_is_cited_once_for_all_that_share_it():
    text = cited(entry_of("a", "Doe 2020"), entry_of("b", "Roe 2021"), entry_of("c", "Doe 2020"))

    assert parsed(text) == {"a": "note = {Doe 2020}", "b": "note = {Roe 2021}"}
    assert "% a, c\n@misc{a," in text


def test_keys_differ_in_more_than_capitals():
    task = TaskSpec(
        name="txc", reader="table", root="R", kind="binary", labels=("TB",), cite="Roe",
        split={"method": "random", "test": 0.2},
    )  # fmt: skip

    assert parsed(cited(entry_of("TXC", "Doe"), tasks=[task])) == {"TXC": "note = {Doe}", "txc-2": "note = {Roe}"}


def test_what_has_no_citation_is_said_and_not_made_up():
    text = cited(scratch(), entry_of("mine", "not told"), models=["scratch", "scratch:vgg16", "mine", "gone"])

    assert text.splitlines() == [
        "% scratch: fresh weights",
        "% scratch:vgg16: fresh weights",
        "% mine: no citation is told",
        "% gone: there is no entry of that name any more",
    ]


def test_an_entry_made_here_is_cited_by_what_it_was_made_from(tasks):
    """Twice removed: the start of its start, and both tasks, each once. A folder of images has no citation."""
    one = entry_of("one", "made here", made_by={"from": "imagenet", "task": "TXC"})
    two = entry_of("two", "made here too", made_by={"from": "one", "task": "PXS"})
    three = entry_of("three", "made here of a folder", made_by={"from": "two", "images": "/somewhere/mine"})
    known = {"one": one, "two": two, "three": three, "imagenet": entry_of("imagenet", "He 2016")}

    text = "\n".join(bibliography(["three", "imagenet"], ["TXC"], known, tasks))

    assert list(parsed(text)) == ["imagenet", "TXC", "PXS"]
    assert "% two: made here too" in text
    assert "% one: made here" in text


def test_every_shipped_entry_and_task_gives_bibtex(cli, workspace, tasks):
    entries = read_zoo(workspace.project / "model_zoo.yaml")

    text = "\n".join(bibliography(entries, tasks, entries, tasks))
    printed = cli("zoo", "cite")

    works = {e.bibtex or e.cite for e in entries.values() if not e.is_scratch} | {t.cite for t in tasks.values()}
    assert len(parsed(text)) == len(works)
    in_prose = {entry for entry in parsed(text).values() if entry.startswith("note = ")}
    assert len(in_prose) == 3  # Kaggle's two competitions, and three works in one line
    assert all("author = " in entry and "title = " in entry for entry in set(parsed(text).values()) - in_prose)
    assert printed.code == 0
    assert "imagenet" in parsed(printed.out)
    assert "TXC" not in parsed(printed.out)


def test_named_entries_alone_are_cited(cli):
    printed = cli("zoo", "cite", "swav,moco-v?")

    assert {"swav", "moco-v1", "moco-v2"} == set(parsed(printed.out))
    assert cli("zoo", "cite", "swaw").code == 2


@pytest.fixture
def ran(workspace):
    """Records of two models on one task, a failed one of another, and one whose entry has gone since."""
    store = Store(workspace.results)
    for name, status in (("swav", "done"), ("scratch", "done"), ("pcl-v1", "failed"), ("gone", "done")):
        weights = Weights(name=name, architecture="resnet50", sha256="ab" * 32, naming="plain")
        store.put(made_up_record(made_up_cell(weights), status=status, error="" if status == "done" else "no"), None)


@pytest.mark.usefixtures("ran")
def test_what_was_run_is_cited_with_its_tasks(cli, workspace):
    of_run = cli("zoo", "cite", "--run")
    of_folder = cli("zoo", "cite", "--results", str(workspace.results))

    assert of_run.code == 0
    assert set(parsed(of_run.out)) == {"swav", "TXC"}
    assert "Jaeger" in parsed(of_run.out)["TXC"]
    assert "% gone: there is no entry of that name any more" in of_run.out
    assert of_folder.out == of_run.out


def test_nothing_run_is_nothing_to_cite(cli):
    assert "there is nothing to cite" in cli("zoo", "cite", "--run").err
    assert "wanted one of them" in cli("zoo", "cite", "swav", "--run").err


def test_bibtex_is_a_field_of_an_entry(tmp_path):
    own = tmp_path / "zoo.yaml"

    add_entry(own, entry_of("mine", bibtex=GIVEN))

    assert read_zoo(own)["mine"].bibtex == GIVEN
