"""Checkpoints as upstream code writes them, around a known encoder: the tensors' names come from modules built as theirs.

MoCo: facebookresearch/moco, moco/builder.py and main_moco.py; SwAV: facebookresearch/swav, src/resnet50.py and
main_swav.py; a key for each naming of `benchmark.zoo.naming`, a key in it for each shape that files of it have.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torchvision
from torch import nn

Tensors = dict[str, torch.Tensor]
SEED = 20


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
    """What ResNet-18 holds in these tests, its classifier too; never changed, and shared by all that is made of it."""
    with torch.device("meta"):  # no time is spent on first weights
        shapes = torchvision.models.resnet18().state_dict()
    return drawn(shapes, seed)


def resnet18(head: nn.Module | None = None, seed: int = SEED) -> nn.Module:
    """Torchvision's ResNet-18, the same at each call, with its own or another head."""
    with torch.device("meta"):
        net = torchvision.models.resnet18()
    net.load_state_dict(known(seed), assign=True)
    if head is not None:
        net.fc = head
    return net.eval()


def known_encoder() -> Tensors:
    """The tensors that every forged file of a ResNet-18 holds, by the encoder's own names."""
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


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))


def swav(prototypes: nn.Module) -> Tensors:
    net = resnet18()
    del net.fc
    net.projection_head = nn.Sequential(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
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


FORGED: dict[str, dict[str, Callable[[], Any]]] = {
    "plain": {"bare": known_encoder, "in training": lambda: in_training(known_encoder())},
    "torchvision": {
        "bare": lambda: resnet18().state_dict(),
        "14 findings, in training": lambda: in_training(resnet18(nn.Linear(512, 14)).state_dict()),
        "no head": known_encoder,
    },
    "timm": {"with classifier": lambda: resnet18().state_dict(), "without": known_encoder},
    "moco": {
        "v1": lambda: in_training(moco(lambda: nn.Linear(512, 128))),
        "v2": lambda: in_training(moco(two_layers)),
    },
    "swav": {
        "bare": lambda: swav(nn.Linear(32, 30, bias=False)),
        "in training": lambda: in_training(swav(nn.Linear(32, 30, bias=False))),
        "several prototypes": lambda: swav(many_prototypes()),
    },
}


def tensors_of(content: dict[str, Any]) -> Tensors:
    """The tensors of a forged file, from under `state_dict` where they are."""
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
}
