"""Encoders in their two forms: pooled, as timm builds them, and the pyramid of feature maps that a U-Net decodes."""

from importlib.metadata import version

import pytest
import timm
import torch
import torchvision
from conftest import CHECKOUT, in_new_process
from forged import drawn

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD
from benchmark.errors import BenchmarkError
from benchmark.models.networks import Segmenter, feature_width
from benchmark.models.normalization import Normalization
from benchmark.zoo.architectures import check_architecture
from benchmark.zoo.backbone import load_encoder
from benchmark.zoo.catalog import ZooEntry, read_zoo, scratch
from benchmark.zoo.forms import build_encoder, pyramid_names
from benchmark.zoo.matching import LoadReport

FORMS = ["pooled", "pyramid"]
INTAKE = Normalization(IMAGENET_MEAN, IMAGENET_STD)


def entry_of(architecture) -> ZooEntry:
    defaults = {
        "name": "net",
        "family": "own",
        "container": "torch",
        "naming": "timm",
        "licence": "CC0",
        "cite": "nobody",
    }
    return ZooEntry(**defaults, architecture=architecture)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that keeps the list of architectures from the first question on."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenetv2_100", "convnext_atto", "efficientnet_b0"])
def test_the_pyramid_shows_the_pooled_forms_own_feature_maps(tmp_path, architecture):
    """Of one file: the maps between the whole encoder's stages, to the last bit, by timm's own way to tap them. What
    has no place in the pyramid (a last convolution) counts as loaded all the same: the file held it.
    """
    net = timm.create_model(architecture).eval()
    net.load_state_dict(drawn(net.state_dict()))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))

    pyramid, report = load_encoder(entry_of(architecture), tmp_path / "net.pth", "pyramid", seed=0)
    pooled, same_account = load_encoder(entry_of(architecture), tmp_path / "net.pth", "pooled", seed=0)

    with torch.no_grad():
        given, *maps = pyramid.eval()(images)
        tapped = pooled.eval().forward_intermediates(images, intermediates_only=True)
    assert torch.equal(images, given)
    if maps[0].shape[1] == 0:  # nets that begin at a quarter of the side leave the half empty
        maps = maps[1:]
    assert [m.shape for m in tapped] == [m.shape for m in maps]
    assert all(torch.equal(wanted, found) for wanted, found in zip(tapped, maps, strict=True))
    assert all(m.std() > 1e-3 for m in maps)  # far from all zeros, of which all nets are equal
    assert report == same_account
    assert report.loaded_fraction == 1.0
    assert report.num_loaded + len(report.dropped) == len(net.state_dict())


@pytest.mark.parametrize(
    "architecture",
    [
        "vit_small_patch14_dinov2",  # DPT's scales want patches of a power of two
        "nest_tiny",  # timm's own error for it is an IndexError
    ],
)
def test_an_architecture_without_a_pyramid_is_a_fault_of_one_line(architecture):
    with pytest.raises(BenchmarkError) as raised:
        build_encoder(architecture, "pyramid", seed=0)

    assert str(raised.value).startswith(f"{architecture} gives no feature maps that a U-Net can decode (")
    assert "\n" not in str(raised.value)


# the encoders of SimCLR's nets in millions of parameters, as printed: Chen et al. 2020, table 6, and 2020b, table 1
@pytest.mark.parametrize(
    ("architecture", "printed"), [("resnet50x2", 94), ("resnet50x4", 375), ("resnet101x2", 170), ("resnet152x2", 233)]
)
def test_a_wide_resnet_is_torchvisions_with_every_width_multiplied(architecture, printed):
    """By each tensor's name and shape; it needs no memory here."""
    depth, width = architecture.removeprefix("resnet").split("x")
    with torch.device("meta"):
        narrow = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        pooled = build_encoder(architecture, "pooled", 0)
        pyramid = build_encoder(architecture, "pyramid", 0)

    def widened(name, shape):
        fixed = name.startswith("conv1.") or len(shape) == 4
        sides = shape[2:] if fixed else ()
        channels = shape[:2] if name != "conv1.weight" else shape[:1]
        return (*(int(width) * c for c in channels), *((3,) if name == "conv1.weight" else ()), *sides)

    shapes = {name: tuple(tensor.shape) for name, tensor in pooled.state_dict().items()}
    assert shapes == {n: widened(n, tuple(t.shape)) for n, t in narrow.items() if not n.startswith("fc.")}
    assert abs(sum(p.numel() for p in pooled.parameters()) / 1e6 - printed) < 1
    assert sorted(pyramid_names(pyramid.state_dict(), shapes)) == sorted(shapes)
    assert pyramid.out_channels == [3, *(int(width) * c for c in (64, 256, 512, 1024, 2048))]
    assert feature_width(pooled) == int(width) * 2048


def test_a_wide_resnet_computes_what_torchvisions_modules_do():
    """Built from torchvision's own blocks at that width, with the same tensors. No norm starts at zero."""
    encoder = build_encoder("resnet50x2", "pooled", seed=1).eval()
    with torch.device("meta"):  # its own first weights are not needed
        reference = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [3, 4, 6, 3])
        reference.inplanes = 128
        reference.conv1 = torch.nn.Conv2d(3, 128, 7, stride=2, padding=3, bias=False)
        reference.bn1 = torch.nn.BatchNorm2d(128)
        for stage, (blocks, planes) in enumerate(zip((3, 4, 6, 3), (128, 256, 512, 1024), strict=True), 1):
            made = reference._make_layer(torchvision.models.resnet.Bottleneck, planes, blocks, stride=1 + (stage > 1))
            setattr(reference, f"layer{stage}", made)
        reference.fc = torch.nn.Identity()
    reference.load_state_dict(encoder.state_dict(), strict=True, assign=True)
    norms = [module.weight for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all((weight == 1).all() for weight in norms)
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))

    with torch.no_grad():
        torch.testing.assert_close(reference.eval()(images), encoder(images))


def test_a_wide_resnet_is_known_to_the_list_of_architectures(home):
    check_architecture("resnet152x2", home)


def test_a_unet_around_a_wide_resnet_sees_64_pixels():
    with torch.device("meta"), torch.no_grad():
        normalization = Normalization(IMAGENET_MEAN, IMAGENET_STD)
        net = Segmenter(build_encoder("resnet50x2", "pyramid", seed=1), normalization, seed=1).eval()

        assert net(torch.zeros(1, 1, 64, 64, dtype=torch.uint8)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize("size", [None, 160])
def test_a_vit_is_the_same_encoder_pooled_and_under_dpt(tmp_path, size):
    """Its class token, and the blocks' maps as timm taps them, of one file; all tensors are in both forms."""
    vit = timm.create_model("test_vit").eval()
    vit.load_state_dict(drawn(vit.state_dict()))
    torch.save(vit.state_dict(), tmp_path / "net.pth")
    images = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(3))

    pooled, report = load_encoder(entry_of("test_vit"), tmp_path / "net.pth", "pooled", 0, image_size=size)
    pyramid, same_account = load_encoder(entry_of("test_vit"), tmp_path / "net.pth", "pyramid", 0, image_size=size)

    own = {name.removeprefix("model."): tensor for name, tensor in pyramid.state_dict().items()}
    assert own.keys() == pooled.state_dict().keys()
    assert all(torch.equal(vit.state_dict()[name], tensor) for name, tensor in own.items())
    with torch.no_grad():
        tokens, maps = vit.forward_features(images), vit.get_intermediate_layers(images, [0, 2, 3, 5], reshape=True)
        found, prefixes = pyramid.eval()(images)
        assert torch.equal(tokens[:, 0], pooled.eval()(images))
    assert vit.global_pool == "token"
    assert len(found) == len(prefixes) == 4
    assert all(torch.equal(wanted, expected) for wanted, expected in zip(maps, found, strict=True))
    assert report == same_account
    assert report.loaded_fraction == 1.0


@pytest.mark.parametrize("form", FORMS)
def test_a_vits_positions_are_kept_and_stretched_to_images_of_another_size(tmp_path, form):
    """As timm resamples them for a net that is made for that size: bicubic, with antialiasing."""
    vit = timm.create_model("test_vit", num_classes=0).eval()
    vit.load_state_dict(drawn(vit.state_dict()))
    torch.save(vit.state_dict(), tmp_path / "net.pth")
    small = timm.create_model("test_vit", num_classes=0, img_size=96).eval()
    positions = timm.layers.resample_abs_pos_embed(vit.pos_embed.detach(), [6, 6], num_prefix_tokens=1)
    small.load_state_dict({**vit.state_dict(), "pos_embed": positions}, strict=True)
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(3))

    encoder, report = load_encoder(entry_of("test_vit"), tmp_path / "net.pth", form, 0, image_size=96)

    assert report.loaded_fraction == 1.0
    with torch.no_grad():
        found = encoder.eval()(images)
        wanted = small(images) if form == "pooled" else small.get_intermediate_layers(images, [5], reshape=True)[0]
        torch.testing.assert_close(wanted, found if form == "pooled" else found[0][-1])


def test_a_net_that_cannot_stretch_says_at_which_size_it_works(tmp_path):
    whole = timm.create_model("mixer_s32_224").state_dict()
    torch.save(whole, tmp_path / "net.pth")

    with pytest.raises(BenchmarkError, match="these weights work only at the size they were trained at"):
        load_encoder(entry_of("mixer_s32_224"), tmp_path / "net.pth", "pooled", 0, image_size=64)


def test_a_vit_segments_and_every_part_of_it_that_is_used_learns():
    """One step of training; its last norm alone has no place before DPT's maps."""
    net = Segmenter(build_encoder("test_vit", "pyramid", seed=1, image_size=64), INTAKE, seed=1).train()
    images = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    logits = net(images)
    logits.square().mean().backward()
    optimizer.step()

    assert logits.shape == (2, 1, 64, 64)
    still = {name for name, tensor in net.named_parameters() if torch.equal(before[name], tensor)}
    assert {n for n in still if n.startswith("unet.encoder.")} <= {
        "unet.encoder.model.norm.weight",
        "unet.encoder.model.norm.bias",
    }


@pytest.mark.parametrize("architecture", ["vit_small_patch8_224", "vit_tiny_patch16_224", "mixer_s32_224"])
def test_nets_of_one_scale_segment_at_the_size_that_they_are_made_for(architecture):
    """Patches of 8, 16 and 32 pixels, with a class token and without."""
    size = 224 if "mixer" in architecture else 64
    net = Segmenter(build_encoder(architecture, "pyramid", seed=1, image_size=size), INTAKE, seed=1).eval()

    with torch.no_grad():
        assert net(torch.zeros(1, 1, size, size, dtype=torch.uint8)).shape == (1, 1, size, size)


def test_a_pyramid_that_the_weights_do_not_fill_is_a_fault_with_its_names():
    pyramid = ["model.conv1.weight", "model.blocks_0.0.weight", "model.bn1.num_batches_tracked", "model.gate"]

    with pytest.raises(BenchmarkError, match=r"tensors that the weights do not name: model\.gate$"):
        pyramid_names(pyramid, ["conv1.weight", "blocks.0.0.weight", "head.weight"])
    assert pyramid_names(pyramid[:3], ["conv1.weight", "blocks.0.0.weight", "head.weight"]) == {
        "conv1.weight": "model.conv1.weight",
        "blocks.0.0.weight": "model.blocks_0.0.weight",
    }


@pytest.mark.parametrize("form", FORMS)
def test_first_weights_are_drawn_from_the_seed_alone(form):
    """Same seed same weights, whatever was drawn before; another seed other weights, in every convolution."""
    first = build_encoder("resnet18", form, seed=1).state_dict()
    torch.rand(7)
    same = build_encoder("resnet18", form, seed=1).state_dict()
    other = build_encoder("resnet18", form, seed=2).state_dict()

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

    build_encoder("resnet18", form, seed=1)
    load_encoder(entry_of("resnet18"), tmp_path / "net.pth", form, seed=1)

    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(undisturbed, torch.rand(5))


@pytest.mark.parametrize("form", FORMS)
def test_without_a_file_all_of_an_encoder_is_fresh(form):
    encoder, report = load_encoder(scratch("resnet18"), None, form, seed=5)

    assert report == LoadReport(num_loaded=0, random=["all of it"], loaded_fraction=0.0)
    fresh = build_encoder("resnet18", form, seed=5).state_dict()
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
    with pytest.raises(BenchmarkError) as raised:
        check_architecture(name, home)

    message = str(raised.value)
    assert message.startswith(f"timm {version('timm')} has no architecture {name!r}: did you mean ")
    assert meant in message.replace("?", " ").split()


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
