"""Weights come from the Hugging Face Hub through its own client and cache, and timm's names lead there.

The Hub is the loopback server of these tests; the client is the real one, in a process of its own where its variables
are read at import.
"""

import time
from itertools import count
from types import SimpleNamespace

import pytest
from conftest import in_new_process
from huggingface_hub import constants
from shelf import BODY, OTHER, Shelf, kept, refusal, sha256

from benchmark.errors import BenchmarkError
from benchmark.zoo import hub
from benchmark.zoo.fetch import delete_weight_file, fetch, find_weight_file, import_weight_file
from benchmark.zoo.hub import HubFile, parse_source, resolve_source

COMMIT = "5" * 40
SOURCE = "hf:owner/some-net/files/net.pth"


@pytest.fixture
def hugging(shelf, tmp_path, monkeypatch):
    """The shelf as the Hub, and an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", shelf.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{shelf.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    shelf.etag, shelf.commit = f'"{sha256(BODY)}"', COMMIT
    return shelf


def entry_of(source=SOURCE, **fields):
    return Shelf().entry(source=source, **fields)


@pytest.mark.parametrize(
    ("source", "repo", "file", "revision", "name"),
    [
        ("hf:timm/resnet18.a1_in1k/model.safetensors", "timm/resnet18.a1_in1k", "model.safetensors", "main",
         "model.safetensors"),
        ("hf:microsoft/rad-dino/backbone/net.pth@v1.0", "microsoft/rad-dino", "backbone/net.pth", "v1.0",
         "v1.0-net.pth"),
        ("hf:a/b/net.pth@refs/pr/1", "a/b", "net.pth", "refs/pr/1", "refs_pr_1-net.pth"),
    ],
)  # fmt: skip
def test_a_source_names_repository_file_and_revision(source, repo, file, revision, name):
    """Two revisions are two files: one pin never stands for the other."""
    where = parse_source(source)

    assert where == HubFile(repo=repo, file=file, revision=revision)
    assert where.name == name


@pytest.mark.parametrize(
    "source",
    ["hf:", "hf:owner", "hf:owner/repo", "hf:owner/repo/", "hf:a/b/../../c", "hf:../b/c", "hf:a/b/c@", "hf:a b/c/d"],
)
def test_what_names_no_file_is_refused_in_one_line(source, weights):
    message = refusal(entry_of(source), weights)

    assert message == f"source {source!r}: wanted hf:OWNER/REPO/FILE, with @REVISION where it is not the newest"


@pytest.mark.parametrize("revision", ["", "@v2"])
def test_a_file_of_the_hub_is_fetched_through_its_client_and_pinned_here(hugging, weights, revision):
    file = fetch(entry_of(SOURCE + revision), weights)

    path = f"/owner/some-net/resolve/{revision[1:] or 'main'}/files/net.pth"
    assert [path for path in hugging.paths if "/api/" not in path] == [f"HEAD {path}", f"GET {path}"]
    assert file.sha256 == sha256(BODY)
    assert file == find_weight_file(entry_of(SOURCE + revision), weights)
    assert kept(weights) == [file.path.name, f"{file.path.name}.pin.json"]


def test_what_the_clients_cache_holds_is_not_downloaded_again(hugging, weights):
    """By whatever tool it came there; and `offline` reads it without asking at all."""
    fetch(entry_of(), weights)
    delete_weight_file(entry_of(), weights)
    del hugging.paths[:]

    again = fetch(entry_of(), weights)
    paths = list(hugging.paths)
    delete_weight_file(entry_of(), weights)
    offline = fetch(entry_of(), weights, offline=True)

    assert again.sha256 == offline.sha256 == sha256(BODY)
    assert paths == hugging.paths == ["HEAD /owner/some-net/resolve/main/files/net.pth"]


@pytest.mark.usefixtures("hugging")
def test_the_copy_here_outlives_the_cache(weights, tmp_path):
    """And the cache a change here: it is other tools' too."""
    file = fetch(entry_of(), weights)
    (cached,) = [p for p in (tmp_path / "cache").rglob(sha256(BODY)) if p.is_file()]

    assert not cached.samefile(file.path)
    cached.write_bytes(OTHER)
    assert file.path.read_bytes() == BODY


def test_offline_asks_nothing_and_names_the_cache_and_the_page(hugging, weights, tmp_path):
    message = refusal(entry_of(), weights, offline=True)

    assert f"nor in Hugging Face's cache {tmp_path / 'cache'}, and --offline forbids fetching it" in message
    assert "get it by hand from https://huggingface.co/owner/some-net/resolve/main/files/net.pth and give it" in message
    assert hugging.paths == []


def test_bytes_that_are_not_those_of_the_hubs_digest_are_refused(hugging, weights):
    hugging.body = OTHER

    message = refusal(entry_of(), weights)

    assert f"has sha256 {sha256(OTHER)[:16]}…, wanted {sha256(BODY)[:16]}…" in message
    assert f"delete {weights.parent / 'cache'}" in message
    assert kept(weights) == []


@pytest.mark.usefixtures("hugging")
def test_the_entrys_own_digest_is_checked_too(weights):
    assert "nothing was kept" in refusal(entry_of(sha256=sha256(OTHER)), weights)
    assert kept(weights) == []


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "EntryNotFound", "net: owner/some-net has no file 'files/net.pth' at revision 'main'"),
        (404, "RevisionNotFound", "net: owner/some-net has no revision 'main'"),
        (404, "RepoNotFound", "net: owner/some-net: no such repository, or one that wants a token (HF_TOKEN)"),
        (403, "GatedRepo", "net: owner/some-net wants its terms accepted on its page, and then a token (HF_TOKEN)"),
    ],
)
def test_what_the_hub_refuses_is_told_with_the_manual_way(hugging, weights, status, code, said):
    hugging.statuses, hugging.troubles = [status] * 9, {"X-Error-Code": code}

    message = refusal(entry_of(alternative="ask its authors"), weights)

    assert message.startswith(said)
    assert "(or elsewhere: ask its authors) and give it with `benchmark zoo fetch net --from-file FILE`" in message


def test_a_hub_that_is_not_there_is_named(hugging, weights, monkeypatch):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    for name, end in (("ENDPOINT", ""), ("HUGGINGFACE_CO_URL_TEMPLATE", "/{repo_id}/{revision}/{filename}")):
        monkeypatch.setattr(constants, name, "http://127.0.0.1:9" + end)

    message = refusal(entry_of(), weights)

    assert message.startswith("net: http://127.0.0.1:9 is not reachable (")
    assert "--from-file" in message
    assert hugging.paths == []


def test_the_hubs_own_variables_are_obeyed(shelf, tmp_path):
    """HF_ENDPOINT and HF_HUB_CACHE lead to the file; with HF_HUB_OFFLINE, or `offline`, a process asks nothing at all,
    not what the client asks on its own account either.
    """
    shelf.etag, shelf.commit = f'"{sha256(BODY)}"', COMMIT
    code = (
        "import os\nfrom pathlib import Path\nfrom benchmark.errors import BenchmarkError\n"
        "from benchmark.zoo.catalog import ZooEntry\nfrom benchmark.zoo.fetch import fetch\n"
        "entry = ZooEntry.model_validate_json(os.environ['ENTRY'])\n"
        "try: print(fetch(entry, Path(os.environ['WEIGHTS'])).sha256)\n"
        "except BenchmarkError as fault: print(fault)\n"
    )
    offline = code.replace("WEIGHTS'])", "WEIGHTS']), offline=True")
    client = {"HF_ENDPOINT": shelf.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def fetched(code, cache, hub_offline):
        return in_new_process(
            code, ENTRY=entry_of().model_dump_json(), WEIGHTS=str(tmp_path / f"weights-{next(numbers)}"), **client,
            HF_HUB_CACHE=str(tmp_path / cache), HF_HUB_OFFLINE=hub_offline, HF_HUB_DISABLE_TELEMETRY="",
        )  # fmt: skip

    numbers = count()
    one = fetched(code, "cache", "")
    path = list(shelf.paths)
    two, three = fetched(code, "cache", "1"), fetched(code, "empty", "1")
    four, five = fetched(offline, "cache", ""), fetched(offline, "empty", "")

    assert {run.stdout.strip() for run in (one, two, four)} == {sha256(BODY)}, one.stderr + two.stderr + four.stderr
    assert "HF_HUB_OFFLINE forbids fetching it" in three.stdout, three.stderr
    assert "--offline forbids fetching it" in five.stdout, five.stderr
    assert shelf.paths == path
    assert path


def test_a_file_brought_by_hand_takes_the_same_place(hugging, weights, tmp_path):
    own = tmp_path / "download.bin"
    own.write_bytes(BODY)

    import_weight_file(entry_of(), own, weights)

    assert fetch(entry_of(), weights, offline=True).path == weights / "net" / "net.pth"
    assert hugging.paths == []


@pytest.mark.parametrize(
    ("name", "container", "source"),
    [
        ("resnet18.a1_in1k", "safetensors", "hf:timm/resnet18.a1_in1k/model.safetensors"),
        ("resnet18.a1_in1k", "torch", "hf:timm/resnet18.a1_in1k/pytorch_model.bin"),
        ("resnetv2_101x3_bit.goog_in21k", "safetensors", "hf:timm/resnetv2_101x3_bit.goog_in21k/model.safetensors"),
    ],
)
def test_timms_names_lead_to_its_own_files_in_the_entrys_container(name, container, source):
    assert resolve_source(f"timm:{name}", container) == source


def test_timms_own_overrides_are_followed(monkeypatch):
    """Of file, revision, and of nets that lie at a URL alone."""
    import timm

    config = SimpleNamespace(hf_hub_id="a/b@v1", hf_hub_filename="open_clip_pytorch_model.bin", url="")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: config)
    safe = resolve_source("timm:resnet18.a1_in1k", "safetensors")
    plain = resolve_source("timm:resnet18.a1_in1k", "torch")
    config.hf_hub_id, config.url = None, "https://example.org/net.pth"
    direct = resolve_source("timm:resnet18.a1_in1k", "torch")

    assert safe == "hf:a/b/open_clip_model.safetensors@v1"
    assert plain == "hf:a/b/open_clip_pytorch_model.bin@v1"
    assert direct == "https://example.org/net.pth"


def test_sources_of_other_kinds_are_left_as_they_are():
    assert resolve_source("https://example.org/a.pth", "torch") == "https://example.org/a.pth"


@pytest.mark.parametrize(("name", "meant"), [("resnet18", "resnet18.a"), ("resnet18.a1_in1", "resnet18.a1_in1k"),
                                             ("resnet81.a1_in1k", "resnet18.a1_in1k"), ("", "resnet")])  # fmt: skip
def test_a_name_without_its_tag_or_unknown_to_timm_is_refused(name, meant):
    """Timm's default tag moves from version to version."""
    with pytest.raises(BenchmarkError) as raised:
        resolve_source(f"timm:{name}", "torch")

    assert "wanted timm:ARCHITECTURE.TAG of weights that timm" in str(raised.value)
    if name:
        assert meant in str(raised.value)


def test_an_entry_of_timms_is_fetched_from_the_hub(hugging, weights):
    entry = entry_of("timm:resnet18.a1_in1k")

    file = fetch(entry, weights)

    assert hugging.paths[-1] == "GET /timm/resnet18.a1_in1k/resolve/main/pytorch_model.bin"
    assert file.path == weights / "net" / "resnet18.a1_in1k"
    assert file == find_weight_file(entry, weights)


def test_only_large_files_have_a_digest_of_their_content(tmp_path):
    """The Hub names small ones after git's sha1."""
    assert hub.published_digest(tmp_path / sha256(BODY)) == sha256(BODY)
    assert hub.published_digest(tmp_path / ("a" * 40)) == ""
    assert hub.published_digest(tmp_path / "net.pth") == ""
