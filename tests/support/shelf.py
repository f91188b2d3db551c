"""A server of weight files for tests, on the local address, that breaks off, forgets, changes and lies as a test sets it.

With a `commit` it answers as the Hugging Face Hub does, whatever the request.
"""

import hashlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmark.errors import BenchmarkError
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import fetch

BODY = random.Random(0).randbytes(200_000)  # random, so that a wrong offset shows
OTHER = random.Random(1).randbytes(150_000)


@dataclass
class Shelf:
    """What the server gives, and which requests it received. `cuts`: after how many bytes each next reply breaks off."""

    body: bytes = BODY
    etag: str = '"one"'
    date: str = ""
    kind: str = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)  # of the next replies, before it gives the file
    troubles: dict[str, str] = field(default_factory=dict)  # headers of these
    cuts: list[int] = field(default_factory=list)
    reset: bool = False  # cuts are a reset of the connection, else its quiet end
    stall: threading.Event | None = None  # cuts are silence until it is set
    knows_range: bool = True
    knows_if_range: bool = True
    skips: int = 0  # bytes that a reply to Range leaves out
    promised: int | None = None  # Content-Length, where it is not the body's
    tells_length: bool = True
    commit: str = ""
    gate: threading.Event | None = None  # no answer before it is set
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # of the requests, each with its method
    url: str = ""

    def entry(self, name: str = "net", **fields: str) -> ZooEntry:
        return ZooEntry(
            name=name, family="ssl", architecture="resnet18", source=f"{self.url}/files/net.pth",
            container="torch", naming="plain", licence="CC0", cite="nobody",
        ).model_copy(update=fields)  # fmt: skip

    def start_of(self, requests: dict[str, str]) -> int:
        same = not self.knows_if_range or requests.get("If-Range") in {self.etag, self.date} - {""}
        if not self.knows_range or "Range" not in requests or not same:
            return 0
        return int(requests["Range"].removeprefix("bytes=").removesuffix("-"))


@contextmanager
def serving() -> Iterator[Shelf]:
    """A server on this machine's own address, and what lies on it."""
    shelf = Shelf()

    class Counter(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            shelf.requests.append(dict(self.headers))
            shelf.paths.append(f"{self.command} {self.path}")
            if shelf.gate:
                shelf.gate.wait(20)
            if shelf.statuses:
                self.send_response(shelf.statuses.pop(0))
                for name, value in shelf.troubles.items():
                    self.send_header(name, value)
                self.end_headers()
                return
            start = shelf.start_of(shelf.requests[-1])
            start += shelf.skips if start else 0
            if start >= len(shelf.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(shelf.body)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", shelf.kind)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(shelf.body) - 1}/{len(shelf.body)}")
            if shelf.tells_length:
                self.send_header("Content-Length", str((shelf.promised or len(shelf.body)) - start))
            if shelf.commit:
                self.send_header("X-Repo-Commit", shelf.commit)
            if shelf.etag:
                self.send_header("ETag", shelf.etag)
            if shelf.date and not start:  # RFC 9110, 15.3.7: a 206 after If-Range need not repeat it
                self.send_header("Last-Modified", shelf.date)
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = shelf.cuts.pop(0) if shelf.cuts else None
            self.wfile.write(shelf.body[start:] if cut is None else shelf.body[start : start + cut])
            if cut is not None and shelf.stall:
                self.wfile.flush()
                shelf.stall.wait(20)
            if cut is not None and shelf.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def handle(self):
            with suppress(OSError):  # the other side has gone: what the tests are about
                super().handle()

        def finish(self):
            with suppress(OSError):
                super().finish()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Counter) as server:
        shelf.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shelf
        finally:
            server.shutdown()
            thread.join()


def sha256(content: bytes) -> str:
    """In hex, as entries and notes have it."""
    return hashlib.sha256(content).hexdigest()


def refusal(entry, weights, **more) -> str:
    """The one line that a fetch is refused with."""
    with pytest.raises(BenchmarkError) as raised:
        fetch(entry, weights, **more)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def kept(weights) -> list[str]:
    """Names in the entry's folder, but for its lock."""
    return sorted(p.name for p in (weights / "net").iterdir() if p.name != ".lock")
