"""Logistic regression and nearest neighbours on frozen features, against scikit-learn and a page of NumPy."""

import numpy as np
import pytest
from heads import training_input
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmark.training.closed_form import PENALTIES, knn, logistic


def of(part):
    return part.matrix(np.arange(len(part))).numpy()


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "binary"])
def test_logistic_regression_is_scikit_learns_with_the_penalty_that_validates_best(features, tmp_path, kind):
    inputs = training_input(features, tmp_path, kind)

    result = logistic(inputs)

    scaler = StandardScaler().fit(of(inputs.train))
    losses, scores = {}, {}
    for penalty in PENALTIES:
        columns, losses[penalty] = [], []
        results = [inputs.train.targets.argmax(1)] if kind == "multiclass" else list(inputs.train.targets.T)
        for number, column in enumerate(results):
            known = ~np.isnan(column)
            model = LogisticRegression(C=penalty, max_iter=1000).fit(
                scaler.transform(of(inputs.train))[known], column[known]
            )
            judged = model.predict_proba(scaler.transform(of(inputs.validation)))
            truth = inputs.validation.targets
            true = truth.argmax(1) if kind == "multiclass" else truth[:, number]
            rows = ~np.isnan(true)
            losses[penalty] += list(-np.log(np.clip(judged[rows, true[rows].astype(int)], 1e-7, 1)))
            tested = model.predict_proba(scaler.transform(of(inputs.test)))
            columns.append(tested if kind == "multiclass" else tested[:, 1:])
        losses[penalty], scores[penalty] = np.mean(losses[penalty]), np.concatenate(columns, 1)
    best = min(PENALTIES, key=losses.get)
    np.testing.assert_allclose(result.test().predictions.score, scores[best], atol=1e-5)
    assert f"C = {best:g}, chosen of 12" in result.notes[0]
    assert result.fit.best_loss == pytest.approx(losses[best], rel=1e-5)
    assert result.fit.best_epoch is None


def test_neighbours_vote_by_the_cosine_of_their_features(features, tmp_path):
    """Weighed as DINO weighs them: by exp(cosine / 0.07) (Caron et al. 2021, appendix)."""
    inputs = training_input(features, tmp_path)

    result = knn(inputs)

    num = int(result.notes[0].split(" neighbours")[0])
    train, test = of(inputs.train), of(inputs.test)
    train, test = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (train, test))
    for number, row in enumerate(test[:9]):
        cosine = train @ row
        nearest = np.argsort(-cosine)[:num]
        weight, labels = np.exp(cosine[nearest] / 0.07), inputs.train.targets[nearest]
        wanted = [np.average(column[~np.isnan(column)], weights=weight[~np.isnan(column)]) for column in labels.T]
        np.testing.assert_allclose(result.test().predictions.score[number], wanted, rtol=1e-4)


def test_more_neighbours_than_images_are_all_of_them(features, tmp_path):
    result = knn(training_input(features, tmp_path, train=range(7)))

    assert result.notes[0].startswith(("1 neighbours", "5 neighbours", "7 neighbours"))


@pytest.mark.parametrize("judge", [logistic, knn])
def test_nothing_is_chosen_on_the_test_part(features, tmp_path, judge):
    """With other test labels, the same predictions."""
    one, other = training_input(features, tmp_path), training_input(features, tmp_path)
    other.test.targets[:] = 1 - other.test.targets

    assert np.array_equal(judge(one).test().predictions.score, judge(other).test().predictions.score)


def test_a_label_that_never_varies_is_told_with_its_share(features, tmp_path):
    inputs = training_input(features, tmp_path)
    inputs.train.targets[:, 1] = 1.0

    assert (logistic(inputs).test().predictions.score[:, 1] == 1).all()


def test_uncertain_labels_train_as_both_answers_in_their_shares(features, tmp_path):
    inputs = training_input(features, tmp_path, "multilabel", train=range(40))
    inputs.train.targets[:, 0] = np.where(np.isnan(inputs.train.targets[:, 0]), np.nan, 0.25)

    score = logistic(inputs).test().predictions.score[:, 0]

    assert score.mean() == pytest.approx(0.25, abs=0.02)
