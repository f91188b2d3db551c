"""Defines ResNets whose every width is multiplied, the stem's too, as timm models under names of this project.

timm's wide_resnet50_2 (Zagoruyko and Komodakis) widens the inner convolutions alone; SimCLR's 2x and 4x nets multiply
all channels of a ResNet. Tensors have torchvision's names, and the encoders the parameters of Chen et al. 2020 (SimCLR,
table 6: 94 M and 375 M for 2x and 4x) and 2020b (SimCLR-v2, table 1). Importing this registers them.
"""

from collections.abc import Callable
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet
from torch import nn

from benchmark.zoo.architectures import WIDE

__all__ = list(WIDE)  # timm registers what a module exports

STEM = 64
default_cfgs = generate_default_cfgs(
    {
        name: {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "first_conv": "conv1",
            "classifier": "fc",
        }
        for name in WIDE
    }
)


class WideResNet(ResNet):
    """timm's ResNet of bottlenecks with all widths, the stem's 64 too, multiplied by `width`."""

    def __init__(self, layers: tuple[int, ...], width: int, **kwargs: Any) -> None:
        kind: Any = Bottleneck
        super().__init__(kind, layers, channels=tuple(width * c for c in (64, 128, 256, 512)), **kwargs)
        stem = STEM * width
        block: Any = self.layer1[0]  # type: ignore[index]
        dd: dict[str, Any] = {"device": kwargs.get("device"), "dtype": kwargs.get("dtype")}
        # timm fixes the stem at 64 channels: the layers that write and read it are built again
        conv1 = nn.Conv2d(self.in_chans, stem, 7, stride=2, padding=3, bias=False, **dd)
        self.bn1 = type(self.bn1)(stem, **dd)
        block.conv1 = nn.Conv2d(stem, block.conv1.out_channels, 1, bias=False, **dd)
        block.downsample[0] = nn.Conv2d(stem, block.downsample[0].out_channels, 1, bias=False, **dd)
        self.conv1 = conv1  # type: ignore[assignment]  # a plain stem is no sequence in timm either
        for made in (conv1, block.conv1, block.downsample[0]):
            nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
        self.feature_info[0]["num_chs"] = stem


def _entrypoint(name: str) -> Callable[..., nn.Module]:
    layers, width = WIDE[name]

    def build(pretrained: bool = False, **kwargs: Any) -> nn.Module:  # noqa: FBT001, FBT002 - as timm calls it
        model: nn.Module = build_model_with_cfg(WideResNet, name, pretrained, layers=layers, width=width, **kwargs)
        return model

    build.__name__ = build.__qualname__ = name
    return build


for _name in WIDE:
    register_model(_entrypoint(_name))
