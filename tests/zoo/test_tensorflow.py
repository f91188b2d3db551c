"""TensorFlow's own checkpoints are read without TensorFlow: as it reads them, or refused in one line."""

import io
import random
import struct
import sys
import zipfile

import pytest
import torch
from forged import FORGED, NET, known_encoder, write
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_bundles import (
    STEM,
    THEIR_TENSORS,
    WRITTEN_BY_TENSORFLOW,
    block,
    bundle,
    ended,
    entry,
    field,
    header,
    masked,
    sealed,
    table,
    tarred,
    varint,
    zipped,
)

from benchmark.errors import BenchmarkError
from benchmark.zoo import tensorflow as reader
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.matching import read_encoder_tensors
from benchmark.zoo.unpack import unpack

INDEX, DATA = WRITTEN_BY_TENSORFLOW
TENSORS = {f"base_model/conv2d_{n}/kernel": torch.full((1, 1, 2, 3), float(n)) for n in range(300)}


@pytest.fixture
def written(tmp_path):
    def write_file(content: bytes):
        (tmp_path / "net.zip").write_bytes(content)
        return tmp_path / "net.zip"

    return write_file


def refusal(path, member="") -> str:
    with pytest.raises(BenchmarkError) as raised:
        unpack(path, "tensorflow", member=member)
    message = str(raised.value)
    assert message.startswith("net.zip: ")
    assert "\n" not in message
    assert len(message) < 400
    return message


def made(index: bytes, data: bytes = b"") -> bytes:
    return zipped({f"{STEM}.index": index, f"{STEM}.data-00000-of-00001": data})


def holding(entry: bytes, data: bytes = bytes(24)) -> bytes:
    """A checkpoint of one entry."""
    return made(table([(b"", header()), (b"w", entry)]), data)


def test_without_its_extra_a_checkpoint_is_refused_in_one_line(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)

    assert refusal(written(zipped(WRITTEN_BY_TENSORFLOW))).endswith(
        "install the extra `tensorflow` of medical-transfer-benchmark"
    )


@pytest.mark.parametrize("pack", [zipped, tarred, lambda files: tarred(files, "gz")], ids=["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("folder", ["", "ResNet50_1x/"])
def test_what_tensorflow_wrote_is_read_as_it_was(written, pack, folder):
    """Beside what macOS and TensorFlow's saver lay there."""
    others = {"__MACOSX/._model.ckpt-225206.index": b"x", f"{folder}checkpoint": random.Random(0).randbytes(4000)}
    path = written(pack({**others, **{f"{folder}{name}": content for name, content in WRITTEN_BY_TENSORFLOW.items()}}))

    found = unpack(path, "tensorflow")

    assert sorted(found.tensors) == sorted(THEIR_TENSORS)
    for name, tensor in THEIR_TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert found.other_contents == ["words"]


@pytest.mark.parametrize("num_files", [1, 3])
def test_many_tensors_in_many_blocks_and_several_files_are_all_there(written, num_files):
    path = written(zipped(bundle(TENSORS, num_files=num_files)))

    found = unpack(path, "tensorflow")

    assert sorted(found.tensors) == sorted(TENSORS)
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)


def test_of_several_checkpoints_the_one_that_is_told_is_read(written):
    early = bundle({"step": torch.tensor(1)}, "run/model.ckpt-1")
    path = written(zipped({**early, **bundle({"step": torch.tensor(2)}, "run/model.ckpt-2")}))

    assert "several TensorFlow checkpoints: say which `member`: run/model.ckpt-1, run/model.ckpt-2" in refusal(path)
    for member in ("run/model.ckpt-2", "run/model.ckpt-2.index"):
        assert unpack(path, "tensorflow", member=member).tensors["step"] == 2
    assert "no TensorFlow checkpoint (run/model.ckpt-3.index) in it" in refusal(path, "run/model.ckpt-3")


def test_a_checkpoint_without_all_of_its_files_is_told_what_lacks(written):
    files = bundle(TENSORS, num_files=2)
    second = files.pop(f"{STEM}.data-00001-of-00002")
    path = written(zipped(files))

    assert refusal(path) == (
        f"net.zip: {STEM}.index without {STEM}.data-00001-of-00002: pack all files of the checkpoint"
    )
    assert "without" in refusal(written(zipped({f"{STEM}.index": files[f"{STEM}.index"]})))
    assert "no TensorFlow checkpoint" in refusal(written(zipped({"data": second})))


def test_a_stray_layer_a_missing_one_and_a_misshapen_are_told_from_both_sides(tmp_path):
    content = FORGED["simclr-tf"]["with a classifier"]()
    del content["base_model/batch_normalization/beta"]
    content["base_model/conv2d_20/kernel"] = torch.zeros(1, 1, 2, 5)
    content["base_model/conv2d/kernel"] = torch.zeros(7, 7, 1, 64)
    write("simclr-tf", content, tmp_path / "net.zip")
    fields = {"name": "net", "family": "ssl", "architecture": NET, "licence": "CC0", "cite": "nobody"}

    with pytest.raises(BenchmarkError) as raised:
        read_encoder_tensors(ZooEntry(**fields, container="tensorflow", naming="simclr-tf"), tmp_path / "net.zip")

    head, *lines = str(raised.value).splitlines()
    assert "1 missing, 1 stray, 1 of another shape" in head
    assert lines == [
        " - bn1.bias (64,): the file lacks it",
        " + base_model/conv2d_20/kernel (5, 2, 1, 1): narrow_resnet18 has no such tensor",
        " ≠ base_model/conv2d/kernel: (64, 1, 7, 7) in the file, (64, 3, 7, 7) in narrow_resnet18",
    ]


def test_what_is_dropped_is_dropped_by_name(tmp_path):
    write("simclr-tf", FORGED["simclr-tf"]["pretrained"](), tmp_path / "net.zip")
    fields = {"name": "net", "family": "ssl", "architecture": NET, "licence": "CC0", "cite": "nobody"}

    _, report = read_encoder_tensors(
        ZooEntry(**fields, container="tensorflow", naming="simclr-tf"), tmp_path / "net.zip"
    )

    assert report.num_loaded == len([name for name in known_encoder() if not name.endswith("num_batches_tracked")])
    others = {name for name in report.dropped if not name.endswith("/Momentum")}
    assert others == {
        "global_step", "head_contrastive/nl_0/dense/kernel", "head_contrastive/nl_0/batch_normalization/gamma",
    }  # fmt: skip


WHOLE = entry(1, (2, 3), 0, 24, masked(bytes(24)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (holding(entry(1, (2, 3), 8, 24, masked(bytes(24)))), "ends at byte 32 of 24"),
        (holding(entry(1, (2, 3), 2**63, 24, 0)), "ends at byte"),
        (holding(entry(1, (2, 3), 0, 24, 1)), "w has another checksum than its index says"),
        (holding(entry(1, (2, 4), 0, 24, 0)), "w should be [2, 4] of torch.float32, and has 24 bytes"),
        (holding(entry(1, (2**40, 2**40), 0, 24, 0)), "has 24 bytes"),
        (holding(entry(1, (1,) * 30 + (6,), 0, 24, 0)), "has 24 bytes"),
        (holding(entry(1, (0, 2**62, 2**62), 0, 0, 0)), "cut off or damaged"),
        (holding(entry(1, (2, 3), 0, 24, 0, file=7)), "cut off or damaged"),
        (holding(entry(1, (2, 3), 0, 2**62, 0)), "its tensors are larger than its data"),
        (made(table([(b"", header()), (b"a", WHOLE), (b"b", WHOLE)]), bytes(24)), "its tensors are larger than its data"),
        (holding(b"\x0a\x05x"), "an entry of its index is damaged"),
        (holding(b"\x08" + b"\xff" * 20), "a number without end"),
        (holding(field(1, b"x")), "field 1 is no number"),
        (holding(field(1, 1) + field(2, 3)), "field 2 is a number"),
        (made(table([(b"w", WHOLE)])), "its index has no header"),
        (made(table([])), "its index has no header"),
        (made(table([(b"", header(2))])), "its index names 2 data files, found 1"),
        (made(table([(b"", header()), (b"b", WHOLE), (b"a", WHOLE)]), bytes(24)), "its index is not in order"),
        (made(table([(b"", header()), (b"x" * 2000, WHOLE)])), "an entry of its index is longer than it can be"),
        (made(table([(b"", header()), (b"\xff\xfe", WHOLE)]), bytes(24)), "cut off or damaged"),
        (made(b"x" * 100), "its index has no end"),
        (made(table([(b"", header())])[:-9]), "its index has no end"),
        (made(ended(b"", [(b"", varint(2**40) + varint(5))])), "a block of its index ends at byte"),
        (made(ended(sealed(struct.pack("<I", 2**31)), [(b"", varint(0) + varint(4))])), "a block of its index has no end"),
        (made(table([(b"", header())]).replace(header(), header()[:-1] + b"\x02")), "another checksum than it says"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_with_what_is_wrong(written, content, said):
    message = refusal(written(content))

    assert "net.zip: not a TensorFlow checkpoint, cut off or damaged" in message
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (made(table([(b"", header(endian=1))])), "written on a big-endian machine, which is not read here"),
        (made(table([(b"", header(version=field(1, 9) + field(2, 9)))])), "its format is of version 9, newer than 1"),
        (made(table([(b"", header())], compression=1)), "its index is compressed, which is not read here"),
        (holding(WHOLE + field(7, field(1, b""))), "w lies in slices, which is not read here"),
    ],
)
def test_what_is_whole_and_not_read_here_is_told_as_that(written, content, said):
    message = refusal(written(content))

    assert said in message
    assert "damaged" not in message


def test_names_that_grow_without_end_cost_no_memory(written):
    """Each entry shares all of the name before it, for four bytes: a name of 2,000 at the two-thousandth."""
    pairs = [(b"", header())] + [(b"x" * n, b"") for n in range(1, 3000)]

    assert "an entry of its index is longer than it can be" in refusal(written(made(block_of_one(pairs))))


def block_of_one(pairs) -> bytes:
    made_of = block(pairs)
    return ended(made_of, [(pairs[-1][0], varint(0) + varint(len(made_of) - 5))])


def test_one_block_told_many_times_is_read_once(written):
    empty = sealed(bytes(500_000 * 4) + struct.pack("<I", 500_000))  # restarts, and nothing that they point at
    first = block([(b"", header())])
    empty_block = varint(len(first)) + varint(len(empty) - 5)
    handles = [(b"", varint(0) + varint(len(first) - 5))] + [(b"%06d" % n, empty_block) for n in range(5000)]
    path = written(made(ended(first + empty, handles)))

    assert "more blocks than there are" in refusal(path)


def test_an_index_larger_than_any_is_not_read(written, monkeypatch):
    monkeypatch.setattr(reader, "MAX_INDEX_SIZE", 1000)

    assert "an index of" in refusal(written(zipped(bundle(TENSORS))))


def test_more_tensors_than_any_net_has_are_refused(written, monkeypatch):
    monkeypatch.setattr(reader, "MAX_TENSORS", 100)

    assert "not in order, or endless" in refusal(written(zipped(bundle(TENSORS))))


@pytest.mark.parametrize("pack", [lambda files: zipped(files, zipfile.ZIP_DEFLATED), lambda f: tarred(f, "gz")])
def test_a_bomb_is_refused_before_it_is_unpacked(written, pack):
    path = written(pack(bundle({"w": torch.zeros(1_000_000)})))

    assert f"a bomb, or cut off: {path.stat().st_size:,} bytes that unpack to more than" in refusal(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_packed_as_no_zip_of_weights_is_refused(written, packing):
    assert "packed otherwise than zip usually does" in refusal(written(zipped(WRITTEN_BY_TENSORFLOW, packing)))


@pytest.mark.parametrize("name", ["../model.ckpt-1", "/srv/model.ckpt-1"])
def test_paths_out_of_an_archive_are_not_followed(tmp_path, written, name):
    before = sorted(tmp_path.rglob("*"))
    path = written(zipped(bundle({"w": torch.zeros(2)}, name)))

    assert "points out of the archive" in refusal(path)
    assert sorted(tmp_path.rglob("*")) == [*before, path]


def test_nothing_is_left_behind(tmp_path, written, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "own"))

    unpack(written(zipped(WRITTEN_BY_TENSORFLOW)), "tensorflow")
    refusal(written(holding(entry(1, (2, 3), 0, 24, 1))))

    assert list((tmp_path / "own").iterdir()) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_index_is_read_or_refused_whatever_the_damage(folder, data):
    """Blocks are sealed anew, so that the damage is met behind the checksums."""
    pieces = [(b"", header()), *((name.encode(), entry(1, (2, 3), 0, 0, 5)) for name in ("a", "ab", "b"))]
    content = bytearray(block(pieces)[:-5])
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    made_of = sealed(bytes(content))
    path = folder / "net.zip"
    path.write_bytes(made(ended(made_of, [(b"z", varint(0) + varint(len(made_of) - 5))]), bytes(24)))

    try:
        unpack(path, "tensorflow")
    except BenchmarkError as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - one of the two must hold


def test_a_member_of_a_zip_is_read_as_one_of_a_tar_is(written):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(3)}, buffer)
    path = written(zipped({"pt/README": b"x", "pt/a.pth": buffer.getvalue(), "pt/folder/": b""}))

    assert torch.equal(unpack(path, "torch", member="pt/a.pth").tensors["a"], torch.ones(3))
    for member, said in (("pt/b", "no member 'pt/b'"), ("pt/folder", "is no regular file"), ("../a", "points out of")):
        with pytest.raises(BenchmarkError, match=said):
            unpack(path, "torch", member=member)
