"""Prepares a batch of uint8 images on the device for the encoder: crops, channels, normalization."""

import torch
from torch import nn


class Normalization(nn.Module):
    """Normalizes uint8 images, B x 1 or 3 x H x W, to float, B x 3 x H x W, channels last.

    The arithmetic is that of torchvision's ToTensor and Normalize, in their order, so that values are bit-identical to
    theirs; a gray channel is normalized three ways, which is what repeating it first gives.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scaled = images.to(self.mean.dtype, memory_format=torch.channels_last).div_(255)
        return ((scaled - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def center_crop(images: torch.Tensor, size: int) -> torch.Tensor:
    """Returns the central square of that size, a view, placed as torchvision's CenterCrop places it."""
    top = round((images.shape[-2] - size) / 2)
    left = round((images.shape[-1] - size) / 2)
    return images[..., top : top + size, left : left + size]


def ten_crop(images: torch.Tensor, size: int) -> torch.Tensor:
    """Returns four corners, the center and the mirror images of these, 10 x B x C x size x size, in torchvision's order."""
    low, side = images.shape[-1] - size, slice(0, size)
    far = slice(low, low + size)
    corners = [images[..., side, side], images[..., side, far], images[..., far, side], images[..., far, far]]
    five = torch.stack([*corners, center_crop(images, size)])
    mirrored = images.flip(-1)
    corners = [mirrored[..., side, side], mirrored[..., side, far], mirrored[..., far, side], mirrored[..., far, far]]
    return torch.cat([five, torch.stack([*corners, center_crop(mirrored, size)])])
