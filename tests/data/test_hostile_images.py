"""Images that were made to do harm: each is refused in one line before it takes memory, and none starts a program."""

import os
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from pydicom import FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from benchmark.data import dicom, hdf5
from benchmark.data.hdf5 import read_dataset
from benchmark.data.image_files import read_image
from benchmark.errors import BenchmarkError


def refusal(path, windows=None) -> str:
    with pytest.raises(BenchmarkError) as raised:
        read_image(path, windows)
    message = str(raised.value)
    assert message.startswith(f"{path}".partition("#")[0])
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    return message


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Ghostscript is a shell script")
@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.tif", "image.eps"])
def test_postscript_that_calls_itself_an_image_starts_no_program(tmp_path, monkeypatch, name):
    path, ran = tmp_path / name, tmp_path / "ran"
    path.write_bytes(EPS)
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)

    said = refusal(path)

    assert "unreadable image (cannot identify image file" in said
    assert not ran.exists()
    with pytest.raises(Exception), Image.open(path) as image:  # noqa: B017, PT011 - whatever Ghostscript's failing raises
        image.load()
    assert ran.exists(), "Pillow by itself would have started it"


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_an_image_of_more_pixels_than_any_film_is_refused_by_its_header(tmp_path, suffix):
    """Nine thousand pixels square: below Pillow's own limit. The GIF has nothing behind its header."""
    path = tmp_path / f"image{suffix}"
    if suffix == ".gif":
        path.write_bytes(b"GIF89a" + struct.pack("<HH", 9000, 9000) + b"\x00\x00\x00,\0\0\0\0" + struct.pack("<HH", 9000, 9000)
                         + b"\x00\x02\x02\x44\x01\x00;")  # fmt: skip
    else:
        header = struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"0")), (b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
        ))  # fmt: skip

    assert "refused, it is 9,000 x 9,000: wanted at most 80,000,000 pixels" in refusal(path)


def written(path: Path, syntax=ExplicitVRLittleEndian, pixels=bytes(128), **tags) -> Path:
    """A DICOM file of 8 x 8 pixels of 16 bits, or of what the tags say."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "2.25.8"
    meta.TransferSyntaxUID = syntax
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    usual = {"SOPClassUID": SecondaryCaptureImageStorage, "SOPInstanceUID": "2.25.8", "Rows": 8, "Columns": 8,
             "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16,
             "HighBit": 15, "PixelRepresentation": 0, "RescaleSlope": "1", "RescaleIntercept": "0"}  # fmt: skip
    for name, value in (usual | tags).items():
        setattr(file, name, value)
    file.PixelData = pixels
    file["PixelData"].VR = "OW"
    file.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize(
    "absurd", [{"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 2**31 - 1}, {"SamplesPerPixel": 65535}]
)
def test_a_dicom_of_absurd_sizes_is_refused_by_its_header(tmp_path, syntax, absurd):
    pixels = encapsulate([bytes(64)]) if syntax == RLELossless else bytes(128)

    said = refusal(written(tmp_path / "a.dcm", syntax, pixels, **absurd))

    assert "refused, its header tells of" in said
    assert "wanted at most 80,000,000 pixels" in said


def test_run_lengths_that_unpack_to_more_than_the_image_are_refused(tmp_path):
    """Each two bytes are 128: pydicom unpacks all of them before it looks at the image's size."""
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    path = written(tmp_path / "a.dcm", RLELossless, encapsulate([header + b"\x81\x00" * 1_000_000]))

    assert "refused, 2,000,0" in refusal(path)
    assert "bytes of run lengths for an image of 128 bytes" in refusal(path)


def test_a_deflated_dicom_is_inflated_up_to_a_bound(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    written(path, DeflatedExplicitVRLittleEndian, TextValue="x" * 10_000)
    read_image(path)
    monkeypatch.setattr(dicom, "MAX_BYTES", 2_000_000)
    small = read_image(path)[0]
    written(path, DeflatedExplicitVRLittleEndian, EncapsulatedDocument=bytes(3_000_000))

    assert small.shape == (8, 8, 1)
    assert path.stat().st_size < 10_000
    assert "refused, it inflates to more than 2,000,000 bytes" in refusal(path)


def test_a_slice_of_wider_numbers_than_a_scanners_makes_no_endless_table(tmp_path):
    values = np.array([0, 2**32 - 1] * 32, np.uint32)
    path = written(tmp_path / "a.dcm", pixels=values.tobytes(), BitsAllocated=32, BitsStored=32, HighBit=31)

    assert "found pixels of 8 x 8 of uint32: wanted one slice" in refusal(path, ((1500.0, -600.0),))


@pytest.fixture
def stored(tmp_path):
    """Make an HDF5 file by a function of it; the path of its first row."""

    def make(write) -> Path:
        with h5py.File(tmp_path / "x.h5", "w") as file:
            write(file)
        return tmp_path / "x.h5#0"

    return make


def images(count=4, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def twice_deflated(file):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1, 8, 8, 3))
    plist.set_deflate(9)
    plist.set_deflate(9)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((4, 8, 8, 3)), plist)


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4, 8, 8, 3), dtype="u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4, 8, 8, 3))
    file.create_virtual_dataset("x", layout)


def other_places(file):
    file["y"] = images()
    file["x"] = h5py.SoftLink("/y")


HDF5 = {
    "another file's bytes": (
        lambda file: file.create_dataset("x", (4, 8, 8, 3), "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]),
        'dataset "x" lies in other files',
    ),
    "another file's dataset": (
        lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/x")),
        '"x" is a link to another place',
    ),
    "a link": (other_places, '"x" is a link to another place'),
    "a virtual dataset": (virtual, 'dataset "x" lies in other files'),
    "gigapixels": (
        lambda file: file.create_dataset("x", (9, 60_000, 60_000, 3), "u1", chunks=(1, 64, 64, 3)),
        "refused, its images are 60,000 x 60,000: wanted at most 80,000,000 pixels",
    ),
    "a block of gigabytes": (
        lambda file: file.create_dataset("x", (90_000, 96, 96, 3), "u1", chunks=(90_000, 96, 96, 3), compression="gzip"),
        "refused, a block of 0 bytes unpacks to 2,488,320,000: wanted at most 240,000,000",
    ),
    "gzip in gzip": (twice_deflated, "is packed by the filters [1, 1]: wanted gzip, once, or none"),
    "another filter": (
        lambda file: file.create_dataset("x", data=images(), chunks=(1, 8, 8, 3), scaleoffset=0),
        "is packed by the filters [6]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HDF5)
def test_a_dataset_elsewhere_or_of_gigabytes_in_a_few_bytes_is_refused(stored, what):
    write, said = HDF5[what]

    assert said in refusal(stored(write))


def test_a_block_that_inflates_to_more_than_its_size_is_refused(stored, monkeypatch):
    """HDF5's own filter would inflate it to its end."""

    def write(file):
        dataset = file.create_dataset("x", data=images(), chunks=(2, 8, 8, 3), compression="gzip")
        dataset.id.write_direct_chunk((2, 0, 0, 0), zlib.compress(bytes(300_000)))

    path = stored(write)
    monkeypatch.setattr(hdf5, "MAX_BYTES", 1000)  # blocks so small are otherwise no danger

    assert read_image(path)[0].tolist() == images()[0].tolist()
    assert "refused, a block unpacks to more than its 384 bytes" in refusal(path.with_name("x.h5#3"))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"shape": (10**10,), "dtype": "u1", "chunks": (1000,)}, "wanted at most 4,194,304 numbers"),
        ({"shape": (10**10,), "dtype": "u1"}, "wanted at most 4,194,304 numbers"),
        ({"shape": (10,), "dtype": h5py.string_dtype()}, "wanted at most 4,194,304 numbers"),
        (
            {"shape": (4_000_000,), "dtype": "u1", "chunks": (1000,)},
            "declares 4,000,000 bytes, which the file does not have",
        ),
    ],
)
def test_labels_without_end_are_refused(stored, told, said):
    path = stored(lambda file: file.create_dataset("y", **told)).with_name("x.h5")

    with pytest.raises(BenchmarkError) as raised:
        read_dataset(path, "y")

    assert said in str(raised.value)
    assert path.stat().st_size < 50_000


def test_a_file_that_may_not_be_read_is_no_damaged_image(tmp_path):
    """And nobody is told to copy it again."""
    (tmp_path / "folder.png").mkdir()

    assert refusal(tmp_path / "folder.png") == f"{tmp_path / 'folder.png'}: Is a directory"
