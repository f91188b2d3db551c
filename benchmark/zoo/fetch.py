"""A verified weight file on this machine for an entry: found, or downloaded with resume and digest. Torch-free.

A file lies at `weights/<entry>/<file>` with `<file>.pin.json` beside it. The pin is written last, so its existence
means that the file is whole; it holds the digest under which the file was first seen, checked at every load after.
Sources are http(s) URLs, and `hf:` and `timm:` (`zoo.hub`).
"""

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from benchmark import __version__
from benchmark.disk import DiskFull, sha256_of, space_for, write_whole
from benchmark.fault import Fault
from benchmark.zoo import hub
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.whole import check_whole

REMOTE = ("http://", "https://", hub.HF, hub.TIMM)
TRIES = 4
LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
STALL_SECONDS = 30.0
CHUNK = 1 << 18
CONVERTED = (".encoder.safetensors", ".encoder.json")  # what zoo.converted keeps beside a file
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
    _check_digest(entry, pinned["sha256"], path, "delete it and fetch it again", entry.sha256)
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
    if not entry.source.startswith(REMOTE):
        raise Fault(
            f"{entry.name}: its file is not in {weights}: `benchmark zoo add FILE --name …` puts it there again"
        )
    source = hub.resolved(entry.source, entry.container)
    on_hub = hub.parse(source) if source.startswith(hub.HF) else None
    elsewhere = f" (or elsewhere: {entry.alternative})" if entry.alternative else ""
    by_hand = (
        f"get it by hand from {on_hub.page if on_hub else source}{elsewhere} and give it with "
        f"`benchmark zoo fetch {entry.name} --from-file FILE`"
    )
    if offline and not on_hub:
        raise Fault(f"{entry.name}: not here, and --offline forbids fetching it: {by_hand}")
    path = _place(entry, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock"):
        if found := located(entry, weights):  # another process fetched it meanwhile
            return found
        if on_hub:
            try:
                cached = hub.bring(on_hub, offline=offline)
            except DiskFull:
                raise
            except Fault as fault:
                raise Fault(f"{entry.name}: {fault}: {by_hand}") from fault
            return _admit_copy(entry, cached, path, hub.published_digest(cached), f"delete {cached} and fetch it again")
        _download(entry, source, path, progress, by_hand)
        return _admit(entry, _part(path), path)


def admit_file(entry: ZooEntry, file: Path, weights: Path) -> WeightFile:
    """Copy a file that the user has into the entry's place, verified and pinned."""
    if not file.is_file():
        raise Fault(f"{file}: no such file")
    path = _place(entry, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock"):
        return _admit_copy(entry, file, path, entry.sha256, "it was not taken")


def forget(entry: ZooEntry, weights: Path) -> None:
    """Remove the entry's file, its pin and what was converted of it."""
    path = _place(entry, weights)
    _pin(path).unlink(missing_ok=True)
    for end in ("", *CONVERTED):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _admit_copy(entry: ZooEntry, file: Path, path: Path, wanted: str, otherwise: str) -> WeightFile:
    """Copied, not linked: the file is someone else's, who may change or clear it."""
    _check_digest(entry, sha256_of(file), file, otherwise, wanted)
    copy = path.with_name(path.name + ".copy")  # not `.part`: no download may continue a copy that was cut off
    try:
        with space_for(path):
            shutil.copyfile(file, copy)
        return _admit(entry, copy, path)
    finally:
        copy.unlink(missing_ok=True)


def _admit(entry: ZooEntry, partial: Path, path: Path) -> WeightFile:
    digest = sha256_of(partial)
    try:
        _check_digest(entry, digest, path, "nothing was kept", entry.sha256)
        try:
            check_whole(partial, path.name, entry.container)
        except Fault as fault:
            raise Fault(f"{entry.name}: {fault}; nothing was kept") from fault
    except Fault:
        partial.unlink()
        _note(path).unlink(missing_ok=True)
        raise
    size = partial.stat().st_size
    with space_for(path), partial.open("rb+") as written:
        os.fsync(written.fileno())
    _pin(path).unlink(missing_ok=True)  # an earlier file's pin must not vouch for this one
    partial.replace(path)
    _part(path).unlink(missing_ok=True)  # of a download that the user's own copy has made needless
    _note(path).unlink(missing_ok=True)
    write_whole(_pin(path), json.dumps({"sha256": digest, "size": size, "source": entry.source}, indent=1))
    return WeightFile(path=path, sha256=digest)


def _download(entry: ZooEntry, source: str, path: Path, progress: Progress, by_hand: str) -> None:
    """Bring the part file to its full length, over several tries; what arrived stays for the next."""
    reason, asked_for = "", 0.0
    for number in range(TRIES):
        if number:
            time.sleep(max(min(2.0 ** (number - 2), 8.0), min(asked_for, LONGEST_WAIT)))
        asked_for = 0.0
        try:
            if _download_once(entry, source, path, progress, by_hand):
                return
            reason = f"cut after {_kept(path):,} bytes"
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            told = error.headers.get("Retry-After") or ""  # seconds, or a date, which counts as nothing told
            asked_for = float(told) if told.isdecimal() else 0.0
            if error.code == 416:  # nothing after our last byte: the file is whole, or it was another file's start
                if _kept(path) and error.headers.get("Content-Range") == f"bytes */{_kept(path)}":
                    return
                _part(path).unlink(missing_ok=True)
            elif error.code < 500 and error.code != 429:
                break
        except urllib.error.URLError as error:
            reason = f"{urlsplit(source).hostname} is not reachable ({error.reason})"
            if "resolution" in str(error.reason) or "not known" in str(error.reason):
                break
        except (TimeoutError, ConnectionError, HTTPException) as error:
            reason = str(error) or type(error).__name__
    again = f"{_kept(path):,} bytes are kept, the same command continues; or " if _kept(path) else ""
    raise Fault(f"{entry.name}: {reason}: {again}{by_hand}")


def _download_once(entry: ZooEntry, source: str, path: Path, progress: Progress, by_hand: str) -> bool:
    """One request, from where the part file ends if the server still has the same file. True when whole."""
    partial = _part(path)
    have = _kept(path)
    request = urllib.request.Request(source, headers={"User-Agent": f"medical-transfer-benchmark/{__version__}"})  # noqa: S310 - http(s) only, checked by fetch
    validator = ""
    with suppress(OSError, ValueError):
        validator = json.loads(_note(path).read_text())["validator"]
    if have and validator:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)  # another file in its place comes from its start
    with urllib.request.urlopen(request, timeout=STALL_SECONDS) as reply:  # noqa: S310
        if reply.headers.get_content_type() == "text/html":
            raise Fault(
                f"{entry.name}: the server sent an HTML page, not a weight file (a dead link, or one that asks for a "
                f"login): {by_hand}"
            )
        continued = reply.status == 206
        if continued and not (reply.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            partial.unlink()  # what comes is no continuation of it
            raise ConnectionError(f"the server sent another part of the file than from byte {have:,} on")
        length = reply.headers.get("Content-Length")
        total = (have if continued else 0) + int(length) if length else None
        if not continued:  # in this order: the new file's validator must never stand beside the old one's bytes
            partial.unlink(missing_ok=True)
            _keep_validator(path, reply.headers)
        with space_for(path), partial.open("ab") as file:
            done = have if continued else 0
            progress(done, total)
            while chunk := _received(reply):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    return total is None or done == total


def _received(reply: HTTPResponse) -> bytes:
    try:
        return reply.read(CHUNK)
    except OSError as error:  # a lost route or a broken TLS record is a cut connection too
        raise ConnectionError(str(error) or type(error).__name__) from error


def _keep_validator(path: Path, headers: Message) -> None:
    etag = headers.get("ETag") or ""
    # a weak validator may not be used with If-Range (RFC 9110, section 13.1.5)
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified") or ""
    write_whole(_note(path), json.dumps({"validator": validator}))


def _check_digest(entry: ZooEntry, digest: str, path: Path, outcome: str, wanted: str) -> None:
    if not digest.startswith(wanted):
        raise Fault(
            f"{entry.name}: {path.name} has sha256 {digest[:16]}…, wanted {wanted[:16]}…: "
            f"another file, or a damaged one; {outcome}"
        )


def _place(entry: ZooEntry, weights: Path) -> Path:
    if entry.source.startswith(hub.HF):
        name = hub.parse(entry.source).name
    else:
        name = unquote(urlsplit(entry.source).path).rsplit("/", 1)[-1] or "weights"
    return weights / entry.name.replace(":", "_") / name


def _pin(path: Path) -> Path:
    return path.with_name(path.name + ".pin.json")


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _kept(path: Path) -> int:
    return _part(path).stat().st_size if _part(path).exists() else 0


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".part.json")
