"""Files that were made to do harm: each is refused in one line, in no time and no memory, and nothing in them runs."""

import builtins
import io
import itertools
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import in_new_process
from forged import known_encoder

from benchmark.errors import BenchmarkError
from benchmark.zoo import safe_pickle as inert
from benchmark.zoo.archive import extract_member
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.matching import read_encoder_tensors
from benchmark.zoo.naming import NAMINGS
from benchmark.zoo.unpack import CONTAINERS, unpack

TENSORS = {"conv1.weight": torch.ones(2, 2)}
ARRAYS = {"conv1.weight": np.ones((2, 2), "f4")}


class Call:
    """Pickled, it is a call that unpickling makes."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def calls(sentinel) -> dict[str, tuple[Call, str]]:
    """Each would make the sentinel, and the name that a refusal tells."""
    code = f"open({str(sentinel)!r}, 'w').close()"
    return {
        "os.system": (Call(os.system, f"touch {sentinel}"), "posix.system"),
        "subprocess": (Call(subprocess.call, ["touch", str(sentinel)]), "subprocess.call"),
        "eval": (Call(eval, code), "builtins.eval"),
        "exec": (Call(exec, code), "builtins.exec"),
        "open": (Call(builtins.open, str(sentinel), "w"), "io.open"),
        "in a call": (Call(sorted, [Call(os.system, f"touch {sentinel}")]), "posix.system"),
        "in an array": (np.array([Call(os.system, f"touch {sentinel}")], object), "posix.system"),
    }


def torch_file(content, **how) -> bytes:
    written = io.BytesIO()
    torch.save(content, written, **how)
    return written.getvalue()


def zip_file(members) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return written.getvalue()


WAYS = {
    "pickle": ("pickle", lambda call: pickle.dumps({**ARRAYS, "extra": call}, protocol=2)),
    "pickle of now": ("pickle", lambda call: pickle.dumps({"deep": [{"in": (call,)}], **ARRAYS})),
    "pickle alone": ("pickle", pickle.dumps),
    "pickle of long ago": ("pickle", lambda call: pickle.dumps(call, protocol=0)),
    "zip": ("torch", lambda call: torch_file({"state_dict": TENSORS, "extra": [call]})),
    "legacy": ("torch", lambda call: torch_file({**TENSORS, "extra": call}, _use_new_zipfile_serialization=False)),
    "no torch": ("torch", pickle.dumps),
    "zip made by hand": ("torch", lambda call: zip_file({"data.pkl": pickle.dumps(call, protocol=2), "version": b"3"})),
    "zip called safetensors": ("safetensors", lambda call: torch_file({**TENSORS, "extra": call})),
    "pickle called safetensors": ("safetensors", pickle.dumps),
}


def refusal(path, container="torch", inside="", member="") -> str:
    with pytest.raises(BenchmarkError) as raised:
        unpack(path, container, inside, member)
    message = str(raised.value)
    assert message.startswith(f"{path.name}: ")
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.fixture
def written(tmp_path):
    def write(content, name="net.pth"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", calls("sentinel"))
def test_a_call_in_a_file_is_refused_by_its_name_and_not_made(tmp_path, written, call, way):
    sentinel = tmp_path / "ran"
    (container, write), (unsafe_call, name) = WAYS[way], calls(sentinel)[call]
    path = written(write(unsafe_call))

    message = refusal(path, container)

    assert not sentinel.exists()
    if way == "zip called safetensors":  # only a zip of torch is read for the code in it
        assert "its container is said to be safetensors: wanted torch" in message
        return
    for old, new in (("__builtin__", "builtins"), ("commands", "subprocess")):  # as Python 2 called them
        message = message.replace(old, new)
    assert f"refused, it names code that loading it would run ({name}): ask its authors" in message


@pytest.mark.parametrize("call", calls("sentinel"))
def test_these_calls_would_be_made_by_pythons_own_reader(tmp_path, call):
    """So that the test above can fail."""
    sentinel = tmp_path / "ran"
    content = pickle.dumps(calls(sentinel)[call][0])

    made = pickle.loads(content)  # noqa: S301 - our own, and harmless

    if call == "open":
        made.close()

    assert sentinel.exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_no_list_knows_is_not_made_either(tmp_path, written, way):
    """What is called is told apart for the message alone: nothing is called in any case."""
    sentinel = tmp_path / "ran"
    container, write = WAYS[way]
    path = written(write(Call(Path.touch, sentinel)))

    try:
        found = unpack(path, container)
        assert list(found.tensors) == ["conv1.weight"]
    except BenchmarkError as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - one of the two must hold

    assert not sentinel.exists()
    pickle.loads(pickle.dumps(Call(Path.touch, sentinel)))  # noqa: S301 - our own: it would have been
    assert sentinel.exists()


def tar_of(*members, kind="gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if not isinstance(content, tarfile.TarInfo):
                info.size = len(content)
            archive.addfile(info, None if isinstance(content, tarfile.TarInfo) else io.BytesIO(content))
    return buffer.getvalue()


def link_to(target, kind=tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def noise(size=5000) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


def test_a_member_of_an_archive_is_read_and_the_rest_left(tmp_path, written):
    member = torch_file({"a": noise()})
    path = written(tar_of(("pt/README", b"x"), ("pt/a.pth.tar", member), ("../evil", b"x"), ("z", link_to("/etc"))))
    before = sorted(tmp_path.rglob("*"))

    found = unpack(path, "torch", member="pt/a.pth.tar")

    assert torch.equal(found.tensors["a"], noise())
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("../evil", "member '../evil' points out of the archive"),
        ("/etc/passwd", "member '/etc/passwd' points out of the archive"),
        ("link", "member 'link' is no regular file"),
        ("hard", "member 'hard' is no regular file"),
        ("pt", "member 'pt' is no regular file"),
        ("pt/b", "no member 'pt/b' in this archive"),
    ],
)
def test_paths_out_of_an_archive_and_links_are_refused(tmp_path, written, member, said):
    folder = tarfile.TarInfo()
    folder.type = tarfile.DIRTYPE
    path = written(
        tar_of(("../evil", b"x"), ("/etc/passwd", b"x"), ("link", link_to("/etc/passwd")),
               ("hard", link_to("../evil", tarfile.LNKTYPE)), ("pt", folder), kind="")
    )  # fmt: skip

    assert said in refusal(path, "torch", member=member)
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_bomb_in_an_archive_is_refused_before_it_is_unpacked(written, kind):
    path = written(tar_of(("zeros", bytes(30_000_000)), ("a.pth", torch_file(TENSORS)), kind=kind))

    for member in ("zeros", "a.pth"):
        message = refusal(path, "torch", member=member)

        assert f"a bomb, or cut off: {path.stat().st_size:,} bytes that unpack to more than " in message


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_archive_is_refused_with_its_size(written, share):
    whole = tar_of(("a.pth", torch_file({"a": noise()})))
    path = written(whole[: int(share * len(whole))])

    message = refusal(path, "torch", member="a.pth")

    assert re.search(
        rf"not a tar archive, cut off or damaged|a bomb, or cut off: {path.stat().st_size:,} bytes", message
    )


def test_a_zip_bomb_is_refused_before_torch_unpacks_it(tmp_path):
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("net/data/0", bytes(50_000_000))

    assert f"a bomb, or cut off: {path.stat().st_size:,} bytes that unpack to more than " in refusal(path)


LOADED = """
import os
from pathlib import Path
from benchmark.errors import BenchmarkError
from benchmark.zoo.unpack import unpack

for path in sorted(Path(os.environ["FOLDER"]).iterdir()):
    try:
        print(path.name, *unpack(path, "torch").tensors, flush=True)
    except BenchmarkError as fault:
        print(fault, flush=True)
print("end")
"""


def test_what_is_screened_is_what_is_loaded(tmp_path):
    """Of two members of one name zipfile reads the last and torch the first; behind a legacy file there may be a zip.
    In a process of its own, which torch's own reader ends by a segmentation fault where it unpickles the nested lists.
    """
    deep, plain = nested(300_000), pickle.dumps({}, protocol=2)
    for name, contents in {"first.pth": (deep, plain), "last.pth": (plain, deep)}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the name that is there twice
            archive.writestr("net/version", "3\n")
            for content in contents:
                archive.writestr("net/data.pkl", content)
    legacy = torch_file({"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    behind = torch_file({"b": torch.zeros(3)})
    (tmp_path / "legacy and zip.pth").write_bytes(legacy + behind)
    (tmp_path / "deep legacy and zip.pth").write_bytes(legacy[: legacy.index(b"}q", 60)] + deep[2:] + behind)

    ran = in_new_process(LOADED, FOLDER=str(tmp_path))

    twice = "refused, a zip that holds net/data.pkl twice: programs differ in which of the two they read"
    deep_said, *others = ran.stdout.splitlines()
    assert re.match("deep legacy and zip.pth: not a torch weight file, cut off or damaged", deep_said)
    assert others == [f"first.pth: {twice}", f"last.pth: {twice}", "legacy and zip.pth a", "end"]


def test_a_storage_whose_checksum_is_not_the_archives_is_refused(tmp_path):
    """torch.load gives such a file's changed numbers without a word."""
    path = tmp_path / "net.pth"
    torch.save({"a": torch.arange(1000.0)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor(500.0).numpy().tobytes())] ^= 1
    path.write_bytes(content)

    assert "Bad CRC-32" in refusal(path)
    assert not torch.equal(torch.load(path)["a"], torch.arange(1000.0))


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_long_name_in_a_tar_is_no_way_to_fill_the_memory(written, kind):
    """Tarfile reads a member's long name at once, as long as the archive says that it is."""
    info = tarfile.TarInfo("net.pth")
    info.pax_headers = {"comment": "x" * 30_000_000}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO())

    path = written(buffer.getvalue())
    tracemalloc.start()
    said = refusal(path, "torch", member="net.pth")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "a bomb, or cut off" in said
    assert peak < 15_000_000  # half of the name; xz has a window of 8 MB


def test_an_honest_file_that_was_zipped_again_is_no_bomb(tmp_path):
    plain, zipped = tmp_path / "plain.pth", tmp_path / "net.pth"
    torch.save({"a": noise(300_000)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))

    assert torch.equal(unpack(zipped, "torch").tensors["a"], noise(300_000))


@pytest.mark.parametrize("container", CONTAINERS)
def test_400_kilobytes_called_resnet18_are_no_resnet18(written, container):
    """Noise, and a real but small checkpoint of something else, in every naming."""
    other = {"torch": torch_file({"embedding": torch.ones(100_000)}), "pickle": pickle.dumps({"embedding": np.ones(50_000)}),
             "safetensors": None, "tensorflow": None}[container]  # fmt: skip
    contents = [np.random.default_rng(0).bytes(400_000), *([other] if other else [])]

    for content, naming in itertools.product(contents, NAMINGS):
        entry = ZooEntry(name="resnet18", family="own", architecture="resnet18", container=container, naming=naming,
                         licence="–", cite="–")  # fmt: skip
        with pytest.raises(BenchmarkError) as raised:
            read_encoder_tensors(entry, written(content, "resnet18.pth"))
        assert len(str(raised.value)) < 2000


def nested(depth, opening=b"]", closing=b"a") -> bytes:
    return b"\x80\x04" + opening * (depth + 1) + closing * depth + b"."


def laughs(levels, then=b"") -> bytes:
    """Lists of ten times the list before: ten to the power of `levels` in a few bytes. Memo 12 names the last of twelve."""
    body = b"\x80\x04]\x94"
    for level in range(levels):
        body += b"](" + (b"h" + bytes([level])) * 10 + b"e\x94"
    return body + then + b"."


def array_called(name) -> bytes:
    """An array of four bytes whose type has that name."""
    type_ = b"cnumpy\ndtype\n(" + name + b"tR"
    return b"cnumpy.core.multiarray\n_reconstruct\n(K\x00tR(K\x01(K\x01t" + type_ + b"\x89C\x04abcdtb"


def chained(length) -> bytes:
    """Objects in objects, in memo 0."""
    return b"\x80\x04N" + b"Q" * length + b"\x94"


DEPTH = 100_000  # a hundred times what Python's own stack allows
BOMBS = {
    "bytes of 2**62": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "bytes of 3 GB": b"\x80\x04B" + struct.pack("<I", 3_000_000_000) + b"x.",
    "text of 4 GB": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x.",
    "bytearray of 2**50": b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"x.",
    "integer of 2 GB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "frame of 2**60": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",
    "digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "lists in lists": nested(DEPTH),
    "tuples in tuples": b"\x80\x04)" + b"\x85" * DEPTH + b".",
    "deep key": b"\x80\x04}" + b")" + b"\x85" * DEPTH + b"Ns.",
    "dict in dict": b"\x80\x04" + b"}\x8c\x01a" * 100_000 + b"N" + b"s" * 100_000 + b".",
    "billion laughs": laughs(12),
    "itself": b"\x80\x04}\x94\x8c\x01ah\x00s.",
    "an array of 2**60": pickle.dumps(ARRAYS, 2).replace(
        b"K\x02K\x02\x86", b"K\x02\x8a\x08" + struct.pack("<q", 2**60) + b"\x86"
    ),
    "unfinished": b"\x80\x04((((",
    "empty stack": b"\x80\x04R.",
    "marks": b"\x80\x04eeee.",
    "memo of 2**31": b"\x80\x02}r" + struct.pack("<I", 2**31) + b"j" + struct.pack("<I", 5) + b".",
    "unknown": b"\x80\x04\xff.",
    "extension": b"\x80\x02\x82\x01)R.",
    "a name of lists": laughs(12, b"h\x0ch\x0c\x93"),
    "a class of lists": laughs(12, b"cdill._dill\n_create_namedtuple\n(h\x0ch\x0ch\x0ctR"),
    "fields of lists": laughs(12, b"cdill._dill\n_create_namedtuple\n(\x8c\x01ah\x0c\x8c\x01btR"),
    "a type of lists": laughs(12, b"}\x8c\x01w" + array_called(b"h\x0c") + b"s"),
    "key of tuples": b"\x80\x04)\x94(" + b"h\x00" * 60_000 + b"t\x94(" + b"h\x01" * 60_000 + b"t\x940}h\x02Ns.",
    "long key": b"\x80\x04X" + struct.pack("<I", 3_000_000) + b"x" * 3_000_000 + b"\x94]" + b"}h\x00Nsa" * 30_000 + b".",
    "large number as key": b"\x80\x04\x8b" + struct.pack("<I", 500_000) + b"\x7f" * 500_000 + b"\x94]" + b"}h\x00Nsa" * 99_000
                           + b".",
    "one array many times": pickle.dumps(dict.fromkeys(range(50_000), np.ones(30_000, "f4"))),
    "one array under many names": pickle.dumps(dict.fromkeys(range(200_000), np.ones(8192, "f4"))),
    "chain": chained(50_000) + b"](" + b"h\x00" * 90_000 + b"e.",
    "chain by names": chained(50_000) + b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"h\x00" for n in range(60_000))
                      + b"u.",
    "call with many": b"\x80\x04(" + b"N" * 90_000 + b"t\x94" + b"](" + b"Nh\x00R" * 60_000 + b"e.",
    "pairs many times": b"\x80\x04](" + b"N" * 90_000 + b"e\x94ccollections\nOrderedDict\nh\x00\x85\x94"
                        + b"](" + b"ccollections\nOrderedDict\nh\x01R" * 20_000 + b"e.",
    "state into a class": b"\x80\x02ccollections\nOrderedDict\n}b.",
}  # fmt: skip
MEASURED = """
import json, os, resource, sys, time
from pathlib import Path
import torch
from benchmark.errors import BenchmarkError
from benchmark.zoo.unpack import unpack

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

for path in sorted(Path(os.environ["FOLDER"]).iterdir()):
    for container in ("pickle", "torch"):
        before, start = peak(), time.process_time()
        try:
            unpack(path, container)
            told = "read"
        except BenchmarkError as fault:
            told = str(fault)
        print(json.dumps([path.name, container, told, peak() - before, time.process_time() - start]), flush=True)
"""


@pytest.mark.slow
def test_claims_and_nesting_cost_no_time_and_no_memory(tmp_path):
    """In a process of its own, since what is refused here may end one; all of it goes on to the last file."""
    for name, content in BOMBS.items():
        (tmp_path / name.replace(" ", "-").replace("*", "x")).write_bytes(content)

    ran = in_new_process(MEASURED, FOLDER=str(tmp_path))

    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(rows) == 2 * len(BOMBS), ran.stderr[-500:]
    for name, container, message, growth, seconds in rows:
        assert message.startswith(f"{name}: "), (name, container, message)
        assert "\n" not in message
        assert len(message) < 400
        assert growth < 400, (name, container, growth)  # MB
        assert seconds < 10, (name, container, seconds)


@pytest.mark.parametrize("extra", [{}, {"told": Path("x")}], ids=["tensors", "objects beside"])
@pytest.mark.parametrize("marker", [b"K\x04\x85", b"K\x04tQ", b"K\x04t"], ids=["size", "storage", "any"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_that_claims_more_than_the_file_has_is_refused(written, zipped, marker, extra):
    """In either of torch's formats, by torch or by this reader: nothing behind the file's bytes is read."""
    content = torch_file({"a": torch.ones(4), **extra}, _use_new_zipfile_serialization=zipped)
    more = marker.replace(b"K\x04", b"K\x63")
    if zipped:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        changed = io.BytesIO()
        with zipfile.ZipFile(changed, "w") as archive:
            for name, member in members.items():
                archive.writestr(name, member.replace(marker, more))
        path = written(changed.getvalue())
    else:
        path = written(content.replace(marker, more))

    try:
        assert unpack(path, "torch").tensors["a"].tolist() == [1] * 4
    except BenchmarkError as fault:
        assert "cut off or damaged" in str(fault)  # noqa: PT017 - one of the two must hold


def test_steps_without_end_come_to_one(written, monkeypatch):
    monkeypatch.setattr(inert, "MAX_STEPS", 10_000)

    for container in ("pickle", "torch"):
        assert "more than 10,000 steps" in refusal(written(b"\x80\x04" + b"N0" * 10_000 + b"}."), container)


def test_nothing_is_left_behind_where_a_member_was_refused(tmp_path, written, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    path = written(tar_of(("a.pth", known_encoder()["conv1.weight"].numpy().tobytes())))

    refusal(path, "torch", member="a.pth")

    assert list((tmp_path / "own").iterdir()) == []
    shutil.rmtree(tmp_path / "own")


@pytest.mark.parametrize(("place", "value", "said"), [(6, 99, "version 9.9"), (8, 1, "encrypted")])
def test_a_zip_of_no_known_version_or_with_a_password_is_one_line(tmp_path, place, value, said):
    """A byte of its central directory, where the version that unpacks it and its flags stand."""
    path = tmp_path / "weights.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", b"0123456789" * 20)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value
    path.write_bytes(content)

    with pytest.raises(BenchmarkError) as refused:
        extract_member(path, "weights.pth", tmp_path / "copy")

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_more_tensors_than_any_network_has_are_refused(tmp_path):
    """All names are tried in all namings: a hundred thousand would take minutes."""
    path = tmp_path / "net.pth"
    one = torch.zeros(1)
    torch.save({f"x{number}": one for number in range(20_001)}, path)

    assert "holds 20,001 tensors, wanted at most 20,000" in refusal(path)
