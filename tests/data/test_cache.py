"""The pixel cache: what it holds against PIL, torchvision and OpenCV; built once, whole or not at all, continued."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import in_new_process
from PIL import Image
from torchvision.transforms import Resize

from benchmark.data.cache import Cache, open_cache
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.phantoms.files import write_mask
from benchmark.errors import BenchmarkError
from benchmark.files import DiskFullError, TemporaryError

NATIVE = StoredSize(shape="short_side", size=1024)
MASKED = StoredSize(shape="square", size=20, resize="nearest", masks=("mask", "field_of_view"))
COUNT = 150  # three chunks of a build: 64, 64, 22


def pictures(root: Path, shapes) -> ImageFiles:
    """Images of noise and gradients, height x width (x 3) each, as ordinary PNG files."""
    rng = np.random.default_rng(len(shapes))
    for number, shape in enumerate(shapes):
        ramp = np.linspace(0, 200, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
        pixels = (ramp + rng.integers(0, 56, shape)).astype(np.uint8)
        root.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
    names = [f"{number:03d}.png" for number in range(len(shapes))]
    return ImageFiles(root=root, images=names, data_digest="d" * 16, phantom=False)


def many(root: Path) -> ImageFiles:
    return pictures(root, [(6 + n % 3, 9) for n in range(COUNT)])


def with_masks(source: ImageFiles) -> ImageFiles:
    """Two masks an image, of its size, as files that are marked as phantoms: only images are asked for their mark."""
    named = []
    for number, image in enumerate(source.images):
        height, width = np.asarray(Image.open(source.root / image)).shape[:2]
        disc = np.hypot(*np.mgrid[:height, :width] - [[[number % height]], [[number % width]]]) < width / 2
        write_mask(source.root / f"mask_{image}", disc)
        write_mask(source.root / f"view_{image}", ~disc)
        named.append((f"mask_{image}", f"view_{image}"))
    return replace(source, masks=named)


class Heard(list):
    """What a build told of its progress: (done, total) each time."""

    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))


def opened(source: ImageFiles, stored_size: StoredSize, home: Path, heard: Heard | None = None) -> Cache:
    """As a process of its own opens it: nothing was verified before."""
    source = replace(source, verified=set())
    return open_cache(source, stored_size, home, name="T", progress=Heard() if heard is None else heard)


def pil(source: ImageFiles, row: int) -> Image.Image:
    return Image.open(source.root / source.images[row])


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def mixed(tmp_path) -> ImageFiles:
    """Grey and colour, wide, tall and square, smaller and larger than what they are resized to."""
    return pictures(tmp_path / "pictures", [(40, 40), (33, 71), (90, 47, 3), (16, 12), (61, 61, 3), (20, 20)])


def test_images_no_larger_than_the_working_size_come_back_bit_equal(mixed, tmp_path):
    cache = opened(mixed, NATIVE, tmp_path / "home")

    for row in range(6):
        plain = np.asarray(pil(mixed, row))
        assert plain.reshape(*plain.shape[:2], -1).tolist() == cache.image(row).tolist()


def test_the_short_side_is_resized_as_torchvision_does_and_never_enlarged(mixed, tmp_path):
    cache = opened(mixed, StoredSize(shape="short_side", size=31), tmp_path / "home")

    for row in range(6):
        image = pil(mixed, row)
        wanted = Resize(31)(image) if min(image.size) > 31 else image
        assert np.asarray(wanted).tolist() == np.squeeze(cache.image(row)).tolist()


@pytest.mark.parametrize("size", [31, 61, 128])
def test_the_square_is_resized_as_torchvision_does(mixed, tmp_path, size):
    cache = opened(mixed, StoredSize(shape="square", size=size), tmp_path / "home")

    for row in range(6):
        assert np.asarray(Resize((size, size))(pil(mixed, row))).tolist() == np.squeeze(cache.image(row)).tolist()


@pytest.mark.parametrize(("resize", "flag"), [("nearest", cv2.INTER_NEAREST), ("bilinear", cv2.INTER_LINEAR)])
def test_segmentation_is_resized_as_opencv_does(mixed, tmp_path, resize, flag):
    source = with_masks(mixed)
    cache = opened(source, replace(MASKED, resize=resize), tmp_path / "home")

    for row in range(6):
        wanted = cv2.resize(np.asarray(pil(mixed, row)), (20, 20), interpolation=flag)
        assert wanted.tolist() == np.squeeze(cache.image(row)).tolist()
        for number, name in enumerate(source.masks[row]):
            grey = cv2.resize(np.asarray(Image.open(source.root / name)), (20, 20), interpolation=flag)
            assert (grey > 127).astype(int).tolist() == cache.masks(row)[..., number].tolist()


def test_masks_from_run_lengths_are_zero_or_one_at_the_working_size(tmp_path):
    """In a 4 x 6 image, the left three columns."""
    source = replace(pictures(tmp_path / "pictures", [(4, 6), (4, 6)]), masks=[("rle:0 12",), ("",)])
    cache = opened(source, replace(MASKED, size=8, masks=("mask",)), tmp_path / "home")

    assert cache.masks(0)[..., 0].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 8
    assert not cache.masks(1).any()
    assert cache.masks(0).dtype == np.uint8


def test_grey_and_colour_live_in_one_cache(mixed, tmp_path):
    cache = opened(mixed, NATIVE, tmp_path / "home")
    grey = opened(pictures(tmp_path / "grey", [(5, 5), (6, 5)]), NATIVE, tmp_path / "elsewhere")

    assert [cache.image(row).shape[2] for row in range(6)] == [1, 1, 3, 1, 3, 1]
    assert (cache.channels, grey.channels) == (3, 1)


def test_a_cached_image_cannot_be_written_to(mixed, tmp_path):
    cache = opened(mixed, NATIVE, tmp_path / "home")

    with pytest.raises(ValueError, match="read-only"):
        cache.image(0)[0, 0, 0] = 1


def test_a_finished_cache_is_opened_not_built_again(mixed, tmp_path):
    first, second = Heard(), Heard()
    folder = opened(mixed, NATIVE, tmp_path / "home", first).folder
    for image in mixed.images:
        (mixed.root / image).unlink()

    assert folder == opened(mixed, NATIVE, tmp_path / "home", second).folder
    assert first == [(0, 6), (6, 6)]
    assert second == []


def test_another_size_other_images_other_masks_and_other_data_are_other_caches(mixed, tmp_path):
    home, masked = tmp_path / "home", with_masks(mixed)
    fewer = replace(mixed, images=mixed.images[:5])
    sources_and_sizes = [
        (mixed, NATIVE),
        (mixed, replace(NATIVE, size=31)),
        (mixed, StoredSize(shape="square", size=31)),
        (mixed, StoredSize(shape="square", size=31, resize="nearest")),
        (fewer, NATIVE),
        (replace(mixed, images=mixed.images[::-1]), NATIVE),
        (replace(mixed, data_digest="e" * 16), NATIVE),
        (replace(mixed, tolerant=True), NATIVE),
        (masked, MASKED),
        (replace(masked, masks=[names[::-1] for names in masked.masks]), MASKED),
    ]

    folders = {opened(source, stored_size, home).folder for source, stored_size in sources_and_sizes}

    assert len(folders) == len(sources_and_sizes)


def test_where_images_lie_is_not_in_the_key(mixed, tmp_path):
    cache = opened(mixed, NATIVE, tmp_path / "home")
    moved = replace(mixed, root=Path(shutil.move(mixed.root, tmp_path / "moved")))

    assert cache.folder == opened(moved, NATIVE, tmp_path / "home").folder


@pytest.mark.parametrize("masked", [False, True])
def test_a_build_that_meets_a_broken_image_names_it_and_is_continued(tmp_path, masked):
    """cache.json is written last: until then there is no cache. After the repair, 64 images are not decoded again,
    and the bytes are those of a build that met nothing.
    """
    source, stored_size = many(tmp_path / "pictures"), NATIVE
    if masked:
        source, stored_size = with_masks(source), MASKED
    whole = opened(source, stored_size, tmp_path / "elsewhere")
    broken = source.root / source.images[100]
    content = broken.read_bytes()
    broken.write_bytes(content[:60])
    home, first, second = tmp_path / "home", Heard(), Heard()

    with pytest.raises(BenchmarkError, match="unreadable image") as raised:
        opened(source, stored_size, home, first)
    left = [path.name for path in home.rglob("cache.json")]
    for image in source.images[:64]:
        (source.root / image).unlink()
    broken.write_bytes(content)
    cache = opened(source, stored_size, home, second)

    assert str(raised.value).startswith(f"{broken}: ")
    assert left == []
    assert first == [(0, COUNT), (64, COUNT)]
    assert second == [(64, COUNT), (128, COUNT), (COUNT, COUNT)]
    assert files_of(whole.folder) == files_of(cache.folder)
    assert not list(home.glob("*.partial"))


BUILD = """
import json, os, signal
from pathlib import Path
from types import SimpleNamespace
from benchmark.data.cache import open_cache
from benchmark.data.decoding import ImageFiles, StoredSize
root = Path({root!r})
images = sorted(path.name for path in root.iterdir())
source = ImageFiles(root=root, images=images, data_digest="d" * 16, phantom=False)
heard = []
def progress(done, total):
    heard.append(done)
    if done == {die_at}:
        os.kill(os.getpid(), signal.SIGKILL)
stored_size = StoredSize(shape="short_side", size=1024)
cache = open_cache(source, stored_size, Path({home!r}), name="T", progress=progress)
print(json.dumps([cache.folder.name, heard]))
"""


def test_a_killed_build_is_continued_by_the_next(tmp_path):
    """Killed with no chance to tidy up, after the second checkpoint; and bytes written after it are cut off."""
    source, home = many(tmp_path / "pictures"), tmp_path / "home"
    whole = opened(source, NATIVE, tmp_path / "elsewhere")

    killed = in_new_process(BUILD.format(root=str(source.root), home=str(home), die_at=128))
    left = [path.name for path in home.rglob("cache.json")]
    with next(home.glob("*.partial/pixels.bin")).open("ab") as pixels:
        pixels.write(b"half of an image")
    heard = Heard()
    cache = opened(source, NATIVE, home, heard)

    assert killed.returncode == -9, killed.stderr
    assert left == []
    assert heard == [(128, COUNT), (COUNT, COUNT)]
    assert files_of(whole.folder) == files_of(cache.folder)


def test_two_processes_that_build_at_once_make_one_whole_cache(tmp_path):
    """One builds, the other waits and opens what the first made."""
    source, home = many(tmp_path / "pictures"), tmp_path / "home"
    whole = opened(source, NATIVE, tmp_path / "elsewhere")
    code = BUILD.format(root=str(source.root), home=str(home), die_at=-1)

    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    (first, first_heard), (second, second_heard) = (json.loads(process.communicate()[0]) for process in both)

    assert first == second == whole.folder.name
    assert sorted([first_heard, second_heard]) == [[], [0, 64, 128, COUNT]]
    assert files_of(whole.folder) == files_of(home / first)


def test_a_disk_too_small_is_refused_after_the_first_images(tmp_path, monkeypatch):
    """And the build goes on from there once there is room."""
    source, home, first, second = many(tmp_path / "pictures"), tmp_path / "home", Heard(), Heard()
    with monkeypatch.context() as small:
        small.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
        with pytest.raises(DiskFullError, match="BENCHMARK_HOME") as raised:
            opened(source, NATIVE, home, first)

    opened(source, NATIVE, home, second)

    assert str(home) in str(raised.value)
    assert first == [(0, COUNT)]
    assert second[0] == (64, COUNT)


def test_a_disk_just_large_enough_is_used(tmp_path, monkeypatch):
    """What is left to write, by the mean of what was written: 86 images of 9 x 7 pixels."""
    source = pictures(tmp_path / "pictures", [(7, 9)] * COUNT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=86 * 63))

    assert len(opened(source, NATIVE, tmp_path / "home").rows) == COUNT


def test_a_mask_of_another_image_is_refused_with_both_names(mixed, tmp_path):
    source = with_masks(mixed)
    swapped = replace(source, masks=[source.masks[1], *source.masks[1:]])

    with pytest.raises(BenchmarkError, match="the mask is 71 x 33 but its image is 40 x 40") as raised:
        opened(swapped, MASKED, tmp_path / "home")

    assert str(source.root / "000.png") in str(raised.value)
    assert str(source.root / "mask_001.png") in str(raised.value)


def test_the_number_of_threads_changes_no_byte(tmp_path):
    source = many(tmp_path / "pictures")
    caches = [
        open_cache(source, NATIVE, tmp_path / f"home{threads}", name="T", progress=Heard(), threads=threads)
        for threads in (1, 5)
    ]

    assert files_of(caches[0].folder) == files_of(caches[1].folder)


def test_cache_json_tells_what_is_in_it(mixed, tmp_path):
    cache = opened(mixed, NATIVE, tmp_path / "home")
    told = json.loads((cache.folder / "cache.json").read_text())

    assert told["num_images"] == 6
    assert told["bytes"] == (cache.folder / "pixels.bin").stat().st_size
    assert told["working"] == {"shape": "short_side", "size": 1024, "resize": "antialias", "masks": []}


def everything_of(cache: Cache) -> list[tuple[bytes, bytes]]:
    """All images and masks, as they are asked for."""
    return [(cache.image(row).tobytes(), cache.masks(row).tobytes()) for row in range(len(cache.rows))]


@pytest.mark.parametrize("file", ["pixels.bin", "masks.bin"])
@pytest.mark.parametrize("damage", ["zeros", "a bit", "cut off", "gone"])
def test_damaged_images_and_masks_are_decoded_again_and_told(mixed, tmp_path, file, damage):
    """Those that are damaged, and in the folder, so that the next process finds them whole."""
    source, home = with_masks(mixed), tmp_path / "home"
    whole = opened(source, MASKED, home)
    wanted, files = everything_of(whole), files_of(whole.folder)
    path = whole.folder / file
    middle = len(files[file]) // 2
    if damage == "gone":
        path.unlink()
    else:
        start, flipped = files[file][:middle], bytes([files[file][middle] ^ 1])
        ends = {
            "zeros": bytes(5) + files[file][middle + 5 :],
            "a bit": flipped + files[file][middle + 1 :],
            "cut off": b"",
        }
        path.write_bytes(start + ends[damage])

    cache = opened(source, MASKED, home)

    assert everything_of(cache) == wanted
    (note,) = cache.notes
    told = {"zeros": "1 image", "a bit": "1 image", "cut off": "3 images", "gone": "the index of the pixel cache"}
    assert note.startswith(told[damage])
    assert str(cache.folder) in note
    assert files_of(cache.folder) == files
    assert everything_of(opened(source, MASKED, home)) == wanted
    assert opened(source, MASKED, home).notes == []


def test_no_damage_to_any_file_of_a_cache_gives_other_images(mixed, tmp_path):
    """Bits flipped, blocks zeroed, files cut off, rows of the index exchanged: the same images, or the images anew."""
    source, home, chance = with_masks(mixed), tmp_path / "home", random.Random(0)
    whole = opened(source, MASKED, home)
    wanted, files = everything_of(whole), files_of(whole.folder)

    for name, content in files.items():
        for _ in range(6):
            start, end = sorted(chance.choices(range(len(content)), k=2))
            flipped = content[:start] + bytes([content[start] ^ 1 << chance.randrange(8)]) + content[start + 1 :]
            exchanged = content[end:] + content[start:end] + content[:start]
            for damaged in (flipped, content[:start] + bytes(end - start) + content[end:], content[:start], exchanged):
                (whole.folder / name).write_bytes(damaged)
                assert everything_of(opened(source, MASKED, home)) == wanted
                assert files_of(whole.folder)[name] == content


def test_a_damaged_image_in_a_folder_that_cannot_be_written_is_decoded_again_for_this_process(
    mixed, tmp_path, monkeypatch
):
    home = tmp_path / "home"
    whole = opened(mixed, NATIVE, home)
    wanted = everything_of(whole)
    path, opens = whole.folder / "pixels.bin", Path.open
    path.write_bytes(bytes(path.stat().st_size))

    def read_only(file, mode="r", *more, **named):
        if file == path and "+" in mode:
            raise PermissionError("read-only")
        return opens(file, mode, *more, **named)

    monkeypatch.setattr(Path, "open", read_only)
    cache = opened(mixed, NATIVE, home)

    assert everything_of(cache) == wanted == everything_of(cache)
    assert not any(path.read_bytes())


def test_a_damaged_image_that_cannot_be_decoded_again_is_one_line(mixed, tmp_path):
    home = tmp_path / "home"
    path = opened(mixed, NATIVE, home).folder / "pixels.bin"
    path.write_bytes(bytes(path.stat().st_size))
    (mixed.root / "001.png").unlink()

    with pytest.raises(TemporaryError, match=r"001\.png is damaged there and cannot be decoded again: .*no such image"):
        opened(mixed, NATIVE, home).image(1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("same_size", [True, False])
def test_an_image_that_changed_after_it_was_decoded_is_refused_by_name(mixed, tmp_path, masked, same_size):
    """Whichever cache of the data set is opened or built then. As it was before, it is taken again."""
    home = tmp_path / "home"
    source, stored_size = (with_masks(mixed), MASKED) if masked else (mixed, NATIVE)
    opened(source, stored_size, home)
    path = source.root / (source.masks[3][0] if masked else source.images[3])
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if same_size else content + b"more")

    for size in (stored_size, replace(stored_size, size=24)):
        with pytest.raises(
            TemporaryError, match=rf"1 file changed since .*\({path.name}\).*put the files back"
        ) as fault:
            opened(source, size, home)
        assert "\n" not in str(fault.value)
    path.write_bytes(content)

    assert len(everything_of(opened(source, replace(stored_size, size=24), home))) == 6


def test_a_copied_data_set_is_read_once_and_then_known_by_its_new_times(mixed, tmp_path):
    """Sizes equal, all times different: contents are compared, and the new times remembered."""
    home = tmp_path / "home"
    opened(mixed, NATIVE, home)
    for name in mixed.images:
        os.utime(mixed.root / name, (1, 1))
    first, second = Heard(), Heard()

    opened(mixed, NATIVE, home, first)
    opened(mixed, NATIVE, home, second)

    assert (first, second) == ([(6, 6)], [])


def test_each_file_is_looked_at_once_by_a_process(mixed, tmp_path):
    """However many of its cells open the cache."""
    home = tmp_path / "home"
    first = open_cache(mixed, NATIVE, home, name="T", progress=Heard())
    assert first.source.verified == set()
    open_cache(mixed, NATIVE, home, name="T", progress=Heard())
    assert mixed.verified == set(mixed.images)
    for name in mixed.images:
        (mixed.root / name).write_bytes(b"something else")

    open_cache(mixed, NATIVE, home, name="T", progress=Heard())
    with pytest.raises(TemporaryError, match="6 files changed"):
        opened(mixed, NATIVE, home)


@pytest.mark.parametrize("damage", ["lost", "cut off", "zeroed"])
def test_a_damaged_ledger_of_source_files_is_made_again(mixed, tmp_path, damage):
    home = tmp_path / "home"
    opened(mixed, NATIVE, home)
    ledger = home / "T-files-dddddddddddddddd"
    content = ledger.read_bytes()
    ledger.unlink() if damage == "lost" else ledger.write_bytes(content[:90] + bytes(20) * (damage == "zeroed"))

    opened(mixed, NATIVE, home)
    path = mixed.root / "000.png"
    path.write_bytes(path.read_bytes() + b"more")

    with pytest.raises(TemporaryError, match="1 file changed"):
        opened(mixed, NATIVE, home)


def test_a_build_that_was_damaged_while_it_stood_still_is_continued_from_what_is_whole(tmp_path):
    """Killed after the second checkpoint; then zeros in the pixels of the first."""
    source, home = many(tmp_path / "pictures"), tmp_path / "home"
    whole = opened(source, NATIVE, tmp_path / "elsewhere")
    in_new_process(BUILD.format(root=str(source.root), home=str(home), die_at=128))
    with next(home.glob("*.partial/pixels.bin")).open("rb+") as pixels:
        pixels.seek(64 * 9 * 4)
        pixels.write(bytes(100))
    heard = Heard()

    cache = opened(source, NATIVE, home, heard)

    assert heard[0][0] < 64
    assert files_of(whole.folder) == files_of(cache.folder)


def test_a_builds_progress_grows_by_what_a_chunk_adds(tmp_path, monkeypatch):
    """A million images must not rewrite what is known of all images before, every 64 images."""
    source, written = many(tmp_path / "pictures"), []
    from benchmark import files as disk

    atomic_file = disk.atomic_file
    monkeypatch.setattr(
        disk, "atomic_file", lambda path, **named: written.append(path.name) or atomic_file(path, **named)
    )

    opened(source, NATIVE, tmp_path / "home")

    assert written == ["cache.json"]
