"""SimCLR and MICLe: the loss, the training and the probe against independent references, small."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors
from torch import nn

from benchmark.data.batches import Batch
from benchmark.data.views import PairBatch
from benchmark.models.normalization import Normalization
from benchmark.models.projection import Projector, projection_head
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.training import loop
from benchmark.training.contrastive import ContrastiveInput, nt_xent, saved_bytes, spread, train_contrastive
from benchmark.training.loop import Diverged
from benchmark.training.probe import PENALTIES, Probe, linear_scores, neighbor_scores
from benchmark.zoo.forms import build_encoder

STATISTICS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def unit_vectors(num, seed=0):
    return nn.functional.normalize(torch.randn(num, 16, generator=torch.Generator().manual_seed(seed)))


def ten_line_loss(projections, temperature):
    """Azizi 2021, equation 1, read term by term."""
    views = [vector.double() for vector in projections]
    num_pairs = len(views) // 2
    total = 0.0
    for i, view in enumerate(views):
        partner = views[(i + num_pairs) % len(views)]
        others = sum(math.exp(float(view @ other) / temperature) for k, other in enumerate(views) if k != i)
        total -= math.log(math.exp(float(view @ partner) / temperature) / others)
    return total / len(views)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_the_loss_is_that_of_ten_lines(temperature):
    views = unit_vectors(12)

    assert float(nt_xent(views, temperature)) == pytest.approx(ten_line_loss(views, temperature), rel=1e-5)


def test_the_loss_is_lightlys():
    theirs = pytest.importorskip("lightly.loss").NTXentLoss(temperature=0.3)
    views = unit_vectors(20)

    assert float(nt_xent(views, 0.3)) == pytest.approx(float(theirs(views[:10], views[10:])), rel=1e-5)


def test_the_loss_depends_neither_on_the_order_of_pairs_nor_on_which_view_comes_first():
    views, order = unit_vectors(12), torch.randperm(6, generator=torch.Generator().manual_seed(1))

    wanted = nt_xent(views, 0.2)
    torch.testing.assert_close(nt_xent(torch.cat([views[:6][order], views[6:][order]]), 0.2), wanted)
    torch.testing.assert_close(nt_xent(torch.cat([views[6:], views[:6]]), 0.2), wanted)


def test_duplicates_of_a_pair_are_negatives_as_the_paper_counts_them():
    """Four views that are all one: each has its partner among three equals."""
    views = unit_vectors(1).expand(4, -1)

    assert float(nt_xent(views, 0.1)) == pytest.approx(math.log(3), rel=1e-5)


def test_the_spread_is_one_of_directions_everywhere_and_zero_of_one_point():
    assert spread(unit_vectors(4000)) == pytest.approx(1, abs=0.02)
    assert spread(unit_vectors(1).expand(8, -1)) == pytest.approx(0, abs=1e-6)


def test_the_projection_head_is_that_of_simclrs_code():
    first, norm, _, second, last_norm = projection_head(32, seed=5)

    assert (first.weight.shape, second.weight.shape) == ((32, 32), (128, 32))
    assert first.bias is second.bias is last_norm.bias is None
    assert norm.bias is not None
    assert float(first.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert torch.equal(first.weight, projection_head(32, seed=5)[0].weight)


class Pairs:
    """24 made-up images in batches of 8, the second view of each a little brighter; `rows`: the images."""

    images = torch.randint(0, 200, (24, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)

    def __init__(self, stop_before=None):
        self.stop_before = stop_before
        self.num_steps = 0

    def __len__(self):
        return len(self.images)

    def epoch(self, number, size, first=0):
        order = np.random.default_rng(number).permutation(24)
        for start in range(first * size, 24, size):
            if self.num_steps == self.stop_before:
                raise KeyboardInterrupt
            self.num_steps += 1
            rows = order[start : start + size]
            views = torch.cat([self.images[rows], self.images[rows] + 20])
            yield PairBatch(images=views, targets=torch.empty(len(rows), 0), rows=rows)


def training(folder, **changed):
    recipe = {"optimizer": "lars", "schedule": "cosine", "learning_rate": 1.0, "weight_decay": 1e-6, "batch_size": 8}
    recipe = Recipe(**{**recipe, "max_steps": 8, "warmup": 2, **changed.pop("recipe", {})})
    facts = {
        "encoder": build_encoder("test_resnet", "pooled", 3),
        "statistics": STATISTICS,
        "pairs": Pairs(),
        "probe": None,
        "recipe": recipe,
        "temperature": 0.1,
        "seed": 4,
        "scratch": folder,
        "device": torch.device("cpu"),
    }
    return ContrastiveInput(**{**facts, **changed})


def assert_same(one, other):
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_training_is_that_of_an_independent_loop(tmp_path):
    """Written from the paper and from SimCLR's code, with timm's Lars and torch's cross-entropy alone."""
    from timm.optim import Lars

    inputs = training(tmp_path)
    encoder = build_encoder("test_resnet", "pooled", 3).train()
    head = projection_head(encoder.num_features, stream(4, Purpose.HEAD)).train()
    modules = nn.ModuleList([encoder, head]).to(memory_format=torch.channels_last)
    weights = [p for p in modules.parameters() if p.ndim > 1]
    others = [p for p in modules.parameters() if p.ndim == 1]
    optimizer = Lars([{"params": weights, "weight_decay": 1e-6}, {"params": others}], momentum=0.9)
    losses = []
    for step in range(8):
        epoch, number = divmod(step, 3)
        batch = list(Pairs().epoch(epoch + 1, 8))[number]
        images = (batch.images / 255).contiguous(memory_format=torch.channels_last)
        z = nn.functional.normalize(head(encoder(images)))
        logits = (z @ z.T / 0.1).fill_diagonal_(-math.inf)
        loss = nn.functional.cross_entropy(logits, torch.tensor([*range(8, 16), *range(8)]))
        for group in optimizer.param_groups:
            group["lr"] = step / 2 if step < 2 else (1 + math.cos(math.pi * (step - 2) / 6)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    run = train_contrastive(inputs)

    assert [line["train_loss"] for line in run.history] == pytest.approx(losses, rel=1e-6)
    for ours, theirs in zip(inputs.encoder.state_dict().values(), encoder.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("stops", [(2,), (1, 4, 1)])
def test_an_interrupted_training_ends_bit_equal_in_the_middle_of_a_pass_too(tmp_path, monkeypatch, stops):
    monkeypatch.setattr(loop, "LONGEST_SECONDS", 0.0)
    uninterrupted = training(tmp_path / "uninterrupted")
    run = train_contrastive(uninterrupted)

    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train_contrastive(training(tmp_path / "cut", pairs=Pairs(stop_before=stop)))
    resumed = training(tmp_path / "cut")
    again = train_contrastive(resumed)

    assert resumed.pairs.num_steps == 8 - sum(stops), "what was trained is not trained again"
    assert again.history == run.history
    assert_same(uninterrupted.encoder, resumed.encoder)


def test_gradient_checkpointing_gives_the_same_weights(tmp_path):
    """But for the running statistics of batch norms, which see each batch twice."""
    one, other = training(tmp_path / "one"), training(tmp_path / "other", checkpointed=True)

    train_contrastive(one)
    train_contrastive(other)

    for ours, theirs in zip(one.encoder.parameters(), other.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_collapsed_representation_is_named_while_it_happens(tmp_path):
    lines = []
    encoder = build_encoder("test_resnet", "pooled", 3)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()

    train_contrastive(training(tmp_path, encoder=encoder, notify=lines.append, recipe={"max_steps": 1}))

    assert lines
    assert "collapsed: the spread of the projections is 0.000 of 1" in lines[0]


def test_a_loss_that_is_no_number_ends_with_its_reason(tmp_path):
    with pytest.raises(Diverged, match="training loss became nan"):
        train_contrastive(training(tmp_path, temperature=math.nan))


def probe_of(score=lambda scores: float(scores.mean())):
    images = torch.randint(0, 255, (40, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    targets = (torch.arange(40) % 2).float()[:, None]

    def batches(rows):
        return lambda: iter([Batch(images=images[rows], targets=targets[rows], rows=np.arange(40)[rows])])

    return Probe(train=batches(slice(0, 30)), validation=batches(slice(30, 40)), score=score)


def test_a_probe_changes_no_bit_of_what_is_trained(tmp_path):
    one, other = training(tmp_path / "one"), training(tmp_path / "other", probe=probe_of())

    train_contrastive(one)
    run = train_contrastive(other)

    assert_same(one.encoder, other.encoder)
    assert all({"validation_linear", "validation_knn", "validation_spread"} <= set(line) for line in run.history)


def test_probes_are_scikit_learns():
    rng = np.random.default_rng(0)
    features, others = rng.normal(size=(80, 6)), rng.normal(size=(9, 6))
    targets = (features[:, :2] + rng.normal(size=(80, 2)) > 0).astype(float)

    mean, sd = features.mean(0), features.std(0) + 1e-6
    ridge = RidgeCV(alphas=PENALTIES).fit((features - mean) / sd, targets).predict((others - mean) / sd)
    np.testing.assert_allclose(linear_scores(features, targets, others), ridge.clip(0, 1))
    distances, nearest = NearestNeighbors(n_neighbors=20, metric="cosine").fit(features).kneighbors(others)
    weights = np.exp((1 - distances) / 0.07)[..., None]
    voted = (weights * targets[nearest]).sum(1) / weights.sum(1)
    np.testing.assert_allclose(neighbor_scores(features, targets, others), voted)


def test_what_a_forward_pass_keeps_is_counted_for_each_image():
    """One convolution keeps its input, 32 x 32 x 3 floats, and the pooling the shape of its own alone."""
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}

    num_bytes = saved_bytes(encoder, STATISTICS, torch.zeros(4, 3, 32, 32, dtype=torch.uint8))

    assert 32 * 32 * (3 + 4) * 4 <= num_bytes <= 32 * 32 * (3 + 4 + 4) * 4
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_a_projector_gives_unit_vectors_of_one_forward_pass():
    model = Projector(build_encoder("test_resnet", "pooled", 3), Normalization(*STATISTICS), seed=1)

    projections = model(torch.randint(0, 255, (6, 1, 32, 32), dtype=torch.uint8))

    assert projections.shape == (6, 128)
    torch.testing.assert_close(projections.norm(dim=1), torch.ones(6))
