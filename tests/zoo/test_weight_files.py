"""Weight files that are here: changed, brought by the user, asked for by many at once, met by a kill or a full disk."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import in_new_process
from shelf import BODY, OTHER, kept, refusal, sha256

from benchmark.errors import BenchmarkError
from benchmark.zoo.fetch import (
    WeightFile,
    delete_weight_file,
    fetch,
    find_weight_file,
    import_weight_file,
    verify_weight_file,
)

pytestmark = pytest.mark.usefixtures("waits")


def test_a_file_whose_size_changed_after_pinning_is_noticed_when_it_is_located(shelf, weights):
    entry = shelf.entry()
    path = fetch(entry, weights).path
    path.write_bytes(BODY[:-1])

    with pytest.raises(BenchmarkError, match="199,999 bytes, but it had 200,000 when it arrived") as raised:
        find_weight_file(entry, weights)

    assert "delete it and fetch it again" in str(raised.value)


def test_a_file_whose_bytes_changed_after_pinning_is_noticed_when_it_is_verified(shelf, weights):
    entry = shelf.entry()
    file = fetch(entry, weights)
    changed = BODY[:-1] + bytes([BODY[-1] ^ 1])
    file.path.write_bytes(changed)

    assert file == find_weight_file(entry, weights)  # which does not read it
    with pytest.raises(
        BenchmarkError, match=rf"{sha256(changed)[:16]}…, but it was {sha256(BODY)[:16]}… when it arrived"
    ):
        verify_weight_file(file)


def test_a_changed_file_that_was_deleted_is_fetched_again(shelf, weights):
    path = fetch(shelf.entry(), weights).path
    path.write_bytes(b"")
    path.unlink()

    assert fetch(shelf.entry(), weights).path.read_bytes() == BODY


def test_a_pin_that_disagrees_with_the_entry_is_a_fault_that_says_what_to_do(shelf, weights):
    fetch(shelf.entry(), weights)

    with pytest.raises(BenchmarkError, match="delete it and fetch it again"):
        find_weight_file(shelf.entry(sha256=sha256(OTHER)), weights)


def test_threads_that_fetch_at_once_download_once(shelf, weights):
    shelf.gate = threading.Event()
    together = threading.Barrier(5)

    def fetched(_):
        together.wait()
        return fetch(shelf.entry(), weights)

    with ThreadPoolExecutor(4) as pool:
        files = pool.map(fetched, range(4))
        together.wait()
        shelf.gate.set()

    assert {file.sha256 for file in files} == {sha256(BODY)}
    assert len(shelf.requests) == 1


def test_processes_that_fetch_at_once_download_once(shelf, weights, tmp_path):
    shelf.gate = threading.Event()

    def fetched(number):
        ready = tmp_path / f"ready-{number}"
        code = FETCHING + f"Path({str(ready)!r}).touch()\nprint(fetch(entry, weights).sha256)"
        return in_new_process(code, ENTRY=shelf.entry().model_dump_json(), WEIGHTS=str(weights))

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(fetched, number) for number in range(2)]
        while len(list(tmp_path.glob("ready-*"))) < 2 and not all(run.done() for run in runs):
            time.sleep(0.01)
        shelf.gate.set()

    assert [run.result().stdout.strip() for run in runs] == [sha256(BODY)] * 2, runs[0].result().stderr
    assert len(shelf.requests) == 1


FETCHING = """
import os
from pathlib import Path
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.fetch import import_weight_file, fetch

entry, weights = ZooEntry.model_validate_json(os.environ["ENTRY"]), Path(os.environ["WEIGHTS"])
"""


def test_a_file_of_the_users_is_copied_and_pinned(shelf, weights, tmp_path):
    own = tmp_path / "renamed by a browser (1).tar"
    own.write_bytes(BODY)
    entry = shelf.entry(sha256=sha256(BODY)[:8])

    file = import_weight_file(entry, own, weights)

    assert file == WeightFile(path=weights / "net" / "net.pth", sha256=sha256(BODY))
    assert file == find_weight_file(entry, weights) == verify_weight_file(file) == fetch(entry, weights, offline=True)
    assert own.read_bytes() == BODY
    assert kept(weights) == ["net.pth", "net.pth.pin.json"]
    assert shelf.requests == []


def test_a_file_of_the_users_with_the_wrong_digest_is_refused_and_not_kept(shelf, weights, tmp_path):
    own = tmp_path / "other.pth"
    own.write_bytes(OTHER)

    with pytest.raises(
        BenchmarkError, match=rf"other.pth has sha256 {sha256(OTHER)[:16]}…, wanted {sha256(BODY)[:8]}…"
    ):
        import_weight_file(shelf.entry(sha256=sha256(BODY)[:8]), own, weights)

    assert kept(weights) == []
    assert own.read_bytes() == OTHER


def test_a_file_that_is_not_there_is_not_taken(shelf, weights, tmp_path):
    with pytest.raises(BenchmarkError, match=r"no\.pth: no such file"):
        import_weight_file(shelf.entry(), tmp_path / "no.pth", weights)


def test_a_file_of_the_users_takes_the_place_of_a_damaged_one(shelf, weights, tmp_path):
    own = tmp_path / "own.pth"
    own.write_bytes(BODY)
    fetch(shelf.entry(), weights).path.write_bytes(b"damaged")

    import_weight_file(shelf.entry(), own, weights)

    assert find_weight_file(shelf.entry(), weights).path.read_bytes() == BODY


def test_a_file_of_the_users_ends_a_download_that_was_cut(shelf, weights, tmp_path):
    """What the download had is removed: it may be gigabytes, and no one will ask for it."""
    own = tmp_path / "own.pth"
    own.write_bytes(BODY)
    shelf.cuts = [10_000] * 4
    refusal(shelf.entry(), weights)

    import_weight_file(shelf.entry(), own, weights)

    assert kept(weights) == ["net.pth", "net.pth.pin.json"]


def test_what_is_forgotten_is_not_here(shelf, weights):
    fetch(shelf.entry(), weights)

    delete_weight_file(shelf.entry(), weights)
    delete_weight_file(shelf.entry(), weights)

    assert find_weight_file(shelf.entry(), weights) is None
    assert kept(weights) == []


@pytest.mark.parametrize(
    "work", ["fetch(entry, weights)", "import_weight_file(entry, Path(os.environ['OWN']), weights)"]
)
def test_killed_at_any_step_it_leaves_no_file_that_passes_for_another(shelf, weights, tmp_path, work):
    """A process is killed before each of its steps on the disk in turn, where a file with a pin and a cut download of
    an older version lay already. What is left is found with its own digest or not at all, and the same call ends
    well: no bytes of two files in one.
    """
    old, new = BODY, OTHER.ljust(len(BODY), b"\0")  # of one size, so that no size tells them apart
    own = tmp_path / "own.pth"
    own.write_bytes(new)
    shelf.cuts = [40_000, 0, 0, 0]
    refusal(shelf.entry(), weights)
    if work.startswith("admit"):
        delete_weight_file(shelf.entry(), weights)
        fetch(shelf.entry(), weights)
    shelf.body, shelf.etag = new, '"two"'

    ran = in_new_process(
        FETCHING + KILLED_AT_EACH_STEP.replace("WORK", work),
        ENTRY=shelf.entry().model_dump_json(), WEIGHTS=str(weights), OWN=str(own),
    )  # fmt: skip

    steps = sorted(tmp_path.glob("weights-*"))
    assert len(steps) > 8, ran.stderr
    for left in steps:
        found = find_weight_file(shelf.entry(), left)
        assert found is None or verify_weight_file(found).sha256 in {sha256(old), sha256(new)}
        again = fetch(shelf.entry(), left) if work.startswith("fetch") else import_weight_file(shelf.entry(), own, left)
        assert verify_weight_file(again).sha256 == sha256(new)
        # a pin's own temporary file, hidden and a hundred bytes long, may stay behind
        assert {p.name for p in (left / "net").glob("[!.]*")} == {"net.pth", "net.pth.pin.json"}


# Python tells its audit hooks of an operation on a file before it does it: the exact places to die at
KILLED_AT_EACH_STEP = """
import shutil, sys

steps_left = 0

def hook(event, told):
    global steps_left
    if event in ("open", "os.rename", "os.remove") and str(told[0]).startswith(str(weights)):
        steps_left -= 1
        if steps_left == 0:
            os._exit(9)

first = weights
sys.addaudithook(hook)
for number in range(1, 100):
    weights = Path(f"{first}-{number:02}")
    shutil.copytree(first, weights)
    child = os.fork()
    if child == 0:
        steps_left = number
        WORK
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""

SMALL_DISK = """
import subprocess
from benchmark.files import DiskFullError

try:
    WORK
except DiskFullError as fault:
    print(fault)
print(*sorted(p.name for p in (weights / "net").iterdir()))
subprocess.run(["mount", "-o", "remount,size=2m", str(weights)], check=True)
print((WORK).sha256)
"""


@pytest.fixture
def small_disk(weights):
    """Start a command line with a disk of 64 kB of its own under `weights`, in a name space of its own."""
    weights.mkdir()
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
               'mount -t tmpfs -o size=64k none "$0" && exec "$@"', str(weights)]  # fmt: skip
    if not shutil.which("unshare") or subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no user mount a small disk")
    return mounted


@pytest.mark.parametrize(
    "work", ["fetch(entry, weights)", "import_weight_file(entry, Path(os.environ['OWN']), weights)"]
)
def test_a_full_disk_is_one_line_and_leaves_nothing_under_the_final_name(shelf, weights, small_disk, tmp_path, work):
    """With room again, the same call ends well."""
    own = tmp_path / "own.pth"
    own.write_bytes(BODY)
    environment = {"ENTRY": shelf.entry().model_dump_json(), "WEIGHTS": str(weights), "OWN": str(own)}

    ran = subprocess.run(
        [*small_disk, sys.executable, "-c", FETCHING + SMALL_DISK.replace("WORK", work)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    line, names, digest = ran.stdout.splitlines()
    path = weights / "net" / "net.pth"
    assert line.startswith(f"disk full while writing {path}")
    assert not {"net.pth", "net.pth.pin.json", "net.pth.copy"} & set(names.split())
    if "net.pth.part" in names.split():
        assert re.search(rf"; [\d,]+ bytes are kept in {path}\.part: remove it to have them back$", line)
    else:
        assert "nothing half-written was left there" in line
    assert digest == sha256(BODY)
