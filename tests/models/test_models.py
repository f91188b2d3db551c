"""Networks around an encoder: seeded heads, odd sides, batch norms folded without changing the function."""

import pytest
import torch
from torch import nn

from benchmark.cell import IMAGENET_MEAN, IMAGENET_STD
from benchmark.models.folding import fold_batch_norms
from benchmark.models.networks import Classifier, Segmenter, feature_width
from benchmark.models.normalization import Normalization
from benchmark.models.seeded import seeded
from benchmark.training.outputs import references
from benchmark.zoo import forms


def network(architecture, form, seed=1):
    encoder = forms.build_encoder(architecture, form, seed)
    normalization = Normalization(IMAGENET_MEAN, IMAGENET_STD)
    model = Classifier(encoder, normalization, 3, seed) if form == "pooled" else Segmenter(encoder, normalization, seed)
    with seeded(7):
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # as after training: nothing is zero mean and unit variance any more
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("form", ["pooled", "pyramid"])
@pytest.mark.parametrize(
    ("architecture", "left"), [("resnet18", 0), ("test_efficientnet", 0), ("test_convnext", 0), ("resnetv2_50", 17)]
)
def test_folding_keeps_the_function_and_the_model(architecture, form, left):
    """A pre-activation net keeps the norms that follow no convolution; a net without batch norms is returned as it is."""
    model = network(architecture, form)
    images = torch.randint(0, 256, (3, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    with torch.no_grad():
        light, expected = fold_batch_norms(model, images), model(images)
        # one rounding of each weight, through some fifty layers
        torch.testing.assert_close(light(images), expected, rtol=1e-4, atol=1e-4)

    norms = sum(isinstance(module, nn.BatchNorm2d) for module in light.modules())
    assert norms <= left
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_folding_leaves_a_model_in_the_mode_it_was_in():
    model = network("test_efficientnet", "pooled").train()

    fold_batch_norms(model, torch.zeros(2, 1, 32, 32, dtype=torch.uint8))

    assert model.training


def test_a_convolution_that_two_layers_read_is_not_folded():
    """Folding it would change what the other one gets."""

    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.other = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

        def forward(self, images):
            features = self.conv(images)
            return self.norm(features) + self.other(features)

    model = Forked().eval()
    model.norm.running_mean.fill_(0.5)

    with torch.no_grad():
        light = fold_batch_norms(model, torch.rand(2, 3, 8, 8))

    assert isinstance(light.norm, nn.BatchNorm2d)


@pytest.mark.parametrize("side", [32, 50, 97])
def test_a_unet_takes_sides_that_are_no_multiple_of_32(side):
    model = network("test_efficientnet", "pyramid")

    with torch.no_grad():
        assert model(torch.zeros(1, 1, side, side, dtype=torch.uint8)).shape == (1, 1, side, side)


def test_heads_come_from_their_own_stream():
    encoder, normalization = (
        forms.build_encoder("test_efficientnet", "pooled", 0),
        Normalization(IMAGENET_MEAN, IMAGENET_STD),
    )

    first, same, other = (Classifier(encoder, normalization, 2, seed).head.weight for seed in (1, 1, 2))

    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_building_a_network_draws_nothing_from_the_process_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    network("test_efficientnet", "pyramid")

    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("architecture", ["test_efficientnet", "mobilenetv3_small_050", "test_vit", "test_convnext"])
def test_the_head_fits_what_the_encoder_gives(architecture):
    encoder = forms.build_encoder(architecture, "pooled", 0, image_size=64).eval()

    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, feature_width(encoder))


def test_grey_images_are_normalised_three_ways():
    normalization = Normalization((0.1, 0.2, 0.3), (1.0, 2.0, 4.0))

    out = normalization(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8))

    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([0.9, 0.4, 0.175]))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_references_are_each_observer_whole_and_within_the_field_of_view():
    assert references(("mask",)) == [("mask", False)]
    assert references(("mask", "mask_observer2", "field_of_view")) == [
        ("mask", False),
        ("mask_observer2", False),
        ("mask", True),
        ("mask_observer2", True),
    ]
