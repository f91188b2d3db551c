"""The features of an encoder that is not trained."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.models.folding import fold_batch_norms
from benchmark.models.normalization import Normalization, center_crop


class ClassTokens(nn.Module):
    """Normalizes and joins the class tokens of a ViT's last blocks: images -> B x (blocks * width).

    The linear evaluation of Caron et al. 2021 takes the last four of a ViT-S.
    """

    def __init__(self, encoder: nn.Module, blocks: int) -> None:
        super().__init__()
        if not hasattr(encoder, "forward_intermediates") or not getattr(encoder, "num_prefix_tokens", 0):
            raise BenchmarkError(
                f"features class-tokens-{blocks} are for a ViT with a class token, not {type(encoder).__name__}"
            )
        vit: Any = encoder
        self.encoder = vit
        self.blocks = blocks
        self.num_features = blocks * int(vit.num_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        options = {"return_prefix_tokens": True, "norm": True, "intermediates_only": True, "output_fmt": "NLC"}
        layers = self.encoder.forward_intermediates(images, indices=self.blocks, **options)
        return torch.cat([prefix[:, 0] for _, prefix in layers], dim=1)


def feature_extractor(
    encoder: nn.Module, normalization: Normalization, size: int, device: torch.device, precision: str
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns a function from uint8 images (B x 1 or 3 x H x W) to features (B x width, float32) of their center crop.

    The encoder is moved to the device and put into evaluation; batch norms are folded at the first call. `size` is the
    side of the crop in pixels.
    """
    model: Any = nn.Sequential(normalization, encoder).to(device)
    model.to(memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)
    folded_model: nn.Module | None = None

    def extract(images: torch.Tensor) -> torch.Tensor:
        nonlocal folded_model
        cropped = center_crop(images, size)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            if folded_model is None:
                folded_model = fold_batch_norms(model, cropped[:2]).eval()
            features: torch.Tensor = folded_model(cropped)
        return features.float()

    return extract
