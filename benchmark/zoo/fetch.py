"""A verified weight file on this machine for an entry: found, or downloaded with resume and digest. Torch-free.

A file lies at `weights/<entry>/<file>` with `<file>.pin.json` beside it. The pin is written last, so its existence
means that the file is whole; it holds the digest under which the file was first seen, checked at every load after.
"""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from benchmark import __version__
from benchmark.disk import sha256_of, space_for, whole_file, write_whole
from benchmark.fault import Fault
from benchmark.zoo.catalog import ZooEntry

TRIES = 4
STALL_SECONDS = 30.0
CHUNK = 1 << 18
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A whole file and its digest (64 hex digits)."""

    path: Path
    sha256: str


def located(entry: ZooEntry, weights: Path) -> WeightFile | None:
    """The entry's file if it is here and whole, without reading it. Raises Fault where pin and entry disagree."""
    path = _place(entry, weights)
    pin = _pin(path)
    if not path.is_file() or not pin.is_file():
        return None
    pinned = json.loads(pin.read_text())
    if path.stat().st_size != pinned["size"]:
        raise Fault(
            f"{path}: {path.stat().st_size:,} bytes, but it had {pinned['size']:,} when it was verified: it was changed; "
            f"delete it and fetch it again"
        )
    _check_digest(entry, pinned["sha256"], path)
    return WeightFile(path=path, sha256=pinned["sha256"])


def verified(file: WeightFile) -> WeightFile:
    """The same file, its bytes read and compared with its digest. Raises Fault where they differ."""
    found = sha256_of(file.path)
    if found != file.sha256:
        raise Fault(
            f"{file.path}: its sha256 is {found[:16]}…, but {file.sha256[:16]}… was verified earlier: "
            f"the file was changed; delete it and fetch it again"
        )
    return file


def fetch(entry: ZooEntry, weights: Path, *, offline: bool = False, progress: Progress = lambda *_: None) -> WeightFile:
    """The entry's file, downloaded if it is not here. A cut download is continued, by the same call or the next.

    An entry without a digest is pinned by its first fetch. Raises Fault with the manual way where there is no file.
    """
    if found := located(entry, weights):
        return found
    by_hand = f"get it by hand from {entry.source} and give it with `benchmark zoo fetch {entry.name} --from-file FILE`"
    if not entry.source.startswith(("http://", "https://")):
        raise Fault(
            f"{entry.name}: its file is not in {weights}: `benchmark zoo add FILE --name …` puts it there again"
        )
    if offline:
        raise Fault(f"{entry.name}: not here, and --offline forbids fetching it: {by_hand}")
    path = _place(entry, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock"):
        if found := located(entry, weights):  # another process fetched it meanwhile
            return found
        partial = path.with_name(path.name + ".part")
        _download(entry, partial, progress, by_hand)
        return _admit(entry, partial, path)


def admit_file(entry: ZooEntry, file: Path, weights: Path) -> WeightFile:
    """Copy a file that the user has into the entry's place, verified and pinned."""
    if not file.is_file():
        raise Fault(f"{file}: no such file")
    path = _place(entry, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock"):
        _check_digest(entry, sha256_of(file), file)
        partial = path.with_name(path.name + ".part")
        with space_for(partial):
            shutil.copyfile(file, partial)
        return _admit(entry, partial, path)


def forget(entry: ZooEntry, weights: Path) -> None:
    """Remove the entry's file and pin."""
    path = _place(entry, weights)
    _pin(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _admit(entry: ZooEntry, partial: Path, path: Path) -> WeightFile:
    digest = sha256_of(partial)
    try:
        _check_digest(entry, digest, partial)
    except Fault:
        partial.unlink()
        _note(partial).unlink(missing_ok=True)
        raise
    size = partial.stat().st_size
    with whole_file(path) as whole:
        partial.replace(whole)
    _note(partial).unlink(missing_ok=True)
    write_whole(_pin(path), json.dumps({"sha256": digest, "size": size, "source": entry.source}, indent=1))
    return WeightFile(path=path, sha256=digest)


def _download(entry: ZooEntry, partial: Path, progress: Progress, by_hand: str) -> None:
    """Bring `partial` to its full length, over several tries; what arrived stays for the next."""
    reason = ""
    for number in range(TRIES):
        if number:
            time.sleep(min(2.0 ** (number - 2), 8.0))
        try:
            if _download_once(entry.source, partial, progress):
                return
            reason = f"cut after {partial.stat().st_size:,} bytes"
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # the partial file is longer than what the server has: it is another file's start
                partial.unlink(missing_ok=True)
            elif error.code < 500 and error.code != 429:
                break
        except urllib.error.URLError as error:
            reason = f"{urlsplit(entry.source).hostname} is not reachable ({error.reason})"
            if "resolution" in str(error.reason) or "not known" in str(error.reason):
                break
        except (TimeoutError, ConnectionError, HTTPException) as error:
            reason = str(error) or type(error).__name__
    kept = partial.stat().st_size if partial.exists() else 0
    again = f"{kept:,} bytes are kept, the same command continues; or " if kept else ""
    raise Fault(f"{entry.name}: {reason}: {again}{by_hand}")


def _download_once(url: str, partial: Path, progress: Progress) -> bool:
    """One request, from where `partial` ends if the server still has the same file. True when whole."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"medical-transfer-benchmark/{__version__}"})  # noqa: S310 - http(s) only, checked by fetch
    validator = ""
    with suppress(OSError, ValueError):
        validator = json.loads(_note(partial).read_text())["validator"]
    if have and validator:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)  # another file in its place comes from its start
    with urllib.request.urlopen(request, timeout=STALL_SECONDS) as reply:  # noqa: S310
        if reply.headers.get_content_type() == "text/html":
            raise Fault(f"{url}: answered with an HTML page, not a weight file: the link is dead or asks for a login")
        continued = reply.status == 206
        length = reply.headers.get("Content-Length")
        total = (have if continued else 0) + int(length) if length else None
        _keep_validator(partial, reply.headers)
        with space_for(partial), partial.open("ab" if continued else "wb") as file:
            done = have if continued else 0
            progress(done, total)
            while chunk := reply.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    return total is None or done == total


def _keep_validator(partial: Path, headers: object) -> None:
    get = getattr(headers, "get")  # noqa: B009 - http.client.HTTPMessage, untyped keys
    etag = get("ETag") or ""
    # a weak validator may not be used with If-Range (RFC 9110, section 13.1.5)
    validator = etag if etag and not etag.startswith("W/") else get("Last-Modified") or ""
    write_whole(_note(partial), json.dumps({"validator": validator}))


def _check_digest(entry: ZooEntry, digest: str, path: Path) -> None:
    if not digest.startswith(entry.sha256):
        raise Fault(
            f"{entry.name}: {path.name} has sha256 {digest[:16]}…, wanted {entry.sha256[:16]}…: "
            f"another file, or a damaged one; nothing was kept"
        )


def _place(entry: ZooEntry, weights: Path) -> Path:
    name = unquote(urlsplit(entry.source).path).rsplit("/", 1)[-1] or "weights"
    return weights / entry.name.replace(":", "_") / name


def _pin(path: Path) -> Path:
    return path.with_name(path.name + ".pin.json")


def _note(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")
