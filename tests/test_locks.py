"""Leases between processes: read without write permission, waited for aloud, taken over when their holder is gone."""

import os
import signal
import subprocess
import sys
import threading
import time

import filelock
import pytest

from benchmark import locks
from benchmark.files import TemporaryError, fenced, write_atomically
from benchmark.locks import LeaseLostError, LeaseTerms, Watch, holder_of, is_locked, locked

QUICK = LeaseTerms(lease_seconds=1.0, heartbeat_seconds=0.2)
HOLD = """
import sys, time
from pathlib import Path
from benchmark.locks import LeaseTerms, locked
with locked(Path(sys.argv[1]), terms=LeaseTerms(1.0, 0.2)) as lease:
    print("held", flush=True)
    sys.stdin.readline()
    lease.check()
    print("still held", flush=True)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lease."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / ".lock")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def foreign(path, silent_seconds=0.0):
    """The file of a lease that a process on another machine wrote."""
    path.write_text("filelock/2\npid=77\nhost=n9\nmode=lease\ntoken=ab\nduration=1.0\n")
    os.utime(path, (time.time() - silent_seconds,) * 2)


def test_a_lease_is_seen_by_those_who_may_only_read(tmp_path, monkeypatch):
    path, opened = tmp_path / ".lock", os.open

    def read_only(name, flags, *more, **options):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, flags, *more, **options)

    with locked(path), monkeypatch.context() as patched:
        patched.setattr(os, "open", read_only)
        assert is_locked(path)
        assert holder_of(path).pid == os.getpid()

    assert not is_locked(path)
    assert not path.exists()


def test_looking_at_a_lease_does_not_keep_others_from_it(tmp_path):
    watch = Watch(tmp_path / ".lock", QUICK)
    watch.look()

    assert watch.is_free
    with locked(tmp_path / ".lock", timeout=0):
        watch.look()
        assert not watch.is_free
        with pytest.raises(filelock.Timeout), locked(tmp_path / ".lock", timeout=0):
            pass


def test_who_waits_says_for_whom(tmp_path, monkeypatch, other):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    lines = []

    def waiting(line):
        lines.append(line)
        other.communicate("\n")

    with locked(tmp_path / ".lock", waiting=waiting, terms=QUICK):
        pass

    assert len(lines) == 1
    assert lines[0].startswith(f"waiting for {tmp_path / '.lock'}, held by process {other.pid} on ")


def test_a_folder_in_place_of_a_lease_is_one_line(tmp_path):
    (tmp_path / ".lock").mkdir()

    with (
        pytest.raises(TemporaryError, match=r"\.lock: cannot be locked .*remove the folder"),
        locked(tmp_path / ".lock"),
    ):
        pass
    assert not is_locked(tmp_path / ".lock")


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(tmp_path, other):
    assert is_locked(tmp_path / ".lock")
    other.kill()
    other.wait()

    assert not is_locked(tmp_path / ".lock")
    with locked(tmp_path / ".lock", timeout=0, terms=QUICK):
        pass


def test_a_frozen_holder_loses_its_lease_and_finds_out(tmp_path, other):
    """SIGSTOP for longer than the lease: another process takes over, and the first one must not write any more."""
    other.send_signal(signal.SIGSTOP)

    with locked(tmp_path / ".lock", timeout=20, terms=QUICK) as lease:
        other.send_signal(signal.SIGCONT)
        out, err = other.communicate("\n")
        lease.check()

    assert out == ""
    assert "LeaseLostError" in err


@pytest.mark.parametrize("exchange", [True, False])
def test_a_lease_of_another_machine_is_taken_when_it_stood_still(tmp_path, monkeypatch, exchange):
    """Also where two names cannot be exchanged in one step, as on NFS and Lustre. Its time stamp is of a skewed clock."""
    if not exchange:
        monkeypatch.setattr("filelock._soft.exchange_names", lambda *_: False, raising=False)  # filelock 4.2
    path = tmp_path / ".lock"
    foreign(path, silent_seconds=-9_000)
    with pytest.raises(filelock.Timeout), locked(path, timeout=0, terms=QUICK):
        pass

    started = time.monotonic()
    with locked(path, timeout=20, terms=QUICK) as lease:
        waited = time.monotonic() - started
        lease.check()

    assert waited >= QUICK.lease_seconds


def test_the_lease_of_another_machine_is_held_while_it_is_renewed(tmp_path):
    path = tmp_path / ".lock"
    foreign(path)
    over = threading.Event()

    def renew():
        while not over.wait(0.2):
            os.utime(path)

    thread = threading.Thread(target=renew)
    thread.start()
    watch = Watch(path, QUICK)
    watch.look()
    changed = watch.has_changed
    with pytest.raises(filelock.Timeout), locked(path, timeout=2.5, terms=QUICK):
        pass
    watch.look()
    over.set()
    thread.join()

    assert (changed, watch.has_changed, watch.is_free) == (False, True, False)
    assert str(holder_of(path)) == "process 77 on n9"


@pytest.mark.parametrize(("silent_seconds", "expected"), [(0, True), (299, True), (400, False)])
def test_a_reader_judges_a_lease_of_another_machine_by_its_age(tmp_path, silent_seconds, expected):
    foreign(tmp_path / ".lock", silent_seconds)

    assert is_locked(tmp_path / ".lock") == expected


def test_contenders_with_other_terms_are_refused_in_one_line(tmp_path):
    foreign(tmp_path / ".lock")

    with pytest.raises(TemporaryError, match="must agree on lease_duration"), locked(tmp_path / ".lock"):
        pass


def test_who_lost_a_lease_replaces_no_file_under_its_folder(tmp_path):
    write_atomically(tmp_path / "cell" / "scratch" / "state", "of the winner")

    with locked(tmp_path / ".lock", terms=QUICK) as lease, fenced(tmp_path / "cell", lease.check):
        write_atomically(tmp_path / "cell" / "record", "mine")
        (tmp_path / ".lock").unlink()
        foreign(tmp_path / ".lock")
        with pytest.raises(LeaseLostError):
            write_atomically(tmp_path / "cell" / "scratch" / "state", "of the loser")
        write_atomically(tmp_path / "elsewhere", "mine")

    assert (tmp_path / "cell" / "scratch" / "state").read_text() == "of the winner"
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == [
        ".lock",
        "elsewhere",
        "record",
        "state",
    ]
