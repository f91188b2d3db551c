"""Files of phantoms: images, masks and run lengths, DICOM and HDF5, each marked inside as a phantom."""

from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from benchmark.data.image_files import Mask, Pixels
from benchmark.data.phantom_mark import PHANTOM_MARK


def encode_rle(mask: Mask) -> str:
    """Returns a mask's run lengths, the inverse of `decode_rle`; an empty mask is -1."""
    flat = np.concatenate([[False], mask.T.reshape(-1), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return "-1"
    gaps = starts - np.concatenate([[0], ends[:-1]])
    return " ".join(f"{gap} {length}" for gap, length in zip(gaps, ends - starts, strict=True))


def write_image(path: Path, pixels: Pixels) -> None:
    """Writes a phantom image (PNG, JPEG, TIFF or GIF by its name), marked as one inside the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    suffix = path.suffix.lower()
    if suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text("comment", PHANTOM_MARK)
        image.save(path, pnginfo=info)
    elif suffix in (".tif", ".tiff"):
        image.save(path, tiffinfo={270: PHANTOM_MARK})
    elif suffix in (".jpg", ".jpeg"):
        image.save(path, quality=95, comment=PHANTOM_MARK)
    else:
        image.save(path, comment=PHANTOM_MARK)


def write_mask(path: Path, mask: Mask) -> None:
    """Writes a phantom's mask as a 0/255 image."""
    write_image(path, (mask * np.uint8(255))[..., None])


WRITTEN_INTERCEPT = -1024


def write_dicom(path: Path, pixels: NDArray[np.uint8], *, uid: str, tags: dict[str, str]) -> None:
    """Writes a gray phantom in the form in which SIIM-ACR ships its radiographs: one frame of 8 bits, JPEG baseline."""
    dicom = _blank(path, SecondaryCaptureImageStorage, JPEGBaseline8Bit, uid)
    dicom.Modality, dicom.ImageComments = "CR", PHANTOM_MARK
    for name, value in tags.items():
        setattr(dicom, name, value)
    dicom.Rows, dicom.Columns = pixels.shape[:2]
    dicom.SamplesPerPixel, dicom.PhotometricInterpretation = 1, "MONOCHROME2"
    dicom.BitsAllocated = dicom.BitsStored = 8
    dicom.HighBit, dicom.PixelRepresentation = 7, 0
    frame = BytesIO()
    Image.fromarray(pixels[..., 0]).save(frame, format="JPEG", quality=95)
    dicom.PixelData = encapsulate([frame.getvalue()])
    dicom["PixelData"].VR = "OB"
    dicom.LossyImageCompression = "01"
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom.save_as(path, enforce_file_format=True)


def write_ct(path: Path, hounsfield: NDArray[np.int16], *, uid: str, tags: dict[str, str]) -> None:
    """Writes a phantom slice (height x width, from -1024 on) as a scanner does: 16 bits, unsigned, not compressed."""
    dicom = _blank(path, CTImageStorage, ExplicitVRLittleEndian, uid)
    dicom.Modality, dicom.ImageComments = "CT", PHANTOM_MARK
    for name, value in tags.items():
        setattr(dicom, name, value)
    dicom.Rows, dicom.Columns = hounsfield.shape
    dicom.SamplesPerPixel, dicom.PhotometricInterpretation = 1, "MONOCHROME2"
    dicom.BitsAllocated = dicom.BitsStored = 16
    dicom.HighBit, dicom.PixelRepresentation = 15, 0
    dicom.RescaleSlope, dicom.RescaleIntercept, dicom.RescaleType = "1", str(WRITTEN_INTERCEPT), "HU"
    dicom.PixelData = (hounsfield.astype(np.int32) - WRITTEN_INTERCEPT).clip(0).astype("<u2").tobytes()
    dicom["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom.save_as(path, enforce_file_format=True)


def _blank(path: Path, kind: UID, syntax: UID, uid: str) -> FileDataset:
    """Returns a DICOM file without an image."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = kind, UID(uid), syntax
    dicom = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dicom.SOPClassUID, dicom.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    return dicom


def write_dataset(file: Path, name: str, values: NDArray[np.uint8]) -> None:
    """Writes a phantom's file of one dataset, marked."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # HDF5 writes over no file that is open
    with h5py.File(file, "w") as opened:
        opened.create_dataset(name, data=values).attrs["comment"] = PHANTOM_MARK
