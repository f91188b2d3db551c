"""Files are written whole or not at all; places are found by the documented order."""

import errno
import os

import pytest
from conftest import in_new_process

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import DiskFullError, atomic_file, canonical_json, sha256_of, space_for, write_atomically
from benchmark.text import first_few
from benchmark.workspace import find_workspace


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "record.json"
    write_atomically(path, "old")

    with pytest.raises(KeyboardInterrupt), atomic_file(path) as partial:
        partial.write_text("half of the new")
        raise KeyboardInterrupt

    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path):
    path = tmp_path / "state.pt"

    with (
        pytest.raises(DiskFullError, match=r"disk full while writing .*state.pt.*BENCHMARK_HOME") as fault,
        atomic_file(path) as partial,
    ):
        partial.write_bytes(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    assert "\n" not in str(fault.value)
    assert not list(tmp_path.iterdir())


def test_only_a_write_of_atomic_files_says_that_nothing_half_written_was_left(tmp_path):
    """A download keeps what arrived, a cache what was decoded."""
    with pytest.raises(DiskFullError, match="disk full while writing") as fault, space_for(tmp_path / "weights.part"):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert "half-written" not in str(fault.value)


def test_what_killed_processes_left_half_written_is_removed_by_the_next_write(tmp_path):
    """Of this machine at once, of others (or of earlier versions, without the machine's name) after a day."""
    code = f"""
import os, signal
from pathlib import Path
from benchmark.files import atomic_file
with atomic_file(Path({str(tmp_path)!r}) / "record.json") as partial:
    partial.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    in_new_process(code)
    (abandoned,) = tmp_path.iterdir()
    kept = [
        tmp_path / ".a.ffffff-1-00000000.partial",
        tmp_path / "mine.partial",
        tmp_path / f".b.{os.getpid()}.partial",
    ]
    old = [tmp_path / ".a.ffffff-1-11111111.partial", tmp_path / ".a.1-11111111.partial"]
    for path in (*kept, *old):
        path.write_bytes(b"")
    for path in old:
        os.utime(path, (0, 0))

    with atomic_file(tmp_path / "other.json") as partial:
        write_atomically(tmp_path / "third.json", "while a file is being written")
        partial.write_bytes(b"not yet there")

    assert not abandoned.exists()
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "other.json", tmp_path / "third.json"])


def test_a_file_follows_the_umask(tmp_path):
    """Results lie in shared folders: a private temporary file must not make a private result."""
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "x")
    finally:
        os.umask(before)

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_canonical_json_has_one_spelling_and_no_nan():
    assert canonical_json({"b": 1, "a": (1.0, None)}) == '{"a":[1.0,null],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")

    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def project(folder):
    (folder / "tasks").mkdir(parents=True)
    (folder / "model_zoo.yaml").write_text("entries: []")
    return folder


def test_a_checkout_around_the_working_folder_is_the_project(tmp_path):
    checkout = project(tmp_path / "checkout")
    (checkout / "deep" / "inside").mkdir(parents=True)

    workspace = find_workspace(environment={"HOME": str(tmp_path)}, here=checkout / "deep" / "inside")

    assert (workspace.project, workspace.results, workspace.data) == (checkout, checkout / "results", None)


def test_what_is_given_wins_over_the_environment(tmp_path):
    told, given = project(tmp_path / "told"), project(tmp_path / "given")
    environment = {
        "BENCHMARK_PROJECT": str(told),
        "BENCHMARK_RESULTS": str(tmp_path / "r"),
        "BENCHMARK_HOME": str(tmp_path / "h"),
        "BENCHMARK_DATA": str(tmp_path / "d"),
    }

    from_environment = find_workspace(environment=environment, here=tmp_path)
    from_options = find_workspace(project=given, results=tmp_path / "r2", data=tmp_path / "d2", environment=environment)

    assert (from_environment.project, from_environment.results) == (told, tmp_path / "r")
    assert (from_environment.home, from_environment.data) == (tmp_path / "h", tmp_path / "d")
    assert (from_options.project, from_options.results, from_options.data) == (given, tmp_path / "r2", tmp_path / "d2")


def test_a_folder_that_is_no_project_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match=r"wanted model_zoo.yaml and tasks/ in it"):
        find_workspace(project=tmp_path, environment={})


def test_nearest_names_are_offered():
    assert did_you_mean("imagnet", ["imagenet", "swav"]) == "did you mean imagenet?"
    assert did_you_mean("SWAV", ["imagenet", "swav"]) == "did you mean swav?"
    assert did_you_mean("zzz", ["imagenet", "swav"]) == "known: imagenet, swav"


def test_long_lists_are_cut():
    assert first_few(["a", "b", "c", "d", "e"]) == "a, b, c (and 2 more)"
    assert first_few(["a", "b"]) == "a, b"
