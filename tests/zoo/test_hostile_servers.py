"""Servers that mean ill, or are broken: one line, no endless wait, nothing of theirs shown as they sent it; and pins that
are damaged.
"""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from shelf import BODY, kept, refusal, sha256

from benchmark.errors import BenchmarkError
from benchmark.zoo import download as downloading
from benchmark.zoo.download import download
from benchmark.zoo.fetch import delete_weight_file, fetch, find_weight_file

pytestmark = pytest.mark.usefixtures("waits")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


@contextmanager
def sending(*pieces, seconds=0.0):
    """A server that answers whatever it is asked with these pieces, so far apart; yields its address."""

    def answer(connection):
        with suppress(OSError), connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
                if over.wait(seconds):
                    return

    def serve():
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/net.pth"
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "²", "9" * 5000, ""])
def test_a_length_that_is_no_number_counts_as_none_told(shelf, weights, length):
    with sending(OK + f"Content-Length: {length}\r\n\r\n".encode("latin-1") + BODY) as url:
        entry = shelf.entry(source=url)

        assert fetch(entry, weights).path.read_bytes() == BODY


@pytest.mark.parametrize(
    "end", ["..", ".", "%00", "%2e%2e", "a%00b", "..%2f..%2fx.pth", "a%5Cb", "x" * 300, "%C3%A4" * 300, ".hidden"]
)
def test_whatever_a_url_ends_in_the_file_lies_in_its_entrys_folder(shelf, weights, end):
    entry = shelf.entry(source=f"{shelf.url}/files/{end}")

    path = fetch(entry, weights).path

    assert path.parent.resolve() == (weights / "net").resolve()
    assert path.read_bytes() == BODY
    assert not path.name.startswith(".")
    assert find_weight_file(entry, weights).path == path


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x", "gopher://x/\x1b[31m"])
def test_no_redirection_leaves_http(shelf, weights, url):
    shelf.statuses, shelf.troubles = [302], {"Location": url}

    said = refusal(shelf.entry(), weights)

    assert said.startswith("net: HTTP 302 ")
    assert len(shelf.requests) == 1
    assert kept(weights) == []


def test_a_redirection_to_http_is_followed(shelf, weights):
    shelf.statuses, shelf.troubles = [302], {"Location": f"{shelf.url}/elsewhere"}

    assert fetch(shelf.entry(), weights).path.read_bytes() == BODY


@pytest.mark.parametrize("where", ["headers", "body", "chunks"])
def test_a_byte_now_and_then_is_a_stall(weights, monkeypatch, where):
    """It would keep a timeout of the socket from ever running out."""
    monkeypatch.setattr(downloading, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(downloading, "TRIES", 1)
    weights.mkdir()
    start = {"headers": b"HTTP/1.1 200 OK\r\n", "body": OK + b"Content-Length: 1000000\r\n\r\n",
             "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n"}[where]  # fmt: skip
    begun = time.monotonic()

    with sending(start, *[b"a"] * 1000, seconds=0.02) as url, pytest.raises(BenchmarkError) as raised:
        download(url, weights / "net.pth.part", lambda *_: None)

    assert str(raised.value) == "stalled: less than 30,000 bytes in 0.2 seconds"
    assert time.monotonic() - begun < 10  # the server goes on for twenty seconds


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 \x1b]0;owned\x07\x1b[31m" + b"x" * 5000 + b"\r\n\r\n",
        b"\x1b[2J\x1b[31mno http at all\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ftp://\x1b[31m" + b"y" * 5000 + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n\x1b[31mzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
)
def test_nothing_that_a_server_says_reaches_the_terminal_as_it_is(shelf, weights, reply):
    with sending(reply) as url:
        said = refusal(shelf.entry(source=url), weights)

    assert said.isprintable()
    assert len(said) < 700


def test_what_a_cut_download_left_is_told_with_its_place_and_size_and_goes_with_its_entry(shelf, weights):
    shelf.cuts = [10_000] * 4
    part = weights / "net" / "net.pth.part"

    said = refusal(shelf.entry(), weights)

    assert f"40,000 bytes are kept in {part}, the same command continues" in said
    assert part.stat().st_size == 40_000
    delete_weight_file(shelf.entry(), weights)
    assert kept(weights) == []


DAMAGES = [b"", b"{}", b"{", b"[]", b"null", b"\xff\xfe", b'{"sha256": 5, "size": 1}', b'{"sha256": "00", "size": 200000}',
           b'{"size": 200000, "source": ""}', b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: repr(damage[:20]))
@pytest.mark.parametrize("digits", [8, 64])
def test_a_damaged_pin_is_made_anew_where_the_digest_is_known(shelf, weights, damage, digits):
    entry = shelf.entry(sha256=sha256(BODY)[:digits])
    file = fetch(entry, weights)
    pin = file.path.with_name("net.pth.pin.json")
    content = pin.read_bytes()
    pin.write_bytes(damage)

    assert find_weight_file(entry, weights) == file
    assert json.loads(pin.read_bytes()) == json.loads(content)
    assert len(shelf.requests) == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: repr(damage[:20]))
def test_a_damaged_pin_is_named_where_nothing_else_vouches_for_the_file(shelf, weights, damage):
    file = fetch(shelf.entry(), weights)
    pin = file.path.with_name("net.pth.pin.json")
    pin.write_bytes(damage)

    with pytest.raises(BenchmarkError) as raised:
        find_weight_file(shelf.entry(), weights)

    assert str(raised.value).startswith(f"net: {pin} is damaged, and no digest is published that could vouch for")
    assert "\n" not in str(raised.value)


def test_a_changed_file_with_a_damaged_pin_is_not_vouched_for(shelf, weights):
    entry = shelf.entry(sha256=sha256(BODY))
    file = fetch(entry, weights)
    file.path.write_bytes(BODY[::-1])
    file.path.with_name("net.pth.pin.json").write_bytes(b"")

    with pytest.raises(BenchmarkError, match="another file, or a damaged one; delete it and fetch it again"):
        find_weight_file(entry, weights)


def test_a_damaged_pin_in_a_folder_that_may_not_be_written_is_read_past(shelf, weights, monkeypatch):
    entry = shelf.entry(sha256=sha256(BODY))
    file = fetch(entry, weights)
    file.path.with_name("net.pth.pin.json").write_bytes(b"")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("benchmark.zoo.fetch.write_atomically", refused)

    assert find_weight_file(entry, weights) == file


@pytest.mark.parametrize(
    "verb", [("zoo", "list"), ("plan", "--models", "mine", "--tasks", "TXC"), ("zoo", "show", "mine")]
)
def test_verbs_tell_of_a_damaged_pin_in_a_line(cli, workspace, shelf, verb):
    from benchmark.zoo.catalog import add_entry

    entry = shelf.entry(name="mine")
    add_entry(workspace.own_zoo, entry)
    fetch(entry, workspace.weights).path.with_name("net.pth.pin.json").write_bytes(b"{}")

    ran = cli(*verb)

    assert "Traceback" not in ran.text
    if verb == ("zoo", "list"):
        (line,) = [line for line in ran.out.splitlines() if line.split()[:1] == ["mine"]]
        assert "damaged" in line
    else:
        assert ran.code == 2
        assert ran.err.count("\n") == 1
        assert "net.pth.pin.json is damaged" in ran.err
