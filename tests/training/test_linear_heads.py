"""Heads over frozen features: each is what torch's own layer, optimizer and schedule give, whichever heads train with it."""

import sys

import numpy as np
import pytest
import torch
from heads import LABELS, WIDTH, training_input
from torch import nn

from benchmark.models.seeded import seeded
from benchmark.random_streams import Purpose, stream
from benchmark.training.linear_heads import linear
from benchmark.training.loop import Diverged
from benchmark.training.supervised import supervised


class Layer(nn.Linear):
    """A linear layer with its first weights drawn as a classifier's head is."""

    def __init__(self, width, outputs, seed, initialization="torchvision"):
        with seeded(stream(seed, Purpose.HEAD)):
            super().__init__(width, outputs)
            if initialization == "torchvision":
                self.weight.data.normal_(0, 0.01)
                self.bias.data.zero_()


@pytest.mark.parametrize(
    ("kind", "recipe"),
    [
        ("multilabel", {}),
        ("multiclass", {"learning_rate": 0.03}),
        ("binary", {"learning_rate": 0.03, "plateau_patience": 1}),
        ("multilabel", {"weight_decay": 0.01, "learning_rate": 0.3}),
        ("multilabel", {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine"}),
        ("multiclass", {"sampling": "oversample", "schedule": "constant"}),
        ("multilabel", {"batch_size": 13, "learning_rate": 0.2, "early_stop": 1}),
        ("multiclass", {"initialization": "timm"}),
    ],
)
def test_a_head_is_what_torchs_layer_optimizer_and_schedule_give(features, tmp_path, kind, recipe):
    """The one training loop, on the same batches, is the reference."""
    inputs_of_heads = [training_input(features, tmp_path / str(n), kind, seed=n, **recipe) for n in range(2)]

    results = linear(inputs_of_heads)

    for number, (inputs, result) in enumerate(zip(inputs_of_heads, results, strict=True)):
        outputs = 2 if kind == "binary" else LABELS[kind]
        alone = training_input(features, tmp_path / f"alone{number}", kind, seed=number, **recipe)
        wanted = supervised(alone, Layer(WIDTH, outputs, inputs.seed, inputs.recipe.initialization))
        np.testing.assert_allclose(
            result.test().predictions.score, wanted.test().predictions.score, rtol=2e-4, atol=2e-5
        )
        assert result.test().predictions.ids.tolist() == wanted.test().predictions.ids.tolist()
        assert result.fit.best_epoch == wanted.fit.best_epoch
        assert (result.fit.stopped, result.fit.epochs_trained) == (wanted.fit.stopped, wanted.fit.epochs_trained)
        for ours, theirs in zip(result.fit.history, wanted.fit.history, strict=True):
            for name in ("train_loss", "validation_loss", "learning_rate"):
                assert ours[name] == pytest.approx(theirs[name], rel=1e-3)
        assert result.trained == wanted.trained == (WIDTH + 1) * outputs


def test_a_head_is_the_same_to_the_bit_alone_and_among_others(features, tmp_path):
    """The other heads may have other seeds, sizes and rates: a grid may be run in pieces."""
    rates, seeds, sizes = (0.001, 0.03, 0.1), (0, 1), (170, 60)
    grid = [(rate, seed, size) for rate in rates for seed in seeds for size in sizes]

    def ask(which, folder):
        inputs_of_heads = [
            training_input(features, tmp_path / folder / str(n), seed=seed, train=range(size), learning_rate=rate)
            for n, (rate, seed, size) in enumerate(which)
        ]
        return dict(zip(which, linear(inputs_of_heads), strict=True))

    together = ask(grid, "all")
    for pieces in ([grid[:1]], [grid[5:6]], [grid[:5], grid[5:]], [grid[::2], grid[1::2]]):
        for number, piece in enumerate(pieces):
            for one, result in ask(piece, f"{len(piece)}-{number}").items():
                assert np.array_equal(result.test().predictions.score, together[one].test().predictions.score), one
                assert result.fit.history == together[one].fit.history


def test_interrupted_heads_end_bit_equal(features, tmp_path, monkeypatch):
    module = sys.modules["benchmark.training.linear_heads"]  # the package has a function of that name
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.0)

    def ask(folder, watch=lambda _: None):
        rates = (0.01, 0.3)
        return linear([training_input(features, tmp_path / folder, learning_rate=rate, watch=watch) for rate in rates])

    def end(line):
        if line["epoch"] >= 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "WATCH_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        ask("cut", end)
    epochs = []

    resumed, uninterrupted = ask("cut", lambda line: epochs.append(line["epoch"])), ask("whole")

    assert min(epochs) >= 4, "it continued from the saved epoch"
    for one, other in zip(resumed, uninterrupted, strict=True):
        assert np.array_equal(one.test().predictions.score, other.test().predictions.score)
        assert [line["validation_loss"] for line in one.fit.history] == [
            line["validation_loss"] for line in other.fit.history
        ]


def test_a_head_that_diverges_takes_no_other_with_it(features, tmp_path):
    usual = training_input(features, tmp_path / "a", optimizer="sgd", learning_rate=0.1)
    wild = training_input(features, tmp_path / "b", optimizer="sgd", learning_rate=1e38)

    good, bad = linear([usual, wild])

    assert isinstance(bad, Diverged)
    assert "became" in str(bad)
    (alone,) = linear([training_input(features, tmp_path / "c", optimizer="sgd", learning_rate=0.1)])
    assert np.array_equal(good.test().predictions.score, alone.test().predictions.score)


def test_images_that_could_not_be_decoded_are_neither_trained_on_nor_validated_on(features, tmp_path):
    """Their features are NaN in the cache, and their labels are unknown."""
    dark = features.copy()
    dark[[3, 180, 240]] = np.nan
    inputs = training_input(dark, tmp_path)
    for part in (inputs.train, inputs.validation, inputs.test):
        part.targets[np.isnan(dark[part.rows, 0])] = np.nan

    (result,) = linear([inputs])

    assert np.isfinite(result.test().predictions.score).all()
    assert np.isnan(result.test().predictions.truth[10]).all()


def test_a_heads_rate_falls_as_torchs_plateau_schedule_lets_it(features, tmp_path):
    inputs_of_heads = {
        "learning_rate": 1.0,
        "plateau_patience": 1,
        "plateau_factor": 0.5,
        "max_epochs": 40,
        "early_stop": None,
    }
    (result,) = linear([training_input(features, tmp_path, **inputs_of_heads)])

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    expected = []
    for line in result.fit.history:
        expected.append(optimizer.param_groups[0]["lr"])
        schedule.step(line["validation_loss"])
    assert [line["learning_rate"] for line in result.fit.history] == pytest.approx(expected)
    assert len(set(expected)) > 2, "it fell more than once"
