"""An encoder with what a task puts on it: a linear classifier, or the decoder of a U-Net or, for a ViT, of DPT."""

from typing import Any

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from torch import nn

from benchmark.models.normalization import Normalization
from benchmark.models.seeded import seeded
from benchmark.recipe import Initialization

HEAD_STD = 0.01  # of a linear head's first weights, in the first paper's code


def linear_head(width: int, outputs: int, seed: int, initialization: Initialization) -> nn.Linear:
    """Returns a linear layer whose first weights are drawn from `seed`: from N(0, 0.01) with zero bias, as the first
    paper's code has it ("torchvision"), or as PyTorch draws them ("timm").
    """
    with seeded(seed):
        head = nn.Linear(width, outputs)
        if initialization == "torchvision":
            nn.init.normal_(head.weight, std=HEAD_STD)
            nn.init.zeros_(head.bias)
    return head


class Classifier(nn.Module):
    """Computes logits, B x outputs, of uint8 images: normalization, pooled encoder, one linear layer drawn from `seed`."""

    def __init__(
        self,
        encoder: nn.Module,
        normalization: Normalization,
        outputs: int,
        seed: int,
        initialization: Initialization = "torchvision",
    ) -> None:
        super().__init__()
        self.normalization = normalization
        self.encoder = encoder
        self.head = linear_head(feature_width(encoder), outputs, seed, initialization)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.encoder(self.normalization(images)))
        return logits.float()


class Segmenter(nn.Module):
    """Computes logits, B x 1 x H x W, of uint8 images by segmentation_models_pytorch's U-Net around a pyramid encoder.

    A pyramid encoder of one scale (ViT) gets the decoder of DPT (Ranftl et al. 2021) in place of a U-Net's. The decoder
    is drawn from `seed`. Sides need not be multiples of 32: images are padded at the far edges and the logits cut back.
    `frozen`: the encoder does not train, and its batch norms neither learn nor see the batch.
    """

    def __init__(self, encoder: nn.Module, normalization: Normalization, seed: int, *, frozen: bool = False) -> None:
        super().__init__()
        self.normalization = normalization
        self.frozen = frozen
        with seeded(seed):
            # smp builds an encoder of its own first; ours, of the same architecture, takes its place
            options: dict[str, Any] = {"encoder_name": f"tu-{encoder.name}", "encoder_weights": None, "classes": 1}
            if isinstance(encoder, TimmViTEncoder):
                self.unet = smp.DPT(**options, decoder_readout="cat" if encoder.has_prefix_tokens else "ignore")
            elif isinstance(encoder, TimmUniversalEncoder):
                self.unet = smp.Unet(**options)
            else:  # a network of the user's own package, which smp can only look up in its table of encoders
                row = {"encoder": lambda **_: encoder, "params": {}, "pretrained_settings": {}}
                smp.encoders.encoders["custom"] = row
                self.unet = smp.Unet(**options | {"encoder_name": "custom"})
                del smp.encoders.encoders["custom"]
        self.unet.encoder = encoder
        encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> "Segmenter":  # noqa: FBT001, FBT002 - as every module has it
        """Sets the mode as every module does; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    @property
    def encoder(self) -> nn.Module:
        """Returns the encoder inside."""
        inner: nn.Module = self.unet.encoder
        return inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        padded = nn.functional.pad(self.normalization(images), (0, -width % 32, 0, -height % 32))
        logits: torch.Tensor = self.unet(padded)
        return logits[..., :height, :width].float()


def feature_width(encoder: nn.Module) -> int:
    """Returns how many features a pooled encoder gives."""
    width: Any = getattr(encoder, "head_hidden_size", None) or encoder.num_features
    return int(width)
