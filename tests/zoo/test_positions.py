"""A ViT's positions at another image size, against the formulas of DINO, DINOv2 and MAE; CLIP's activation."""

import copy
import math

import pytest
import timm
import torch
from conftest import CHECKOUT
from forged import drawn
from torch.nn import functional

from benchmark.errors import BenchmarkError
from benchmark.experiment.grid import weights_of
from benchmark.models.folding import fold_batch_norms
from benchmark.recipe import Recipe
from benchmark.zoo.backbone import load_encoder
from benchmark.zoo.catalog import ZooEntry, read_zoo
from benchmark.zoo.forms import build_encoder
from benchmark.zoo.positions import interpolate_as

ZOO = read_zoo(CHECKOUT / "model_zoo.yaml")
GRID, NEW = 10, 6  # test_vit: patches of 16 pixels on images of 160; and on images of 96


def by_dino(patches, side):
    """DINO's interpolate_pos_encoding, and DINOv2's."""
    scale = (side + 0.1) / math.sqrt(patches.shape[1])
    grid = patches.reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return grid.permute(0, 2, 3, 1).view(1, side * side, -1)


def by_mae(patches, side):
    """MAE's interpolate_pos_embed."""
    grid = patches.reshape(-1, GRID, GRID, patches.shape[-1]).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return grid.permute(0, 2, 3, 1).flatten(1, 2)


def entry_of(positions) -> ZooEntry:
    defaults = {
        "name": "net",
        "family": "own",
        "container": "torch",
        "naming": "timm",
        "licence": "CC0",
        "cite": "nobody",
    }
    return ZooEntry(**defaults, architecture="test_vit", positions=positions)


@pytest.mark.parametrize("form", ["pooled", "pyramid"])
@pytest.mark.parametrize(("rule", "theirs"), [("bicubic-offset", by_dino), ("bicubic", by_mae)])
def test_positions_are_interpolated_as_the_authors_do(tmp_path, form, rule, theirs):
    """A net made for the smaller images, with positions by the authors' formula, gives the same."""
    vit = timm.create_model("test_vit", num_classes=0).eval()
    vit.load_state_dict(drawn(vit.state_dict()))
    vit.pos_embed.data.normal_(generator=torch.Generator().manual_seed(1))
    torch.save(vit.state_dict(), tmp_path / "net.pth")
    small = timm.create_model("test_vit", num_classes=0, img_size=16 * NEW).eval()
    own_positions = vit.pos_embed.detach()
    positions = torch.cat([own_positions[:, :1], theirs(own_positions[:, 1:], NEW)], dim=1)
    small.load_state_dict({**vit.state_dict(), "pos_embed": positions}, strict=True)
    images = torch.rand(2, 3, 16 * NEW, 16 * NEW, generator=torch.Generator().manual_seed(3))

    encoder, _ = load_encoder(entry_of(rule), tmp_path / "net.pth", form, 0, image_size=16 * NEW)
    usual, _ = load_encoder(entry_of(None), tmp_path / "net.pth", form, 0, image_size=16 * NEW)

    with torch.no_grad():
        found, timms = encoder.eval()(images), usual.eval()(images)
        wanted = small(images) if form == "pooled" else small.get_intermediate_layers(images, [5], reshape=True)[0]
    found, timms = (found, timms) if form == "pooled" else (found[0][-1], timms[0][-1])
    torch.testing.assert_close(found, wanted)
    assert (timms - wanted).abs().max() > 0.01 * wanted.std()


def test_at_the_size_of_the_file_no_rule_changes_a_number(tmp_path):
    vit = timm.create_model("test_vit", num_classes=0).eval()
    torch.save(vit.state_dict(), tmp_path / "net.pth")
    images = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(3))

    encoder, _ = load_encoder(entry_of("bicubic-offset"), tmp_path / "net.pth", "pooled", 0, image_size=160)

    assert torch.equal(encoder.eval()(images), vit(images))


def test_a_copy_interpolates_its_own_positions():
    """Networks are copied for evaluation; a copy that kept the first one's positions would answer with old ones."""
    vit = build_encoder("test_vit", "pooled", 0, stretched=True).eval()
    interpolate_as(vit, "bicubic")
    other = copy.deepcopy(vit)
    images = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    before = other(images)
    with torch.no_grad():
        vit.pos_embed.add_(1.0)

    assert torch.equal(other(images), before)
    assert not torch.equal(vit(images), before)
    assert torch.equal(fold_batch_norms(vit, images)(images), vit(images))


def test_a_rule_for_a_net_without_positions_is_refused():
    with pytest.raises(BenchmarkError, match="positions: bicubic is for a ViT with a class token, not ResNet"):
        interpolate_as(build_encoder("test_resnet", "pooled", 0), "bicubic")


def test_the_zoos_vits_are_interpolated_by_their_authors_rules():
    rules = {name: entry.positions for name, entry in ZOO.items() if "vit" in entry.architecture}

    assert rules == {
        "dino": "bicubic-offset",
        "dinov2-vit-s": "bicubic-offset",
        "dinov2-vit-b": "bicubic-offset",
        "mae-vit-b": "bicubic",
        "rad-dino": "bicubic",
        "clip-vit-b": None,
        "biomedclip": None,
    }


def test_the_rule_is_part_of_a_cells_weights():
    assert weights_of(ZOO["dinov2-vit-s"], "ab" * 32, Recipe()).positions == "bicubic-offset"
    assert weights_of(ZOO["imagenet"], "ab" * 32, Recipe()).positions is None


def test_clip_has_the_activation_that_it_was_trained_with():
    """OpenAI's CLIP: x times the sigmoid of 1.702 x (QuickGELU), in every block."""
    with torch.device("meta"):
        net = build_encoder(ZOO["clip-vit-b"].architecture, "pooled", 0)
    x = torch.linspace(-4, 4, 101)

    activations = [block.mlp.act for block in net.blocks]

    assert len(activations) == 12
    for activation in activations:
        torch.testing.assert_close(activation(x), x * torch.sigmoid(1.702 * x))
