"""Files: written atomically, read safely, digested.

Only `benchmark.workspace` knows where files lie: verbs and tests hand paths down.
"""

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.text import shortened


class TemporaryError(BenchmarkError):
    """A fault of the machine or of the moment, not of the cell: the cell stays pending, and the same command continues it."""


class DiskFullError(TemporaryError):
    """No space was left."""


def temporary_error_of(error: OSError) -> TemporaryError:
    """Returns what the operating system refused (no permission, a read-only or broken disk), in one line."""
    return TemporaryError(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))


MAX_YAML_SIZE = 4_000_000  # bytes, and letters with all aliases written out; the shipped zoo has 23,000
MAX_YAML_DEPTH = 60
_ENDLESS_NUMBER = re.compile(r"[-+.:_0-9a-fA-FxXoO]{400,}")
_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[
    :6
]  # process numbers mean something on their own machine only
_PARTIAL = re.compile(r"\..+\.(?:(?P<host>[0-9a-f]{6})-(?P<process>\d+)|\d+)-[0-9a-f]{8}\.partial")
_OLD_SECONDS = 24 * 3600.0  # no file takes longer to write


def from_yaml(path: Path) -> Any:
    """Returns what a YAML file says, plain values only. Raises BenchmarkError for what is not UTF-8, no YAML, or endless.

    It is read by libyaml where that is there, which is eight times as fast.
    """
    import yaml  # `status` needs none

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if path.stat().st_size > MAX_YAML_SIZE:
            raise ValueError(f"{path.stat().st_size:,} bytes, wanted at most {MAX_YAML_SIZE:,}")
        text = path.read_text(encoding="utf-8")
        _check_yaml(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    except OSError:
        raise
    except UnicodeDecodeError as error:
        found = f"byte {error.start:,} is 0x{error.object[error.start]:02x}"
        raise BenchmarkError(f"{path}: not UTF-8 ({found}): wanted a text file in UTF-8, save it as that") from error
    except Exception as error:  # YAML's own errors, and those of numbers and dates that are none
        raise BenchmarkError(f"{path}: not YAML: {shortened(' '.join(str(error).split()), 300)}") from error


def _check_yaml(events: Iterator[Any]) -> None:
    """Raises ValueError for nesting that ends libyaml's process, for endless numbers, and for endless values.

    An alias stands for a copy of what it names, so a few lines can say billions of values: letters are counted as if each
    alias were written out.
    """
    letters: dict[str | None, int] = {}  # of what has an anchor
    opened: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        kind, anchor = type(event).__name__, getattr(event, "anchor", None)
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            opened.append((anchor, count))
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            anchor, before = opened.pop()
            letters[anchor] = count - before
        elif kind == "ScalarEvent":
            letters[anchor] = len(event.value)
            count += len(event.value)
            if _ENDLESS_NUMBER.fullmatch(event.value):
                raise ValueError(f"a number of {len(event.value):,} digits")
        elif kind == "AliasEvent":
            count += letters.get(anchor, MAX_YAML_SIZE)
        count += 1
        if count > MAX_YAML_SIZE or len(opened) > MAX_YAML_DEPTH:
            raise ValueError(
                f"more than {MAX_YAML_SIZE:,} letters, aliases written out, or nested more than {MAX_YAML_DEPTH} deep"
            )


@contextmanager
def space_for(path: Path, left: str = "") -> Iterator[None]:
    """Raises DiskFullError, which names `path` and what is `left` there, where the disk is full."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch raises a RuntimeError on top of the file's own error
        number = next((e.errno for e in (error, error.__context__) if isinstance(e, OSError)), None)
        if number in _OUT_OF_SPACE:
            what = "quota reached" if number == errno.EDQUOT else "disk full"
            message = (
                f"{what} while writing {path}{f': {left}' if left else ''}; free some space or point BENCHMARK_HOME (caches) "
                "or --results (records) at another disk, then give the same command again"
            )
            raise DiskFullError(message) from error
        raise


@contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary file next to `path`, which becomes `path` only if the block ends well.

    The content is on the disk before the name is: after a power cut there is the old file or the new one. What is
    cheaper to lose than to wait for, and known when damaged, need not be `durable`; a killed process loses neither.
    What killed processes left half-written in the folder is removed.
    """
    with space_for(path, left="nothing half-written was left there"):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        partial = path.with_name(f".{path.name[:80]}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.partial")
        try:
            yield partial
            if durable:
                with partial.open("rb+") as written:
                    os.fsync(written.fileno())
            _check_fences(path)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


_fences: dict[Path, Callable[[], None]] = {}  # by the folder that each protects


@contextmanager
def fenced(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """While it is entered, this process calls `check` before it replaces a file under `folder`; `check` raises where the
    process may not write there any more.
    """
    _fences[folder] = check
    try:
        yield
    finally:
        del _fences[folder]


def _check_fences(path: Path) -> None:
    for folder in path.parents:
        if (check := _fences.get(folder)) is not None:
            check()


def _remove_abandoned(folder: Path) -> None:
    """Removes temporary files whose process is gone; those of other machines when they are a day old."""
    abandoned = []
    with suppress(OSError), os.scandir(folder) as entries:
        abandoned = [
            entry for entry in entries if (name := _PARTIAL.fullmatch(entry.name)) and _is_abandoned(entry, name)
        ]
    for entry in abandoned:
        with suppress(OSError):  # another process removed it, or may and we may not
            Path(entry).unlink()


def _is_abandoned(entry: os.DirEntry[str], name: re.Match[str]) -> bool:
    if name["host"] == _HOST and os.name == "posix":
        try:
            os.kill(int(name["process"]), 0)  # sends nothing, asks whether it exists
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            return False
    try:
        return time.time() - entry.stat().st_mtime > _OLD_SECONDS
    except OSError:
        return False


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes `content` (text as UTF-8), all of it or nothing."""
    with atomic_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def canonical_json(value: object) -> str:
    """Returns the one spelling of a value that is digested: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(value: object) -> str:
    """Returns the sha256, in hex, of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Returns the sha256, in hex, of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
