"""Downloads a file over http(s), over connections that break and from servers that may be hostile. Torch-free.

What arrives is stored in a part file, with the server's validator next to it (`.json`), so that the next request, of this
call or the next, asks only for the rest, if the server still has the same file. Servers may redirect only to http(s); one that
sends less than MIN_BYTES in STALL_SECONDS counts as a broken connection; its texts are shown shortened and escaped.
"""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmark import __version__
from benchmark.errors import BenchmarkError
from benchmark.files import DiskFullError, space_for, write_atomically
from benchmark.text import shortened, shown

TRIES = 4
MAX_WAIT = 60.0  # seconds, whatever a server asks for
STALL_SECONDS = 30.0
MIN_BYTES = 30_000  # in STALL_SECONDS: a kilobyte a second, less than any connection that weights are fetched over
CHUNK = 1 << 18
MAX_LENGTH_DIGITS = 18  # digits of a Content-Length
SCHEMES = ("http", "https")
HEADERS = {"User-Agent": f"medical-transfer-benchmark/{__version__}"}
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


def download(source: str, partial_file: Path, progress: Progress) -> None:
    """Completes the part file, in several tries; what arrived stays for the next call.

    Raises BenchmarkError with the reason where it cannot, DiskFull where there is no room.
    """
    reason, retry_after = "", 0.0
    for number in range(TRIES):
        if number:
            time.sleep(max(min(2.0 ** (number - 2), 8.0), min(retry_after, MAX_WAIT)))
        retry_after = 0.0
        try:
            if _request(source, partial_file, progress):
                return
            reason = f"cut after {bytes_received(partial_file):,} bytes"
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            seconds = error.headers.get("Retry-After") or ""  # a date may stand here too, which is ignored
            retry_after = float(seconds) if seconds.isdecimal() else 0.0
            if (
                error.code == 416
            ):  # nothing after our last byte: the file is complete, or it was the start of another file
                have = bytes_received(partial_file)
                if have and error.headers.get("Content-Range") == f"bytes */{have}":
                    return
                partial_file.unlink(missing_ok=True)
            elif error.code < 500 and error.code != 429:
                break
        except urllib.error.URLError as error:
            reason = f"{urlsplit(source).hostname} is not reachable ({error.reason})"
            if "resolution" in str(error.reason) or "not known" in str(error.reason):
                break
        except ValueError as error:  # what is no URL
            reason = str(error)
            break
        except (TimeoutError, ConnectionError, HTTPException) as error:
            reason = str(error) or type(error).__name__
    raise BenchmarkError(shortened(" ".join(reason.split()), 200))


def remote_size(source: str) -> int | None:
    """Returns the bytes that the server says the file has; None where it does not say, or is not reachable."""
    request = urllib.request.Request(source, method="HEAD", headers=HEADERS)  # noqa: S310 - http(s) only, checked by fetch
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=STALL_SECONDS) as reply:
            return _length(reply.headers)
    except (OSError, ValueError, HTTPException):
        return None


def bytes_received(partial_file: Path) -> int:
    """Returns how many bytes have arrived."""
    return partial_file.stat().st_size if partial_file.exists() else 0


def validator_file(partial_file: Path) -> Path:
    """Returns where the server's validator is kept."""
    return partial_file.with_name(partial_file.name + ".json")


def _request(source: str, partial_file: Path, progress: Progress) -> bool:
    """Makes one request, for the rest where the server still has the same file; returns whether the file is complete."""
    have, validator = bytes_received(partial_file), ""
    request = urllib.request.Request(source, headers=HEADERS)  # noqa: S310 - http(s) only, checked by fetch
    with suppress(OSError, ValueError, LookupError, TypeError):
        validator = str(json.loads(validator_file(partial_file).read_text())["validator"])
    if have and validator:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)  # another file in its place comes from its start
    with _watched() as watch, watch.opened(request) as reply:
        if reply.headers.get_content_type() == "text/html":
            raise BenchmarkError(
                "the server sent an HTML page, not a weight file (a dead link, or one that asks for a login)"
            )
        continued = reply.status == 206
        if continued and not (reply.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            partial_file.unlink()  # what comes does not continue it
            raise ConnectionError(f"the server sent another part of the file than from byte {have:,} on")
        length = _length(reply.headers)
        done = have if continued else 0
        total = None if length is None else done + length
        if not continued:  # in this order: the new file's validator must never stand next to the bytes of the old one
            partial_file.unlink(missing_ok=True)
            _keep_validator(partial_file, reply.headers)
        try:
            with space_for(partial_file), partial_file.open("ab") as file:
                progress(done, total)
                while chunk := watch.received(reply):
                    file.write(chunk)
                    done += len(chunk)
                    progress(done, total)
        except DiskFullError as fault:
            reason = f"{bytes_received(partial_file):,} bytes are kept in {partial_file}: remove it to have them back"
            raise DiskFullError(f"{fault}; {reason}") from fault
    return total is None or done == total


def _length(headers: Message) -> int | None:
    length = headers.get("Content-Length") or ""
    return int(length) if length.isascii() and length.isdecimal() and len(length) <= MAX_LENGTH_DIGITS else None


def _keep_validator(partial_file: Path, headers: Message) -> None:
    etag = headers.get("ETag") or ""
    # a weak validator may not be used with If-Range (RFC 9110, section 13.1.5)
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified") or ""
    write_atomically(validator_file(partial_file), json.dumps({"validator": validator}))


class _Watch:
    """Closes a connection that brings less than MIN_BYTES in STALL_SECONDS.

    A timeout of the socket is not enough: it begins anew with every byte.
    """

    def __init__(self) -> None:
        self.count = 0
        self.over = threading.Event()
        self.slow = False
        self.socket: socket.socket | None = None

    def opened(self, request: urllib.request.Request) -> HTTPResponse:
        """Returns the reply to the request."""
        opener = urllib.request.build_opener(_Redirects, _Http(self), _Https(self))
        reply: HTTPResponse = opener.open(request, timeout=STALL_SECONDS)
        return reply

    def received(self, reply: HTTPResponse) -> bytes:
        """Returns what has arrived next, nothing at the end."""
        try:
            chunk = reply.read1(CHUNK)
        except OSError as error:  # a lost route or a broken TLS record is a cut connection too
            raise ConnectionError(str(error) or type(error).__name__) from error
        self.count += len(chunk)
        return chunk

    def run(self) -> None:
        """Compares the count of bytes every STALL_SECONDS, until the download ends."""
        before = 0
        while not self.over.wait(STALL_SECONDS):
            if self.count - before < MIN_BYTES and self.socket is not None:
                self.slow = True
                with suppress(OSError):
                    socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # under TLS too: nobody waits for its goodbye
            before = self.count


@contextmanager
def _watched() -> Iterator[_Watch]:
    watch = _Watch()
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    stalled = f"stalled: less than {MIN_BYTES:,} bytes in {STALL_SECONDS:g} seconds"
    try:
        yield watch
        if watch.slow:
            raise ConnectionError(stalled)
    except (OSError, HTTPException) as error:
        timed_out = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
        if watch.slow or timed_out:
            raise ConnectionError(stalled) from error
        raise
    finally:
        watch.over.set()
        thread.join()


class _Watched(urllib.request.AbstractHTTPHandler):
    """A handler that gives a watch the sockets of its connections."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        def connection_to(host: str, **more: Any) -> HTTPConnection:
            connection: HTTPConnection = http_class(host, **more)
            connect = connection.connect

            def connect_watched() -> None:
                connect()
                self.watch.socket = connection.sock  # the connection forgets it once the headers are there

            connection.connect = connect_watched  # type: ignore[method-assign]
            return connection

        return super().do_open(connection_to, req, **options)


class _Http(_Watched, urllib.request.HTTPHandler):
    pass


class _Https(_Watched, urllib.request.HTTPSHandler):
    pass


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections only to http(s)."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in SCHEMES:
            reason = f"redirects to {shown(newurl)}, which is not http(s)"
            raise urllib.error.HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
