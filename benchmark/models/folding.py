"""Batch norms folded into the convolutions before them, for evaluation: fewer passes over memory, the same function.

Which convolution feeds which batch norm is observed on one batch, not guessed from names: a norm is folded where its
input is the very tensor that a convolution gave and nothing else took.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TOLERANCE = 1e-3  # of the largest output, fp32; a fold that changes outputs by more is wrong


def fold_batch_norms(model: nn.Module, images: torch.Tensor) -> nn.Module:
    """Returns a copy of `model` for evaluation with batch norms folded where that is possible; `images` are a small batch.

    Where the copy's outputs differ from the model's by more than rounding, the model itself is returned.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        pairs, before = _observe(model, images)
        if not pairs:
            model.train(was_training)
            return model
        copied = copy.deepcopy(model)
        names = {module: name for name, module in model.named_modules()}
        for conv, norm in pairs:
            _fold(copied, names[conv], names[norm])
        after = copied(images)
        same_outputs = bool((after - before).abs().max() <= TOLERANCE * before.abs().max().clamp(min=1))
    model.train(was_training)
    return copied if same_outputs else model


def _observe(model: nn.Module, images: torch.Tensor) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d]], torch.Tensor]:
    """Runs the model once; returns pairs of a convolution and the batch norm that alone reads its output, and the outputs."""
    producers: dict[int, nn.Conv2d] = {}  # id of a tensor -> the convolution that made it
    consumers: dict[int, list[nn.Module]] = {}  # id of a tensor -> the modules that read it
    alive: list[torch.Tensor] = []  # so that no two tensors share an id

    def record_output(module: Any, _: Any, output: torch.Tensor) -> None:
        producers[id(output)] = module
        alive.append(output)

    def record_inputs(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        for value in inputs:
            if isinstance(value, torch.Tensor):
                consumers.setdefault(id(value), []).append(module)
                alive.append(value)

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(record_output))
        if not any(True for _ in module.children()) or isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(record_inputs))
    try:
        outputs = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    used = [module for modules in consumers.values() for module in modules]
    pairs = []
    for tensor, modules in consumers.items():
        norm = modules[0]
        conv = producers.get(tensor)
        once = len(modules) == 1 and used.count(norm) == 1
        if conv is not None and once and isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
            pairs.append((conv, norm))
    return pairs, outputs


def _fold(model: nn.Module, conv_name: str, norm_name: str) -> None:
    conv: Any
    norm: Any
    conv, norm = model.get_submodule(conv_name), model.get_submodule(norm_name)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    # timm's norms carry the dropout and activation that follow them
    after = [layer for layer in (getattr(norm, "drop", None), getattr(norm, "act", None)) if layer is not None]
    parent, _, name = norm_name.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Sequential(*after) if after else nn.Identity())
