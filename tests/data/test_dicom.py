"""CT slices: stored values to Hounsfield units to windows, against pages of arithmetic and pydicom's own functions."""

import warnings

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmark.data.image_files import read_image
from benchmark.data.phantoms.drawing.scan import ct
from benchmark.data.phantoms.files import write_ct
from benchmark.errors import BenchmarkError

LUNG, EMBOLISM, MEDIASTINUM = (1500.0, -600.0), (700.0, 100.0), (400.0, 40.0)
ALL = (LUNG, EMBOLISM, MEDIASTINUM)


def scanned(path, stored, **tags):
    """A slice as a scanner writes it, by pydicom alone. A tag given as None is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, "2.25.8"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dicom = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    usual = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "2.25.8",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(stored.dtype == np.int16),
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
    }
    for name, value in (usual | tags).items():
        if value is not None:
            setattr(dicom, name, value)
    dicom.PixelData = stored.tobytes()
    dicom["PixelData"].VR = "OW"
    dicom.save_as(path, enforce_file_format=True)
    return path


def the_fault(path, windows=ALL) -> str:
    with pytest.raises(BenchmarkError) as raised:
        read_image(path, windows)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_windows_show_hounsfield_units_as_computed_by_hand(tmp_path):
    """Mediastinum: -160 to 240, 0.6375 grey levels a unit; lung: -1350 to 150, 0.17; embolism: -250 to 450, 0.36429."""
    hounsfield = np.array([[-1024, -600, -160], [40, 100, 240], [0, 450, 3071]], dtype=np.int16)
    write_ct(tmp_path / "slice.dcm", hounsfield, uid="2.25.7", tags={})

    pixels, phantom = read_image(tmp_path / "slice.dcm", ALL)

    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 3, 3)
    assert pixels[..., 0].tolist() == [[55, 128, 202], [236, 246, 255], [230, 255, 255]]
    assert pixels[..., 1].tolist() == [[0, 0, 33], [106, 128, 178], [91, 255, 255]]
    assert pixels[..., 2].tolist() == [[0, 0, 0], [128, 166, 255], [102, 255, 255]]
    assert phantom


def test_channels_come_in_the_order_of_the_windows_and_one_window_gives_one(tmp_path):
    path = tmp_path / "slice.dcm"
    write_ct(path, ct(np.random.default_rng(2), 48, embolism=True), uid="2.25.7", tags={})
    lung, embolism, mediastinum = np.moveaxis(read_image(path, ALL)[0], -1, 0)

    assert read_image(path, (MEDIASTINUM, LUNG, EMBOLISM))[0].tolist() == (
        np.stack([mediastinum, lung, embolism], axis=-1).tolist()
    )
    assert read_image(path, (EMBOLISM,))[0].tolist() == embolism[..., None].tolist()


@pytest.mark.parametrize(
    ("stored", "slope", "intercept"),
    [
        (np.arange(4096, dtype=np.uint16), "1", "-1024"),
        (np.arange(-2048, 2048, dtype=np.int16), "1", "0"),
        (np.arange(-1024, 3072, dtype=np.int16), "0.5", "-300.25"),
        (np.arange(4096, dtype=np.uint16), "2", "-3000"),
    ],
)
@pytest.mark.parametrize("window", ALL)
def test_rescale_and_window_agree_with_pydicoms(tmp_path, stored, slope, intercept, window):
    """DICOM's linear function (C.11.2.1.2.1) has its ends at level - 0.5 -+ (width - 1) / 2: seen from ours, half a unit
    moved and its slope steeper by width / (width - 1); in grey levels 255 / (width - 1) at most, and rounding half.
    """
    width, level = window
    tags = {"RescaleSlope": slope, "RescaleIntercept": intercept, "WindowWidth": width, "WindowCenter": level}
    path = scanned(tmp_path / "slice.dcm", stored.reshape(64, 64), **tags)

    pixels, phantom = read_image(path, (window,))
    plain = pydicom.dcmread(path)
    hounsfield = apply_modality_lut(plain.pixel_array, plain)
    # pydicom spreads a window over all that 16 bits can hold, rescaled: it is brought to 0..255
    bits = np.iinfo(stored.dtype)
    low, high = (end * float(slope) + float(intercept) for end in (bits.min, bits.max))
    shown = (apply_windowing(hounsfield, plain) - low) / (high - low) * 255

    assert np.abs(pixels[..., 0] - shown).max() <= 255 / (width - 1) + 0.5
    assert not phantom


def test_signed_and_unsigned_files_of_one_slice_look_alike(tmp_path):
    hounsfield = ct(np.random.default_rng(5), 64, embolism=True)
    signed = scanned(tmp_path / "signed.dcm", hounsfield, RescaleIntercept="0")
    unsigned = scanned(tmp_path / "unsigned.dcm", (hounsfield + 1024).astype(np.uint16))

    assert read_image(signed, ALL)[0].tolist() == read_image(unsigned, ALL)[0].tolist()


def test_what_lies_outside_of_the_scanners_circle_is_black(tmp_path):
    stored = np.full((8, 8), -2000, dtype=np.int16)
    stored[2:6, 2:6] = 40
    path = scanned(tmp_path / "slice.dcm", stored, RescaleIntercept="0", PixelPaddingValue=-2000)

    pixels, _ = read_image(path, ALL)

    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[3, 3].tolist() == [236, 106, 128]


def test_hounsfield_units_do_not_turn_with_the_way_that_a_viewer_shows_them(tmp_path):
    stored = np.arange(2048, dtype=np.uint16).reshape(32, 64)
    upright = scanned(tmp_path / "upright.dcm", stored)
    inverted = scanned(tmp_path / "inverted.dcm", stored, PhotometricInterpretation="MONOCHROME1")

    assert read_image(upright, ALL)[0].tolist() == read_image(inverted, ALL)[0].tolist()


def test_names_that_are_no_uids_are_read_without_a_warning(tmp_path):
    """The competition's files are named by hexadecimal digits, inside as outside."""
    path = tmp_path / "c0f3cb036d06.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about writing such names
        scanned(path, np.zeros((4, 4), np.uint16), SOPInstanceUID="c0f3cb036d06", StudyInstanceUID="6897fa9de148")

    assert read_image(path, ALL)[0].shape == (4, 4, 3)


@pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_slice_without_its_rescale_is_refused(tmp_path, tag, value):
    path = scanned(tmp_path / "slice.dcm", np.zeros((4, 4), np.uint16), **{tag: value})

    assert the_fault(path) == (
        f"{path}: no {tag}, so its values are no Hounsfield units: wanted a CT slice as it was scanned"
    )


def test_several_frames_are_no_slice(tmp_path):
    path = scanned(tmp_path / "scan.dcm", np.zeros((8, 4), np.uint16), Rows=4, NumberOfFrames=2)

    assert the_fault(path) == (
        f"{path}: found pixels of 2 x 4 x 4 of uint16: wanted one slice, height x width, of at most 16 bits"
    )


def test_windows_are_for_dicom(tmp_path):
    path = tmp_path / "exported.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)

    assert the_fault(path) == f"{path}: windows are of Hounsfield units, which DICOM alone holds: wanted a .dcm file"


@pytest.mark.filterwarnings(
    "ignore:Truncated File Read", "ignore:End of file reached", "ignore:Invalid value for VR UI"
)
def test_a_truncated_slice_is_one_line_with_its_path_wherever_it_ends(tmp_path):
    path = tmp_path / "slice.dcm"
    write_ct(path, ct(np.random.default_rng(0), 32, embolism=False), uid="2.25.7", tags={})
    content = path.read_bytes()

    for size in (*range(1, 900, 13), *range(900, len(content), 61)):
        path.write_bytes(content[:size])
        line = the_fault(path)

        assert line.startswith(f"{path}: ")
        assert line.endswith("copy it again from its source")


def test_a_written_slice_is_read_alike_by_plain_pydicom(tmp_path):
    path = tmp_path / "slice.dcm"
    hounsfield = ct(np.random.default_rng(1), 64, embolism=True)
    write_ct(path, hounsfield, uid="2.25.7", tags={"StudyInstanceUID": "2.25.9"})

    plain = pydicom.dcmread(path)

    assert (plain.StudyInstanceUID, plain.SOPInstanceUID, plain.Modality) == ("2.25.9", "2.25.7", "CT")
    assert (plain.BitsAllocated, plain.PixelRepresentation, plain.RescaleIntercept) == (16, 0, -1024)
    assert apply_modality_lut(plain.pixel_array, plain).tolist() == hounsfield.tolist()


@pytest.mark.parametrize("size", [32, 64, 256])
def test_an_embolism_darkens_a_bright_vessel_under_its_window(tmp_path, size):
    """Between the fat and the bone, the middle third holds less contrast than without."""
    bright = {}
    for embolism in (False, True):
        shares = []
        for seed in range(12):
            write_ct(
                tmp_path / "slice.dcm", ct(np.random.default_rng(seed), size, embolism=embolism), uid="2.25.7", tags={}
            )
            pixels = read_image(tmp_path / "slice.dcm", (EMBOLISM,))[0]
            shares.append((pixels[int(size * 0.42) : int(size * 0.66)] > 150).mean())
        bright[embolism] = np.mean(shares)

    assert bright[True] < 0.9 * bright[False]
