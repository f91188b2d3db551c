"""Writes the files of a pixel cache: a chunk at a time, continued after a kill, renamed when they are complete.

pixels.bin   all images end to end
masks.bin    all masks end to end (segmentation)
rows.bin     a ROW for each image: where it lies, its shape, the checksums of it and of its masks
cache.json   written last: its existence means that the rest is complete; with a digest of rows.bin and of itself
"""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.checksums import checksum, write_json
from benchmark.data.image_files import Pixels
from benchmark.files import DiskFullError, space_for

CHUNK = 64  # images between two reports of a build's progress
ROW = np.dtype(
    [("start", "<i8"), ("height", "<i8"), ("width", "<i8"), ("channels", "<i8"), ("image", "<u4"), ("masks", "<u4")]
)
PLACE = ["start", "height", "width", "channels"]
Masks = NDArray[np.uint8]
Decode = Callable[[int], tuple[Pixels, Masks, str]]
Progress = Callable[[int, int], None]


def checksums_of(row: int, place: tuple[int, ...], reason: str, pixels: Any, masks: Any) -> tuple[int, int]:
    """Returns the checksums of an image and of its masks. They cover the bytes, the row and place, and the reason why a
    black image stands there.
    """
    return checksum(pixels, row, *place, checksum(reason.encode())), checksum(masks, row)


def build(
    folder: Path,
    total: int,
    decode: Decode,
    *,
    mask_size: int,
    identity: dict[str, Any],
    progress: Progress,
    threads: int,
) -> None:
    """Writes a cache of `total` images into a folder next to `folder`, continuing an interrupted build; then renames
    it.

    `decode(row)` returns an image, its masks (`mask_size` bytes together), and the reason why a black image stands for
    it ("" where none does). Raises DiskFullError.
    """
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    rows, unreadable = _resumed(partial, mask_size)
    size = _end_of(rows)
    progress(len(rows), total)
    _check_space(partial, size + mask_size * len(rows), len(rows), total)
    with (
        space_for(partial, left="the images that were decoded so far are kept"),
        (partial / "pixels.bin").open("ab") as pixels_file,
        (partial / "masks.bin").open("ab") as masks_file,
        (partial / "rows.bin").open("ab") as rows_file,
        (partial / "unreadable.txt").open("a", encoding="utf-8") as unreadable_file,
        ThreadPoolExecutor(threads) as pool,
    ):
        for first in range(len(rows), total, CHUNK):
            numbers = range(first, min(first + CHUNK, total))
            chunk = []
            for row, (pixels, masks, reason) in zip(numbers, pool.map(decode, numbers), strict=True):
                place = (size, *pixels.shape)
                content, mask_content = pixels.tobytes(), masks.tobytes()
                pixels_file.write(content)
                masks_file.write(mask_content)
                if reason:
                    unreadable[row] = reason
                    unreadable_file.write(json.dumps([row, reason]) + "\n")
                chunk.append((*place, *checksums_of(row, place, reason, content, mask_content)))
                size += len(content)
            for file in (pixels_file, masks_file, unreadable_file):
                file.flush()
            rows_file.write(np.array(chunk, dtype=ROW).tobytes())
            rows_file.flush()
            if first == 0:
                _check_space(partial, size + mask_size * numbers.stop, numbers.stop, total)
            progress(numbers.stop, total)
        for file in (pixels_file, masks_file, rows_file):
            os.fsync(file.fileno())
    index = (partial / "rows.bin").read_bytes()
    facts = {"num_images": total, "bytes": size, "mask_bytes": mask_size * total, "rows": sha256(index).hexdigest()}
    facts["unreadable"] = {str(row): reason for row, reason in unreadable.items()}
    write_json(partial / "cache.json", {**identity, **facts})
    (partial / "unreadable.txt").unlink()
    if not mask_size:
        (partial / "masks.bin").unlink()
    partial.replace(folder)


def _resumed(partial: Path, mask_size: int) -> tuple[NDArray[np.void], dict[int, str]]:
    """Returns what an interrupted build has completed: the rows whose images match their checksums, and which of these
    could not be decoded and why. Cuts the files back to these rows.
    """
    names = ("rows.bin", "pixels.bin", "masks.bin", "unreadable.txt")
    for name in names:
        (partial / name).touch()
    content = (partial / "rows.bin").read_bytes()
    rows = np.frombuffer(content[: len(content) // ROW.itemsize * ROW.itemsize], dtype=ROW)
    unreadable: dict[int, str] = {}
    for line in (partial / "unreadable.txt").read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, TypeError):  # a damaged line: its row's checksum tells
            unreadable |= dict([json.loads(line)])
    num = 0
    with (partial / "pixels.bin").open("rb") as pixels, (partial / "masks.bin").open("rb") as masks:
        for start, height, width, channels, *sums in rows.tolist():
            if start != pixels.tell() or min(height, width, channels) < 1:
                break
            image, place = pixels.read(height * width * channels), (start, height, width, channels)
            if checksums_of(num, place, unreadable.get(num, ""), image, masks.read(mask_size)) != tuple(sums):
                break
            num += 1
    rows = rows[:num]
    unreadable = {row: reason for row, reason in unreadable.items() if row < num}
    for name, size in zip(names[:3], (rows.nbytes, _end_of(rows), mask_size * num), strict=True):
        os.truncate(partial / name, size)
    lines = "".join(json.dumps(pair) + "\n" for pair in unreadable.items())
    (partial / "unreadable.txt").write_text(lines, encoding="utf-8")
    return rows, unreadable


def _end_of(rows: NDArray[np.void]) -> int:
    """Returns the size of the images together, in bytes."""
    if not len(rows):
        return 0
    start, *shape = (int(rows[name][-1]) for name in PLACE)
    return start + int(np.prod(shape))


def _check_space(partial: Path, written: int, done: int, total: int) -> None:
    """Raises DiskFullError for a cache that cannot fit, before hours of decoding; the first `done` images take
    `written` bytes.
    """
    if not done:
        return
    wanted = written * (total - done) // done
    free = shutil.disk_usage(partial).free
    if wanted > free:
        raise DiskFullError(
            f"the pixel cache {partial.parent} needs {wanted / 1e9:,.1f} GB more and {free / 1e9:,.1f} GB are free: point "
            f"BENCHMARK_HOME at a larger disk, or lower --set train_resolution; what is done is kept"
        )
