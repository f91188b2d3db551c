"""Dynamic Visual Meta-Embedding: embeddings of several encoders, fused (Truong et al. 2021, section 5.6, appendix E)."""

import torch
from torch import nn
from torch.nn import functional

from benchmark.models.networks import feature_width
from benchmark.models.normalization import Normalization
from benchmark.models.seeded import seeded

WIDTH = 512  # of each projected embedding, and of the fused one
DROPOUT = 0.2


class Fusion(nn.Module):
    """Fuses the joined embeddings of several encoders, B x (sum of widths), into logits, B x outputs.

    Each embedding is projected to 512 and they are joined: that is the meta-embedding. It is weighted by self-attention,
    normalized, projected to 512, and classified. Without attention "the meta-embedding is directly connected to the linear
    classifier" (section 6.2). First weights are drawn from `seed`.

    The listing of appendix E is read as it is printed: `view(B, -1, 1)` makes every one of the joined numbers a token
    of one dimension, so axis 1 holds the tokens (1,536 for three encoders). The other reading, a token per encoder of
    512 dimensions, would put about a million parameters into the attention, 4.7 M in all, where table G1 prints 3.6 M
    trainable parameters; this one has 3.68 M. The attention is timm's with one head: a bias-free projection to query,
    key and value, scaled by the width (1), and one after it.
    """

    def __init__(self, widths: tuple[int, ...], outputs: int, seed: int, *, attention: bool) -> None:
        super().__init__()
        self.widths = widths
        joined = WIDTH * len(widths)
        with seeded(seed):
            self.heads = nn.ModuleList(nn.Linear(width, WIDTH) for width in widths)
            self.attention = Attention() if attention else None
            if attention:
                self.norm = nn.LayerNorm(joined)
                self.project = nn.Linear(joined, WIDTH)
            self.classifier = nn.Linear(WIDTH if attention else joined, outputs)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        hidden = self.fused(embeddings)
        if self.attention is not None:
            hidden = functional.dropout(hidden, DROPOUT, self.training)
        logits: torch.Tensor = self.classifier(hidden)
        return logits.float()

    def fused(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Returns what is classified: B x 512; without attention the meta-embedding, B x (512 x encoders)."""
        joined = self.joined(embeddings)
        if self.attention is None:
            return joined
        return functional.relu(self.project(self.norm(self.attention(joined))))

    def joined(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Returns the projected embeddings, B x (512 x encoders)."""
        pieces = torch.split(embeddings, list(self.widths), dim=1)
        return torch.cat([head(piece) for head, piece in zip(self.heads, pieces, strict=True)], dim=1)

    def between_encoders(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Returns how much each encoder's tokens attend to each encoder's: B x encoders x encoders, whose rows sum to 1.

        It is the attention summed over the keys of an encoder, and averaged over the queries of one.
        """
        if self.attention is None:
            raise TypeError("this fusion has no attention")
        count = len(self.widths)
        weights = self.attention.weights(self.joined(embeddings))
        return weights.view(-1, count, WIDTH, count, WIDTH).sum(4).mean(2)


class Attention(nn.Module):
    """Applies self-attention to B x tokens, each of one dimension. Five parameters.

    It is timm's Attention(dim=1, num_heads=1).
    """

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(1, 3, bias=False)
        self.proj = nn.Linear(1, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(tokens.unsqueeze(-1)).unsqueeze(1).unbind(-1)
        attended = functional.scaled_dot_product_attention(query[..., None], key[..., None], value[..., None])
        return self.proj(attended[:, 0]).squeeze(-1)

    def weights(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the attention, B x tokens x tokens: rows are queries, and sum to 1."""
        query, key, _ = self.qkv(tokens.unsqueeze(-1)).unbind(-1)
        return (query[:, :, None] * key[:, None, :]).softmax(-1)


class FusedClassifier(nn.Module):
    """Computes logits of uint8 images through several encoders, each with its own input statistics, and their fusion."""

    def __init__(
        self, encoders: tuple[nn.Module, ...], normalizations: tuple[Normalization, ...], outputs: int, seed: int
    ) -> None:
        super().__init__()
        self.normalizations = nn.ModuleList(normalizations)
        self.encoders = nn.ModuleList(encoders)
        self.fusion = Fusion(tuple(feature_width(e) for e in encoders), outputs, seed, attention=True)

    @property
    def encoder(self) -> nn.Module:
        """Returns all encoders."""
        return self.encoders

    def embeddings(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the embeddings of all encoders, joined: B x (sum of widths)."""
        pairs = zip(self.encoders, self.normalizations, strict=True)
        return torch.cat([encoder(normalization(images)) for encoder, normalization in pairs], dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fusion(self.embeddings(images))
        return logits
