"""First weights: of ResNets as torchvision draws them and of linear heads as the first paper's code does; or timm's."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from made_up import IMAGENET, SCRATCH, made_up_cell
from torch import nn

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD
from benchmark.data.feature_cache import cache_of
from benchmark.models.networks import Classifier, linear_head
from benchmark.models.normalization import Normalization
from benchmark.models.seeded import seeded
from benchmark.recipe import Recipe
from benchmark.zoo.forms import build_encoder, pyramid_names


@pytest.mark.parametrize(
    ("architecture", "form"), [("resnet18", "pooled"), ("resnet18", "pyramid"), ("resnet50", "pooled")]
)
def test_a_fresh_resnet_is_distributed_as_torchvisions(architecture, form):
    """Norms to the bit (all ones, the last of a block too), convolutions by their spread: of N draws, to within five
    standard errors of 1 / sqrt(2N) each.
    """
    theirs = getattr(torchvision.models, architecture)(weights=None).state_dict()

    ours = build_encoder(architecture, form, seed=1).state_dict()

    own_names = pyramid_names(ours, theirs) if form == "pyramid" else {name: name for name in ours}
    assert set(own_names.values()) == set(ours)
    for name, own_name in own_names.items():
        tensor, wanted = ours[own_name], theirs[name]
        if tensor.ndim == 4:
            error = 5 * 2**0.5 / (2 * tensor.numel()) ** 0.5  # of two samples
            assert tensor.std().item() == pytest.approx(wanted.std().item(), rel=error), name
        else:
            assert torch.equal(tensor, wanted), name


@pytest.mark.parametrize("architecture", ["resnet18", "test_vit", "mobilenetv3_small_050"])
def test_timms_own_initialisation_is_there_by_option(architecture):
    with seeded(3):
        theirs = timm.create_model(architecture, num_classes=0).state_dict()

    ours = build_encoder(architecture, "pooled", 3, initialization="timm").state_dict()

    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())


@pytest.mark.parametrize("architecture", ["test_vit", "mobilenetv3_small_050", "test_convnext"])
def test_nets_that_are_no_resnets_are_drawn_as_timm_draws_them(architecture):
    ours = [
        build_encoder(architecture, "pooled", 3, initialization=rule).state_dict() for rule in ("torchvision", "timm")
    ]

    assert all(torch.equal(tensor, ours[1][name]) for name, tensor in ours[0].items())


def test_a_linear_head_is_drawn_from_a_narrow_normal_with_zero_bias():
    """28,672 draws: the spread's standard error is 0.4 % of it, the mean's 0.6 % of the spread."""
    head = linear_head(2048, 14, seed=1, initialization="torchvision")

    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(head.weight.mean().item()) < 0.0003
    assert not head.bias.any()


def test_pytorchs_own_head_is_there_by_option():
    with seeded(1):
        theirs = nn.Linear(30, 2)

    ours = linear_head(30, 2, seed=1, initialization="timm")

    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize("rule", ["torchvision", "timm"])
def test_a_classifier_has_that_head(rule):
    encoder, normalization = build_encoder("test_resnet", "pooled", 0), Normalization(IMAGENET_MEAN, IMAGENET_STD)

    head = Classifier(encoder, normalization, 3, seed=9, initialization=rule).head

    assert torch.equal(head.weight, linear_head(encoder.num_features, 3, 9, rule).weight)


def test_frozen_features_of_fresh_weights_are_kept_apart_by_their_rule():
    def folder(weights, rule):
        cell = made_up_cell(weights, recipe=Recipe(initialization=rule))
        return cache_of(Path(), cell, weights).folder

    assert folder(SCRATCH, "torchvision") != folder(SCRATCH, "timm")
    assert folder(IMAGENET, "torchvision") == folder(IMAGENET, "timm")
