"""Checksums see damage: of blocks and where they belong, of archives, of JSON files that hold their own digest."""

import zipfile

import numpy as np
import pytest

from benchmark.checksums import checksum, is_intact_zip, read_json, write_json


def test_a_checksum_is_of_the_content_and_of_its_place():
    block = np.arange(1000, dtype=np.uint8)
    flipped = block.copy()
    flipped[500] ^= 1

    assert checksum(block, 3, 7) == checksum(block.tobytes(), 3, 7)
    assert len({checksum(block, 3, 7), checksum(flipped, 3, 7), checksum(block, 7, 3), checksum(block, 3)}) == 4


def test_json_comes_back_as_it_went_and_no_flipped_bit_of_it_is_read(tmp_path):
    """A bit may change the spelling and not the content (the case of a hexadecimal digit in an escape)."""
    path = tmp_path / "note.json"
    content = {"share": 0.9, "dropped": ["head", "Läsion"], "bytes": 12345}
    write_json(path, content)
    written = path.read_bytes()

    assert read_json(path) == content
    for place in range(len(written)):
        for bit in range(8):
            path.write_bytes(written[:place] + bytes([written[place] ^ 1 << bit]) + written[place + 1 :])
            assert read_json(path) in (None, content)


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{}", b'{"digest": 3}', b"\xff\xfe", b"[" * 100_000, None])
def test_what_is_no_such_json_is_none(tmp_path, damage):
    if damage is not None:
        (tmp_path / "note.json").write_bytes(damage)

    assert read_json(tmp_path / "note.json") is None


def test_an_archive_of_which_any_content_changed_is_not_whole(tmp_path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"content" * 100)
        archive.writestr("b", b"more")
    written = path.read_bytes()
    start = written.index(b"content")

    assert is_intact_zip(path)
    for place in range(start, start + 700, 13):
        path.write_bytes(written[:place] + bytes([written[place] ^ 4]) + written[place + 1 :])
        assert not is_intact_zip(path)
    for size in range(0, len(written), 11):
        path.write_bytes(written[:size])
        assert not is_intact_zip(path)
