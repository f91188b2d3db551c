"""Features on disk: damaged, lost and exchanged rows are computed again; no kill and no full disk leaves damage."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mounts import mounted, remount

from benchmark.data.feature_cache import FeatureCache
from benchmark.errors import BenchmarkError
from benchmark.files import DiskFullError

NUM, WIDTH, BATCH = 40, 24, 8
IDS = [f"image-{row}" for row in range(NUM)]
ALL = np.arange(NUM)
WANTED = np.random.default_rng(0).standard_normal((NUM, WIDTH)).astype(np.float16)


class Computing:
    """Computes rows, in batches, and remembers which."""

    def __init__(self):
        self.rows: list[int] = []

    def __call__(self, missing):
        for start in range(0, len(missing), BATCH):
            rows = missing[start : start + BATCH]
            self.rows += rows.tolist()
            yield rows, WANTED[rows].astype(np.float32)


@pytest.fixture
def filled(tmp_path):
    cache = FeatureCache(tmp_path / "features")
    cache.read(ALL, IDS, Computing())
    return cache


def files_of(cache) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.folder.iterdir() if path.name != ".lock"}


def test_features_come_back_as_half_precision_and_only_those_that_are_missing_are_computed(tmp_path):
    cache, first, second = FeatureCache(tmp_path / "features"), Computing(), Computing()

    some, _ = cache.read(np.array([5, 3, 5, 30]), IDS, first)
    every, notes = cache.read(ALL, IDS, second)

    assert np.array_equal(some[[3, 5, 30]], WANTED[[3, 5, 30]])
    assert np.array_equal(every, WANTED)
    assert (first.rows, second.rows) == ([3, 5, 30], [row for row in range(NUM) if row not in (3, 5, 30)])
    assert notes == []
    assert np.array_equal(cache.features_of(np.array(["image-7", "image-2"])), WANTED[[7, 2]])
    assert cache.features_of(np.array(["image-7", "another"])) is None


DAMAGES = {
    "zeros": lambda content, start, end: content[:start] + bytes(end - start) + content[end:],
    "a bit": lambda content, start, _: content[:start] + bytes([content[start] ^ 4]) + content[start + 1 :],
    "cut off": lambda content, start, _: content[:start],
    "exchanged": lambda content, start, end: content[end:] + content[start:end] + content[:start],
    "longer": lambda content, start, end: content + content[start:end],
    "empty": lambda *_: b"",
    "lost": lambda *_: None,
}


@pytest.mark.parametrize("name", ["features.bin", "checksums.bin", "ids.txt"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_to_a_file_gives_other_features(filled, name, damage):
    """What figures read by id is right, or told to be missing; the next cell makes all files as they were."""
    files, chance = files_of(filled), random.Random(damage)
    path, content = filled.folder / name, files[name]

    for _ in range(10):
        start, end = sorted(chance.choices(range(len(content)), k=2))
        changed = DAMAGES[damage](content, start, end)
        path.unlink() if changed is None else path.write_bytes(changed)
        of_two = filled.features_of(np.array(["image-7", "image-2"]))
        found, _ = filled.read(ALL, IDS, Computing())

        assert of_two is None or np.array_equal(of_two, WANTED[[7, 2]])
        assert np.array_equal(found, WANTED)
        assert files_of(filled) == files


def test_damaged_rows_alone_are_computed_again_and_told(filled):
    path = filled.folder / "features.bin"
    content = path.read_bytes()
    path.write_bytes(content[: 5 * WIDTH * 2] + bytes(3 * WIDTH * 2) + content[8 * WIDTH * 2 :])
    computing = Computing()

    _, notes = filled.read(ALL, IDS, computing)

    assert computing.rows == [5, 6, 7]
    assert notes == [f"3 rows of the features in {filled.folder} were damaged and computed again"]
    assert filled.read(ALL, IDS, Computing())[1] == []


# imports once; each child counts its steps and kills itself at the step of its number
DYING = """
import os, signal, sys
import numpy as np
from pathlib import Path
from benchmark.data.feature_cache import FeatureCache
left = -1
def step(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
def stepping(of, name):
    original = getattr(of, name)
    def stepped(*args, **kwargs):
        step()
        result = original(*args, **kwargs)
        step()
        return result
    setattr(of, name, stepped)
for of, name in ((os, "truncate"), (os, "fsync"), (Path, "replace"), (Path, "touch"), (Path, "mkdir")):
    stepping(of, name)
wanted = np.load(sys.argv[1] + "/wanted.npy")
def compute(missing):
    for start in range(0, len(missing), 8):
        step()
        yield missing[start : start + 8], wanted[missing[start : start + 8]].astype(np.float32)
for steps in range(1, 200):
    child = os.fork()
    if child == 0:
        left = steps
        cache = FeatureCache(Path(sys.argv[1], f"killed-{steps}"))
        cache.read(np.arange(len(wanted)), [f"image-{n}" for n in range(len(wanted))], compute)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended != -signal.SIGKILL:
        sys.exit(ended)
"""


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_features_that_the_next_cell_completes(tmp_path):
    np.save(tmp_path / "wanted.npy", WANTED)

    ran = subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    folders = list(tmp_path.glob("killed-*"))
    assert len(folders) > 15
    for folder in folders:
        features, notes = FeatureCache(folder).read(ALL, IDS, Computing())
        assert np.array_equal(features, WANTED)
        assert notes == []


def test_a_complete_cache_is_read_without_writing_anything(filled, monkeypatch):
    """From a read-only home; the lock file, and a list of ids that is not there, are not written."""
    (filled.folder / ".lock").unlink(missing_ok=True)
    (filled.folder / "ids.txt").unlink()
    opened = os.open

    def read_only(path, flags, *more, **named):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(30, "Read-only file system", str(path))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(Path, "write_bytes", lambda path, _: (_ for _ in ()).throw(OSError(30, "Read-only", str(path))))
    found, _ = filled.read(ALL, IDS, Computing())

    assert np.array_equal(found, WANTED)
    assert sorted(files_of(filled)) == ["checksums.bin", "features.bin"]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_was_computed_is_kept(tmp_path):
    """Not a signal from a store into a memory map, which nobody can catch."""
    small = tmp_path / "small"
    with mounted(small, "256k"):
        cache, wide = FeatureCache(small / "features"), 8192
        computing = iter([(ALL[n : n + 4], np.ones((4, wide))) for n in range(0, NUM, 4)])
        with pytest.raises(
            DiskFullError, match=r"disk full while writing .*features that were computed so far are kept"
        ):
            cache.read(ALL, IDS, lambda _: computing)
        remount(small, "size=4m")
        again: list[int] = []

        def compute(missing):
            again.extend(missing.tolist())
            yield missing, np.ones((len(missing), wide))

        found, notes = cache.read(ALL, IDS, compute)

        assert (found == 1).all()
        assert 0 < len(again) < NUM
        assert notes == []


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="beyond half precision"):
        FeatureCache(tmp_path / "b").read(ALL, IDS, lambda m: iter([(m, np.full((len(m), 3), 1e6))]))
    with pytest.raises(BenchmarkError, match="beyond half precision"):
        FeatureCache(tmp_path / "c").read(ALL, IDS, lambda m: iter([(m, np.array([[1, np.nan]] * len(m)))]))


def test_images_that_could_not_be_decoded_have_features_that_are_no_numbers(tmp_path):
    cache = FeatureCache(tmp_path / "features")
    found, _ = cache.read(ALL, IDS, lambda m: iter([(m, np.where(m[:, None] == 3, np.nan, 1.0))]))

    assert np.isnan(found[3]).all()
    assert not np.isnan(np.delete(found, 3, axis=0)).any()
