"""Weights that no network can compute with are refused by name, in the same line wherever they are read."""

import json
import warnings

import pytest
import timm
import torch
from forged import drawn

from benchmark.errors import BenchmarkError
from benchmark.zoo.catalog import ZooEntry, add_entry
from benchmark.zoo.conversions import load_converted
from benchmark.zoo.fetch import import_weight_file
from benchmark.zoo.forms import COUNTER
from benchmark.zoo.matching import read_encoder_tensors

NAME = "layer1.0.conv1.weight"
WANTED = "an encoder's weights are dense, real, finite floats"
ENTRY = ZooEntry(
    name="mine", family="own", architecture="test_resnet", source="file:net.pth", container="torch", naming="timm",
    licence="–", cite="–",
)  # fmt: skip


def with_one(value: float):
    def change(tensor):
        tensor = tensor.clone()
        tensor.view(-1)[7] = value
        return tensor

    return change


def quantised(tensor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will give it up; files of it remain
        return torch.quantize_per_tensor(tensor, 0.1, 3, torch.qint8)


UNUSABLE = {
    "of type complex64": lambda tensor: tensor.to(torch.complex64),
    "of type int64": lambda tensor: (100 * tensor).long(),
    "of type uint8": lambda tensor: (100 * tensor).to(torch.uint8),
    "of type bool": lambda tensor: tensor > 0,
    "of type float8_e4m3fn": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "quantised": quantised,
    "sparse": lambda tensor: tensor.to_sparse(),
    "a shape without numbers": lambda tensor: tensor.to("meta"),
    "NaN": with_one(torch.nan),
    "infinite": with_one(-torch.inf),
    "as large as 1e+38": with_one(1e38),
}


def saved(folder, change=lambda tensor: tensor, name=NAME):
    """A file of a whole small net, of which one tensor is changed."""
    state = drawn(timm.create_model("test_resnet", num_classes=0).state_dict())
    torch.save(state | {name: change(state[name])}, folder / "net.pth")
    return folder / "net.pth"


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_tensor_without_finite_real_numbers_is_refused_by_its_name(tmp_path, what):
    with pytest.raises(BenchmarkError) as raised:
        read_encoder_tensors(ENTRY, saved(tmp_path, UNUSABLE[what]))

    assert str(raised.value) == f"mine: net.pth: {NAME} is {what}: {WANTED}"


@pytest.mark.parametrize("what", ["of type complex64", "quantised", "NaN"])
def test_add_verify_and_run_say_the_same_line(cli, workspace, tmp_path, what):
    path = saved(tmp_path, UNUSABLE[what])
    line = f"mine: net.pth: {NAME} is {what}: {WANTED}"

    added = [cli("zoo", "add", str(path), "--name", "mine", "--architecture", "test_resnet", *more, "--yes")
             for more in ([], ["--naming", "timm"])]  # fmt: skip
    file = import_weight_file(ENTRY, path, workspace.weights)
    add_entry(workspace.own_zoo, ENTRY.model_copy(update={"sha256": file.sha256}))
    verify_weight_file = cli("zoo", "verify", "mine", "--json", str(tmp_path / "verified.json"))
    with pytest.raises(BenchmarkError) as run:
        load_converted(ENTRY, file)

    assert [ran.err for ran in added] == [f"error: {line}\n"] * 2
    assert verify_weight_file.code == 1
    assert json.loads((tmp_path / "verified.json").read_text())["entries"][0]["reasons"] == [line]
    assert str(run.value) == line


def test_counters_may_be_whole_numbers_and_heads_anything(tmp_path):
    path = saved(tmp_path)
    state = torch.load(path) | {"fc.weight": torch.full((2, 2), torch.nan), "fc.bias": torch.ones(2).to_sparse()}
    counters = [name for name in state if name.endswith(COUNTER)]
    torch.save(state, path)

    tensors, report = read_encoder_tensors(ENTRY, path)

    assert report.loaded_fraction == 1.0
    assert report.dropped == ["fc.weight", "fc.bias"]
    assert {tensors[name].dtype for name in counters} == {torch.int64}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_every_usual_precision_are_weights(tmp_path, kind):
    tensors, _ = read_encoder_tensors(ENTRY, saved(tmp_path, lambda tensor: tensor.to(kind)))

    assert tensors[NAME].dtype == kind
