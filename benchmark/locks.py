"""Locks between processes: files that the operating system locks (flock), and that it unlocks when a process ends.

Where a file system has no flock, filelock falls back to a file whose existence is the lock.
"""

import errno
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.files import TemporaryError

WAIT_SECONDS = 5.0  # before it is said what is waited for
HELD = "another process holds this lock; where none is at work, delete the file"


@contextmanager
def locked(path: Path, *, timeout: float = -1, waiting: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock. Raises filelock.Timeout after `timeout` seconds; without one, `waiting` is called once with a line
    about what is waited for. Raises TemporaryFault where the file system cannot lock, or a folder is in the way.
    """
    from filelock import FileLock, Timeout  # it takes its time: verbs that only read do without

    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=WAIT_SECONDS if timeout < 0 else timeout)
        except Timeout:
            if timeout >= 0:
                raise
            waiting(f"waiting for {path}: {HELD}")
            lock.acquire()
    except Timeout:
        raise
    except OSError as error:
        hint = "remove the folder" if path.is_dir() else "wanted a folder that can be written, on a disk that has locks"
        raise TemporaryError(f"{path}: cannot be locked ({error.strerror or error}): {hint}") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock; reading suffices, nothing is written. False where that cannot be known."""
    try:
        import fcntl

        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ImportError):
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: an exclusive one wants a writable file on NFS
    except OSError as error:
        return _is_held_by_existence(file) if error.errno == errno.ENOSYS else error.errno != errno.EISDIR
    else:
        return False
    finally:
        os.close(file)


def _is_held_by_existence(file: int) -> bool:
    """Whether a lock without flock is held: it then names its process and machine, and flock's own files are empty."""
    process, _, host = os.read(file, 1024).decode(errors="replace").partition("\n")
    if not process.isdecimal():
        return False
    if host.split("\n")[0] != platform.node():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
