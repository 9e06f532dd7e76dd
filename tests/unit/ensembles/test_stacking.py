import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from graft.ensembles.averages import arithmetic_mean, geometric_mean
from graft.ensembles.stacking import LEAST, _cross_fitted, _fit, _learner, stacking
from graft.metrics import log_loss
from graft.predictions import log_softmax


def is_soft_vote(found: Any, log_prob: np.ndarray) -> bool:
    return found.weights == [1 / len(log_prob)] * len(log_prob) and np.array_equal(
        found.apply(log_prob), arithmetic_mean(log_prob)
    )


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_real_members_are_better_stacked_than_averaged_on_images_never_seen(digits: Any, model: Any) -> None:
    log_prob, label = digits.log_prob["validation"][:2], digits.label["validation"]
    found = stacking(log_prob, label, model=model, folds=3)
    assert found.facts["applied"] == "stacking"
    assert found.facts["cross_fitted_log_loss"] < found.facts["soft_vote_log_loss"]
    assert json.loads(json.dumps(found.facts)) == found.facts
    held_out, own = digits.log_prob["test"][:2], digits.label["test"]
    assert log_loss(found.apply(held_out), own) < log_loss(arithmetic_mean(held_out), own)
    np.testing.assert_allclose(np.exp(found.apply(held_out).astype(float)).sum(axis=1), 1, rtol=1e-5)
    assert sum(found.weights) == pytest.approx(1)
    assert min(found.weights) >= 0


def test_with_enough_images_it_is_scikit_learns_logistic_regression(digits: Any) -> None:
    log_prob, label = digits.log_prob["validation"][3:], digits.label["validation"]
    learner = _learner("logistic", 1, len(label), 5, 0)
    assert learner.name == "logistic regression"
    inputs = scale(np.maximum(log_prob[0], LEAST).astype(float))
    theirs = LogisticRegression(C=0.1, max_iter=1000).fit(inputs, label).predict_log_proba(inputs)
    np.testing.assert_allclose(_fit(learner, log_prob, label, 0.1)(log_prob), theirs, atol=5e-3)


def test_with_fewer_images_there_is_one_weight_per_member_and_one_bias_per_class(digits: Any) -> None:
    log_prob, label = digits.log_prob["validation"][:, :90], digits.label["validation"][:90]
    learner = _learner("logistic", 4, 90, 5, 0)
    assert learner.name == "one weight per member and one bias per class"
    clipped = np.maximum(log_prob.astype(float), LEAST)

    def logits(parameters: np.ndarray) -> np.ndarray:
        return np.tensordot(1 + parameters[:4], clipped, 1) / 4 + parameters[4:]

    def loss(parameters: np.ndarray) -> float:
        z = logits(parameters)
        nll = np.logaddexp.reduce(z, axis=1) - z[np.arange(90), label]
        return float(0.1 * nll.sum() + parameters @ parameters / 2)

    best = minimize(loss, np.zeros(9)).x
    np.testing.assert_allclose(_fit(learner, log_prob, label, 0.1)(log_prob), log_softmax(logits(best)), atol=0.02)
    # A strength of next to nothing leaves the geometric mean.
    np.testing.assert_allclose(_fit(learner, clipped, label, 1e-9)(clipped), geometric_mean(clipped), atol=1e-3)


@pytest.mark.parametrize(("rows", "mean"), [(99, True), (100, False)])
def test_boosting_has_ten_images_per_input(rows: int, mean: bool) -> None:
    assert ("mean" in _learner("boosting", 2, rows, 5, 0).name) is mean
    assert ("one weight" in _learner("logistic", 2, rows, 5, 0).name) is mean


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_where_there_is_nothing_to_learn_the_soft_vote_is_applied_and_said(digits: Any, model: Any) -> None:
    # Labels that the members know nothing of, and members that admit it.
    label = np.random.default_rng(0).permutation(digits.label["validation"])[:300]
    log_prob = np.full((2, 300, 5), np.log(0.2), dtype=np.float32)
    log_prob += np.random.default_rng(1).normal(scale=1e-3, size=log_prob.shape).astype(np.float32)
    log_prob = np.stack([log_softmax(member) for member in log_prob])
    found = stacking(log_prob, label, model=model, folds=2)
    assert found.facts["applied"] == "soft_vote"
    assert found.facts["cross_fitted_log_loss"] >= found.facts["soft_vote_log_loss"]
    assert is_soft_vote(found, log_prob)


@pytest.mark.parametrize("images", [1, 2, 3])
@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_handful_of_images_is_no_error(digits: Any, model: Any, images: int) -> None:
    log_prob = digits.log_prob["validation"][:, :images]
    found = stacking(log_prob, digits.label["validation"][:images], model=model)
    assert json.loads(json.dumps(found.facts, allow_nan=False)) == found.facts
    np.testing.assert_allclose(np.exp(found.apply(log_prob)).sum(axis=1), 1, rtol=1e-4)
    if images == 1:
        assert is_soft_vote(found, log_prob)


@pytest.mark.parametrize("seen", [[3], [1, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize(("model", "setting"), [("logistic", 0.1), ("boosting", 10)])
def test_a_class_without_validation_images_keeps_the_soft_votes_probability(
    digits: Any, model: Any, setting: float, seen: list[int]
) -> None:
    log_prob, label = digits.log_prob["validation"], digits.label["validation"]
    known = np.isin(label, seen)
    learner = _learner(model, 4, known.sum(), 5, 0)
    apply = _fit(learner, log_prob[:, known], label[known], setting)
    unseen = np.setdiff1d(np.arange(5), seen)
    test = digits.log_prob["test"]
    ours = apply(test)
    np.testing.assert_array_equal(ours[:, unseen], arithmetic_mean(test)[:, unseen])
    np.testing.assert_allclose(np.exp(ours.astype(float)).sum(axis=1), 1, rtol=1e-4)


def test_cross_fitting_judges_no_image_by_a_model_that_saw_it(digits: Any) -> None:
    log_prob = digits.log_prob["validation"][:, :60]
    learner = _learner("logistic", 4, 60, 5, 0)
    seen: list[tuple[int, int]] = []

    def fit(inside: np.ndarray, own: np.ndarray, count: int, value: float) -> Any:
        fitted_on = {row.tobytes() for row in inside.transpose(1, 0, 2)}

        def apply(outside: np.ndarray) -> np.ndarray:
            judged = {row.tobytes() for row in outside.transpose(1, 0, 2)}
            assert not judged & fitted_on
            seen.append((len(fitted_on), len(judged)))
            return np.zeros((outside.shape[1], count))

        return apply

    everyone = np.tile(np.arange(5), 12)  # each class is in each fold, so that no column is left out
    _cross_fitted(learner._replace(fit=fit, values=(1.0,)), log_prob, everyone, 3, 0)
    assert len(seen) == 3
    assert sum(judged for _, judged in seen) == 60


def test_the_member_that_knows_weighs_more_than_one_that_guesses(digits: Any) -> None:
    log_prob, label = digits.log_prob["validation"][[3, 3]].copy(), digits.label["validation"]
    log_prob[1] = log_prob[1, np.random.default_rng(0).permutation(len(label))]
    found = stacking(log_prob, label, folds=2)
    assert found.facts["applied"] == "stacking"
    assert found.weights[0] > 0.95
