"""Checkpoints as upstream code writes them, around a known encoder: the tensors' names come from modules built as theirs.

MoCo: facebookresearch/moco, moco/builder.py and main_moco.py, and moco-v3; SwAV: facebookresearch/swav, src/resnet50.py and
main_swav.py; PyContrast: HobbitLong/PyContrast, networks/build_backbone.py and learning/contrast_trainer.py; BYOL:
google-deepmind/deepmind-research, byol/utils/networks.py, byol_experiment.py and checkpointing.py; SimCLR-v2:
Separius/SimCLRv2-Pytorch, resnet.py and convert.py; VISSL: facebookresearch/vissl; DINO: facebookresearch/dino,
main_dino.py; SimCLR: google-research/simclr, resnet.py and lars_optimizer.py; open_clip: mlfoundations/open_clip,
timm_model.py; Dinov2Model: huggingface/transformers, convert_dinov2_to_hf.py. A key for each naming of
`benchmark.zoo.naming`, a key in it for each shape that files of it have. Upstream, BYOL and SimCLR are made of bottlenecks
alone: `haiku`, `simclr_v2` and `simclr_tf` take torchvision nets of both kinds.

The known encoder is a ResNet-18 of 64 channels in every stage, by the same names, so that its file has 3 MB instead of 45.
Importing this registers it in timm, and a ResNet-34 of the kind.
"""

import argparse
import pickle
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torchvision
from tensor_bundles import write_tar, write_zip
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from benchmark.zoo.naming import NAMINGS

Tensors = dict[str, torch.Tensor]
SEED = 20
WIDTH = 64  # channels of every stage: with fewer, the first one would have a shortcut
NET, DEEPER_NET = "narrow_resnet18", "narrow_resnet34"
default_cfgs = generate_default_cfgs({name: {"url": "", "classifier": "fc"} for name in (NET, DEEPER_NET)})


@register_model
def narrow_resnet18(layers: tuple[int, ...] = (2, 2, 2, 2), **options: Any) -> nn.Module:
    return build_model_with_cfg(ResNet, NET, block=BasicBlock, layers=layers, channels=4 * (WIDTH,), **options)


@register_model
def narrow_resnet34(**options: Any) -> nn.Module:
    return narrow_resnet18((3, 4, 6, 3), **options)


class NarrowResNet(torchvision.models.ResNet):
    """Torchvision's ResNet with 64 channels in every stage (times four where it is made of bottlenecks)."""

    def __init__(
        self, block: Any = torchvision.models.resnet.BasicBlock, layers: tuple[int, ...] = (2, 2, 2, 2)
    ) -> None:
        super().__init__(block, list(layers))
        self.fc = nn.Linear(WIDTH * block.expansion, 10)

    def _make_layer(self, block: Any, _planes: int, blocks: int, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, WIDTH, blocks, **options)


def drawn(tensors: Tensors, seed: int = SEED) -> Tensors:
    """Tensors of these names and shapes drawn anew, batch norms' statistics too: each of them shows in a feature."""
    stream = torch.Generator().manual_seed(seed)
    fresh = {}
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            fresh[name] = torch.tensor(7)
        elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            fresh[name] = 0.5 + torch.rand(tensor.shape, generator=stream)  # positive: no variance is below 0
        else:
            scale = (2 / max(tensor[0].numel(), 1)) ** 0.5  # He's: features stay of order 1 through many layers
            fresh[name] = scale * torch.randn(tensor.shape, generator=stream)
    return fresh


@cache
def known(seed: int = SEED) -> Tensors:
    """The tensors of the known network, its classifier's too; never changed, and shared by all that is made of it."""
    with torch.device("meta"):  # no time is spent on first weights
        shapes = NarrowResNet().state_dict()
    return drawn(shapes, seed)


def resnet18(head: nn.Module | None = None, seed: int = SEED) -> nn.Module:
    """The known network, the same at each call, with its own or another head."""
    with torch.device("meta"):
        net = NarrowResNet()
    net.load_state_dict(known(seed), assign=True)
    if head is not None:
        net.fc = head
    return net.eval()


def known_encoder() -> Tensors:
    """The tensors that every forged file holds, by the encoder's own names."""
    return {name: tensor for name, tensor in known().items() if not name.startswith("fc.")}


def wrapped(inner: nn.Module) -> Tensors:
    """As DistributedDataParallel saves a module: under `module.`."""
    return OrderedDict(nn.ModuleDict({"module": inner}).state_dict())


def moco(head: Callable[[], nn.Module]) -> Tensors:
    net = nn.Module()
    net.encoder_q = resnet18(head())
    net.encoder_k = resnet18(head(), SEED + 1)
    net.register_buffer("queue", torch.zeros(128, 64))
    net.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))
    return wrapped(net)


def moco_v3() -> Tensors:
    net = nn.Module()
    net.base_encoder, net.momentum_encoder = resnet18(two_layers()), resnet18(two_layers(), SEED + 1)
    net.predictor = nn.Sequential(nn.Linear(128, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 128))
    return wrapped(net)


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 128))


def swav(prototypes: nn.Module) -> Tensors:
    net = resnet18()
    del net.fc
    net.projection_head = nn.Sequential(nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
    net.prototypes = prototypes
    return wrapped(net)


def many_prototypes() -> nn.Module:
    """DeepCluster-v2 and SeLa-v2 have several."""
    heads = nn.Module()
    for number in range(3):
        heads.add_module(f"prototypes{number}", nn.Linear(32, 30, bias=False))
    return heads


def in_training(tensors: Tensors) -> dict[str, Any]:
    """Beside what a training script keeps to go on."""
    rate = {"lr": 0.03, "momentum": 0.9, "params": [0, 1]}
    momentum = {0: {"momentum_buffer": torch.zeros(3)}}
    optimizer = {"state": momentum, "param_groups": [rate]}
    return {"epoch": 200, "arch": "resnet18", "state_dict": tensors, "optimizer": optimizer}


def pycontrast(*, momentum: bool = False, jigsaw: bool = False) -> dict[str, Any]:
    def net(seed: int) -> nn.Module:
        outer = nn.Module()
        outer.encoder = resnet18(seed=seed)  # its classifier stays in it, unused
        outer.head = two_layers()
        if jigsaw:
            outer.head_jig = nn.ModuleDict({"fc1": nn.Linear(WIDTH, 128), "fc2": nn.Linear(192, 128)})
        return outer

    bank = nn.Module()
    bank.register_buffer("memory", torch.zeros(64, 128))
    content = {"model": wrapped(net(SEED)), "contrast": bank.state_dict(), "optimizer": {"state": {}}, "epoch": 200}
    return {**content, "model_ema": net(SEED + 1).state_dict()} if momentum else content


def blocks_of(net: nn.Module) -> Iterator[tuple[int, int, nn.Module]]:
    """Stage (from 1), place in it, block, of a torchvision ResNet."""
    for stage in range(1, 5):
        for position, block in enumerate(getattr(net, f"layer{stage}")):
            yield stage, position, block


def pairs_of(block: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """A block's convolutions with their norms."""
    names = [name for name, _ in block.named_children() if name.startswith("conv")]
    return [(getattr(block, name), getattr(block, name.replace("conv", "bn"))) for name in names]


def simclr_v2(net: nn.Module) -> Tensors:
    """A torchvision ResNet's own tensors in modules nested as the conversion nests them."""

    def norm(module: nn.Module) -> nn.Module:
        return nn.Sequential(module, nn.ReLU())

    stages = [nn.Module() for _ in range(4)]
    for stage in stages:
        stage.blocks = nn.ModuleList()
    for stage, _, block in blocks_of(net):
        outer = nn.Module()
        if block.downsample is not None:
            outer.projection = nn.Module()
            outer.projection.shortcut, outer.projection.bn = block.downsample[0], norm(block.downsample[1])
        outer.net = nn.Sequential(*(part for conv, bn in pairs_of(block) for part in (conv, norm(bn))))
        stages[stage - 1].blocks.append(outer)
    net_by_stages = nn.Module()
    net_by_stages.net = nn.Sequential(nn.Sequential(net.conv1, norm(net.bn1), nn.MaxPool2d(3)), *stages)
    net_by_stages.fc = net.fc
    return net_by_stages.state_dict()


def haiku(net: nn.Module, around: str = "res_net18/~/") -> tuple[dict[str, dict], dict[str, dict]]:
    """A torchvision ResNet's tensors as Haiku holds them: parameters and state, by module, kernels as HWIO."""
    params: dict[str, dict] = {}
    state: dict[str, dict] = {}

    def put(block_path: str, suffix: str, conv: nn.Module, bn: nn.Module, name: str) -> None:
        def row(tensor: torch.Tensor) -> np.ndarray:
            return tensor.detach().numpy().reshape(1, 1, 1, -1)

        params[f"{around}{block_path}{name}conv{suffix}"] = {"w": conv.weight.detach().numpy().transpose(2, 3, 1, 0)}
        params[f"{around}{block_path}{name}batchnorm{suffix}"] = {"scale": row(bn.weight), "offset": row(bn.bias)}
        for kind, tensor in (("mean", bn.running_mean), ("var", bn.running_var)):
            state[f"{around}{block_path}{name}batchnorm{suffix}/~/{kind}_ema"] = {
                "counter": np.array(7, np.int32), "hidden": 2 * row(tensor), "average": row(tensor)
            }  # fmt: skip

    for stage, number, block in blocks_of(net):
        block_path = f"block_group_{stage - 1}/~/block_{number}/~/"
        for count, (conv, bn) in enumerate(pairs_of(block)):
            put(block_path, f"_{count}", conv, bn, "")
        if block.downsample is not None:
            put(block_path, "", *block.downsample, "shortcut_")
    put("", "", net.conv1, net.bn1, "initial_")
    return params, state


BYOL_FIELDS = ["online_params", "target_params", "online_state", "target_state", "opt_state"]


def _create_namedtuple(name: str, fields: list[str], module: str) -> type:
    """As dill writes out such classes: a call of its own function of this name."""
    raise AssertionError((name, fields, module))


def write_byol(content: dict[str, Any], path: Path, *, by_dill: bool = True) -> None:
    """DeepMind's checkpoint, of classes that do not exist when it is read."""
    state = namedtuple("_ByolExperimentState", BYOL_FIELDS)  # noqa: PYI024 - as theirs

    class FlatMapping:
        """Haiku's: pickled as itself made of a dict."""

        def __init__(self, content: dict) -> None:
            self.content = content

        def __reduce__(self) -> tuple:
            return type(self), (self.content,)

    module_of = {
        "haiku._src.data_structures": FlatMapping,
        "byol.byol_experiment": state,
        "dill._dill": _create_namedtuple,
    }
    parents = {module.rsplit(".", n)[0] for module in module_of for n in range(3)}
    sys.modules.update({module: ModuleType(module) for module in parents})
    for module, pickled in module_of.items():
        setattr(sys.modules[module], pickled.__name__, pickled)
        pickled.__module__, pickled.__qualname__ = module, pickled.__name__

    class Pickler(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if by_dill and value is state:
                return _create_namedtuple, (state.__name__, tuple(BYOL_FIELDS), state.__module__)
            return NotImplemented

    tree = state(**{k: FlatMapping({n: FlatMapping(v) for n, v in content[k].items()}) for k in BYOL_FIELDS})
    try:
        with path.open("wb") as file:
            Pickler(file, protocol=2).dump({"experiment_state": tree, "step": 300_000, "rng": np.array([0, 1], "u4")})
    finally:
        for module in parents:
            del sys.modules[module]


def byol(net: nn.Module | None = None) -> dict[str, Any]:
    params, state = haiku(net or resnet18())
    target, target_state = haiku(resnet18(seed=SEED + 1))
    for name, width in (("projector", WIDTH), ("predictor", 256)):
        params |= {f"{name}/linear": {"w": np.zeros((width, 64), "f4"), "b": np.zeros(64, "f4")},
                   f"{name}/batch_norm": {"scale": np.ones((1, 64), "f4"), "offset": np.zeros((1, 64), "f4")}}  # fmt: skip
        state[f"{name}/batch_norm/~/mean_ema"] = {"average": np.zeros((1, 64), "f4"), "counter": np.array(7)}
    params["classifier"] = {"w": np.zeros((WIDTH, 10), "f4"), "b": np.zeros(10, "f4")}
    momentum = {name: {what: 0 * array for what, array in arrays.items()} for name, arrays in params.items()}
    return dict(zip(BYOL_FIELDS, (params, target, state, target_state, momentum), strict=True))


def vissl() -> dict[str, Any]:
    trunk = nn.Module()
    trunk._feature_blocks = resnet18()
    del trunk._feature_blocks.fc
    heads = nn.ModuleList([nn.Linear(WIDTH, 128)])
    model = {"trunk": trunk.state_dict(), "heads": heads.state_dict()}
    return {"phase_idx": 99, "loss": {}, "classy_state_dict": {"base_model": {"model": model, "meta": {}}, "hooks": {}}}


def dino(which: str, *, teacher_wrapped: bool) -> dict[str, Any]:
    """A full checkpoint whose `which` is the known encoder; the command line's arguments lie in it as they are."""

    def crops(seed: int) -> nn.Module:
        net = nn.Module()
        net.backbone = resnet18(nn.Identity(), seed)
        net.head = two_layers()
        return net

    nets = {name: crops(SEED if name == which else SEED + 1) for name in ("student", "teacher")}
    teacher = wrapped(nets["teacher"]) if teacher_wrapped else nets["teacher"].state_dict()
    loss = {"center": torch.zeros(1, 128)}
    arguments = argparse.Namespace(arch="resnet18", lr=0.3)
    return {
        "student": wrapped(nets["student"]),
        "teacher": teacher,
        "optimizer": {},
        "epoch": 100,
        "args": arguments,
        "dino_loss": loss,
    }


def lightning(part: str) -> dict[str, Any]:
    """Hyper-parameters and callbacks are objects of classes; here of such as torch does not know either."""
    net = nn.Module()
    setattr(net, part, resnet18())
    net.head = nn.Linear(WIDTH, 14)
    progress = argparse.Namespace(total=np.float64(3.5), path=Path("logs"))
    return {"epoch": 3, "pytorch-lightning_version": "2.4.0", "state_dict": net.state_dict(), "loops": {"fit": progress},
            "callbacks": {"ModelCheckpoint": progress}, "hyper_parameters": OrderedDict(net=progress)}  # fmt: skip


def simclr_tf(net: nn.Module) -> Tensors:
    """A torchvision ResNet's own tensors by TensorFlow's names: it numbers layers of a kind as they are made."""
    made = {"conv2d": 0, "batch_normalization": 0}
    renamed: Tensors = {}

    def put(kind: str, tensors: Tensors) -> None:
        number = f"_{made[kind]}" if made[kind] else ""
        made[kind] += 1
        renamed.update({f"base_model/{kind}{number}/{what}": tensor for what, tensor in tensors.items()})

    def convolved(conv: nn.Module, bn: nn.Module) -> None:
        put("conv2d", {"kernel": conv.weight.detach()})
        put("batch_normalization", {"gamma": bn.weight.detach(), "beta": bn.bias.detach(),
                                    "moving_mean": bn.running_mean, "moving_variance": bn.running_var})  # fmt: skip

    convolved(net.conv1, net.bn1)
    for _, _, block in blocks_of(net):
        if block.downsample is not None:  # resnet.py: the shortcut comes first
            convolved(*block.downsample)
        for conv, bn in pairs_of(block):
            convolved(conv, bn)
    return renamed


def simclr_tf_file(*, pretrained: bool) -> Tensors:
    """After pre-training, with LARS's slots and the projection; or with a linear classifier on top, as they are given."""
    own = simclr_tf(resnet18())
    renamed = {n: t.permute(2, 3, 1, 0).contiguous() if t.ndim == 4 else t for n, t in own.items()}
    renamed["global_step"] = torch.tensor(225206)
    if pretrained:
        renamed |= {
            f"{name}/Momentum": 0 * renamed[name] for name in renamed if name.endswith(("gamma", "beta", "2d/kernel"))
        }
        renamed["head_contrastive/nl_0/dense/kernel"] = torch.zeros(WIDTH, 128)
        renamed["head_contrastive/nl_0/batch_normalization/gamma"] = torch.ones(128)
        renamed["head_contrastive/nl_0/dense/kernel/Momentum"] = torch.zeros(WIDTH, 128)
    else:
        renamed["head_supervised/linear_layer/dense/kernel"] = torch.zeros(WIDTH, 10)
        renamed["head_supervised/linear_layer/dense/bias"] = torch.zeros(10)
    return renamed


def open_clip() -> Tensors:
    image = nn.Module()
    image.trunk = resnet18()
    del image.trunk.fc
    image.head = nn.Sequential(OrderedDict(drop=nn.Dropout(0.0), proj=nn.Linear(WIDTH, 128, bias=False)))
    net = nn.Module()
    net.visual, net.text = image, nn.ModuleDict({"transformer": nn.Embedding(10, 4), "proj": nn.Linear(4, 128)})
    net.logit_scale = nn.Parameter(torch.ones([]))
    return net.state_dict()


def dinov2_hf(tensors: Tensors) -> Tensors:
    """A timm DINOv2 ViT's tensors by the names of transformers' Dinov2Model."""
    renamed: Tensors = {"embeddings.mask_token": torch.zeros(1, tensors["cls_token"].shape[-1])}
    plain = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings"}
    layers = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm"}
    for name, tensor in tensors.items():
        if name in plain:
            renamed[plain[name]] = tensor
        elif not name.startswith("blocks."):
            layer, what = name.rsplit(".", 1)
            renamed[f"{layers[layer]}.{what}"] = tensor
        else:
            _, number, layer = name.split(".", 2)
            around = f"encoder.layer.{number}"
            if layer.startswith("attn.qkv."):
                width = tensor.shape[0] // 3
                for position, part in enumerate(("query", "key", "value")):
                    cut = tensor[position * width : (position + 1) * width].clone()
                    renamed[f"{around}.attention.attention.{part}.{layer.removeprefix('attn.qkv.')}"] = cut
            elif layer.startswith("ls"):
                renamed[f"{around}.layer_scale{layer[2]}.lambda1"] = tensor
            else:
                renamed[f"{around}.{layer.replace('attn.proj', 'attention.output.dense')}"] = tensor
    return renamed


FORGED: dict[str, dict[str, Callable[[], Any]]] = {
    "plain": {"bare": known_encoder, "in training": lambda: in_training(known_encoder())},
    "torchvision": {
        "bare": lambda: resnet18().state_dict(),
        "14 findings, in training": lambda: in_training(resnet18(nn.Linear(WIDTH, 14)).state_dict()),
        "no head": known_encoder,
    },
    "timm": {"with classifier": lambda: resnet18().state_dict(), "without": known_encoder},
    "moco": {
        "v1": lambda: in_training(moco(lambda: nn.Linear(WIDTH, 128))),
        "v2": lambda: in_training(moco(two_layers)),
    },
    "moco-v3": {"ResNet's": lambda: in_training(moco_v3())},
    "swav": {
        "bare": lambda: swav(nn.Linear(32, 30, bias=False)),
        "in training": lambda: in_training(swav(nn.Linear(32, 30, bias=False))),
        "several prototypes": lambda: swav(many_prototypes()),
    },
    "torchvision-module": {"14 findings, in training": lambda: in_training(wrapped(resnet18(nn.Linear(WIDTH, 14))))},
    "pycontrast": {
        "InsDis": pycontrast,
        "InfoMin": lambda: pycontrast(momentum=True),
        "PIRL": lambda: pycontrast(jigsaw=True),
    },
    "byol": {"pretrained": byol},
    "simclr-v2": {"converted": lambda: {"resnet": simclr_v2(resnet18()), "head": two_layers().state_dict()}},
    "simclr-tf": {
        "pretrained": lambda: simclr_tf_file(pretrained=True),
        "with a classifier": lambda: simclr_tf_file(pretrained=False),
    },
    "open-clip": {"trained": open_clip},
    "vissl": {"trained": vissl},
    "dino": {"backbone": known_encoder},
    "dino-teacher": {
        "ViT's": lambda: dino("teacher", teacher_wrapped=False),
        "ResNet's": lambda: dino("teacher", teacher_wrapped=True),
    },
    "dino-student": {"full": lambda: dino("student", teacher_wrapped=True)},
    "lightning": {"trained": lambda: lightning("model")},
    "lightning-backbone": {"trained": lambda: lightning("backbone")},
}


VITS_ALONE = {"dinov2-hf": dinov2_hf}  # namings that no ResNet has: they take a timm ViT's tensors


def container_of(naming: str) -> str:
    """What its authors write: torch files, but for a few."""
    return {"byol": "pickle", "simclr-tf": "tensorflow", "dinov2-hf": "safetensors"}.get(naming, "torch")


def tensors_of(content: dict[str, Any], naming: str = "plain") -> dict[str, Any]:
    """The tensors of a forged file, by their names in the file, from where the naming says they are."""
    if naming == "byol":
        return {f"{part}.{module}.{name}": array for part, modules in content.items()
                for module, arrays in modules.items() for name, array in arrays.items()}  # fmt: skip
    for key in filter(None, NAMINGS[naming].inside.split(".")):
        content = content[key]
    return content.get("state_dict", content)


def write_legacy(content: Any, path: Path) -> None:
    """As torch before 1.6 wrote, and with it most of the files that the papers compare."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


# each container of `benchmark.zoo.unpack`, in each way of writing it
WRITERS: dict[str, dict[str, Callable[[Any, Path], None]]] = {
    "torch": {"zip": torch.save, "legacy": write_legacy},
    "safetensors": {
        # safetensors refuses two names of one memory, and holds nothing but tensors
        "flat": lambda content, path: safetensors.torch.save_file(
            {name: tensor.clone() for name, tensor in tensors_of(content).items()}, path, metadata={"format": "pt"}
        )
    },
    "pickle": {"dill": write_byol, "by name": lambda content, path: write_byol(content, path, by_dill=False)},
    "tensorflow": {"zip": write_zip, "tar": write_tar},
}


def write(naming: str, content: Any, path: Path) -> None:
    """A forged file as its authors would write it."""
    next(iter(WRITERS[container_of(naming)].values()))(content, path)
