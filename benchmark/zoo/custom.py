"""Networks of the user's own packages, built by name and checked against what this project needs of an encoder.

A function `package.module:build` is called as `build(image_size=SIZE)`, where SIZE is the side of the images in pixels,
or None where only the names and shapes of the tensors are wanted. It returns an `nn.Module` without classifier:

    num_features                    the width of its output, a whole number
    forward(images)                 B x 3 x H x W, normalized float32 -> B x num_features
    feature_channels, pyramid(images)   only for segmentation: the channels of five maps, and the maps at 1/2, 1/4, 1/8,
                                        1/16 and 1/32 of the images' sides, as a list

Its parameters are drawn from torch's generator, which is seeded outside; it loads no weights by itself. Its code runs only
where an entry of the user's zoo names it: neither weight files nor results of others can name code to run.
"""

from typing import Any

import torch
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.zoo.architectures import find_builder

NUM_MAPS = 5


class CustomPyramid(EncoderMixin, nn.Module):  # type: ignore[misc]
    """The feature maps of a custom network as segmentation_models_pytorch's U-Net takes them: the images come first."""

    def __init__(self, name: str, network: nn.Module) -> None:
        nn.Module.__init__(self)
        EncoderMixin.__init__(self)
        self.name = name
        self.model = network
        self._out_channels = [3, *network.feature_channels]  # type: ignore[misc]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images, *self.model.pyramid(images)]  # type: ignore[operator]


def build_custom(architecture: str, image_size: int | None) -> nn.Module | None:
    """Returns the network that a package builds for this name; None where the name is no package's.

    Raises BenchmarkError where the package cannot be imported, its function fails, or what it returns is no encoder.
    """
    builder = find_builder(architecture)
    if builder is None:
        return None
    try:
        network = builder.load()(image_size=image_size)
    except BenchmarkError:
        raise
    except Exception as error:  # code of others meets every error that there is
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BenchmarkError(
            f"architecture {architecture}: {builder.value} could not be built ({type(error).__name__}: {reason}); wanted an "
            f"installed package whose function takes image_size=… and returns an nn.Module"
        ) from error
    if not isinstance(network, nn.Module):
        raise BenchmarkError(f"architecture {architecture}: it built a {type(network).__name__}, wanted an nn.Module")
    width: Any = getattr(network, "num_features", None)
    if not isinstance(width, int) or width < 1:
        raise BenchmarkError(f"architecture {architecture}: its network has no num_features, the width of its output")
    if image_size is not None:
        _check_output(architecture, network, torch.Size((2, width)), image_size)
    return network


def custom_pyramid(architecture: str, network: nn.Module) -> CustomPyramid:
    """Returns a network of `build_custom` as an encoder for a U-Net. Raises BenchmarkError where it gives no maps."""
    channels: Any = getattr(network, "feature_channels", None)
    if not isinstance(channels, list | tuple) or len(channels) != NUM_MAPS or not hasattr(network, "pyramid"):
        raise BenchmarkError(
            f"architecture {architecture}: segmentation wants feature_channels (of {NUM_MAPS} maps) and pyramid(images), "
            f"which its network does not have"
        )
    return CustomPyramid(architecture, network)


def _check_output(architecture: str, network: nn.Module, wanted: torch.Size, size: int) -> None:
    images = torch.zeros(2, 3, size, size)
    if any(parameter.is_meta for parameter in network.parameters()):
        images = images.to("meta")
    training = network.training
    try:
        with torch.inference_mode():
            features = network.eval()(images)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BenchmarkError(f"architecture {architecture}: it fails on images of {size} pixels ({reason})") from error
    network.train(training)
    if not isinstance(features, torch.Tensor) or features.shape != wanted:
        shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise BenchmarkError(
            f"architecture {architecture}: two images of {size} pixels give {shape}, wanted {tuple(wanted)} "
            f"(images x num_features)"
        )
