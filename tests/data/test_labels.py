"""Uncertain labels: what they train as, under each policy, and that they judge nothing."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.data.assignment import TrainingShare
from benchmark.data.datasets import open_splits
from benchmark.data.labels import POLICIES, evaluation_labels, training_labels
from benchmark.data.registry import read_index
from benchmark.errors import BenchmarkError

LABELS = ("a", "b")
TABLE = pd.DataFrame({"a": [1, 0, -1, np.nan, -1], "b": [-1, 0, 1, -1, 0]}, dtype=float)
UNCERTAIN = np.array([[0, 1], [0, 0], [1, 0], [0, 1], [1, 0]], dtype=bool)


@pytest.mark.parametrize(("policy", "low", "high"), [("lsr-ones", 0.55, 0.85), ("lsr-zeros", 0, 0.3)])
def test_smoothed_labels_are_drawn_from_their_interval_and_the_certain_ones_kept(policy, low, high):
    many = pd.concat([TABLE] * 400, ignore_index=True)
    trained = training_labels(many, LABELS, policy, seed=3)
    drawn = trained[np.tile(UNCERTAIN, (400, 1))]

    assert low <= drawn.min() < low + 0.01
    assert high - 0.01 < drawn.max() <= high
    assert abs(drawn.mean() - (low + high) / 2) < 0.01
    np.testing.assert_array_equal(trained[:5][~UNCERTAIN], TABLE.to_numpy(np.float32)[~UNCERTAIN])


@pytest.mark.parametrize(("policy", "value"), [("ones", 1.0), ("zeros", 0.0), ("ignore", np.nan)])
def test_plain_policies_give_one_value(policy, value):
    np.testing.assert_array_equal(training_labels(TABLE, LABELS, policy, seed=0)[UNCERTAIN], np.float32(value))


def test_draws_are_those_of_the_seed():
    first, again, other = (training_labels(TABLE, LABELS, "lsr-ones", seed) for seed in (1, 1, 2))
    both = training_labels(pd.DataFrame(-1.0, range(50), LABELS), LABELS, "lsr-ones", seed=1)

    np.testing.assert_array_equal(first, again)
    assert (both[:, 0] != both[:, 1]).all()
    assert (first[UNCERTAIN] != other[UNCERTAIN]).all()


def test_what_is_uncertain_judges_nothing():
    np.testing.assert_array_equal(
        evaluation_labels(TABLE, LABELS),
        np.array([[1, np.nan], [0, 0], [np.nan, 1], [np.nan, np.nan], [np.nan, 0]], np.float32),
    )


def targets(task, workspace, fraction, policy="lsr-ones"):
    """Part -> id -> labels, as batches give them."""
    opened = open_splits(
        index=read_index(task, workspace.data),
        task=task,
        recipe=task.complete_recipe(settings=("image_size=32", f"uncertain={policy}")),
        share=TrainingShare(fraction=fraction),
        seed=4,
        workspace=workspace,
        device=torch.device("cpu"),
        threads=1,
        progress=lambda _done, _total: None,
    )
    return {
        name: dict(zip(part.ids, torch.cat([batch.targets for batch in part.batches(8)]).numpy(), strict=True))
        for name, part in (("train", opened.train), ("validation", opened.validation), ("test", opened.test))
    }


def test_an_images_draws_are_the_same_in_every_label_fraction_and_validation_has_none(tasks, workspace):
    whole, half = (targets(tasks["DXC5"], workspace, fraction) for fraction in (1.0, 0.5))

    assert 0 < len(half["train"]) < len(whole["train"])
    for name, labels in half["train"].items():
        np.testing.assert_array_equal(labels, whole["train"][name])
    drawn = np.stack(list(whole["train"].values()))
    assert ((drawn > 0.55) & (drawn < 0.85)).any()
    for part in ("validation", "test"):
        judged = np.stack(list(whole[part].values()))
        assert (np.isnan(judged) | (judged == 0) | (judged == 1)).all()


def test_policies_are_those_that_a_recipe_may_name(tasks):
    for policy in POLICIES:
        assert tasks["DXC5"].complete_recipe(settings=(f"uncertain={policy}",)).uncertain == policy


@pytest.mark.parametrize(
    ("task", "setting", "told"),
    [
        ("DXC5", "uncertain=none", "DXC5 is a multilabel task: it has uncertain labels: uncertain must say"),
        ("DXC14", "uncertain=ones", "uncertain=ones is for tasks that have uncertain labels"),
    ],
)
def test_a_policy_that_does_not_fit_the_task_is_refused(tasks, task, setting, told):
    with pytest.raises(BenchmarkError, match=told):
        tasks[task].complete_recipe(settings=(setting,))
