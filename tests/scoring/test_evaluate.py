"""Scores by plain names; a label that cannot be scored is None and named."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.results.predictions import Predictions
from benchmark.scoring.evaluate import scores_of, unscored
from benchmark.tasks.spec import ScoringRules


def classified(truth, score, columns):
    ids = np.array([str(n) for n in range(len(truth))])
    return Predictions(
        kind="classification", ids=ids, groups={}, columns=columns, truth=np.array(truth), score=np.array(score)
    )


def test_mean_auc_is_the_mean_over_labels():
    rng = np.random.default_rng(0)
    truth, score = (rng.random((60, 3)) < 0.4).astype(float), rng.random((60, 3))

    overall, per_label = scores_of(classified(truth, score, ("a", "b", "c")))

    # predictions are kept as float32, which may tie two scores that float64 tells apart
    assert overall["mean_auc"] == pytest.approx(roc_auc_score(truth, score.astype(np.float32)))
    assert "auc" not in overall
    assert {name: per_label["b"][name] for name in ("auc", "positives")} == {
        "auc": pytest.approx(roc_auc_score(truth[:, 1], score[:, 1])),
        "positives": truth[:, 1].sum(),
    }


def test_a_label_of_one_class_is_left_out_and_named():
    overall, per_label = scores_of(
        classified([[1, 0], [0, 0], [1, 0]], [[0.9, 0.1], [0.2, 0.3], [0.8, 0.2]], ("some", "none"))
    )

    assert overall["mean_auc"] == 1.0
    assert per_label["none"]["auc"] is None
    assert unscored(per_label) == ["none"]


def test_one_label_has_an_auc_by_that_name():
    overall, _ = scores_of(classified([[1], [0]], [[0.2], [0.9]], ("TB",)))

    assert overall["mean_auc"] == overall["auc"] == 0.0


def test_segmentation_scores_each_reference_where_it_is_given():
    """Two images; the second has no second observer."""
    truth = np.array([[4, 2], [0, np.nan]])
    score = np.array([[[4, 3], [4, 1]], [[0, 0], [0, 0]]])  # predicted, overlap
    predictions = Predictions(
        kind="segmentation",
        ids=np.array(["a", "b"]),
        groups={},
        columns=("mask", "mask_observer2"),
        truth=truth,
        score=score,
    )

    scores, _ = scores_of(predictions)

    assert scores["dice_pooled"] == pytest.approx(6 / 8)
    assert scores["dice_per_image"] == pytest.approx((6 / 8 + 1) / 2)
    assert scores["dice_positive"] == pytest.approx(6 / 8)
    assert scores["dice_per_image:mask_observer2"] == pytest.approx(2 / 6)


def test_a_mean_over_some_labels_leaves_the_others_scored_but_out():
    truth, score = [[1, 1, 0], [0, 0, 1], [1, 0, 1]], [[0.9, 0.1, 0.3], [0.2, 0.8, 0.2], [0.1, 0.3, 0.6]]
    predictions = classified(truth, score, ("a", "b", "c"))

    everything, per_label = scores_of(predictions)
    some, per_label_too = scores_of(predictions, ScoringRules(scored=("c", "a")))

    assert per_label_too == per_label
    assert some["mean_auc"] == pytest.approx((per_label["a"]["auc"] + per_label["c"]["auc"]) / 2)
    assert some["mean_auc"] != everything["mean_auc"]
