"""The zoo's entries: the shipped ones, and the user's own beside them."""

import re
import threading

import pytest
import yaml
from conftest import CHECKOUT, in_new_process

from benchmark.errors import BenchmarkError
from benchmark.zoo.catalog import (
    InputStatistics,
    ZooEntry,
    add_entry,
    default_models,
    find_entry,
    read_catalog,
    read_zoo,
    scratch,
    write_own,
)
from benchmark.zoo.naming import NAMINGS

MINE = {
    "name": "mine",
    "family": "own",
    "architecture": "resnet18",
    "source": "file:mine.pth",
    "container": "torch",
    "naming": "timm",
    "licence": "CC0",
    "cite": "nobody",
}
FULL = ZooEntry(
    name="mine:v1.2_a-b",
    title="ours, “fine” – with: signs #1",
    family="in-domain",
    method="supervised",
    architecture="mobilenetv2_100",
    pretrained_on=("ImageNet-1k", "chestxray14 (phantom)"),
    source="file:mine.safetensors",
    container="safetensors",
    naming="timm",
    input=InputStatistics(mean=(0.1, 0.2, 1e-05), std=(1.0, 0.5, 0.25)),
    licence="CC BY-NC 4.0",
    cite="made by `benchmark pretrain supervised`",
    sha256="0123456789abcdef" * 4,
    fresh=("conv_head.", "bn2."),
    made_by={
        "from": "scratch",
        "seed": 3,
        "key": "0012345678901234",
        "recipe": {"rate": 1e-05, "epochs": 100, "precision": "fp32", "exact": False, "note": None},
        "scores": {"auc": 0.8123456789012345},
        "labels": ["yes", "1e3", "2024-01-01"],
    },
)


@pytest.fixture
def shipped():
    return CHECKOUT / "model_zoo.yaml"


@pytest.fixture
def write(tmp_path):
    """Write a zoo file of these entries, or of this text."""

    def zoo_file(content, name="zoo.yaml"):
        path = tmp_path / name
        text = content if isinstance(content, str) else yaml.safe_dump({"entries": content})
        path.write_text(text, encoding="utf-8")
        return path

    return zoo_file


def refusal(path) -> str:
    with pytest.raises(BenchmarkError) as raised:
        read_zoo(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_shipped_entries_can_be_cited_and_say_where_their_file_is(shipped):
    entries = read_zoo(shipped)
    listed = yaml.safe_load(shipped.read_text(encoding="utf-8"))["entries"]

    assert [fields["name"] for fields in listed] == list(entries)
    assert {"scratch", "imagenet", "moco-v1", "moco-v2", "pcl-v1", "swav", "barlow-twins"} <= entries.keys()
    for entry in entries.values():
        assert entry.cite
        assert entry.licence
        assert entry.title
        if entry.is_scratch:
            assert entry.naming == "none"
            assert entry.source == ""
            assert entry.pretrained_on == ()
        else:
            assert entry.naming in NAMINGS
            assert re.fullmatch(r"https://[a-z0-9.-]+/\S+|hf:[\w.-]+/[\w.-]+/[\w.-]+|timm:[\w.]+", entry.source)
            assert entry.pretrained_on


def test_all_stands_for_the_resnet_50_study_of_the_first_paper(shipped):
    """Hosseinzadeh Taher 2021, tables 4 and 5 and figures 1 and 2: fourteen self-supervised among 22 initialisations."""
    entries = read_zoo(shipped)
    study = [entries[name] for name in default_models(shipped)]

    assert len(study) == len({entry.name for entry in study}) == 22
    assert {entry.architecture for entry in study} == {"resnet50"}
    assert sum(entry.family == "ssl" for entry in study) == 14
    assert len(entries) == 43


def test_all_may_name_entries_alone(write):
    path = write(yaml.safe_dump({"all": ["minee"], "entries": [MINE]}))

    with pytest.raises(BenchmarkError, match="all: 'minee' is no entry: did you mean mine"):
        default_models(path)


def test_no_two_shipped_entries_share_a_file(shipped):
    """Two of one archive name their members; what a page alone is known of says what to get from it."""
    entries = [entry for entry in read_zoo(shipped).values() if not entry.is_scratch]
    by_hand = [entry for entry in entries if re.search(r"/records/\d+$", entry.source)]
    files = [(entry.source, entry.member) for entry in entries if entry not in by_hand]

    assert sorted(set(files)) == sorted(files)
    assert all("--from-file" in entry.alternative for entry in by_hand)


def test_shipped_digests_are_those_that_the_files_carry_in_their_names(shipped):
    """No digest is invented: a shipped one is the hexadecimal end of its file's name, as torchvision writes it."""
    carried = {
        entry.name: found[1] if (found := re.search(r"-([0-9a-f]{8,64})\.[a-z.]+$", entry.source)) else ""
        for entry in read_zoo(shipped).values()
    }

    assert carried == {entry.name: entry.sha256 for entry in read_zoo(shipped).values()}
    assert carried["imagenet"] == "0676ba61"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"famly": "x"}, "unknown key 'famly': did you mean family?"),
        ({"input": {"means": [0, 0, 0]}}, "unknown key 'input.means': did you mean mean?"),
        ({"family": None}, "family: Input should be a valid string, found None"),
        ({"sha256": 12345678}, "sha256: Input should be a valid string, found 12345678"),
        ({"sha256": "0676BA61"}, "sha256: String should match pattern '^[0-9a-f]{0,64}$', found '0676BA61'"),
        ({"pretrained_on": "ImageNet-1k"}, "pretrained_on: Input should be a valid tuple, found 'ImageNet-1k'"),
        ({"input": {"std": [1, 1]}}, "key 'input.std.2' is missing"),
        ({"input": {"mean": ["a", 0, 0]}}, "input.mean.0: Input should be a valid number"),
        ({"made_by": "me"}, "made_by: Input should be a valid dictionary, found 'me'"),
        (
            {"container": "zip"},
            "container: Input should be 'none', 'torch', 'safetensors', 'pickle' or 'tensorflow', found 'zip'",
        ),
        ({"naming": "mocco"}, "naming: no such naming, did you mean moco or moco-v3?, found 'mocco'"),
        ({"naming": "none"}, "naming: no such naming"),
        ({"container": "none"}, "naming: no such naming, known: none, found 'timm'"),
    ],
)
def test_a_wrong_field_is_named_with_file_entry_key_and_value(write, change, said):
    path = write([{**MINE, "name": "first"}, {**MINE, **change}])

    message = refusal(path)

    assert message.startswith(f"{path}: entry 2 (mine): ")
    assert said in message


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "-a", ".a", "ä", 3, None])
def test_a_name_that_could_be_no_folder_is_refused(write, name):
    assert "name: " in refusal(write([{**MINE, "name": name}]))


@pytest.mark.parametrize("key", ["name", "family", "architecture", "container", "naming", "licence", "cite"])
def test_a_missing_key_is_named(write, key):
    path = write([{k: v for k, v in MINE.items() if k != key}])

    assert f"key {key!r} is missing" in refusal(path)


def test_a_name_that_is_given_twice_in_a_file_is_refused(write):
    path = write([MINE, {**MINE, "name": "other"}, MINE])

    assert refusal(path) == f"{path}: entry 3 (mine): the name is taken by an earlier entry of this file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "wanted a list under the key `entries`"),
        ("entries:", "wanted a list under the key `entries`"),
        ("entries: {a: 1}", "wanted a list under the key `entries`"),
        ("- name: mine", "wanted a list under the key `entries`"),
        ("entries: [", "not YAML: while parsing"),
        ("entries: [\tx: 1]", "entry 1: key 'name' is missing"),
        ("entries: [null]", "entry 1: Input should be a valid dictionary"),
        ("entries: [resnet]", "entry 1: Input should be a valid dictionary"),
        ("entries: !!python/object/apply:os.getcwd []", "not YAML: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_zoo_is_refused_in_one_line(write, text, said):
    path = write(text)

    message = refusal(path)

    assert message.startswith(f"{path}: ")
    assert said in message


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path):
    path = tmp_path / "zoo.yaml"
    path.write_bytes(b"\x80\x02}q\x00.")

    assert refusal(path) == f"{path}: not UTF-8 (byte 0 is 0x80): wanted a text file in UTF-8, save it as that"


def test_own_entries_come_after_the_shipped_ones(shipped, write):
    catalog = read_catalog(shipped, write([MINE]))

    assert list(catalog) == [*read_zoo(shipped), "mine"]
    assert catalog["mine"] == ZooEntry(**MINE)


def test_without_a_file_of_their_own_users_have_the_shipped_entries(shipped, tmp_path):
    assert read_catalog(shipped, tmp_path / "none.yaml") == read_zoo(shipped)


def test_a_name_in_both_files_is_refused(shipped, write):
    own = write([MINE, {**MINE, "name": "swav"}])

    with pytest.raises(BenchmarkError) as raised:
        read_catalog(shipped, own)

    assert str(raised.value) == f"{own}: swav is an entry of model_zoo.yaml too: give yours another name"


def test_an_added_entry_reads_back_equal(tmp_path):
    own = tmp_path / "home" / "zoo.yaml"
    plain = ZooEntry(**MINE)

    add_entry(own, FULL)
    add_entry(own, plain)

    assert read_zoo(own) == {FULL.name: FULL, "mine": plain}


def test_an_own_zoo_file_tells_only_what_was_told_and_who_wrote_it(tmp_path):
    own = tmp_path / "zoo.yaml"

    add_entry(own, ZooEntry(**MINE))

    text = own.read_text(encoding="utf-8")
    assert text.startswith("# Entries added by `benchmark zoo add`")
    assert yaml.safe_load(text) == {"entries": [MINE]}


def test_adding_a_taken_name_is_refused_and_leaves_the_file_as_it_was(tmp_path):
    own = tmp_path / "zoo.yaml"
    add_entry(own, ZooEntry(**MINE))
    before = own.read_bytes()

    with pytest.raises(BenchmarkError, match="has an entry 'mine' already"):
        add_entry(own, ZooEntry(**MINE))

    assert own.read_bytes() == before


def test_adding_to_a_damaged_file_is_refused_and_leaves_it_as_it_was(write):
    own = write("entries: [")

    with pytest.raises(BenchmarkError, match="not YAML"):
        add_entry(own, FULL)

    assert own.read_text(encoding="utf-8") == "entries: ["


def test_entries_that_are_added_at_once_are_all_kept(tmp_path):
    own = tmp_path / "zoo.yaml"
    names = [f"mine-{n}" for n in range(8)]
    start = threading.Barrier(len(names))

    def add(name):
        start.wait()
        add_entry(own, ZooEntry(**{**MINE, "name": name}))

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(read_zoo(own)) == names


def test_an_own_zoo_file_is_written_whole(tmp_path):
    """No other file is left beside it, and removing the last entry leaves a file that reads."""
    own = tmp_path / "zoo.yaml"

    write_own(own, [FULL])
    write_own(own, [])

    assert read_zoo(own) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["zoo.yaml"]


def test_a_write_that_is_cut_off_leaves_the_own_zoo_file_as_it_was(tmp_path):
    own = tmp_path / "zoo.yaml"
    add_entry(own, ZooEntry(**MINE))
    before = own.read_bytes()

    ran = in_new_process(
        f"""
import resource
from pathlib import Path
from benchmark.zoo.catalog import read_zoo, write_own

(entry,) = read_zoo(Path({str(own)!r})).values()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_own(Path({str(own)!r}), [entry.model_copy(update={{"name": f"mine-{{n}}"}}) for n in range(100)])
"""
    )

    assert "File too large" in ran.stderr
    assert own.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".partial"] == []


def test_an_entry_cannot_be_changed_and_takes_no_unknown_field():
    with pytest.raises(ValueError, match="frozen"):
        FULL.family = "other"
    with pytest.raises(ValueError, match="Extra inputs"):
        ZooEntry(**MINE, famly="x")


def test_an_entry_is_found_by_name_or_coined_for_a_fresh_architecture(shipped):
    entries = read_zoo(shipped)

    coined = find_entry("scratch:vgg16", entries)

    assert entries["swav"] is find_entry("swav", entries)
    assert coined == scratch("vgg16")
    assert (coined.name, coined.architecture, coined.is_scratch) == ("scratch:vgg16", "vgg16", True)
    with pytest.raises(BenchmarkError, match=r"^no model 'SwaV': did you mean swav\?, or scratch:ARCHITECTURE$"):
        find_entry("SwaV", entries)


def test_the_shipped_scratch_and_the_coined_one_are_the_same_weights(shipped):
    coined, entry = scratch(), read_zoo(shipped)["scratch"]

    assert (entry.name, entry.architecture, entry.container, entry.naming) == (
        coined.name,
        coined.architecture,
        coined.container,
        coined.naming,
    )
