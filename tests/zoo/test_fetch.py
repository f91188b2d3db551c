"""Weight files are downloaded over bad lines, checked and pinned, or refused with nothing kept."""

import io
import pickle
import socket
import threading

import pytest
import safetensors.torch
import torch
from conftest import in_new_process
from pytest_socket import SocketBlockedError
from shelf import BODY, OTHER, Shelf, kept, refusal, sha256

from benchmark.zoo import download as downloading
from benchmark.zoo.fetch import WeightFile, fetch, find_weight_file, remote_size, verify_weight_file

pytestmark = pytest.mark.usefixtures("waits")

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


def test_a_whole_download_is_pinned_and_located(shelf, weights):
    entry = shelf.entry()

    before = find_weight_file(entry, weights)
    file = fetch(entry, weights)

    assert before is None
    assert file == WeightFile(path=weights / "net" / "net.pth", sha256=sha256(BODY))
    assert file.path.read_bytes() == BODY
    assert kept(weights) == ["net.pth", "net.pth.pin.json"]
    assert file == find_weight_file(entry, weights) == verify_weight_file(file)


def test_what_is_here_is_not_asked_for_again(shelf, weights):
    first = fetch(shelf.entry(), weights)

    again = fetch(shelf.entry(), weights, offline=True)

    assert first == again
    assert len(shelf.requests) == 1


def test_a_file_is_named_by_its_url_and_lies_in_a_folder_named_by_its_entry(shelf, weights):
    entry = shelf.entry("mine:two", source=f"{shelf.url}/a/My%20net.pth?download=1#top")

    assert fetch(entry, weights).path == weights / "mine_two" / "My net.pth"


def test_progress_is_told_in_bytes_from_what_was_kept_to_the_end(shelf, weights):
    shelf.cuts = [50_000]
    calls = []

    fetch(shelf.entry(), weights, progress=lambda done, total: calls.append((done, total)))

    assert calls[0] == (0, 200_000)
    assert calls.count((50_000, 200_000)) == 2  # where the first try ends and the second begins
    assert calls[-1] == (200_000, 200_000)
    assert calls == sorted(calls)


@pytest.mark.parametrize("digits", [8, 64])
def test_known_first_digits_of_the_digest_are_checked(shelf, weights, digits):
    assert fetch(shelf.entry(sha256=sha256(BODY)[:digits]), weights).sha256 == sha256(BODY)


@pytest.mark.parametrize("wanted", [sha256(OTHER), sha256(OTHER)[:8], sha256(BODY)[:7] + "x"])
def test_wrong_bytes_are_refused_and_nothing_is_kept(shelf, weights, wanted):
    entry = shelf.entry(sha256=wanted)

    message = refusal(entry, weights)

    assert f"net.pth has sha256 {sha256(BODY)[:16]}…, wanted {wanted[:16]}…" in message
    assert "nothing was kept" in message
    assert kept(weights) == []
    assert find_weight_file(entry, weights) is None
    assert len(shelf.requests) == 1


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cuts", [[1], [70_000], [199_999], [70_000, 1, 100_000]])
def test_a_cut_download_is_continued_within_one_call(shelf, weights, cuts, reset):
    """Each request asks for the rest alone, if the file is still the one that the ETag names."""
    shelf.cuts, shelf.reset = list(cuts), reset

    file = fetch(shelf.entry(), weights)

    assert file.path.read_bytes() == BODY
    assert "Range" not in shelf.requests[0]
    if not reset:  # a reset may take bytes with it that were sent before
        starts = [sum(cuts[:n]) for n in range(1, len(cuts) + 1)]
        assert [a["Range"] for a in shelf.requests[1:]] == [f"bytes={start}-" for start in starts]
    assert {a["If-Range"] for a in shelf.requests[1:] if "Range" in a} <= {'"one"'}


def test_a_cut_download_is_continued_by_a_second_call(shelf, weights, waits):
    shelf.cuts = [10_000] * 4

    message = refusal(shelf.entry(), weights)
    file = fetch(shelf.entry(), weights)

    part = weights / "net" / "net.pth.part"
    assert f"net: cut after 40,000 bytes: 40,000 bytes are kept in {part}, the same command continues" in message
    assert "`benchmark zoo fetch net --from-file FILE`" in message
    assert len(shelf.requests) == 5
    assert shelf.requests[4]["Range"] == "bytes=40000-"
    assert shelf.requests[4]["If-Range"] == '"one"'
    assert file.path.read_bytes() == BODY
    assert len(waits) == 3
    assert sum(waits) < 30


def test_a_connection_that_is_cut_before_the_first_byte_is_begun_again(shelf, weights):
    shelf.cuts = [0]

    assert fetch(shelf.entry(), weights).sha256 == sha256(BODY)
    assert "Range" not in shelf.requests[1]


def test_a_silent_server_counts_as_a_cut_connection(shelf, weights, monkeypatch):
    shelf.gate = threading.Event()
    monkeypatch.setattr(downloading, "STALL_SECONDS", 0.05)

    message = refusal(shelf.entry(), weights)
    shelf.gate.set()

    assert "net: stalled: less than 30,000 bytes in 0.05 seconds" in message
    assert len(shelf.requests) == 4


@pytest.mark.parametrize("second_call", [False, True])
@pytest.mark.parametrize("body", [OTHER, OTHER[:30_000], BODY + OTHER])
def test_a_file_that_changed_on_the_server_is_downloaded_from_its_beginning(shelf, weights, second_call, body):
    """Bytes of the old file never stand before those of the new one."""
    shelf.cuts = [40_000, 0, 0, 0] if second_call else [40_000]
    if second_call:
        refusal(shelf.entry(), weights)
        shelf.body, shelf.etag = body, '"two"'
        file = fetch(shelf.entry(), weights)
    else:
        file = fetch(shelf.entry(), weights, progress=lambda done, _: change_after(shelf, body, done))

    assert shelf.requests[-1]["If-Range"] == '"one"'
    assert file.path.read_bytes() == body
    assert file.sha256 == sha256(body)


def change_after(shelf, body, done):
    if done == 40_000:
        shelf.body, shelf.etag = body, '"two"'


def test_after_a_change_the_new_file_is_continued_by_its_own_etag(shelf, weights):
    shelf.cuts = [40_000, 0, 0, 0]
    refusal(shelf.entry(), weights)
    shelf.body, shelf.etag, shelf.cuts = OTHER, '"two"', [60_000]

    file = fetch(shelf.entry(), weights)

    assert shelf.requests[-1]["Range"] == "bytes=60000-"
    assert shelf.requests[-1]["If-Range"] == '"two"'
    assert file.path.read_bytes() == OTHER


def test_a_server_that_ignores_range_sends_the_file_anew(shelf, weights):
    shelf.knows_range, shelf.cuts = False, [70_000]

    file = fetch(shelf.entry(), weights)

    assert shelf.requests[1]["Range"] == "bytes=70000-"
    assert file.path.read_bytes() == BODY


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_etag_the_date_serves_and_is_remembered_over_several_cuts(shelf, weights, etag):
    """RFC 9110, 13.1.5: If-Range takes no weak ETag."""
    shelf.etag, shelf.date, shelf.cuts = etag, DATE, [70_000, 10_000]

    file = fetch(shelf.entry(), weights)

    assert [a.get("Range") for a in shelf.requests] == [None, "bytes=70000-", "bytes=80000-"]
    assert [a.get("If-Range") for a in shelf.requests] == [None, DATE, DATE]
    assert file.path.read_bytes() == BODY


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_anything_that_tells_a_file_from_another_a_download_begins_again(shelf, weights, etag):
    shelf.etag, shelf.cuts = etag, [70_000]

    file = fetch(shelf.entry(), weights)

    assert [a.get("Range") for a in shelf.requests] == [None, None]
    assert file.path.read_bytes() == BODY


def test_a_download_that_lacked_only_its_end_is_known_to_be_whole(shelf, weights):
    """All bytes were here (a process killed before it could pin them): none is sent again."""
    shelf.promised, shelf.cuts = len(BODY) + 1, [len(BODY)]

    file = fetch(shelf.entry(), weights)

    assert [a.get("Range") for a in shelf.requests] == [None, "bytes=200000-"]
    assert file.path.read_bytes() == BODY


def test_more_bytes_than_the_server_has_are_another_files_and_are_dropped(shelf, weights):
    """A server that ignores If-Range and holds a shorter file now."""
    shelf.cuts = [40_000, 0, 0, 0]
    refusal(shelf.entry(), weights)
    shelf.body, shelf.etag, shelf.knows_if_range = OTHER[:30_000], '"two"', False

    file = fetch(shelf.entry(), weights)

    assert file.path.read_bytes() == OTHER[:30_000]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_the_server_will_never_give_is_final_and_names_the_manual_way(shelf, weights, waits, status):
    shelf.statuses = [status]
    entry = shelf.entry()

    message = refusal(entry, weights)

    assert message.startswith(f"net: HTTP {status} ")
    assert f"get it by hand from {entry.source} and give it with `benchmark zoo fetch net --from-file FILE`" in message
    assert len(shelf.requests) == 1
    assert waits == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(shelf, weights, waits, status):
    shelf.statuses = [status, status]

    file = fetch(shelf.entry(), weights)

    assert file.sha256 == sha256(BODY)
    assert len(waits) == 2
    assert all(seconds > 0 for seconds in waits)


@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [("7", [7.0, 7.0]), ("0", [0.5, 1.0]), ("86400", [60.0, 60.0]), ("soon", [0.5, 1.0]), (DATE, [0.5, 1.0])],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_again_is_asked_then_within_a_minute(
    shelf, weights, waits, status, retry_after, waited
):
    """RFC 9110, 10.2.3, in seconds; never sooner than without it."""
    shelf.statuses, shelf.troubles = [status] * 2, {"Retry-After": retry_after}

    fetch(shelf.entry(), weights)

    assert waits == waited


def test_a_wait_that_was_asked_for_once_is_not_waited_again(shelf, weights, waits):
    shelf.statuses, shelf.troubles, shelf.cuts = [429], {"Retry-After": "9"}, [70_000]

    assert fetch(shelf.entry(), weights).sha256 == sha256(BODY)
    assert waits == [9.0, 1.0]


def test_a_server_that_stays_in_trouble_is_given_up(shelf, weights):
    shelf.statuses = [503] * 9

    assert refusal(shelf.entry(), weights).startswith("net: HTTP 503 ")
    assert len(shelf.requests) == 4


def test_a_server_that_is_not_there_is_named(weights):
    with socket.socket() as free:  # bound, never listening: no one else gets this port meanwhile
        free.bind(("127.0.0.1", 0))
        entry = Shelf(url=f"http://127.0.0.1:{free.getsockname()[1]}").entry()

        message = refusal(entry, weights)

    assert "127.0.0.1 is not reachable" in message
    assert "--from-file" in message


ELSEWHERE = "https://elsewhere.example/net.pth, under another name"


@pytest.mark.parametrize("status", [404, 410])
def test_a_dead_link_names_where_else_the_file_may_be_had(shelf, weights, status):
    shelf.statuses = [status]

    message = refusal(shelf.entry(alternative=ELSEWHERE), weights)

    assert message.startswith(f"net: HTTP {status} ")
    assert f"/files/net.pth (or elsewhere: {ELSEWHERE}) and give it with `benchmark zoo fetch net --from" in message


def test_so_does_a_page_in_the_files_place(shelf, weights):
    shelf.body, shelf.kind = b"<html>gone</html>", "text/html"

    assert f"(or elsewhere: {ELSEWHERE})" in refusal(shelf.entry(alternative=ELSEWHERE), weights)


def test_an_html_page_is_refused_with_the_manual_way_and_is_not_kept(shelf, weights):
    shelf.body, shelf.kind = b"<html><body>log in, please</body></html>", "text/html; charset=utf-8"

    message = refusal(shelf.entry(), weights)

    assert message.startswith("net: the server sent an HTML page, not a weight file")
    assert "--from-file" in message
    assert kept(weights) == []
    assert len(shelf.requests) == 1


def test_offline_refuses_without_opening_a_socket(weights, socket_disabled):  # noqa: ARG001 - a fixture that acts
    entry = Shelf(url="http://127.0.0.1:9").entry()

    message = refusal(entry, weights, offline=True)

    assert "not here, and --offline forbids fetching it" in message
    assert "--from-file" in message
    with pytest.raises((SocketBlockedError, UserWarning)):  # without `offline` the same call runs into the guard
        fetch(entry, weights)


def test_a_file_of_the_users_own_that_is_gone_is_not_looked_for_on_the_network(weights, socket_disabled):  # noqa: ARG001
    message = refusal(Shelf().entry(source="file:mine.pth"), weights)

    assert "`benchmark zoo add FILE --name …` puts it there again" in message


def saved(container: str) -> bytes:
    """A file whose own plan tells where it ends."""
    tensors = {"weight": torch.rand(200, 100, generator=torch.Generator().manual_seed(0))}
    if container == "safetensors":
        return safetensors.torch.save(tensors)
    written = io.BytesIO()
    torch.save(tensors, written)
    return written.getvalue()


@pytest.fixture(params=["torch", "safetensors"])
def planned(request, shelf):
    """An entry of such a file on the shelf."""
    shelf.body = saved(request.param)
    return shelf.entry(container=request.param)


@pytest.mark.parametrize("tells_length", [True, False])
def test_files_of_each_kind_arrive_whole_with_or_without_a_length(shelf, planned, weights, tells_length):
    shelf.tells_length = tells_length

    assert fetch(planned, weights).path.read_bytes() == shelf.body


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_an_end_that_lacks_shows_in_the_file_itself_where_no_length_was_told(shelf, planned, weights, share):
    """And no digest is known: it is not pinned as the file."""
    cut = int(len(shelf.body) * share)
    shelf.tells_length, shelf.cuts = False, [cut]

    message = refusal(planned, weights)

    assert f"cut off or damaged ({cut:,} bytes); nothing was kept" in message
    assert kept(weights) == []
    assert fetch(planned, weights).sha256 == sha256(shelf.body)


def test_a_length_told_too_short_shows_in_the_file_itself(shelf, planned, weights):
    """What comes after the told length is no longer this reply's."""
    shelf.promised = len(shelf.body) - 1000

    assert f"cut off or damaged ({shelf.promised:,} bytes); nothing was kept" in refusal(planned, weights)
    assert kept(weights) == []


def test_a_length_told_too_short_shows_in_the_digest(shelf, weights):
    shelf.promised = len(BODY) - 1000

    message = refusal(shelf.entry(sha256=sha256(BODY)), weights)

    assert f"has sha256 {sha256(BODY[:-1000])[:16]}…, wanted {sha256(BODY)[:16]}…" in message
    assert kept(weights) == []


@pytest.mark.parametrize("knows_range", [True, False])
def test_a_length_told_too_long_ends_in_the_file_or_in_a_refusal_never_in_a_wait(shelf, weights, waits, knows_range):
    """A server that knows ranges says in the end that there is no more; of another, one cannot know."""
    shelf.promised, shelf.knows_range = len(BODY) + 1000, knows_range

    if knows_range:
        assert fetch(shelf.entry(), weights).path.read_bytes() == BODY
    else:
        assert "net: cut after 200,000 bytes: 200,000 bytes are kept in " in refusal(shelf.entry(), weights)
        assert kept(weights) == ["net.pth.part", "net.pth.part.json"]
    assert len(waits) <= 3


def test_a_server_that_falls_silent_half_way_is_left_and_what_came_is_kept(shelf, weights, monkeypatch):
    monkeypatch.setattr(downloading, "CHUNK", 1000)
    monkeypatch.setattr(downloading, "STALL_SECONDS", 0.2)
    shelf.stall, shelf.cuts = threading.Event(), [70_000]

    file = fetch(shelf.entry(), weights)
    shelf.stall.set()

    assert [a.get("Range") for a in shelf.requests] == [None, "bytes=70000-"]
    assert file.path.read_bytes() == BODY


def test_another_part_than_was_asked_for_is_not_put_behind_what_is_here(shelf, weights):
    shelf.cuts, shelf.skips = [70_000], 10

    file = fetch(shelf.entry(), weights)

    assert [a.get("Range") for a in shelf.requests] == [None, "bytes=70000-", None]
    assert file.path.read_bytes() == BODY


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><title>Log in</title>", b"\n <html>", b'<?xml version="1.0"?><Error/>']
)
def test_a_page_that_calls_itself_a_file_is_not_pinned_as_one(shelf, weights, page):
    shelf.body = page

    assert "net: net.pth is a web page, not a weight file" in refusal(shelf.entry(), weights)
    assert kept(weights) == []


@pytest.mark.parametrize("body", [b"", BODY, (10**12).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]",
                                  (50_000).to_bytes(8, "little") + b"[" * 50_000])  # fmt: skip
def test_what_has_no_safetensors_header_is_refused_as_that(shelf, weights, body):
    shelf.body, shelf.tells_length = body or b"0", True

    assert "net.pth has no safetensors header" in refusal(shelf.entry(container="safetensors"), weights)


def test_a_plain_pickle_has_no_plan_and_is_taken_as_it_comes(shelf, weights):
    shelf.body = pickle.dumps({"a": 1})

    assert fetch(shelf.entry(container="pickle"), weights).path.read_bytes() == shelf.body


def test_nothing_of_fetching_needs_torch():
    ran = in_new_process(
        "import sys, benchmark.zoo.fetch\n"
        "assert not {'torch', 'timm', 'huggingface_hub'} & set(sys.modules), 'imported'"
    )

    assert ran.returncode == 0, ran.stderr


def test_the_size_of_a_download_is_asked_for_beforehand(shelf):
    assert remote_size(shelf.entry()) == len(BODY)
    assert remote_size(shelf.entry().model_copy(update={"source": "http://127.0.0.1:9/net.pth"})) is None


def test_fetch_without_names_asks_with_the_size(cli, monkeypatch):
    monkeypatch.setattr("benchmark.zoo.fetch.remote_size", lambda entry: 10**9 if entry.name == "swav" else None)

    refused = cli("zoo", "fetch")

    assert refused.code == 2
    assert "files (at least 1.0 GB, " in refused.text
    assert "agree with --yes" in refused.text
