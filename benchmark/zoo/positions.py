"""Interpolates a ViT's positions to images of another size than it was trained at, as the authors of the weights do it.

timm interpolates the grid of positions bicubically and with antialiasing, as open_clip does; that is the rule of entries
that state none. Two others, neither of which is antialiased:

bicubic           to the new grid. MAE (facebookresearch/mae, util/pos_embed.py); the Dinov2 of Hugging Face's transformers
bicubic-offset    by the ratio of the new grid plus 0.1 to the old one. DINO and DINOv2 (facebookresearch/dino and dinov2,
                  vision_transformer.py, interpolate_pos_encoding)
"""

from functools import partial
from types import MethodType
from typing import cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from benchmark.cell import Positions
from benchmark.errors import BenchmarkError

OFFSET = 0.1  # against rounding, in DINO's code; it also moves every position a little


def interpolate_as(vit: nn.Module, rule: Positions) -> None:
    """Makes a timm ViT, built for images of any size, interpolate its positions by a rule in each pass.

    Raises BenchmarkError for another net, or a ViT whose class token has no place among the positions.
    """
    if not isinstance(vit, VisionTransformer) or vit.cls_token is None or vit.no_embed_class:
        raise BenchmarkError(f"positions: {rule} is for a ViT with a class token, not {type(vit).__name__}")
    # timm calls one function of its module for this and takes no other, so that the method around it is replaced
    vit._pos_embed = MethodType(partial(_with_positions, rule=rule), vit)  # type: ignore[method-assign] # noqa: SLF001


def interpolated(grid: torch.Tensor, size: tuple[int, int], rule: Positions) -> torch.Tensor:
    """Returns a grid of positions, 1 x width x rows x columns, at another size (rows, columns)."""
    if tuple(grid.shape[-2:]) == size:
        return grid
    if rule == "bicubic":
        return functional.interpolate(grid, size=size, mode="bicubic")
    ratio = tuple((new + OFFSET) / old for new, old in zip(size, grid.shape[-2:], strict=True))
    return functional.interpolate(grid, scale_factor=ratio, mode="bicubic")


def _with_positions(vit: VisionTransformer, patches: torch.Tensor, *, rule: Positions) -> torch.Tensor:
    """Returns prefix tokens and patches (B x rows x columns x width), each with its position, as B x tokens x width."""
    batch, rows, columns, width = patches.shape
    num, positions = vit.num_prefix_tokens, cast("torch.Tensor", vit.pos_embed)
    of_prefix, of_patches = positions[:, :num], positions[:, num:]
    grid = of_patches.unflatten(1, vit.patch_embed.grid_size).permute(0, 3, 1, 2)
    of_patches = interpolated(grid, (rows, columns), rule).flatten(2).transpose(1, 2)
    prefix = [token.expand(batch, -1, -1) for token in (vit.cls_token, vit.reg_token) if token is not None]
    tokens = torch.cat([*prefix, patches.reshape(batch, -1, width)], dim=1)
    return vit.pos_drop(tokens + torch.cat([of_prefix, of_patches], dim=1))
