"""Codecs, both ways: PNG, JPEG, TIFF, GIF images (data.dicom, data.hdf5 have theirs); masks as images or run lengths.

Images come as uint8 arrays, height x width x channels, one channel where the file is gray. Masks are boolean, height x
width. A mask is named in an index by one string: paths joined by `|` (their union), `rle:` and encodings joined by `|`
(`rle:` alone: an empty mask), or nothing: the image has no such mask.

Files are untrusted: only FORMATS are opened, and no image of more than MAX_PIXELS.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.data import MAX_PIXELS, dicom, hdf5
from benchmark.data.phantom_mark import PHANTOM_MARK
from benchmark.errors import BenchmarkError
from benchmark.files import temporary_error_of
from benchmark.text import shortened

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
RLE = "rle:"
# what readers name; Pillow knows forty more by a file's first bytes, and starts Ghostscript for one of them (EPS)
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such an image is refused here, in words


def read_image(path: Path, windows: dicom.Windows | None = None) -> tuple[Pixels, bool]:
    """Returns an image's pixels, and whether the file is marked as a phantom.

    16-bit gray is scaled to 8 bits; with `windows`, (width, level) of each channel in Hounsfield units, a CT slice is
    mapped through them instead. `….h5#123` is a row of an HDF5 file. Raises BenchmarkError naming the file.
    """
    try:
        if path.suffix.lower() in dicom.SUFFIXES:
            return dicom.read_dicom(path, windows)
        if windows:
            raise BenchmarkError(
                f"{path}: windows are of Hounsfield units, which DICOM alone holds: wanted a .dcm file"
            )
        if hdf5.is_row(path):
            return hdf5.read_row(path)
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width:,} x {image.height:,}"
                raise BenchmarkError(f"{path}: refused, it is {size}: wanted at most {MAX_PIXELS:,} pixels")
            phantom = PHANTOM_MARK in str(image.info.get("comment", "")) or _tiff_mark(image)
            return _to_uint8(image), phantom
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BenchmarkError(
            f"{path}: refused as a decompression bomb ({error}): wanted at most {MAX_PIXELS:,} pixels"
        ) from error
    except BenchmarkError:
        raise
    except Exception as error:  # of many decoders over untrusted bytes
        if isinstance(error, OSError) and error.errno is not None:  # the disk's own, not the decoder's
            raise temporary_error_of(error) from error
        reason = shortened(" ".join(str(error).split()).replace(str(path), path.name) or type(error).__name__, 160)
        raise BenchmarkError(
            f"{path}: unreadable image ({reason}; {_size_of(path)}): copy it again from its source"
        ) from error


def _to_uint8(image: Image.Image) -> Pixels:
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    if image.mode.startswith("I"):
        # 16-bit grays; Pillow's own conversion to 8 bits clips them at 255 instead of scaling
        return (np.asarray(image).astype(np.float64).clip(0, 65535) / 257).round().astype(np.uint8)[..., None]
    rgb = np.asarray(image.convert("RGB"))
    if image.mode in ("P", "RGBA", "LA", "RGB") and _is_gray(rgb):
        return np.ascontiguousarray(rgb[..., :1])
    return rgb


def _is_gray(rgb: Pixels) -> bool:
    """Returns whether three channels are equal: many radiographs are stored as such RGB (Shenzhen, Kermany)."""
    sample = rgb[:: max(1, rgb.shape[0] // 64)]
    if (sample[..., 0] != sample[..., 1]).any() or (sample[..., 0] != sample[..., 2]).any():
        return False
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())


def _tiff_mark(image: Image.Image) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    return PHANTOM_MARK in str(tags.get(270, ""))  # 270: ImageDescription


def _size_of(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes" if path.exists() else "gone"


def read_mask(named: str, root: Path, shape: tuple[int, int]) -> Mask:
    """Returns the mask that an index names, in the image's own size (`shape`: height, width).

    Pixels of mask images count as set from half of the image's maximum on, since some copies are not 0/255. Raises
    BenchmarkError where a mask has another size than its image.
    """
    mask = np.zeros(shape, dtype=bool)
    if named.startswith(RLE):
        for encoding in named.removeprefix(RLE).split("|"):
            mask |= decode_rle(encoding, shape)
        return mask
    for name in files_of(named):
        pixels, _ = read_image(root / name)
        if pixels.shape[:2] != shape:
            mask_size, image_size = f"{pixels.shape[1]} x {pixels.shape[0]}", f"{shape[1]} x {shape[0]}"
            raise BenchmarkError(
                f"{root / name}: the mask is {mask_size} but its image is {image_size}: they are not of one case"
            )
        mask |= at_half(pixels[..., 0])
    return mask


def files_of(named: str) -> list[str]:
    """Returns the files that an image's or mask's name in an index stands for; run lengths and an empty name stand for
    none.
    """
    return [] if named.startswith(RLE) else [name for name in named.split("|") if name]


def at_half(values: Pixels) -> Mask:
    """Returns a mask thresholded at half of its maximum: 0/1, 0/255 and gray-edged masks give the same. All zero is
    empty.
    """
    top = int(values.max(initial=0))
    return np.asarray(values > top / 2) if top else np.zeros(values.shape, dtype=bool)


def decode_rle(encoding: str, shape: tuple[int, int]) -> Mask:
    """Returns the mask of SIIM-ACR run lengths: pairs of (gap since the last run's end, length), column by column; -1
    is empty.

    Source: the competition's own `mask_functions.py`. Raises BenchmarkError for what is no such encoding or leaves the
    image.
    """
    encoding = encoding.strip()
    height, width = shape
    flat = np.zeros(height * width, dtype=bool)
    if encoding in ("", "-1"):
        return flat.reshape(shape)
    try:
        numbers = [int(n) for n in encoding.split()]
    except ValueError as error:
        raise BenchmarkError(f"run lengths {encoding[:40]!r}: wanted whole numbers, in pairs") from error
    if min(numbers) < 0:
        raise BenchmarkError(
            f"run lengths {encoding[:40]!r}: wanted pairs of gap and length, found the negative {min(numbers)}"
        )
    if len(numbers) % 2:
        raise BenchmarkError(
            f"run lengths {encoding[:40]!r}: wanted pairs of gap and length, found {len(numbers)} numbers"
        )
    last = sum(numbers)  # Python's integers: those of 64 bits could come round to a place inside the image
    if last > flat.size:
        problem = f"end at pixel {last:,} of an image of {width} x {height} ({flat.size:,} pixels)"
        raise BenchmarkError(f"run lengths {encoding[:40]!r} {problem}")
    for end, length in zip(np.cumsum(numbers)[1::2], numbers[1::2], strict=True):
        flat[end - length : end] = True
    return flat.reshape(width, height).T
