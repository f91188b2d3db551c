"""Encoders in their two forms: pooled, as timm builds them, and the pyramid of feature maps that a U-Net decodes."""

from importlib.metadata import version

import pytest
import timm
import torch
from conftest import CHECKOUT, in_new_process
from forged import drawn

from benchmark.fault import Fault
from benchmark.zoo.architectures import check_architecture
from benchmark.zoo.backbone import Account, build, load, pyramid_places
from benchmark.zoo.catalog import ZooEntry, read_zoo, scratch

FORMS = ["pooled", "pyramid"]


def entry_of(architecture) -> ZooEntry:
    told = {"name": "net", "family": "own", "container": "torch", "naming": "timm", "licence": "CC0", "cite": "nobody"}
    return ZooEntry(**told, architecture=architecture)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that keeps the list of architectures from the first question on."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenetv2_100", "convnext_atto", "efficientnet_b0"])
def test_the_pyramid_shows_the_pooled_forms_own_feature_maps(tmp_path, architecture):
    """Of one file: the maps between the whole encoder's stages, to the last bit, by timm's own way to tap them. What
    has no place in the pyramid (a last convolution) counts as loaded all the same: the file held it.
    """
    whole = timm.create_model(architecture).eval()
    whole.load_state_dict(drawn(whole.state_dict()))
    torch.save(whole.state_dict(), tmp_path / "net.pth")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))

    pyramid, account = load(entry_of(architecture), tmp_path / "net.pth", "pyramid", seed=0)
    pooled, same_account = load(entry_of(architecture), tmp_path / "net.pth", "pooled", seed=0)

    with torch.no_grad():
        given, *maps = pyramid.eval()(images)
        tapped = pooled.eval().forward_intermediates(images, intermediates_only=True)
    assert torch.equal(images, given)
    if maps[0].shape[1] == 0:  # nets that begin at a quarter of the side leave the half empty
        maps = maps[1:]
    assert [m.shape for m in tapped] == [m.shape for m in maps]
    assert all(torch.equal(wanted, found) for wanted, found in zip(tapped, maps, strict=True))
    assert all(m.std() > 1e-3 for m in maps)  # far from all zeros, of which all nets are equal
    assert account == same_account
    assert account.share == 1.0
    assert account.loaded + len(account.dropped) == len(whole.state_dict())


@pytest.mark.parametrize(
    "architecture",
    [
        "vit_tiny_patch16_224",
        "mixer_s32_224",
        "nest_tiny",  # timm's own error for it is an IndexError
    ],
)
def test_an_architecture_without_a_pyramid_is_a_fault_of_one_line(architecture):
    with pytest.raises(Fault) as raised:
        build(architecture, "pyramid", seed=0)

    assert str(raised.value).startswith(f"{architecture} gives no feature maps that a U-Net can decode (")
    assert "\n" not in str(raised.value)


def test_a_pyramid_that_the_weights_do_not_fill_is_a_fault_with_its_names():
    pyramid = ["model.conv1.weight", "model.blocks_0.0.weight", "model.bn1.num_batches_tracked", "model.gate"]

    with pytest.raises(Fault, match=r"tensors that the weights do not name: model\.gate$"):
        pyramid_places(pyramid, ["conv1.weight", "blocks.0.0.weight", "head.weight"])
    assert pyramid_places(pyramid[:3], ["conv1.weight", "blocks.0.0.weight", "head.weight"]) == {
        "conv1.weight": "model.conv1.weight",
        "blocks.0.0.weight": "model.blocks_0.0.weight",
    }


@pytest.mark.parametrize("form", FORMS)
def test_first_weights_are_drawn_from_the_seed_alone(form):
    """Same seed same weights, whatever was drawn before; another seed other weights, in every convolution."""
    first = build("resnet18", form, seed=1).state_dict()
    torch.rand(7)
    same = build("resnet18", form, seed=1).state_dict()
    other = build("resnet18", form, seed=2).state_dict()

    drawn_names = {n for n, t in first.items() if t.ndim == 4}
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert drawn_names == {n for n in first if not torch.equal(first[n], other[n])}
    assert len(drawn_names) == 20


@pytest.mark.parametrize("form", FORMS)
def test_building_and_loading_leave_torchs_generator_as_it_was(tmp_path, form):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "net.pth")
    before = torch.get_rng_state()
    undisturbed = torch.rand(5)
    torch.set_rng_state(before)

    build("resnet18", form, seed=1)
    load(entry_of("resnet18"), tmp_path / "net.pth", form, seed=1)

    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(undisturbed, torch.rand(5))


@pytest.mark.parametrize("form", FORMS)
def test_without_a_file_all_of_an_encoder_is_fresh(form):
    encoder, account = load(scratch("resnet18"), None, form, seed=5)

    assert account == Account(loaded=0, fresh=["all of it"], share=0.0)
    fresh = build("resnet18", form, seed=5).state_dict()
    assert all(torch.equal(fresh[name], tensor) for name, tensor in encoder.state_dict().items())


def test_shipped_entries_are_of_architectures_that_timm_has(home):
    for entry in read_zoo(CHECKOUT / "model_zoo.yaml").values():
        check_architecture(entry.architecture, home)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet5O", "resnet50"),
        ("ResNet50", "resnet50"),
        ("mobilenet_v2_100", "mobilenetv2_100"),
        ("DenseNet-121", "densenet121"),
    ],
)
def test_an_unknown_architecture_is_refused_with_the_nearest_that_timm_has(home, name, meant):
    with pytest.raises(Fault) as raised:
        check_architecture(name, home)

    told = str(raised.value)
    assert told.startswith(f"timm {version('timm')} has no architecture {name!r}: did you mean ")
    assert meant in told.replace("?", " ").split()


def test_architectures_are_known_without_torch_once_they_were_listed(home):
    check_architecture("resnet18", home)

    ran = in_new_process(
        "import sys\n"
        "from pathlib import Path\n"
        "from benchmark.zoo.architectures import check_architecture\n"
        f"check_architecture('convnext_atto', Path({str(home)!r}))\n"
        "print('torch' in sys.modules, 'timm' in sys.modules)"
    )

    assert ran.stdout.split() == ["False", "False"], ran.stderr
