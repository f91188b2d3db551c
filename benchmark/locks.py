"""Locks between processes of one machine or of many: leases, which expire when their holder stops renewing them.

A lease is a file that names its holder; the holder touches it every heartbeat. Another process may take the lease when the
file stood still for `lease_seconds` of that process's own clock, so wrong clocks change nothing, or at once when the holder
ran on the same machine and has ended. Such files work where flock is missing or is known to one node alone (NFS, Lustre,
BeeGFS). A holder that was frozen may wake up after its lease was taken: `Lease.check`, called before each write, ends it.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from benchmark.files import TemporaryError

if TYPE_CHECKING:
    from filelock import SoftFileLease

WAIT_SECONDS = 5.0  # until `waiting` is called
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class LeaseTerms:
    """How long a lease lasts after its last renewal, and how often it is renewed. All who use a file must agree on them."""

    lease_seconds: float = 300.0
    heartbeat_seconds: float = 30.0


DEFAULT_TERMS = LeaseTerms()


class LeaseLostError(TemporaryError):
    """Another process took the lease over: what this process still has to write must not be written."""


@dataclass(frozen=True)
class Lease:
    """A lease that this process acquired."""

    path: Path
    file_lease: "SoftFileLease"

    def check(self) -> None:
        """Raises LeaseLostError where this process does not hold the lease any more."""
        for delay in (0.0, 0.3):  # whoever examines the file may move it aside for a moment
            time.sleep(delay)
            owner = self.file_lease.owner
            if self.file_lease.compromise is None and owner is not None and owner.token == self.file_lease.token:
                return
        raise LeaseLostError(f"{self.path}: another process took this lease over, since it was not renewed in time")


@dataclass(frozen=True)
class Holder:
    """The process that a lease's file names. `silent_seconds`: since the last renewal, by the file server's clock;
    `has_ended`: it ran on this machine and does not any more.
    """

    host: str
    pid: int
    silent_seconds: float
    has_ended: bool

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def locked(
    path: Path,
    *,
    timeout: float = -1,
    waiting: Callable[[str], None] = lambda _: None,
    terms: LeaseTerms = DEFAULT_TERMS,
) -> Iterator[Lease]:
    """Holds the lease. Raises filelock.Timeout after `timeout` seconds; without one, `waiting` is called once with a line
    about what is waited for. Raises TemporaryError where no lease can be written, or a folder is in the way.
    """
    from filelock import (
        LeaseSettingsMismatch,
        SoftFileLease,
        Timeout,
    )  # slow to import: verbs that only read do without

    file_lease = SoftFileLease(
        path, lease_duration=terms.lease_seconds, heartbeat_interval=terms.heartbeat_seconds, thread_local=False
    )
    try:
        _acquire(file_lease, Watch(path, terms), timeout, waiting)
    except Timeout:
        raise
    except LeaseSettingsMismatch as error:
        raise TemporaryError(f"{path}: {error}") from error
    except OSError as error:
        hint = "remove the folder" if path.is_dir() else "wanted a folder that can be written"
        raise TemporaryError(f"{path}: cannot be locked ({error.strerror or error}): {hint}") from error
    try:
        yield Lease(path, file_lease)
    finally:
        file_lease.release()


def _acquire(file_lease: "SoftFileLease", watch: "Watch", timeout: float, waiting: Callable[[str], None]) -> None:
    from filelock import Timeout

    started = time.monotonic()
    has_told = False
    while True:
        try:
            file_lease.acquire(timeout=0)
            return
        except Timeout:
            waited = time.monotonic() - started
            # filelock before 4.2 removes the lease of an ended process by one attempt, and takes it by the next
            if 0 <= timeout <= waited and watch.path.exists():
                raise
        watch.look()
        if watch.is_expired:
            watch.take_away()
        elif timeout < 0 and waited >= WAIT_SECONDS and not has_told:
            has_told = True
            waiting(f"waiting for {watch.path}, held by {holder_of(watch.path)}")
        time.sleep(POLL_SECONDS)


def holder_of(path: Path) -> Holder | None:
    """Returns who holds or held a lease, and None where nobody does; reading suffices."""
    from filelock import SoftFileLease

    try:
        modified = path.stat().st_mtime
    except OSError:
        return None
    owner = SoftFileLease(path, lease_duration=1.0).owner
    if owner is None:
        return None
    host = owner.hostname.partition("?")[0]  # filelock adds the number of the process namespace
    has_ended = host == socket.gethostname() and not _is_running(owner.pid)
    return Holder(host, owner.pid, max(0.0, _clock_of(path.parent) - modified), has_ended)


def is_locked(path: Path, terms: LeaseTerms = DEFAULT_TERMS) -> bool:
    """Returns whether a process holds the lease; reading suffices."""
    holder = holder_of(path)
    return holder is not None and not holder.has_ended and holder.silent_seconds < terms.lease_seconds


@dataclass
class Watch:
    """Watches a lease that another process holds, without acquiring it: whether it is free, renewed, or expired.

    filelock cannot replace an expired lease on NFS and Lustre, where no two names can be exchanged in one step; who
    watches it there removes it with `take_away`.
    """

    path: Path
    terms: LeaseTerms
    is_free: bool = False
    has_changed: bool = False  # since the first look: its holder is alive, or another process is
    _last: tuple[int, int] | None = None
    _since: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Looks at the file once."""
        try:
            with self.path.open("rb") as file:  # opening asks the file server; a stat may answer from a cache
                found = os.fstat(file.fileno())
        except OSError:
            self.is_free = True
            return
        now = (found.st_ino, found.st_mtime_ns)
        if now != self._last:
            self.has_changed = self._last is not None
            self._last, self._since = now, time.monotonic()
        holder = holder_of(self.path)
        self.is_free = holder is not None and holder.has_ended

    @property
    def is_expired(self) -> bool:
        """Whether the lease stood still for longer than it lasts."""
        return time.monotonic() - self._since > self.terms.lease_seconds + self.terms.heartbeat_seconds

    def take_away(self) -> None:
        """Removes the file of an expired lease."""
        from filelock import SoftFileLease

        SoftFileLease(self.path, lease_duration=self.terms.lease_seconds).force_break()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing, asks whether it exists
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _clock_of(folder: Path) -> float:
    """Returns the time of the file server of a folder; this machine's where the folder cannot be written."""
    try:
        with TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()
