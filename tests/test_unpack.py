"""Weight files are untrusted: broken ones are refused in one line, and nothing in them ever runs."""

import gzip
import io
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.fault import Fault
from benchmark.zoo.unpack import CONTAINERS, Arrays, unpack

NOISE = random.Random(0).randbytes(3000)
TENSORS = {f"layer{n}.weight": torch.full((3, 4), float(n)) for n in range(4)}


class Command:
    """Pickled, it is a command that unpickling runs."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def torch_file(content, **how) -> bytes:
    written = io.BytesIO()
    torch.save(content, written, **how)
    return written.getvalue()


def zip_file(**members: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return written.getvalue()


def tar_file() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("tensors"), io.BytesIO())
    return written.getvalue()


WHOLE = {
    "zip": ("torch", torch_file(TENSORS)),
    "legacy": ("torch", torch_file(TENSORS, _use_new_zipfile_serialization=False)),
    "safetensors": ("safetensors", safetensors.torch.save(TENSORS)),
}


def written(folder: Path, content: bytes) -> Path:
    path = folder / "net.pth"
    path.write_bytes(content)
    return path


def refusal(path: Path, container: str = "torch") -> str:
    with pytest.raises(Fault) as raised:
        unpack(path, container)
    message = str(raised.value)
    assert message.startswith("net.pth: ")
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("whole", WHOLE)
def test_whole_files_give_their_tensors(tmp_path, whole):
    container, content = WHOLE[whole]

    arrays = unpack(written(tmp_path, content), container)

    assert sorted(TENSORS) == sorted(arrays.tensors)
    assert all(torch.equal(TENSORS[name], arrays.tensors[name]) for name in TENSORS)
    assert arrays.beside == []


def test_what_lies_beside_the_tensors_is_told_by_name(tmp_path):
    content = {"epoch": 3, "state_dict": {**TENSORS, "version": "1.0"}, "optimizer": {"lr": 0.1}}

    arrays = unpack(written(tmp_path, torch_file(content)), "torch")

    assert sorted(TENSORS) == sorted(arrays.tensors)
    assert arrays.beside == ["epoch", "optimizer", "version"]


COMMANDS = [
    lambda command: pickle.dumps(command, protocol=0),
    lambda command: pickle.dumps({"epoch": 3, "extra": command}, protocol=2),
    torch_file,
    lambda command: torch_file({**TENSORS, "extra": command}),
    lambda command: torch_file({"state_dict": TENSORS, "extra": command}),
    lambda command: torch_file({**TENSORS, "extra": command}, _use_new_zipfile_serialization=False),
    lambda command: zip_file(**{"data.pkl": pickle.dumps(command, protocol=2), "version": b"3"}),
]


@pytest.mark.parametrize("write", COMMANDS)
def test_a_command_in_a_file_is_refused_by_name_and_does_not_run(tmp_path, write):
    ran = tmp_path / "ran"
    path = written(tmp_path, write(Command(f"touch {ran}")))

    message = refusal(path)

    assert not ran.exists()
    assert "refused, it names code that loading it would run (posix.system): ask its authors" in message


@pytest.mark.parametrize("write", COMMANDS)
def test_nor_does_it_run_from_a_file_that_is_called_safetensors(tmp_path, write):
    ran = tmp_path / "ran"
    path = written(tmp_path, write(Command(f"touch {ran}")))

    refusal(path, "safetensors")

    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tar_file(), "legacy .tar format"),
        (zip_file(**{"data.pkl": b"x", "constants.pkl": b"x", "version": b"3"}), "TorchScript archive"),
        (torch_file(TENSORS, pickle_protocol=4), "pickle protocol 4"),
        (pickle.dumps(Command("false"), protocol=5), "pickle protocol 5"),
    ],
    ids=["tar", "TorchScript", "protocol 4", "protocol 5"],
)
def test_what_could_be_read_only_by_running_it_is_refused_as_that(tmp_path, content, kind):
    """In one line, and without a warning."""
    message = refusal(written(tmp_path, content))

    assert f"refused, what is written so ({kind}) can be read only by running it: ask its authors" in message


def test_the_command_of_these_files_would_run_if_it_were_unpickled(tmp_path):
    """So that the test above can fail."""
    ran = tmp_path / "ran"

    pickle.loads(pickle.dumps(Command(f"touch {ran}")))  # noqa: S301 - our own, and harmless

    assert ran.exists()


@pytest.mark.parametrize(
    ("extra", "named"),
    [(Path("here"), "pathlib.PosixPath"), (np.float64(0.5), "multiarray.scalar"), (torch.nn.Linear(1, 1), "Linear")],
)
def test_objects_that_are_no_plain_tensors_are_named(tmp_path, extra, named):
    message = refusal(written(tmp_path, torch_file({**TENSORS, "extra": extra})))

    assert "refused, it names code" in message
    assert named in message
    assert "weights_only" not in message  # torch's advice to load it unsafely is not passed on


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("whole", WHOLE)
def test_a_truncated_file_is_refused_with_its_size(tmp_path, whole, share):
    container, content = WHOLE[whole]
    cut = content[: int(len(content) * share)]

    message = refusal(written(tmp_path, cut), container)

    assert f"cut off or damaged ({len(cut):,} bytes): fetch it again" in message


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"hello, I am a text", NOISE, gzip.compress(b"net"), zip_file(), torch_file(TENSORS, pickle_protocol=1)],
    ids=["empty", "one byte", "text", "noise", "gzip", "empty zip", "old protocol"],
)  # fmt: skip
def test_what_is_no_weight_file_is_refused_and_not_called_hostile(tmp_path, content, container):
    message = refusal(written(tmp_path, content), container)

    assert "cut off or damaged" in message
    assert "names code" not in message
    assert "weights_only" not in message


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("page", ["<!DOCTYPE html><title>Log in</title>", "\n  <HTML>", '<?xml version="1.0"?><Error>'])
def test_a_web_page_is_refused_as_one(tmp_path, page, container):
    message = refusal(written(tmp_path, page.encode()), container)

    assert "a web page, not a weight file: the download met an error or login page" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": TENSORS, "head": torch.zeros(1)}, "tensors both under `state_dict` and beside it (head)"),
        ({"epoch": 3, "arch": "resnet18"}, "holds no tensors by name, only epoch, arch"),
        ({"model": TENSORS, "epoch": 3}, "holds no tensors by name, only model, epoch"),
        ({"state_dict": {}, "epoch": 3}, "holds no tensors by name, only epoch"),
        ({}, "holds no tensors by name, only nothing"),
        ([*TENSORS.values()], "holds a list, wanted tensors by name"),
        (torch.zeros(3), "holds a Tensor, wanted tensors by name"),
        (None, "holds a NoneType, wanted tensors by name"),
    ],
)
def test_content_without_tensors_by_name_is_told_as_it_is(tmp_path, content, said):
    assert said in refusal(written(tmp_path, torch_file(content)))


def test_an_empty_safetensors_file_is_told_as_it_is(tmp_path):
    assert "holds no tensors by name, only nothing" in refusal(
        written(tmp_path, safetensors.torch.save({})), "safetensors"
    )


def test_a_file_of_the_other_container_is_refused(tmp_path):
    refusal(written(tmp_path, WHOLE["safetensors"][1]), "torch")
    refusal(written(tmp_path, WHOLE["zip"][1]), "safetensors")


def test_an_unknown_container_is_refused(tmp_path):
    message = refusal(written(tmp_path, WHOLE["zip"][1]), "zip")

    assert "container 'zip' is not one of torch, safetensors" in message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


def read_or_refused(folder, container, content) -> None:
    path = written(folder, content)
    try:
        arrays = unpack(path, container)
    except Fault as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - one of the two must hold
    else:
        assert isinstance(arrays, Arrays)


@given(whole=st.sampled_from(sorted(WHOLE)), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_read_or_refused_whatever_the_damage(folder, whole, data):
    """Bytes changed and an end cut off: no error of the readers themselves comes through."""
    container, content = WHOLE[whole]
    damaged = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))

    read_or_refused(folder, container, bytes(damaged[:end]))


@given(start=st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"]), rest=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all_are_read_or_refused(folder, start, rest):
    for container in CONTAINERS:
        read_or_refused(folder, container, start + rest)
