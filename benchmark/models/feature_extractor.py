"""An encoder that stays as it is: its features in place of its training."""

from collections.abc import Callable

import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.models.folding import fold_batch_norms
from benchmark.models.normalization import Normalization, center_crop


class ClassTokens(nn.Module):
    """A ViT's class tokens of its last blocks, normalised and joined: B x (blocks * width). Caron et al. 2021's linear
    evaluation of ViT-S takes four.
    """

    def __init__(self, encoder: nn.Module, blocks: int) -> None:
        super().__init__()
        if not hasattr(encoder, "forward_intermediates") or not getattr(encoder, "num_prefix_tokens", 0):
            raise BenchmarkError(
                f"features class-tokens-{blocks} are for a ViT with a class token, not {type(encoder).__name__}"
            )
        self.encoder = encoder
        self.blocks = blocks
        self.num_features = blocks * int(encoder.num_features)  # type: ignore[call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        options = {"return_prefix_tokens": True, "norm": True, "intermediates_only": True, "output_fmt": "NLC"}
        layers = self.encoder.forward_intermediates(images, indices=self.blocks, **options)
        return torch.cat([prefix[:, 0] for _, prefix in layers], dim=1)


def feature_extractor(
    encoder: nn.Module, normalization: Normalization, size: int, device: torch.device, precision: str
) -> Callable[[torch.Tensor], torch.Tensor]:
    """uint8 images -> features, B x width, float32: of the central square, in evaluation, batch norms folded."""
    whole = (
        nn.Sequential(normalization, encoder).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    )
    light: nn.Module | None = None

    def look(images: torch.Tensor) -> torch.Tensor:
        nonlocal light
        cropped = center_crop(images, size)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            if light is None:
                light = fold_batch_norms(whole, cropped[:2]).eval()
            features: torch.Tensor = light(cropped)
        return features.float()

    return look
