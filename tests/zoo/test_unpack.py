"""Weight files are untrusted: broken ones are refused in one line, and nothing in them ever runs."""

import argparse
import gzip
import io
import pickle
import random
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_bundles import bundle, zipped

from benchmark.errors import BenchmarkError
from benchmark.zoo.unpack import CONTAINERS, Arrays, unpack

NOISE = random.Random(0).randbytes(3000)
TENSORS = {f"layer{n}.weight": torch.full((3, 4), float(n)) for n in range(4)}


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


ARRAYS = {name: tensor.numpy() for name, tensor in TENSORS.items()}
WHOLE = {
    "zip": ("torch", torch_file(TENSORS)),
    "legacy": ("torch", torch_file(TENSORS, _use_new_zipfile_serialization=False)),
    "safetensors": ("safetensors", safetensors.torch.save(TENSORS)),
    "pickle": ("pickle", pickle.dumps(ARRAYS, protocol=2)),
    "pickle of now": ("pickle", pickle.dumps(ARRAYS, protocol=5)),
    "TensorFlow's, zipped": ("tensorflow", zipped(bundle(TENSORS))),
    "zip of protocol 4": ("torch", torch_file(TENSORS, pickle_protocol=4)),
    "zip with objects": ("torch", torch_file({"state_dict": TENSORS, "told": argparse.Namespace()})),
    "legacy with objects": (
        "torch",
        torch_file({"state_dict": TENSORS, "told": argparse.Namespace()}, _use_new_zipfile_serialization=False),
    ),
}


def written(folder: Path, content: bytes) -> Path:
    path = folder / "net.pth"
    path.write_bytes(content)
    return path


def refusal(path: Path, container: str = "torch") -> str:
    with pytest.raises(BenchmarkError) as raised:
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
    assert arrays.other_contents == (["told"] if "objects" in whole else [])


def test_what_lies_beside_the_tensors_is_told_by_name(tmp_path):
    content = {"epoch": 3, "state_dict": {**TENSORS, "version": "1.0"}, "optimizer": {"lr": 0.1}}

    arrays = unpack(written(tmp_path, torch_file(content)), "torch")

    assert sorted(TENSORS) == sorted(arrays.tensors)
    assert arrays.other_contents == ["epoch", "optimizer", "version"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tar_file(), "a tar archive"),
        (zip_file(**{"data.pkl": b"x", "constants.pkl": b"x", "version": b"3"}), "a TorchScript archive"),
    ],
    ids=["tar", "TorchScript"],
)
def test_what_could_be_read_only_by_running_it_is_refused_as_that(tmp_path, content, kind):
    """In one line, and without a warning."""
    message = refusal(written(tmp_path, content))

    assert f"refused, {kind}" in message
    assert "can be read only by running it" in message


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "extra",
    [Path("here"), np.float64(0.5), torch.nn.Linear(1, 1), argparse.Namespace(lr=0.1), {"deep": [{1, 2}, Path]}],
)
def test_objects_beside_the_tensors_stay_what_they_are_and_are_told_by_name(tmp_path, extra, legacy):
    """Torch refuses a whole file for one of them. Views, transposed or not, of one memory come out as they are."""
    flatten = torch.arange(24.0)
    views = {
        "whole": flatten.view(4, 6),
        "part": flatten[3:9].view(2, 3),
        "turned": flatten.view(4, 6).T,
        "none": flatten[:0],
    }
    kinds = {str(kind): torch.ones(2, dtype=kind) for kind in (torch.half, torch.bfloat16, torch.int64, torch.bool)}
    tensors = {**views, **kinds, "own": torch.nn.Parameter(torch.ones(2))}
    content = {"epoch": 3, "state_dict": {**tensors, "inside": extra}, "extra": extra}

    arrays = unpack(written(tmp_path, torch_file(content, _use_new_zipfile_serialization=not legacy)), "torch")

    assert list(arrays.tensors) == list(tensors)
    assert all(torch.equal(tensors[n], t) and tensors[n].dtype == t.dtype for n, t in arrays.tensors.items())
    assert arrays.other_contents == ["epoch", "extra", "inside"]


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_gives_its_arrays_by_path_and_nothing_else(tmp_path, protocol):
    """Columns first, the other byte order, scalars and empty ones too; arrays of objects are none."""
    arrays = {
        "rows": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype="i2").reshape(2, 3)),
        "swapped": np.arange(3, dtype=">f4"),
        "one": np.array(7, np.uint8),
        "none": np.zeros((0, 4), bool),
    }
    inner_content = {**arrays, "list": [arrays["rows"], (arrays["one"],)], "same": arrays["rows"]}
    content = {"kept": inner_content, "objects": np.array([{"a": 1}], object), "text": "net",
               "other": argparse.Namespace(held=arrays["one"])}  # fmt: skip
    path = written(tmp_path, pickle.dumps(content, protocol=protocol))

    found = unpack(path, "pickle")
    inner = unpack(path, "pickle", "kept")

    wanted = {**{f"kept.{n}": a for n, a in arrays.items()}, "kept.list.0": arrays["rows"],
              "kept.list.1.0": arrays["one"], "kept.same": arrays["rows"], "other.held": arrays["one"]}  # fmt: skip
    assert sorted(found.tensors) == sorted(wanted)
    assert all(np.array_equal(wanted[n], t.numpy()) for n, t in found.tensors.items())
    assert all(t.numpy().dtype == wanted[n].dtype.newbyteorder("=") for n, t in found.tensors.items())
    assert found.other_contents == ["objects", "text"]
    assert sorted(inner.tensors) == sorted([*arrays, "list.0", "list.1.0", "same"])
    assert inner.other_contents == ["objects", "text", "other"]


def test_numpys_names_of_before_its_second_version_are_known_too(tmp_path):
    content = pickle.dumps(ARRAYS, protocol=2)
    assert b"numpy._core.multiarray" in content

    arrays = unpack(written(tmp_path, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")), "pickle")

    assert all(torch.equal(TENSORS[name], arrays.tensors[name]) for name in TENSORS)


def test_the_array_that_jax_wraps_is_found(tmp_path):
    """jax/_src/array.py: a function of its own, NumPy's way to make the array, and what the wrapper knows beside it."""

    class Wrapped:
        def __reduce__(self):
            fun, args, state = ARRAYS["layer1.weight"].__reduce__()
            return _reconstruct_array, (fun, args, state, {"weak_type": False})

    _reconstruct_array.__module__ = "jax._src.array"
    sys.modules.update({name: types.ModuleType(name) for name in ("jax", "jax._src", "jax._src.array")})
    sys.modules["jax._src.array"]._reconstruct_array = _reconstruct_array
    try:
        content = pickle.dumps({"w": Wrapped()})
    finally:
        for name in ("jax._src.array", "jax._src", "jax"):
            del sys.modules[name]

    arrays = unpack(written(tmp_path, content), "pickle")

    assert torch.equal(TENSORS["layer1.weight"], arrays.tensors["w"])


def _reconstruct_array(*_):
    raise AssertionError


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
    [b"", b"\0", b"hello, I am a text", NOISE, gzip.compress(b"net")],
    ids=["empty", "one byte", "text", "noise", "gzip"],
)  # fmt: skip
def test_what_is_no_weight_file_is_refused_and_not_called_hostile(tmp_path, content, container):
    message = refusal(written(tmp_path, content), container)

    assert "cut off or damaged" in message
    assert "names code" not in message
    assert "weights_only" not in message


@pytest.mark.parametrize("container", ["torch", "safetensors", "pickle"])
def test_an_archive_of_something_else_is_told_as_what_it_is(tmp_path, container):
    arrays = io.BytesIO()
    np.savez(arrays, **ARRAYS)

    assert "refused, a zip archive: its entry should name the `member`" in refusal(
        written(tmp_path, zip_file()), container
    )
    assert "a NumPy archive (.npz), which is not read here" in refusal(written(tmp_path, arrays.getvalue()), container)


@pytest.mark.parametrize(("legacy", "protocol"), [(False, n) for n in range(1, 6)] + [(True, n) for n in range(2, 6)])
def test_files_of_torch_are_read_in_every_protocol_of_pickle(tmp_path, protocol, legacy):
    """But for the oldest, in which torch cannot write the names of storages."""
    arrays = unpack(
        written(tmp_path, torch_file(TENSORS, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)),
        "torch",
    )

    assert all(torch.equal(TENSORS[name], arrays.tensors[name]) for name in TENSORS)


@pytest.mark.parametrize("beside", [torch.tensor(71.2), torch.zeros(3), 71.2, [torch.zeros(2)]])
def test_a_tensor_or_number_beside_the_state_dict_is_metadata_and_no_weight(tmp_path, beside):
    """PyTorch's ImageNet example, and with it iNat2021's files: best_acc1 was a number, and is a tensor of one since."""
    path = written(tmp_path, torch_file({"epoch": 90, "state_dict": TENSORS, "best_acc1": beside}))

    arrays = unpack(path, "torch")

    assert sorted(arrays.tensors) == sorted(TENSORS)
    assert arrays.other_contents == ["epoch", "best_acc1"]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("page", ["<!DOCTYPE html><title>Log in</title>", "\n  <HTML>", '<?xml version="1.0"?><Error>'])
def test_a_web_page_is_refused_as_one(tmp_path, page, container):
    message = refusal(written(tmp_path, page.encode()), container)

    assert "a web page, not a weight file: the download met an error or login page" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
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


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("model", "its tensors should lie under `model`, but it has no `model`, only state_dict, epoch"),
        (
            "state_dict.model",
            "under `state_dict.model`, but it has no `state_dict.model`, only state_dict.layer0.weight",
        ),
        ("epoch", "under `epoch`, but it has no `epoch`, only state_dict, epoch"),
    ],
)
def test_tensors_that_do_not_lie_where_they_should_are_told_with_what_does(tmp_path, inside, said):
    path = written(tmp_path, torch_file({"state_dict": TENSORS, "epoch": 3}))

    with pytest.raises(BenchmarkError) as raised:
        unpack(path, "torch", inside)

    assert said in str(raised.value)


def test_an_empty_safetensors_file_is_told_as_it_is(tmp_path):
    assert "holds no tensors by name, only nothing" in refusal(
        written(tmp_path, safetensors.torch.save({})), "safetensors"
    )


def test_a_file_of_the_other_container_is_refused(tmp_path):
    refusal(written(tmp_path, WHOLE["safetensors"][1]), "torch")
    refusal(written(tmp_path, WHOLE["zip"][1]), "safetensors")


def test_an_unknown_container_is_refused(tmp_path):
    message = refusal(written(tmp_path, WHOLE["zip"][1]), "zip")

    assert "container 'zip' is not one of torch, safetensors, pickle, tensorflow" in message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


def read_or_refused(folder, container, content) -> None:
    path = written(folder, content)
    try:
        arrays = unpack(path, container)
    except BenchmarkError as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - one of the two must hold
    else:
        assert isinstance(arrays, Arrays)


@given(whole=st.sampled_from(sorted(WHOLE)), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_read_or_refused_whatever_the_damage(folder, whole, data):
    """Bytes changed and an end cut off: no error of the readers themselves comes through."""
    container, content = WHOLE[whole]
    damaged = bytearray(content)
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        damaged[position] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))

    read_or_refused(folder, container, bytes(damaged[:end]))


@given(start=st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"]), rest=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all_are_read_or_refused(folder, start, rest):
    for container in CONTAINERS:
        read_or_refused(folder, container, start + rest)
