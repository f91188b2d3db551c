"""Locks between processes: seen without write permission, waited for aloud, refused in one line where there can be none."""

import errno
import os
import platform
import threading

import filelock
import pytest

from benchmark import locks
from benchmark.files import TemporaryError
from benchmark.locks import is_locked, locked


@pytest.fixture
def no_flock(monkeypatch):
    """A file system without flock, as Lustre mounted without the option of that name."""
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_is_seen_by_those_who_may_only_read(tmp_path, monkeypatch):
    """A colleague's folder: opening the lock to write, as taking it does, is refused."""
    path, opened = tmp_path / ".lock", os.open

    def read_only(name, flags, *more):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return opened(name, flags, *more)

    with locked(path), monkeypatch.context() as patched:
        patched.setattr(os, "open", read_only)
        held = is_locked(path)
    monkeypatch.setattr(os, "open", read_only)

    assert held
    assert not is_locked(path)
    assert not is_locked(tmp_path / "none")


def test_looking_at_a_lock_does_not_keep_others_from_it(tmp_path):
    with locked(tmp_path / ".lock"):
        pass

    assert not is_locked(tmp_path / ".lock")
    with locked(tmp_path / ".lock", timeout=0):
        assert is_locked(tmp_path / ".lock")


def test_who_waits_says_for_what(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    path, lines, over = tmp_path / ".lock", [], threading.Event()

    def hold():
        with locked(path):
            held.set()
            over.wait(20)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)

    def waiting(line):
        lines.append(line)
        over.set()

    with locked(path, waiting=waiting):
        pass
    holder.join()

    assert lines == [f"waiting for {path}: another process holds this lock; where none is at work, delete the file"]


def test_a_folder_in_place_of_a_lock_is_one_line(tmp_path):
    (tmp_path / ".lock").mkdir()

    with (
        pytest.raises(TemporaryError, match=r"\.lock: cannot be locked .*remove the folder"),
        locked(tmp_path / ".lock"),
    ):
        pass
    assert not is_locked(tmp_path / ".lock")


@pytest.mark.usefixtures("no_flock")
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_without_flock_a_lock_left_from_before_is_nobodys_and_the_wait_for_it_is_told(tmp_path, monkeypatch):
    """Flock leaves empty files, which say of no process that it works; a later lock by existence waits for their end."""
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    path, lines = tmp_path / ".lock", []
    path.write_bytes(b"")

    def waiting(line):
        lines.append(line)
        path.unlink()

    assert not is_locked(path)
    with locked(path, waiting=waiting):
        assert is_locked(path)
    assert len(lines) == 1
    with pytest.raises(filelock.Timeout), locked(path), locked(path, timeout=0):
        pass


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize(
    ("process", "host", "held"), [("this", "this", True), (2**22 + 1, "this", False), (1, "another", True)]
)
def test_without_flock_the_lock_of_a_process_that_is_gone_is_nobodys(tmp_path, process, host, held):
    process, host = (own if told == "this" else told for told, own in ((process, os.getpid()), (host, platform.node())))
    (tmp_path / ".lock").write_text(f"{process}\n{host}\n")

    assert is_locked(tmp_path / ".lock") == held
