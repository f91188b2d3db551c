"""Encoders that timm does not have: a user's package brings them, by name, and its code runs where a zoo entry names it."""

import pytest
import torch
from conftest import CHECKOUT

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD
from benchmark.errors import BenchmarkError
from benchmark.models.networks import Segmenter
from benchmark.models.normalization import Normalization
from benchmark.results.store import Store
from benchmark.zoo.architectures import check_architecture
from benchmark.zoo.catalog import find_entry, read_catalog, scratch
from benchmark.zoo.forms import build_encoder

PACKAGE = """
import torch
from torch import nn


class Net(nn.Module):
    num_features = 8

    def __init__(self):
        super().__init__()
        channels = (3, 4, 4, 8, 8, 8)
        pairs = zip(channels, channels[1:])
        self.stages = nn.ModuleList(nn.Conv2d(few, many, 3, stride=2, padding=1) for few, many in pairs)

    def maps(self, images):
        found = []
        for stage in self.stages:
            images = stage(images).relu()
            found.append(images)
        return found

    def forward(self, images):
        return self.maps(images)[-1].mean((2, 3))


class Pyramid(Net):
    feature_channels = (4, 4, 8, 8, 8)
    pyramid = Net.maps


def build(image_size=None):
    return Net()


def with_maps(image_size=None):
    return Pyramid()


def without_width(image_size=None):
    return nn.Flatten()


def no_module(image_size=None):
    return 3


def no_keyword():
    return Net()


def of_another_width(image_size=None):
    net = Net()
    net.num_features = 9
    return net
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `toy_nets` that also offers `toy-net` by an entry point."""
    site = tmp_path / "site"
    (site / "toy_nets-1.dist-info").mkdir(parents=True)
    (site / "toy_nets.py").write_text(PACKAGE)
    (site / "toy_nets-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-nets\nVersion: 1\n")
    (site / "toy_nets-1.dist-info" / "entry_points.txt").write_text(
        "[benchmark.architectures]\ntoy-net = toy_nets:build\nresnet18 = toy_nets:build\n"
    )
    monkeypatch.syspath_prepend(str(site))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("architecture", ["toy_nets:build", "toy-net"])
def test_a_package_brings_an_encoder_and_its_seed_decides_its_weights(architecture, tmp_path):
    (tmp_path / "home").mkdir()

    check_architecture(architecture, tmp_path / "home")
    one, same, other = (build_encoder(architecture, "pooled", seed, 64) for seed in (1, 1, 2))

    assert one(torch.zeros(2, 3, 64, 64)).shape == (2, 8)
    assert torch.equal(one.stages[0].weight, same.stages[0].weight)
    assert not torch.equal(one.stages[0].weight, other.stages[0].weight)


@pytest.mark.usefixtures("package")
def test_no_package_changes_what_a_name_of_timm_means():
    assert type(build_encoder("resnet18", "pooled", 0)).__module__.startswith("timm.")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("toy_nets:without_width", "its network has no num_features"),
        ("toy_nets:no_module", "it built a int, wanted an nn.Module"),
        ("toy_nets:no_keyword", "could not be built .TypeError: .*image_size"),
        ("toy_nets:of_another_width", r"give \(2, 8\), wanted \(2, 9\)"),
        ("toy_nets:nothing", "could not be built .AttributeError"),
        ("no_such_package:build", "could not be built .ModuleNotFoundError"),
        ("toy_nets/x:build", "wanted package.module:function"),
    ],
)
def test_what_is_no_encoder_is_one_line(architecture, reason):
    with pytest.raises(BenchmarkError, match=reason) as caught:
        build_encoder(architecture, "pooled", 0, 64)

    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("package")
def test_a_network_with_feature_maps_serves_a_unet_and_one_without_is_refused():
    normalization = Normalization(IMAGENET_MEAN, IMAGENET_STD)

    model = Segmenter(build_encoder("toy_nets:with_maps", "pyramid", 1, 64), normalization, 1)

    assert model(torch.zeros(2, 1, 50, 40, dtype=torch.uint8)).shape == (2, 1, 50, 40)
    assert sum(parameter.numel() for parameter in model.encoder.model.parameters()) > 0
    with pytest.raises(BenchmarkError, match="segmentation wants feature_channels"):
        build_encoder("toy_nets:build", "pyramid", 1, 64)


def test_code_of_a_package_runs_only_where_an_entry_names_it(workspace):
    """A suite or a record of somebody else's may hold any name of a model."""
    shipped = read_catalog(CHECKOUT / "model_zoo.yaml", workspace.own_zoo)

    with pytest.raises(BenchmarkError, match="code of a package runs only where one names it"):
        find_entry("scratch:os:getcwd", shipped)

    own = scratch("toy_nets:build").model_copy(update={"name": "mine"})
    assert find_entry("scratch:toy_nets:build", shipped | {"mine": own}).architecture == "toy_nets:build"


@pytest.mark.usefixtures("package")
def test_an_added_network_runs_from_its_file_and_from_random_weights(cli, workspace, tmp_path):
    torch.save(build_encoder("toy_nets:build", "pooled", seed=3).state_dict(), tmp_path / "net.pth")
    tiny = ("--set", "image_size=32", "--set", "train_resolution=64", "--set", "max_epochs=1", "--seeds", "1")

    added = cli("zoo", "add", str(tmp_path / "net.pth"), "--name", "mine", "--architecture", "toy_nets:build", "--yes")
    ran = cli("run", "--models", "mine,scratch:toy_nets:build", "--tasks", "TXC", *tiny)

    assert (added.code, ran.code) == (0, 0), added.text + ran.text
    records = sorted(Store(workspace.results).records()[0], key=lambda record: record.cell.weights[0].name)
    assert [record.cell.weights[0].architecture for record in records] == ["toy_nets:build"] * 2
    assert [record.weights_account[0]["share"] for record in records] == [1.0, 0.0]
