"""Claims: which process works on a cell. Safe for processes on many machines that see one results folder."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from benchmark.errors import BenchmarkError
from benchmark.files import fenced, space_for, temporary_error_of, write_atomically
from benchmark.locks import DEFAULT_TERMS, LeaseTerms, locked
from benchmark.strict import StrictModel, explain

LEASE_FILE = ".lease"
SETTINGS_FILE = "store.json"


class ClaimedElsewhere(Exception):
    """Another process works on the cell."""


class StoreSettings(StrictModel):
    """What all processes that work in one results folder must agree on, in seconds (`locks.LeaseTerms`)."""

    format: Literal[1] = 1
    lease_seconds: Annotated[float, Field(gt=0)] = DEFAULT_TERMS.lease_seconds
    heartbeat_seconds: Annotated[float, Field(gt=0)] = DEFAULT_TERMS.heartbeat_seconds


def terms_of(root: Path) -> LeaseTerms:
    """Returns the terms of the leases in a results folder. Raises BenchmarkError where its settings cannot be read."""
    path = root / SETTINGS_FILE
    try:
        settings = StoreSettings.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        settings = StoreSettings()
    except OSError as error:
        raise temporary_error_of(error) from error
    except ValidationError as error:
        raise BenchmarkError(f"{path}: {explain(error, StoreSettings)}") from error
    if settings.heartbeat_seconds >= settings.lease_seconds:
        raise BenchmarkError(f"{path}: wanted heartbeat_seconds below lease_seconds")
    return LeaseTerms(settings.lease_seconds, settings.heartbeat_seconds)


@contextmanager
def claimed(folder: Path, terms: LeaseTerms) -> Iterator[None]:
    """Holds the lease of a cell's folder, which it makes where there is none; a process that lost the lease replaces no
    file under it. Raises ClaimedElsewhere at once where another process holds it, TemporaryError where the folder cannot
    be written.
    """
    from filelock import Timeout  # slow to import: verbs that only read do without

    settings = folder.parents[2] / SETTINGS_FILE
    with ExitStack() as stack:
        try:
            with space_for(folder):
                folder.mkdir(parents=True, exist_ok=True)
                if not settings.exists():
                    chosen = StoreSettings(lease_seconds=terms.lease_seconds, heartbeat_seconds=terms.heartbeat_seconds)
                    write_atomically(settings, chosen.model_dump_json() + "\n")
                lease = stack.enter_context(locked(folder / LEASE_FILE, timeout=0, terms=terms))
        except Timeout as error:
            raise ClaimedElsewhere(folder.name) from error
        except OSError as error:
            raise temporary_error_of(error) from error
        stack.enter_context(fenced(folder, lease.check))
        yield


def write_if_changed(path: Path, content: str) -> None:
    """Writes a text file unless it has that content."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == content:
            return
    write_atomically(path, content)
