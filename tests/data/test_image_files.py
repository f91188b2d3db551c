"""Codecs both ways: run lengths, DICOM, PNG, JPEG, TIFF, GIF; masks; the phantom mark; files that cannot be read."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from benchmark.data.image_files import decode_rle, read_image, read_mask
from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import encode_rle, write_dicom, write_image, write_mask
from benchmark.errors import BenchmarkError

# 4 rows x 3 columns; column by column 0110 1100 0001: gaps 1, 1, 5 before runs of 2, 2, 1
SPOTS = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
SPOTS_RLE = "1 2 1 2 5 1"
SUFFIXES = (".png", ".jpg", ".tif", ".gif", ".dcm")


def some_grey(height: int = 37, width: int = 53) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 1), dtype=np.uint8)


def write_any(path, pixels) -> None:
    if path.suffix == ".dcm":
        write_dicom(path, pixels, uid="2.25.7", tags={})
    else:
        write_image(path, pixels)


def the_fault(path) -> str:
    with pytest.raises(BenchmarkError) as raised:
        read_image(path)
    return str(raised.value)


def test_run_lengths_of_a_small_mask_are_those_computed_by_hand():
    assert encode_rle(SPOTS) == SPOTS_RLE
    assert SPOTS.tolist() == decode_rle(SPOTS_RLE, (4, 3)).tolist()


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_decode_to_the_mask_that_was_encoded(mask):
    decoded = decode_rle(encode_rle(mask), mask.shape)

    assert mask.tolist() == decoded.tolist()


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_read_as_the_competitions_own_loop_reads_them(mask):
    """The walk of SIIM-ACR's mask_functions.py: a position that moves by each gap and each length, over width x height."""
    flat = np.zeros(mask.size, dtype=bool)
    position = 0
    numbers = [int(n) for n in encode_rle(mask).split() if n != "-1"]
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += gap
        flat[position : position + length] = True
        position += length

    assert mask.tolist() == flat.reshape(mask.shape[1], mask.shape[0]).T.tolist()


@pytest.mark.parametrize("nothing", ["-1", " -1 ", "", "  "])
def test_minus_one_and_nothing_are_an_empty_mask(nothing):
    assert decode_rle(nothing, (4, 3)).shape == (4, 3)
    assert not decode_rle(nothing, (4, 3)).any()
    assert encode_rle(np.zeros((4, 3), dtype=bool)) == "-1"


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("1 2 1", "wanted pairs of gap and length, found 3 numbers"),
        ("1 2 x 1", "wanted whole numbers, in pairs"),
        ("1.5 2", "wanted whole numbers, in pairs"),
        ("3 -4", "negative"),
        ("-1 5", "negative"),
        ("11 2", "end at pixel 13 of an image of 3 x 4 (12 pixels)"),
        ("9" * 30 + " 1", "of an image of 3 x 4 (12 pixels)"),
        # their sum, in 64 bits, would come round to 5
        ("9223372036854775807 9223372036854775807 2 5", "of an image of 3 x 4 (12 pixels)"),
    ],
)
def test_what_is_no_run_length_encoding_is_one_clear_line(encoding, told):
    with pytest.raises(BenchmarkError) as raised:
        decode_rle(encoding, (4, 3))

    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert encoding[:20] in str(raised.value)


def test_a_run_may_end_with_the_image():
    assert decode_rle("11 1", (4, 3)).sum() == 1
    assert decode_rle("0 12", (4, 3)).all()


def test_a_written_dicom_is_read_alike_by_plain_pydicom(tmp_path):
    path = tmp_path / "chest.dcm"
    pixels = chest(np.random.default_rng(3), 96, ["Pneumothorax"]).pixels
    write_dicom(path, pixels, uid="2.25.7", tags={"PatientID": "p1", "PatientAge": "041Y"})

    plain = pydicom.dcmread(path)
    read, _ = read_image(path)
    difference = plain.pixel_array.astype(float) - pixels[..., 0]

    assert (plain.PatientID, plain.PatientAge, plain.SOPInstanceUID) == ("p1", "041Y", "2.25.7")
    assert (plain.Rows, plain.Columns, plain.pixel_array.dtype) == (96, 96, np.uint8)
    assert read[..., 0].tolist() == plain.pixel_array.tolist()
    # Rounding moves each of a block's 64 coefficients by half its quantisation step at most, and the transform keeps
    # lengths: the root mean square of half steps (3.36 at quality 95, standard's table K.1) bounds that of the pixels;
    # rounding those adds up to a half.
    assert np.sqrt((difference**2).mean()) < 3.36 + 0.5


def test_dicom_of_twelve_bits_is_scaled_and_monochrome1_is_inverted(tmp_path):
    path = tmp_path / "film.dcm"
    values = np.array([[0, 1, 2048], [4095, 4000, 8]], dtype=np.uint16)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "2.25.8"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dicom = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dicom.SOPClassUID, dicom.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.8"
    dicom.Rows, dicom.Columns, dicom.SamplesPerPixel = 2, 3, 1
    dicom.BitsAllocated, dicom.BitsStored, dicom.HighBit, dicom.PixelRepresentation = 16, 12, 11, 0
    dicom.PhotometricInterpretation = "MONOCHROME1"
    dicom.PixelData = values.tobytes()
    dicom.save_as(path, enforce_file_format=True)

    pixels, phantom = read_image(path)

    # 255 - round(value * 255 / 4095)
    assert pixels[..., 0].tolist() == [[255, 255, 127], [0, 6, 255]]
    assert not phantom


def test_png_of_sixteen_bits_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 257, 4660], [65535, 32768, 128]], dtype=np.uint16)).save(path)

    pixels, _ = read_image(path)

    assert pixels[..., 0].tolist() == [[0, 1, 18], [255, 128, 0]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P"])
def test_grey_stored_in_another_mode_is_one_channel(tmp_path, mode):
    path = tmp_path / "grey.png"
    grey = some_grey()
    Image.fromarray(grey[..., 0]).convert(mode).save(path)

    pixels, _ = read_image(path)

    assert grey.tolist() == pixels.tolist()


@pytest.mark.parametrize("place", [(0, 0), (1, 7), (140, 99)])
def test_one_coloured_pixel_keeps_three_channels(tmp_path, place):
    """Wherever it is, also between the rows that a quick look samples."""
    path = tmp_path / "nearly.png"
    colour = np.repeat(some_grey(141, 100), 3, axis=2)
    colour[(*place, 2)] ^= 1
    Image.fromarray(colour).save(path)

    pixels, _ = read_image(path)

    assert colour.tolist() == pixels.tolist()


def test_a_palette_gif_gives_its_colours(tmp_path):
    path = tmp_path / "flag.gif"
    palette = Image.new("P", (3, 2))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1, 0, 1, 1, 0])
    palette.save(path)

    pixels, _ = read_image(path)

    red, blue = [255, 0, 0], [0, 0, 255]
    assert [[red, blue, red], [blue, blue, red]] == pixels.tolist()


def test_a_one_bit_image_is_black_and_white(tmp_path):
    path = tmp_path / "bits.png"
    Image.fromarray(SPOTS).save(path)

    assert (SPOTS * 255).tolist() == read_image(path)[0][..., 0].tolist()


@pytest.mark.parametrize("top", [1, 2, 128, 255])
def test_masks_of_any_two_values_are_the_same_mask(tmp_path, top):
    Image.fromarray((SPOTS * top).astype(np.uint8)).save(tmp_path / "mask.png")

    assert SPOTS.tolist() == read_mask("mask.png", tmp_path, (4, 3)).tolist()


def test_a_grey_edged_mask_is_cut_at_half(tmp_path):
    Image.fromarray(np.array([[0, 100, 127, 128, 200, 255]], dtype=np.uint8)).save(tmp_path / "mask.png")

    assert read_mask("mask.png", tmp_path, (1, 6)).tolist() == [[False, False, False, True, True, True]]


def test_an_all_black_mask_and_no_mask_are_empty(tmp_path):
    Image.fromarray(np.zeros((4, 3), dtype=np.uint8)).save(tmp_path / "mask.png")

    assert not read_mask("mask.png", tmp_path, (4, 3)).any()
    assert not read_mask("", tmp_path, (4, 3)).any()


def test_a_written_mask_is_read_back(tmp_path):
    for name in ("mask.gif", "mask.png"):
        write_mask(tmp_path / name, SPOTS)

        assert SPOTS.tolist() == read_mask(name, tmp_path, (4, 3)).tolist()


def test_two_mask_files_are_their_union(tmp_path):
    """Each cut at half of its own range."""
    left, right = np.zeros((4, 3), np.uint8), np.zeros((4, 3), np.uint8)
    left[:, 0], right[1, 1:] = 255, 1
    Image.fromarray(left).save(tmp_path / "left.png")
    Image.fromarray(right).save(tmp_path / "right.png")

    union = read_mask("left.png|right.png", tmp_path, (4, 3))

    assert union.astype(int).tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0]]


def test_several_run_length_encodings_are_their_union(tmp_path):
    assert SPOTS.tolist() == read_mask("rle:1 2|4 2|11 1", tmp_path, (4, 3)).tolist()


def test_a_mask_of_another_size_than_its_image_names_both_sizes(tmp_path):
    write_mask(tmp_path / "mask.png", SPOTS)

    with pytest.raises(BenchmarkError) as raised:
        read_mask("mask.png", tmp_path, (5, 7))

    assert f"{tmp_path / 'mask.png'}: the mask is 3 x 4 but its image is 7 x 5: they are not of one case" == str(
        raised.value
    )


def test_an_image_that_is_not_there_is_named(tmp_path):
    for suffix in SUFFIXES:
        assert f"{tmp_path / 'gone'}{suffix}: no such image" == the_fault(tmp_path / f"gone{suffix}")


# what Pillow and pydicom remark about a damaged file, beside the error that becomes the one line
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read", "ignore:End of file reached")
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_image_is_one_line_with_its_path_wherever_it_ends(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    write_any(path, some_grey())
    content = path.read_bytes()

    # the last sixth may hold no pixels: an end mark, a checksum, tags
    for size in (*range(1, 300, 7), *range(300, len(content) * 5 // 6, 97)):
        path.write_bytes(content[:size])
        line = the_fault(path)

        assert line.startswith(f"{path}: ")
        assert line.endswith("copy it again from its source")
        assert "\n" not in line


@pytest.mark.parametrize("content", [b"", b"<html>404 not found</html>\n" * 40])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_text_or_an_empty_file_named_as_an_image_is_one_line_with_its_size(tmp_path, suffix, content):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(content)

    line = the_fault(path)

    assert line.startswith(f"{path}: ")
    assert f"{len(content):,} bytes" in line
    assert line.endswith("copy it again from its source")
    assert "\n" not in line


@pytest.mark.parametrize("side", [14_000, 50_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, side):
    """A header that claims gigapixels, in a file of a few bytes."""
    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"0")), (b"IEND", b"")]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in chunks:
            file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

    line = the_fault(path)

    assert line.startswith(f"{path}: ")
    assert "decompression bomb" in line


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_phantom_carries_its_mark_in_the_file(tmp_path, suffix):
    path = tmp_path / f"phantom{suffix}"
    write_any(path, some_grey())

    assert read_image(path)[1]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".gif"])
def test_an_ordinary_image_carries_no_mark(tmp_path, suffix):
    path = tmp_path / f"ordinary{suffix}"
    Image.fromarray(some_grey()[..., 0]).save(path)

    assert not read_image(path)[1]


def test_an_ordinary_dicom_carries_no_mark(tmp_path):
    path = tmp_path / "ordinary.dcm"
    write_dicom(path, some_grey(), uid="2.25.7", tags={"ImageComments": "lateral view"})

    assert not read_image(path)[1]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".gif"])
def test_lossless_formats_return_the_pixels_that_were_written(tmp_path, suffix):
    path = tmp_path / f"phantom{suffix}"
    grey = some_grey()
    write_image(path, grey)

    assert grey.tolist() == read_image(path)[0].tolist()


def test_a_colour_jpeg_stays_close_to_what_was_written(tmp_path):
    path = tmp_path / "fundus.jpg"
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    colour = np.stack([np.tile(ramp, (48, 1)), np.full((48, 64), 90, np.uint8), np.tile(ramp[::-1], (48, 1))], axis=-1)
    write_image(path, colour)

    pixels, _ = read_image(path)
    plain = np.asarray(Image.open(BytesIO(path.read_bytes())))

    assert plain.tolist() == pixels.tolist()
    # chroma is kept at half resolution and in steps: a few grey levels on a smooth ramp
    assert np.abs(pixels.astype(int) - colour).mean() < 4
