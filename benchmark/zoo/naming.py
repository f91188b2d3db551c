"""Translates the names of tensors in upstream files into those of the encoder, by one table.

A tensor whose name begins with a `drop` prefix is left out by that name; every other must begin with one of `strip`,
which is taken off once, or be known to the naming's `rename`; what then has no place in the encoder is an error of
`zoo.backbone`, never skipped here. Dropping comes before stripping, since a head may carry the encoder's own
prefix (`module.encoder_q.fc.`). Torch-free.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.text import first_few


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How one family of upstream files names an encoder's tensors.

    `inside` is the dotted path of keys to the tensors (empty: at the top, or under `state_dict`). `rename` gives an
    encoder's name for a file's, None for a name that it does not know; `like` is an example of one that it does.
    `numbered` makes such a function from the encoder's own names, where the file numbers layers as they were built.
    Several tensors that `rename` gives one name with `JOIN` and their number (0, 1, …) are parts of it, `num_parts` in all,
    stacked along the first axis. `haiku` says that arrays lie as JAX's Haiku and TensorFlow have them: kernels height x
    width x in x out, norms 1 x 1 x 1 x channels.
    """

    inside: str = ""
    strip: tuple[str, ...] = ("",)
    drop: tuple[str, ...] = ()
    drop_classifier: bool = False  # the architecture's own classifier, by timm's name for it
    drop_like: str = ""  # a pattern that a whole name matches
    rename: Callable[[str], str | None] | None = None
    numbered: Callable[[Collection[str]], Callable[[str], str | None]] | None = None
    num_parts: int = 1
    like: str = ""
    haiku: bool = False

    @property
    def wanted(self) -> str:
        """Returns how names of this kind begin, for an error's text."""
        return self.like or " or ".join(f"{prefix}…" for prefix in self.strip)


JOIN = "+"  # no tensor's name has it

HAIKU = re.compile(
    r"online_(?:params|state)\."  # whatever stands before a layer's own name: the modules around it
    r"(?:.*?/)?(?:block_group_(?P<stage>\d)/~/block_(?P<block>\d+)/~/)?"
    r"(?P<layer>(?:initial|shortcut)_(?:conv|batchnorm)|(?:conv|batchnorm)_(?P<number>\d))(?:_1)?"
    r"(?P<what>\.w|\.scale|\.offset|/~/mean_ema\.average|/~/var_ema\.average)"
)
HAIKU_LAYERS = {"initial_conv": "conv1", "initial_batchnorm": "bn1",
                "shortcut_conv": "downsample.0", "shortcut_batchnorm": "downsample.1"}  # fmt: skip
HAIKU_TENSORS = {".w": "weight", ".scale": "weight", ".offset": "bias",
                 "/~/mean_ema.average": "running_mean", "/~/var_ema.average": "running_var"}  # fmt: skip


def from_haiku(name: str) -> str | None:
    """Returns a ResNet's name in torchvision for its name in Haiku (hk.nets.ResNet, and DeepMind's byol/utils/networks.py)."""
    match = HAIKU.fullmatch(name)
    if match is None or (match["stage"] is None) != match["layer"].startswith("initial"):
        return None
    layer = HAIKU_LAYERS.get(match["layer"])
    if layer is None:
        layer = ("conv" if match["layer"].startswith("conv") else "bn") + str(int(match["number"]) + 1)
    stage = "" if match["stage"] is None else f"layer{int(match['stage']) + 1}.{int(match['block'])}."
    return f"{stage}{layer}.{HAIKU_TENSORS[match['what']]}"


SIMCLR_V2 = re.compile(
    r"net\.(?P<stage>[0-4])\.(?:blocks\.(?P<block>\d+)\.)?"
    r"(?P<layer>[01]|net\.[0-5]|projection\.(?:shortcut|bn))\.(?P<norm>0\.)?(?P<what>\w+)"
)
SIMCLR_V2_LAYERS = {
    "0": "conv1", "1": "bn1", "projection.shortcut": "downsample.0", "projection.bn": "downsample.1",
    "net.0": "conv1", "net.1": "bn1", "net.2": "conv2", "net.3": "bn2", "net.4": "conv3", "net.5": "bn3",
}  # fmt: skip


def from_simclr_v2(name: str) -> str | None:
    """Returns a ResNet's name in torchvision for its name in SimCLR-v2's PyTorch conversion (without selective kernels)."""
    match = SIMCLR_V2.fullmatch(name)
    if match is None:
        return None
    stem = match["stage"] == "0"
    if stem != (match["block"] is None) or stem != (match["layer"] in ("0", "1")):
        return None
    layer = SIMCLR_V2_LAYERS[match["layer"]]
    if bool(match["norm"]) != (layer.startswith("bn") or layer == "downsample.1"):
        return None
    stage = "" if match["block"] is None else f"layer{match['stage']}.{int(match['block'])}."
    return f"{stage}{layer}.{match['what']}"


SIMCLR_TF = re.compile(
    r"base_model/(?P<layer>conv2d|batch_normalization)(?:_(?P<number>[1-9]\d{0,3}))?"
    r"/(?P<what>kernel|gamma|beta|moving_mean|moving_variance)"
)
SIMCLR_TF_TENSORS = {"kernel": "weight", "gamma": "weight", "beta": "bias",
                     "moving_mean": "running_mean", "moving_variance": "running_var"}  # fmt: skip


def from_simclr_tf(wanted: Collection[str]) -> Callable[[str], str | None]:
    """Returns a function from a ResNet's name in SimCLR's own TensorFlow checkpoints to its name in torchvision.

    TensorFlow numbers convolutions and norms, each by themselves, as they are built (google-research/simclr, resnet.py):
    the stem, then block by block the shortcut's, where there is one, before the block's own. A number beyond the encoder's
    last layer stays as it is, and is reported as unexpected.
    """
    convolutions = _as_built(wanted)
    norms = [re.sub(r"conv(?=\d$)", "bn", name).replace("downsample.0", "downsample.1") for name in convolutions]

    def renamed(name: str) -> str | None:
        match = SIMCLR_TF.fullmatch(name)
        if match is None or (match["layer"] == "conv2d") != (match["what"] == "kernel"):
            return None
        layers = convolutions if match["layer"] == "conv2d" else norms
        number = int(match["number"] or 0)
        return f"{layers[number]}.{SIMCLR_TF_TENSORS[match['what']]}" if number < len(layers) else name

    return renamed


def _as_built(wanted: Collection[str]) -> list[str]:
    """Returns a torchvision ResNet's convolutions in the order of building: a shortcut before its block."""
    layers = [re.fullmatch(r"(?:layer(\d+)\.(\d+)\.)?(downsample\.0|conv(\d))\.weight", name) for name in wanted]
    order = {
        match[0].removesuffix(".weight"): (int(match[1] or 0), int(match[2] or 0), int(match[4] or 0))
        for match in layers
        if match
    }
    return sorted(order, key=lambda name: order[name])


DINOV2_HF = re.compile(
    r"encoder\.layer\.(?P<block>\d+)\.(?:layer_scale(?P<scale>[12])\.lambda1|"
    r"(?:attention\.attention\.(?P<part>query|key|value)|(?P<layer>norm[12]|mlp\.fc[12]|attention\.output\.dense))"
    r"\.(?P<what>weight|bias))"
)
DINOV2_HF_NAMES = {
    "embeddings.cls_token": "cls_token", "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight", "layernorm.bias": "norm.bias",
}  # fmt: skip


def from_dinov2_hf(name: str) -> str | None:
    """Returns a ViT's name in timm for its name in transformers' Dinov2Model, which keeps query, key and value apart."""
    match = DINOV2_HF.fullmatch(name)
    if match is None:
        return DINOV2_HF_NAMES.get(name)
    block = f"blocks.{int(match['block'])}"
    if match["scale"]:
        return f"{block}.ls{match['scale']}.gamma"
    if match["part"]:
        return f"{block}.attn.qkv.{match['what']}{JOIN}{('query', 'key', 'value').index(match['part'])}"
    return f"{block}.{match['layer'].replace('attention.output.dense', 'attn.proj')}.{match['what']}"


NAMINGS: dict[str, Naming] = {
    # the encoder alone, in its own names (Barlow Twins' resnet50.pth)
    "plain": Naming(),
    # a torchvision classifier, and all that keeps its names (iNat2021, Zenodo's CXR14, SimCLR-v1 as lightly converted it)
    "torchvision": Naming(drop=("fc.",)),
    # the same, saved from DataParallel (Zenodo's CheXpert)
    "torchvision-module": Naming(strip=("module.",), drop=("module.fc.",)),
    # a timm model, with or without its classifier
    "timm": Naming(drop_classifier=True),
    # MoCo v1/v2 and PCL: the query encoder; its head, the key encoder and the queue are left
    "moco": Naming(
        strip=("module.encoder_q.",),
        drop=("module.encoder_q.fc.", "module.encoder_k.", "module.queue", "module.queue_ptr"),
    ),
    # MoCo v3: the base encoder; its projector has the classifier's name, `fc` of a ResNet and `head` of a ViT
    "moco-v3": Naming(
        strip=("module.base_encoder.",),
        drop=("module.base_encoder.fc.", "module.base_encoder.head.", "module.momentum_encoder.", "module.predictor."),
    ),
    # SwAV, DeepCluster-v2, SeLa-v2
    "swav": Naming(strip=("module.",), drop=("module.projection_head.", "module.prototypes.")),
    # InsDis, PIRL, InfoMin; the momentum encoder and the memory lie beside `model`
    "pycontrast": Naming(
        inside="model",
        strip=("module.encoder.",),
        drop=("module.encoder.fc.", "module.head.", "module.head_jig.", "module.jigsaw.", "module.encoder_k"),
    ),
    # BYOL's pickle: the online network; the target, the optimizer, and averages' counters and raw sums are left
    "byol": Naming(
        inside="experiment_state",
        drop=("target_params.", "target_state.", "opt_state."),
        drop_like=r"(?:.*[./])?(?:projector|predictor|classifier)[./].*|.*/~/(?:mean|var)_ema\.(?:counter|hidden)",
        rename=from_haiku,
        like="online_params.…/block_group_0/~/block_0/~/conv_0.w",
        haiku=True,
    ),
    # SimCLR-v2 as converted to PyTorch; its projection head lies beside `resnet`
    "simclr-v2": Naming(inside="resnet", drop=("fc.",), rename=from_simclr_v2, like="net.1.blocks.0.net.0.weight"),
    # SimCLR's own TensorFlow checkpoints; its heads, the optimizer's slots and the count of steps are left
    "simclr-tf": Naming(
        drop=("head_contrastive/", "head_supervised/", "global_step"),
        drop_like=r".*/Momentum",
        numbered=from_simclr_tf,
        like="base_model/conv2d/kernel",
        haiku=True,
    ),
    # transformers' Dinov2Model (RAD-DINO); what masked patches were replaced by is left
    "dinov2-hf": Naming(
        drop=("embeddings.mask_token",),
        rename=from_dinov2_hf,
        num_parts=3,
        like="encoder.layer.0.attention.attention.query.weight",
    ),
    # open_clip around a timm model (BiomedCLIP): the image encoder; its projection, the text encoder and the scale are left
    "open-clip": Naming(strip=("visual.trunk.",), drop=("visual.head.", "text.", "logit_scale")),
    # VISSL; its heads lie beside the trunk
    "vissl": Naming(inside="classy_state_dict.base_model.model.trunk", strip=("_feature_blocks.",)),
    # DINO's backbone files: timm's names for a ViT, torchvision's for a ResNet
    "dino": Naming(),
    # DINO's full checkpoints hold both networks; a teacher with batch norms is wrapped as the student is
    "dino-teacher": Naming(inside="teacher", strip=("module.backbone.", "backbone."), drop=("module.head.", "head.")),
    "dino-student": Naming(inside="student", strip=("module.backbone.",), drop=("module.head.",)),
    # a LightningModule's checkpoint, its network under `model` or `backbone`
    "lightning": Naming(
        strip=("model.",), drop=("head.", "fc.", "classifier.", "projection_head."), drop_classifier=True
    ),
    "lightning-backbone": Naming(
        strip=("backbone.",), drop=("head.", "fc.", "classifier.", "projection_head."), drop_classifier=True
    ),
}


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """`names` maps the encoder's names to the file's; `dropped` are the file's names that were left out by name.

    `parts` maps the encoder's names of what the file has in parts to their names in the file, in order; `names` then has
    the first of them.
    """

    names: dict[str, str]
    dropped: list[str]
    parts: dict[str, list[str]] = field(default_factory=dict)


def rename(
    file_names: list[str], naming: str, classifier: tuple[str, ...] = (), wanted: Collection[str] = ()
) -> Renamed:
    """Applies a naming. `classifier` are timm's names of the architecture's classifier modules, `wanted` of its tensors.

    Raises BenchmarkError for an unknown naming, for names that it neither knows nor drops, and where two become one.
    """
    if naming not in NAMINGS:
        raise BenchmarkError(f"no naming {naming!r}: {did_you_mean(naming, NAMINGS)}")
    rule = NAMINGS[naming]
    drop = rule.drop
    if rule.drop_classifier:
        drop += tuple(f"{prefix}{name}." for prefix in rule.strip for name in classifier)
    drop_like = re.compile(rule.drop_like) if rule.drop_like else None
    renaming = rule.numbered(wanted) if rule.numbered else rule.rename
    names: dict[str, str] = {}
    dropped, foreign = [], []
    for name in file_names:
        if name.startswith(drop) or (drop_like and drop_like.fullmatch(name)):
            dropped.append(name)
            continue
        own = renaming(name) if renaming else _stripped(name, rule.strip)
        if own is None:
            foreign.append(name)
        elif own in names:
            raise BenchmarkError(
                f"naming {naming!r}: {names[own]} and {name} of the file are both {own} of the encoder"
            )
        else:
            names[own] = name
    if foreign:
        raise BenchmarkError(
            f"naming {naming!r} wants tensors named {rule.wanted}, found {first_few(foreign)}: "
            f"the file is of another kind (namings: {', '.join(NAMINGS)})"
        )
    parts = _joined(names, rule.num_parts)
    return Renamed(names=names, dropped=dropped, parts=parts)


def _joined(names: dict[str, str], num_parts: int) -> dict[str, list[str]]:
    """Replaces complete sets of parts by one name; a part of an incomplete set stays, and is reported as unexpected."""
    parts = {}
    for joined in [name.removesuffix(f"{JOIN}0") for name in names if name.endswith(f"{JOIN}0")]:
        own = [f"{joined}{JOIN}{number}" for number in range(num_parts)]
        if all(name in names for name in own):
            parts[joined] = [names.pop(name) for name in own]
            names[joined] = parts[joined][0]
    return parts


def _stripped(name: str, prefixes: tuple[str, ...]) -> str | None:
    prefix = next((p for p in prefixes if name.startswith(p)), None)
    return None if prefix is None else name.removeprefix(prefix)
