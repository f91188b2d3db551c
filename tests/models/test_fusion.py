"""Dynamic Visual Meta-Embedding against the paper's counts (table G1), timm's attention and a page of NumPy."""

import numpy as np
import pytest
import timm
import torch
from heads import NUM, training_input
from timm.layers import Attention as TimmAttention
from torch import nn

from benchmark.models.feature_extractor import ClassTokens
from benchmark.models.fusion import WIDTH, Attention, FusedClassifier, Fusion
from benchmark.models.normalization import Normalization
from benchmark.training.dvme import dvme, dvme_no_attention

PAPER = (2048, 2048, 1536)  # SimCLR, SwAV, DINO
GRADES = 5  # of APTOS; NIH has as many classes


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_three_encoders_have_the_papers_number_of_trained_parameters():
    """3.6 M in table G1. The other reading of the listing, a token an encoder, would have 4.7 M."""
    ours = count(Fusion(PAPER, GRADES, 0, attention=True))
    other = ours - count(Attention()) + count(TimmAttention(WIDTH))

    assert ours == 3_677_706
    assert 3.6e6 <= ours < 3.7e6
    assert other > 4.7e6


def test_without_attention_the_joined_embeddings_meet_the_linear_classifier():
    """Truong 2021, section 6.2: no norm, no further projection, no dropout."""
    fusion = Fusion((6, 9), 2, seed=0, attention=False).train()
    embeddings = torch.randn(4, 15)
    first, second = (head.weight.double() for head in fusion.heads)

    logits = fusion(embeddings)

    pieces = embeddings.double().split((6, 9), 1)
    joined = torch.cat([pieces[0] @ first.T, pieces[1] @ second.T], 1)
    joined += torch.cat([head.bias for head in fusion.heads]).double()
    wanted = joined @ fusion.classifier.weight.double().T + fusion.classifier.bias.double()
    torch.testing.assert_close(logits.double(), wanted, rtol=1e-4, atol=1e-4)
    assert count(fusion) == (6 + 1) * WIDTH + (9 + 1) * WIDTH + (2 * WIDTH + 1) * 2
    torch.testing.assert_close(fusion.fused(embeddings).double(), joined, rtol=1e-4, atol=1e-4)


def test_table_g1_counts_the_parameters_of_all_architectures():
    with torch.device("meta"):
        nets = [timm.create_model(name, num_classes=0) for name in ("resnet50", "resnet50", "vit_small_patch8_224")]
        nets[2] = ClassTokens(nets[2], 4)
    resnet, vit = count(nets[0]), count(nets[2])
    fused = sum(map(count, nets)) + count(Fusion(PAPER, GRADES, 0, attention=True))

    assert round((2048 + 1) * GRADES / 1e3, 1) == 10.2
    assert round((1536 + 1) * GRADES / 1e3, 1) == 7.7
    assert round(resnet / 1e6, 1) == 23.5
    assert round(vit / 1e6, 1) == 21.7
    assert round(fused / 1e6, 1) == 72.4


def test_attention_is_timms_over_tokens_of_one_dimension():
    ours, theirs = Attention(), TimmAttention(1, num_heads=1)
    theirs.load_state_dict({f"{name}": tensor for name, tensor in ours.state_dict().items()})
    tokens = torch.randn(3, 40)

    assert torch.equal(ours(tokens), theirs(tokens.unsqueeze(-1)).squeeze(-1))


def test_attention_between_encoders_is_summed_over_keys_and_averaged_over_queries():
    fusion = Fusion((6, 9), 2, seed=0, attention=True).eval()
    nn.init.constant_(fusion.attention.qkv.weight, 1.5)
    embeddings = torch.randn(4, 15)

    between = fusion.between_encoders(embeddings).detach()

    assert between.shape == (4, 2, 2)
    torch.testing.assert_close(between.sum(2), torch.ones(4, 2))
    joined = fusion.joined(embeddings)[0].detach().double().numpy() * 1.5
    weights = np.exp(np.outer(joined, joined))
    weights /= weights.sum(1, keepdims=True)
    wanted = [
        [weights[q * WIDTH : (q + 1) * WIDTH, k * WIDTH : (k + 1) * WIDTH].sum(1).mean() for k in (0, 1)]
        for q in (0, 1)
    ]
    np.testing.assert_allclose(between[0], wanted, rtol=1e-3)


def test_class_tokens_are_the_last_blocks_normalised_and_joined():
    vit = timm.create_model("test_vit", num_classes=0).eval()
    images = torch.randn(2, 3, 160, 160)

    tokens = ClassTokens(vit, 2).eval()(images)

    outputs = []
    handles = [block.register_forward_hook(lambda _, __, out: outputs.append(out)) for block in vit.blocks[-2:]]
    vit(images)
    wanted = torch.cat([vit.norm(out)[:, 0] for out in outputs], dim=1)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(tokens, wanted)
    assert tokens.shape[1] == ClassTokens(vit, 2).num_features


@pytest.mark.parametrize("protocol", [dvme, dvme_no_attention])
def test_a_fusion_of_any_widths_learns_what_its_embeddings_tell(features, tmp_path, protocol):
    """Two encoders, one of 24 features and one of 10; the labels stand in the first."""
    rng = np.random.default_rng(1)
    second = rng.normal(size=(NUM, 10)).astype(np.float16)
    inputs = training_input(features, tmp_path, "multiclass", max_epochs=6, learning_rate=3e-3, batch_size=16)
    for part in (inputs.train, inputs.validation, inputs.test):
        object.__setattr__(part, "features", (features, second))

    result = protocol(inputs)

    truth = inputs.test.targets.argmax(1)
    assert (result.test().predictions.score.argmax(1) == truth).mean() > 0.6
    assert result.trained == count(Fusion((24, 10), 4, 0, attention=protocol is dvme))
    if protocol is dvme:
        np.testing.assert_allclose(result.test().attention.sum(1), 1, rtol=1e-5)
    else:
        assert result.test().attention is None


def test_end_to_end_each_encoder_is_fed_its_own_statistics():
    encoders = tuple(timm.create_model("test_resnet", num_classes=0).eval() for _ in range(2))
    normalizations = (Normalization((0.0,) * 3, (1.0,) * 3), Normalization((0.5,) * 3, (0.25,) * 3))
    model = FusedClassifier(encoders, normalizations, outputs=3, seed=0).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)

    joined = model.embeddings(images)

    wanted = [
        encoder((images / 255 - mean) / std) for encoder, mean, std in zip(encoders, (0, 0.5), (1, 0.25), strict=True)
    ]
    torch.testing.assert_close(joined, torch.cat(wanted, 1))
    assert all(parameter.requires_grad for parameter in model.parameters())
