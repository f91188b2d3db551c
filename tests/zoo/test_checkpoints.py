"""Checkpoints become encoders: every tensor of a file is loaded, dropped by name, or an error that prints both sides."""

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from forged import (
    DEEPER_NET,
    FORGED,
    NET,
    VITS_ALONE,
    WRITERS,
    NarrowResNet,
    byol,
    container_of,
    drawn,
    haiku,
    known_encoder,
    resnet18,
    simclr_tf,
    simclr_v2,
    tensors_of,
    write,
)
from torchvision.models.resnet import BasicBlock, Bottleneck

from benchmark.errors import BenchmarkError
from benchmark.zoo.backbone import load_encoder
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.forms import build_encoder
from benchmark.zoo.matching import read_encoder_tensors
from benchmark.zoo.naming import NAMINGS, rename
from benchmark.zoo.unpack import CONTAINERS

FORGERIES = [(naming, shape) for naming, shapes in FORGED.items() for shape in shapes]
# a naming's files in each other way that they could be written: safetensors have no dict in a dict
AS_TORCH = {"torch", "safetensors"}
WRITINGS = [
    (naming, container, way)
    for naming in FORGED
    for container, ways in WRITERS.items()
    for way in list(ways)[container != "safetensors" :]
    if container == container_of(naming) or {container, container_of(naming)} == AS_TORCH
    if not (container == "safetensors" and NAMINGS[naming].inside)
]
FORMS = ["pooled", "pyramid"]


def beside_state_dict(content):
    return content.keys() - {"state_dict"} if "epoch" in content else []


# what a forged file's tensors lie beside, by the names that an account tells
BESIDE = {
    "byol": lambda _: ["step", "rng"],
    "pycontrast": lambda content: content.keys() - {"model"},
    "simclr-v2": lambda _: ["head"],
    "dino-teacher": lambda content: content.keys() - {"teacher"},
    "dino-student": lambda content: content.keys() - {"student"},
    "vissl": lambda _: [
        "phase_idx", "loss", "classy_state_dict.hooks", "classy_state_dict.base_model.meta",
        "classy_state_dict.base_model.model.heads",
    ],
}  # fmt: skip


def wanted(naming) -> dict[str, torch.Tensor]:
    """What a file of this naming gives of the known encoder: Haiku and TensorFlow count no batches."""
    counts = naming not in ("byol", "simclr-tf")
    return {n: t for n, t in known_encoder().items() if counts or not n.endswith("num_batches_tracked")}


def entry_of(naming="plain", container=None, **fields) -> ZooEntry:
    defaults = {"name": "net", "family": "ssl", "architecture": NET, "licence": "CC0", "cite": "nobody"}
    return ZooEntry(**{**defaults, "container": container or container_of(naming), "naming": naming, **fields})


@pytest.fixture
def saved(tmp_path):
    """A file of these tensors, as torch saves them, or the authors of a naming."""

    def save(content, naming="plain"):
        path = tmp_path / "net.pth"
        write(naming, content, path)
        return path

    return save


@pytest.fixture(scope="module")
def reference():
    """Timm's own network with the known tensors, loaded by torch's own strict loader."""
    net = timm.create_model(NET, num_classes=0)
    net.load_state_dict(known_encoder(), strict=True)
    return net.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def own_names(encoder, form) -> dict[str, torch.Tensor]:
    tensors = encoder.state_dict()
    return tensors if form == "pooled" else {name.removeprefix("model."): t for name, t in tensors.items()}


def assert_same(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    assert sorted(wanted) == sorted(found)
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []


def refusal(entry, path) -> str:
    with pytest.raises(BenchmarkError) as raised:
        read_encoder_tensors(entry, path)
    return str(raised.value)


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_has_forged_files(naming):
    assert FORGED.get(naming) or naming in VITS_ALONE, (
        f"write a file of naming {naming!r} into tests/forged.py, as its authors write it"
    )


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_has_a_forger(container):
    assert WRITERS.get(container), f"write files of container {container!r} in tests/forged.py"


@pytest.mark.parametrize(("naming", "shape"), FORGERIES)
def test_a_forged_file_becomes_the_known_encoder_with_a_full_account(saved, reference, images, naming, shape):
    """Equal tensors, equal features, and nothing of the file unaccounted for."""
    content = FORGED[naming][shape]()

    encoder, report = load_encoder(entry_of(naming), saved(content, naming), "pooled", seed=1)

    assert_same(wanted(naming), {n: t for n, t in encoder.state_dict().items() if n in wanted(naming)})
    with torch.no_grad():
        assert torch.equal(reference(images), encoder.eval()(images))
    assert report.num_loaded == len(wanted(naming))
    assert report.num_loaded + len(report.dropped) == len(tensors_of(content, naming))
    assert sorted(report.other_contents) == sorted(BESIDE.get(naming, beside_state_dict)(content))
    assert report.random == []
    assert report.loaded_fraction == 1.0


@pytest.mark.parametrize("naming", FORGED)
def test_a_forged_file_becomes_the_known_pyramid_with_the_same_account(saved, reference, images, naming):
    path = saved(next(iter(FORGED[naming].values()))(), naming)

    pyramid, report = load_encoder(entry_of(naming), path, "pyramid", seed=1)

    assert_same(wanted(naming), {n: t for n, t in own_names(pyramid, "pyramid").items() if n in wanted(naming)})
    with torch.no_grad():
        for expected, found in zip(reference.forward_intermediates(images)[1], pyramid.eval()(images)[1:], strict=True):
            assert torch.equal(expected, found)
    assert report == read_encoder_tensors(entry_of(naming), path)[1]


@pytest.mark.parametrize(("naming", "container", "way"), WRITINGS)
def test_a_forged_file_gives_the_same_in_every_container(tmp_path, naming, container, way):
    content = next(iter(FORGED[naming].values()))()
    path = tmp_path / "net.file"
    WRITERS[container][way](content, path)

    tensors, report = read_encoder_tensors(entry_of(naming, container), path)

    assert_same(wanted(naming), tensors)
    assert report.num_loaded + len(report.dropped) == len(tensors_of(content, naming))
    assert report.loaded_fraction == 1.0


@pytest.mark.parametrize(
    ("block", "layers"), [(BasicBlock, (3, 4, 6, 3)), (Bottleneck, (3, 8, 36, 3))], ids=["34 layers", "152 layers"]
)
def test_bottlenecks_and_deeper_nets_are_renamed_to_the_last_tensor(block, layers):
    """Upstream nets of both kinds of blocks, their tensors told apart by identity: nothing is mixed up."""
    net = NarrowResNet(block, layers)
    own = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("fc.")}
    converted = simclr_v2(net)
    params, state = haiku(net, "byol_net/~/res_net/~/")
    arrays = tensors_of({"online_params": params, "online_state": state}, "byol")

    numbered = simclr_tf(net)
    by_number = rename(list(numbered), "simclr-tf", wanted=own)
    by_simclr = rename(list(converted), "simclr-v2")
    by_haiku = rename(list(arrays), "byol")

    assert {n: converted[source].data_ptr() for n, source in by_simclr.names.items()} == {
        n: tensor.data_ptr() for n, tensor in own.items()
    }
    assert by_simclr.dropped == ["fc.weight", "fc.bias"]
    assert {n: arrays[source].ctypes.data for n, source in by_haiku.names.items()} == {
        n: tensor.data_ptr() for n, tensor in own.items() if not n.endswith("num_batches_tracked")
    }
    assert {name.rsplit(".", 1)[1] for name in by_haiku.dropped} == {"counter", "hidden"}
    assert {n: numbered[source].data_ptr() for n, source in by_number.names.items()} == {
        n: tensor.data_ptr() for n, tensor in own.items() if not n.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    ("naming", "name"),
    [
        ("byol", "online_params.res_net50/~/block_group_0/~/conv_0.w"),
        ("byol", "online_params.res_net50/~/block_group_0/~/block_0/~/initial_conv.w"),
        ("byol", "online_params.res_net50/~/conv_0.w"),
        ("byol", "online_state.res_net50/~/initial_batchnorm/~/mean_ema.sum"),
        ("simclr-v2", "net.1.0.weight"),
        ("simclr-v2", "net.0.blocks.0.net.0.weight"),
        ("simclr-v2", "net.1.blocks.0.net.1.weight"),
        ("simclr-v2", "net.1.blocks.0.net.0.0.weight"),
        ("simclr-v2", "net.1.blocks.0.net.2.mixing_conv.0.weight"),  # a selective kernel's
        ("simclr-tf", "base_model/conv2d_0/kernel"),
        ("simclr-tf", "base_model/conv2d/gamma"),
        ("simclr-tf", "base_model/batch_normalization_1/kernel"),
        ("simclr-tf", "base_model/conv2d_1/bias"),
        ("simclr-tf", "ema_model/base_model/conv2d/kernel"),
        ("dinov2-hf", "encoder.layer.0.mlp.weights_in.weight"),  # of the giant, whose layers are others
        ("dinov2-hf", "encoder.layer.0.attention.attention.query"),
        ("dinov2-hf", "encoder.layer.0.layer_scale1.lambda1.weight"),
        ("dinov2-hf", "dinov2.embeddings.cls_token"),
    ],
)
def test_a_name_that_a_naming_does_not_know_is_refused_and_not_guessed_at(naming, name):
    with pytest.raises(BenchmarkError) as raised:
        rename([name], naming)

    assert f"naming {naming!r} wants tensors named {NAMINGS[naming].like}, found {name}: " in str(raised.value)


def test_a_first_layer_that_haiku_numbered_is_the_first_layer():
    """It numbers a name that is taken."""
    assert rename(["online_params.net/~/initial_conv_1.w"], "byol").names == {
        "conv1.weight": "online_params.net/~/initial_conv_1.w"
    }


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(
        BenchmarkError, match=r"^naming 'dino-teacher': module\.backbone\.a and backbone\.a of the file are both a of"
    ):
        rename(["module.backbone.a", "backbone.a"], "dino-teacher")


def test_tensors_that_lie_elsewhere_are_refused_with_where_they_should(saved):
    message = refusal(entry_of("vissl"), saved({"classy_state_dict": {"base_model": {"trunk": {}}}, "phase": 3}))

    assert message == (
        "net.pth: its tensors should lie under `classy_state_dict.base_model.model.trunk`, "
        "but it has no `classy_state_dict.base_model.model`, only classy_state_dict.base_model.trunk"
    )


@pytest.mark.parametrize(
    ("naming", "shape", "dropped"),
    [
        ("plain", "bare", set()),
        ("torchvision", "bare", {"fc.weight", "fc.bias"}),
        ("timm", "with classifier", {"fc.weight", "fc.bias"}),
        ("swav", "several prototypes", {f"module.prototypes.prototypes{n}.weight" for n in range(3)}),
        ("moco", "v1", {"module.encoder_q.fc.weight", "module.encoder_q.fc.bias"}),
        ("moco", "v2", {f"module.encoder_q.fc.{n}.{what}" for n in (0, 2) for what in ("weight", "bias")}),
    ],
)
def test_what_is_dropped_is_told_by_its_name_in_the_file(saved, naming, shape, dropped):
    _, report = read_encoder_tensors(entry_of(naming), saved(FORGED[naming][shape]()))

    others = ("module.encoder_k.", "module.projection_head.", "module.queue")
    assert dropped == {name for name in report.dropped if not name.startswith(others)}


def test_a_torchvision_file_gives_torchvisions_own_features(saved, images):
    net = resnet18()
    path = saved(net.state_dict())

    encoder, _ = load_encoder(entry_of("torchvision"), path, "pooled", seed=0)

    net.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(net(images), encoder.eval()(images))


@pytest.mark.parametrize(
    "architecture", ["mobilenetv2_100", "convnext_atto", "efficientnet_b0", "deit_tiny_distilled_patch16_224"]
)
def test_a_timm_model_loses_its_classifier_alone(saved, architecture):
    """Whatever timm calls it: classifier, head.fc, head and head_dist."""
    with torch.device("meta"):
        shapes = timm.create_model(architecture, num_classes=5).state_dict()
        bare = timm.create_model(architecture, num_classes=0).state_dict()
    whole, classifier = drawn(shapes), shapes.keys() - bare.keys()

    tensors, report = read_encoder_tensors(entry_of("timm", architecture=architecture), saved(whole))

    assert classifier
    assert classifier == set(report.dropped)
    assert_same({n: t for n, t in whole.items() if n not in classifier}, tensors)
    assert report.loaded_fraction == 1.0


def prefix_of(naming) -> str:
    """With which the forged file of a naming that only strips begins its encoder's names."""
    names = tensors_of(next(iter(FORGED[naming].values()))(), naming)
    return next(name for name in names if name.endswith("layer1.0.conv1.weight")).removesuffix("layer1.0.conv1.weight")


@pytest.mark.parametrize("naming", [naming for naming, rule in NAMINGS.items() if not (rule.rename or rule.numbered)])
def test_missing_stray_and_misshapen_tensors_are_one_error_with_both_sides(saved, naming):
    """Names of the file where it has the tensor, of the encoder where the file lacks it."""
    prefix = {"moco": "module.encoder_q.", "moco-v3": "module.base_encoder.", "dino-student": "module.backbone."}.get(
        naming
    ) or prefix_of(naming)
    content = next(iter(FORGED[naming].values()))()
    tensors = tensors_of(content, naming)
    del tensors[f"{prefix}layer1.0.conv1.weight"]
    tensors[f"{prefix}layer5.weight"] = torch.zeros(3, 4)
    tensors[f"{prefix}conv1.weight"] = torch.zeros(64, 1, 7, 7)

    head, *lines = refusal(entry_of(naming), saved(content, naming)).splitlines()

    assert head == (
        f"net: net.pth does not hold exactly a narrow_resnet18 in naming '{naming}': "
        "1 missing, 1 stray, 1 of another shape, of 120 wanted"
    )
    assert lines == [
        " - layer1.0.conv1.weight (64, 64, 3, 3): the file lacks it",
        f" + {prefix}layer5.weight (3, 4): narrow_resnet18 has no such tensor",
        f" ≠ {prefix}conv1.weight: (64, 1, 7, 7) in the file, (64, 3, 7, 7) in narrow_resnet18",
    ]


def test_and_so_they_are_where_names_and_layouts_differ(saved):
    """Shapes are told as torch has them."""
    converted = FORGED["simclr-v2"]["converted"]()
    tensors = converted["resnet"]
    del tensors["net.1.blocks.0.net.0.weight"]
    tensors["net.4.blocks.7.net.0.weight"] = torch.zeros(3, 4)
    tensors["net.0.0.weight"] = torch.zeros(64, 1, 7, 7)
    frozen = byol()
    params = frozen["online_params"]
    del params["res_net18/~/block_group_0/~/block_0/~/conv_0"]
    params["res_net18/~/block_group_3/~/block_7/~/conv_0"] = {"w": np.zeros((3, 3, 4, 5), "f4")}
    params["res_net18/~/initial_conv"]["w"] = np.zeros((7, 7, 1, 64), "f4")

    by_simclr = refusal(entry_of("simclr-v2"), saved(converted, "simclr-v2")).splitlines()
    by_haiku = refusal(entry_of("byol"), saved(frozen, "byol")).splitlines()

    missing = " - layer1.0.conv1.weight (64, 64, 3, 3): the file lacks it"
    assert "1 missing, 1 stray, 1 of another shape, of 120 wanted" in by_simclr[0]
    assert by_simclr[1:] == [
        missing,
        " + net.4.blocks.7.net.0.weight (3, 4): narrow_resnet18 has no such tensor",
        " ≠ net.0.0.weight: (64, 1, 7, 7) in the file, (64, 3, 7, 7) in narrow_resnet18",
    ]
    assert by_haiku[1:] == [
        missing,
        " + online_params.res_net18/~/block_group_3/~/block_7/~/conv_0.w (5, 4, 3, 3): narrow_resnet18 has no such tensor",
        " ≠ online_params.res_net18/~/initial_conv.w: (64, 1, 7, 7) in the file, (64, 3, 7, 7) in narrow_resnet18",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_file_becomes_no_encoder_in_either_form(saved, form):
    """Neither where the wrong tensor has no place in the pyramid."""
    path = saved({**known_encoder(), "fc.weight": torch.zeros(1000, 512)})

    with pytest.raises(BenchmarkError, match=r"\+ fc\.weight"):
        load_encoder(entry_of(), path, form, seed=0)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t.pop("bn1.running_var"), " - bn1.running_var (64,): the file lacks it"),
        (lambda t: t.update(fc=torch.zeros(2)), " + fc (2,): narrow_resnet18 has no such tensor"),
        (lambda t: t.update({"bn9.num_batches_tracked": torch.tensor(1)}), " + bn9.num_batches_tracked ()"),
        (
            lambda t: t.update({"bn1.bias": torch.zeros(64, 1)}),
            " ≠ bn1.bias: (64, 1) in the file, (64,) in narrow_resnet18",
        ),
    ],
)
def test_one_wrong_tensor_is_enough(saved, change, line):
    tensors = known_encoder()
    change(tensors)

    message = refusal(entry_of(), saved(tensors))

    assert line in message
    assert len(message.splitlines()) == 2


def test_a_file_of_another_architecture_is_refused_with_the_first_of_many_lines(saved):
    lines = refusal(entry_of(architecture=DEEPER_NET), saved(known_encoder())).splitlines()

    assert "80 missing, 0 stray, 0 of another shape" in lines[0]  # 8 blocks more, of 2 convolutions and 2 x 4 of norms
    assert len(lines) == 14
    assert lines[-1] == " … and 68 more"


def test_a_plain_naming_does_not_overlook_a_classifier(saved):
    message = refusal(entry_of("plain"), saved(resnet18().state_dict()))

    assert " + fc.weight (10, 64): narrow_resnet18 has no such tensor" in message


@pytest.mark.parametrize(
    ("naming", "kind", "found"),
    [("moco", "torchvision", "conv1.weight"), ("swav", "plain", "conv1.weight"), ("moco", "swav", "module.conv1.")],
)
def test_a_naming_of_another_kind_is_refused_with_what_was_found(saved, naming, kind, found):
    message = refusal(entry_of(naming), saved(FORGED[kind]["bare"]()))

    assert f"naming {naming!r} wants tensors named {NAMINGS[naming].strip[0]}…, found {found}" in message
    assert ", ".join(NAMINGS) in message
    assert "\n" not in message


def test_a_naming_that_there_is_not_is_refused_with_the_nearest():
    with pytest.raises(BenchmarkError, match=r"^no naming 'mocco': did you mean moco or moco-v3\?$"):
        rename(["conv1.weight"], "mocco")


def test_counters_of_batch_norms_may_lack(saved):
    """Torch before 0.4.1 kept none; they change nothing where momentum is a number."""
    tensors = {n: t for n, t in known_encoder().items() if not n.endswith("num_batches_tracked")}

    encoder, report = load_encoder(entry_of(), saved(tensors), "pooled", seed=0)

    assert report.num_loaded == len(tensors) == 100
    assert report.loaded_fraction == 1.0
    assert_same(tensors, {n: t for n, t in encoder.state_dict().items() if not n.endswith("num_batches_tracked")})


@pytest.mark.parametrize("form", FORMS)
def test_fresh_in_the_entry_excuses_by_name_and_lowers_the_share(saved, form):
    """What the file lacks then starts as in a fresh encoder of the same seed."""
    known = known_encoder()
    tensors = {n: t for n, t in known.items() if not n.startswith("layer4.")}
    entry = entry_of(fresh=("layer4.",))
    weights = {n: t for n, t in known.items() if "running" not in n and "num_batches" not in n}
    num_loaded = sum(t.numel() for n, t in weights.items() if not n.startswith("layer4."))

    encoder, report = load_encoder(entry, saved(tensors), form, seed=5)

    assert set(report.random) == {n for n in known.keys() - tensors.keys() if "num_batches" not in n}
    assert report.num_loaded == len(tensors)
    assert report.loaded_fraction == num_loaded / sum(t.numel() for t in weights.values())
    assert 0.7 < report.loaded_fraction < 0.8
    fresh = own_names(build_encoder(NET, form, seed=5), form)
    wanted = {n: tensors.get(n, fresh[n]) for n in known}
    assert_same(wanted, own_names(encoder, form))


def test_fresh_excuses_nothing_else_and_does_not_keep_out_what_the_file_has(saved):
    tensors = known_encoder()
    report = read_encoder_tensors(entry_of(fresh=("layer4.",)), saved(tensors))[1]
    del tensors["layer3.0.conv1.weight"]

    message = refusal(entry_of(fresh=("layer4.",)), saved(tensors))

    assert (report.loaded_fraction, report.random) == (1.0, [])
    assert "1 missing, 0 stray" in message


def test_halves_are_loaded_as_the_numbers_that_they_are(tmp_path):
    halves = {n: t.half() if t.is_floating_point() else t for n, t in known_encoder().items()}
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(halves, path)

    encoder, _ = load_encoder(entry_of(container="safetensors"), path, "pooled", seed=0)

    assert_same({n: t.float() if t.is_floating_point() else t for n, t in halves.items()}, encoder.state_dict())


VIT = "vit_small_patch14_dinov2"


@pytest.fixture(scope="module")
def vit() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = timm.create_model(VIT, num_classes=0).state_dict()
    return drawn(shapes)


def test_query_key_and_value_become_one_again_with_equal_features(saved, vit):
    """At DINOv2's own size and at another; timm's net with the same tensors, by torch's own strict loader."""
    reference = timm.create_model(VIT, num_classes=0, dynamic_img_size=True)
    reference.load_state_dict(vit, strict=True)
    path = saved(VITS_ALONE["dinov2-hf"](vit))
    entry = entry_of("dinov2-hf", "torch", architecture=VIT)

    tensors, report = read_encoder_tensors(entry, path)
    encoder, _ = load_encoder(entry, path, "pooled", seed=1, image_size=56)

    assert_same(vit, tensors)
    assert (report.loaded_fraction, report.random, report.other_contents) == (1.0, [], [])
    assert report.dropped == ["embeddings.mask_token"]
    images = torch.rand(2, 3, 56, 56, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(reference.eval()(images), encoder.eval()(images))


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (
            lambda t: t.pop("encoder.layer.3.attention.attention.key.weight"),
            [
                " - blocks.3.attn.qkv.weight (1152, 384): the file lacks it",
                " + encoder.layer.3.attention.attention.query.weight (384, 384): vit_small_patch14_dinov2 has no such tensor",
                " + encoder.layer.3.attention.attention.value.weight (384, 384): vit_small_patch14_dinov2 has no such tensor",
            ],
        ),
        (
            lambda t: t.update({"encoder.layer.3.attention.attention.value.bias": torch.zeros(2)}),
            [
                " ≠ encoder.layer.3.attention.attention.query.bias: (384,) in the file, (1152,) in vit_small_patch14_dinov2"
            ],
        ),
        (
            lambda t: t.update({"encoder.layer.12.norm1.bias": torch.zeros(384)}),
            [" + encoder.layer.12.norm1.bias (384,): vit_small_patch14_dinov2 has no such tensor"],
        ),
    ],
)
def test_a_part_that_lacks_or_does_not_fit_is_told_from_both_sides(saved, vit, change, lines):
    tensors = VITS_ALONE["dinov2-hf"](vit)
    change(tensors)

    _, *printed = refusal(entry_of("dinov2-hf", "torch", architecture=VIT), saved(tensors)).splitlines()

    assert printed == lines
