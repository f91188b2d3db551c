"""One pass over a task's images and masks: the properties and the digest of each. Pixels are not stored."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.dicom import Windows
from benchmark.data.hdf5 import is_row
from benchmark.data.image_files import Pixels, files_of, read_image, read_mask
from benchmark.data.index import MASKS, Index
from benchmark.errors import BenchmarkError
from benchmark.files import sha256_of

AHEAD = 4  # images per thread that are being read or wait to be returned


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedMask:
    """Describes one mask. `share`: the share of the image's pixels that it sets; `two_valued`: whether its files hold
    two values at most.
    """

    column: str
    fault: str = ""
    share: float = 0.0
    two_valued: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedImage:
    """Describes one image. `row`: its position in the index's table. `digest`: SHA-256 of the file's bytes, or of the
    pixels where one file holds many images; `fault`: why it cannot be read; `blank`: whether all of its pixels have one
    value.
    """

    row: int
    digest: str = ""
    fault: str = ""
    phantom: bool = False
    height: int = 0
    width: int = 0
    channels: int = 0
    blank: bool = False
    masks: tuple[ScannedMask, ...] = ()


def scan(
    index: Index, rows: Sequence[int], *, windows: Windows | None, threads: int, progress: Callable[[int, int], None]
) -> list[ScannedImage]:
    """Reads the images of these rows and their masks, in order; calls `progress` with the number of images done and in all."""
    images = index.table["image"].tolist()
    masks = {column: index.table[column].tolist() for column in MASKS if column in index.table}

    def scan_row(row: int) -> ScannedImage:
        named = {column: names[row] for column, names in masks.items() if names[row]}
        return _scan_image(row, index.root, images[row], named, windows)

    scanned = []
    for one in _in_order(scan_row, rows, threads):
        scanned.append(one)
        progress(len(scanned), len(rows))
    return scanned


def file_of(image: str) -> str:
    """Returns the file that holds an image, whose name in an index may be `file.h5#row`."""
    return image.rpartition("#")[0] if is_row(Path(image)) else image


def _in_order(scan_row: Callable[[int], ScannedImage], rows: Sequence[int], threads: int) -> Iterator[ScannedImage]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scan")
    pending: deque[Future[ScannedImage]] = deque()
    try:
        for row in rows:
            pending.append(pool.submit(scan_row, row))
            if len(pending) >= AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _scan_image(row: int, root: Path, image: str, masks: dict[str, str], windows: Windows | None) -> ScannedImage:
    path = root / image
    digest = ""
    try:
        if not is_row(path):
            digest = sha256_of(path)  # before the decoder, which then finds the file in memory
        pixels, phantom = read_image(path, windows)
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is reported for this image; the pass goes on
        return ScannedImage(row=row, digest=digest, fault=_message(error, path))
    height, width, channels = pixels.shape
    return ScannedImage(
        row=row,
        digest=digest or hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        phantom=phantom,
        height=height,
        width=width,
        channels=channels,
        blank=_is_blank(pixels),
        masks=tuple(_scan_mask(column, name, root, path, (height, width)) for column, name in masks.items()),
    )


def _scan_mask(column: str, named: str, root: Path, image: Path, shape: tuple[int, int]) -> ScannedMask:
    try:
        mask = read_mask(named, root, shape)
        two_valued = all(_is_two_valued(read_image(root / name)[0]) for name in files_of(named))
    except Exception as error:  # noqa: BLE001 - as above
        return ScannedMask(column=column, fault=f"{column} of {image}: {_message(error, image)}")
    return ScannedMask(column=column, share=float(mask.mean()), two_valued=two_valued)


def _message(error: Exception, path: Path) -> str:
    return (
        str(error)
        if isinstance(error, BenchmarkError)
        else f"{path}: {type(error).__name__}: {' '.join(str(error).split())}"
    )


def _is_blank(pixels: Pixels) -> bool:
    # few images have one color on a coarse grid: only those are compared in full
    return not (pixels[::64, ::64] != pixels[0, 0]).any() and not (pixels != pixels[0, 0]).any()


def _is_two_valued(pixels: Pixels) -> bool:
    values = pixels[..., 0]
    return bool(((values == values.min()) | (values == values.max())).all())
