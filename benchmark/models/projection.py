"""An encoder with the projection head of SimCLR, as contrastive training trains them; only the encoder is used later."""

import torch
from torch import nn

from benchmark.models.networks import HEAD_STD, feature_width
from benchmark.models.normalization import Normalization
from benchmark.models.seeded import seeded

PROJECTED = 128  # dimensions of a projection (Chen et al. 2020, section 4.2; Azizi 2021, section 3.1)


def projection_head(width: int, seed: int) -> nn.Sequential:
    """Returns the two layers of SimCLR's code, width -> width -> 128, their weights drawn from N(0, 0.01) by `seed`: linear
    layers without bias, each with a batch norm, whose shift the second one lacks.
    """
    with seeded(seed):
        layers = nn.Linear(width, width, bias=False), nn.Linear(width, PROJECTED, bias=False)
        for layer in layers:
            nn.init.normal_(layer.weight, std=HEAD_STD)
    last_norm = nn.BatchNorm1d(PROJECTED)
    last_norm.register_parameter("bias", None)
    return nn.Sequential(layers[0], nn.BatchNorm1d(width), nn.ReLU(), layers[1], last_norm)


class Projector(nn.Module):
    """Maps uint8 images to unit vectors, B x 128: normalization, pooled encoder, projection head drawn from `seed`."""

    def __init__(self, encoder: nn.Module, normalization: Normalization, seed: int) -> None:
        super().__init__()
        self.normalization = normalization
        self.encoder = encoder
        self.head = projection_head(feature_width(encoder), seed)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.head(self.encoder(self.normalization(images)))
        return nn.functional.normalize(projected.float())
