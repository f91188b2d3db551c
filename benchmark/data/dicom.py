"""Reads DICOM images: radiographs as they are displayed, CT slices through windows of Hounsfield units.

Radiographs come in the range of their bits, MONOCHROME1 inverted. A CT slice's stored values become Hounsfield units by
RescaleSlope and RescaleIntercept (PS3.3 C.11.1.1.2), whichever way a viewer would display them. What a scanner wrote
outside of its circle (PixelPaddingValue) lies below every window and comes out black.

The memory that a file needs is known before it is allocated: the image's size from its header, a deflated file's by
inflating it piece by piece; compressed pixels are refused where they are more than twice as large as the image.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from benchmark.data import MAX_PIXELS
from benchmark.data.phantom_mark import PHANTOM_MARK
from benchmark.errors import BenchmarkError
from benchmark.text import shortened

Windows = tuple[tuple[float, float], ...]
SUFFIXES = (".dcm", ".dicom")
RESCALE = ("RescaleSlope", "RescaleIntercept")
MAX_BYTES = 4 * MAX_PIXELS  # of a file that is inflated
PIECE = 1 << 20
# what pydicom raises in addition to OSError, ValueError and EOFError, for a file that is cut off, damaged or made to do harm
DAMAGED_DICOM = (
    AttributeError,
    BytesLengthException,
    KeyError,
    MemoryError,  # a header that asks for more than there is
    NotImplementedError,
    RuntimeError,
    TypeError,
    struct.error,
    zlib.error,
)


def read_dicom(path: Path, windows: Windows | None = None) -> tuple[NDArray[np.uint8], bool]:
    """Returns a file's pixels (height x width x channels), and whether it is marked as a phantom.

    `windows`: (width, level) of each channel, in Hounsfield units. Raises BenchmarkError; OSError, ValueError or
    EOFError for some damaged pixels.
    """
    try:
        _check_inflated(path)
        dicom = pydicom.dcmread(path)
        _check_size(path, dicom)
        values = dicom.pixel_array
        phantom = PHANTOM_MARK in str(dicom.get("ImageComments", ""))
        rescale = [dicom.get(tag) for tag in RESCALE] if windows else []
        depth = 2 ** int(dicom.BitsStored) - 1
        inverted = dicom.PhotometricInterpretation == "MONOCHROME1"
    except InvalidDicomError as error:
        size = f"{path.stat().st_size:,} bytes"
        raise BenchmarkError(f"{path}: not a DICOM file ({size}): copy it again from its source") from error
    except DAMAGED_DICOM as error:
        reason = shortened(" ".join(str(error).split()) or type(error).__name__, 160)
        raise BenchmarkError(
            f"{path}: DICOM without readable pixels ({reason}): copy it again from its source"
        ) from error
    if windows:
        for tag, value in zip(RESCALE, rescale, strict=True):
            if value is None:
                raise BenchmarkError(
                    f"{path}: no {tag}, so its values are no Hounsfield units: wanted a CT slice as it was scanned"
                )
        if values.ndim != 2 or values.dtype.itemsize > 2:  # of wider numbers, a table of all would be endless
            shape = f"{' x '.join(map(str, values.shape))} of {values.dtype}"
            raise BenchmarkError(
                f"{path}: found pixels of {shape}: wanted one slice, height x width, of at most 16 bits"
            )
        slope, intercept = map(float, rescale)
        return _through(windows, values, slope, intercept), phantom
    if values.dtype != np.uint8:
        values = (values.astype(np.float64) * (255 / depth)).clip(0, 255).round().astype(np.uint8)
    if inverted:
        values = 255 - values
    pixels = values[..., None] if values.ndim == 2 else values
    return pixels, phantom


def _check_inflated(path: Path) -> None:
    """Raises BenchmarkError for a deflated file that inflates to more than MAX_BYTES: pydicom inflates it at once."""
    if read_file_meta_info(path).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    with path.open("rb") as file:
        read_preamble(file, force=False)
        read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2)
        packed, inflate, size = file.read(), zlib.decompressobj(-zlib.MAX_WBITS), 0
    while packed:
        size += len(inflate.decompress(packed, PIECE))
        packed = inflate.unconsumed_tail
        if size > MAX_BYTES:
            raise BenchmarkError(f"{path}: refused, it inflates to more than {MAX_BYTES:,} bytes")


def _check_size(path: Path, dicom: FileDataset) -> None:
    """Raises BenchmarkError where the header declares an image larger than MAX_PIXELS, or where its run lengths unpack
    to more.
    """
    height, width = int(dicom.Rows), int(dicom.Columns)
    frames, samples = int(dicom.get("NumberOfFrames") or 1), int(dicom.get("SamplesPerPixel") or 1)
    if height * width * frames > MAX_PIXELS or samples > 4:
        size_text = (
            f"{width:,} x {height:,}"
            + f", {frames:,} frames" * (frames > 1)
            + f", {samples:,} channels" * (samples > 1)
        )
        raise BenchmarkError(f"{path}: refused, its header tells of {size_text}: wanted at most {MAX_PIXELS:,} pixels")
    size = height * width * frames * samples * int(dicom.BitsAllocated) // 8
    if dicom.file_meta.TransferSyntaxUID == RLELossless and len(dicom.PixelData) > 2 * size + PIECE:
        raise BenchmarkError(
            f"{path}: refused, {len(dicom.PixelData):,} bytes of run lengths for an image of {size:,} bytes"
        )


def _through(windows: Windows, stored: NDArray[np.integer], slope: float, intercept: float) -> NDArray[np.uint8]:
    """Maps stored values, height x width, to height x width x windows: a window's lower end is 0, its upper end 255."""
    lowest = int(stored.min())
    # each value that occurs, at most 2^16, is computed once
    hounsfield = np.arange(lowest, int(stored.max()) + 1, dtype=np.float64) * slope + intercept
    levels = [((hounsfield - (level - width / 2)) * 255 / width).clip(0, 255).round() for width, level in windows]
    table = np.stack(levels, axis=-1).astype(np.uint8)
    return np.asarray(table[stored.astype(np.int64) - lowest])
