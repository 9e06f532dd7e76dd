from typing import Any

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from graft.ensembles.averages import arithmetic_mean
from graft.ensembles.losses import true_class
from graft.ensembles.weighted_vote import best_weights, optimality_gap, weighted_vote
from graft.metrics import log_loss


def em(probability: np.ndarray, steps: int = 20_000) -> np.ndarray:
    """The same weights by expectation maximisation for the proportions of a mixture, which cannot miss them, but is slow."""
    weights = np.full(len(probability), 1 / len(probability))
    for _ in range(steps):
        weights = weights * (probability / (weights @ probability)).mean(axis=1)
    return weights


def test_weights_known_by_calculation() -> None:
    # Of four images the one member is certain of three, the other of the fourth: 3 log(w) + log(1 - w) is highest at 3/4.
    right = np.array([[1, 1, 1, 0], [0, 0, 0, 1]])
    with np.errstate(divide="ignore"):
        log_prob = np.log(np.stack([right, 1 - right], axis=2).astype(np.float32))
    found = weighted_vote(log_prob, np.zeros(4, dtype=int))
    np.testing.assert_allclose(found.weights, [0.75, 0.25], atol=1e-5)
    np.testing.assert_allclose(np.exp(found.apply(log_prob))[:, 0], [0.75, 0.75, 0.75, 0.25], atol=1e-5)


def test_of_a_better_and_a_worse_member_of_the_same_mind_the_better_has_all_weight() -> None:
    log_prob = np.log(np.array([[[0.9, 0.1]] * 3, [[0.6, 0.4]] * 3], dtype=np.float32))
    assert weighted_vote(log_prob, np.zeros(3, dtype=int)).weights == [1, 0]


def test_real_members_get_the_weights_that_other_algorithms_find(digits: Any) -> None:
    log_prob, label = digits.log_prob["validation"], digits.label["validation"]
    probability = true_class(log_prob, label)
    members = len(log_prob)
    found = weighted_vote(log_prob, label)

    def loss(weights: np.ndarray) -> float:
        return float(-np.log(weights @ probability).mean())

    interior = minimize(
        loss,
        np.full(members, 1 / members),
        method="trust-constr",
        bounds=[(1e-9, 1)] * members,
        constraints=LinearConstraint(np.ones(members), 1, 1),
        options={"gtol": 1e-9, "xtol": 1e-12},
    )
    np.testing.assert_allclose(found.weights, interior.x, atol=2e-3)
    np.testing.assert_allclose(found.weights, em(probability), atol=2e-3)
    assert loss(np.array(found.weights)) <= min(interior.fun, loss(em(probability))) + 1e-6
    assert 0 <= found.facts["optimality_gap"] < 1e-5
    assert log_loss(found.apply(log_prob), label) < log_loss(arithmetic_mean(log_prob), label)


@pytest.mark.parametrize("shape", [(0, 2, 30, 2), (1, 30, 20, 5), (2, 5, 500, 3), (3, 20, 300, 10)])
@pytest.mark.parametrize("twice", [False, True])
def test_no_weights_are_better(drawn: Any, shape: tuple[int, int, int, int], twice: bool) -> None:
    log_prob, label = drawn(*shape)
    probability = true_class(np.concatenate([log_prob, log_prob]) if twice else log_prob, label)
    weights = best_weights(probability)
    assert optimality_gap(weights, probability) < 1e-4
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)


def test_the_gap_bounds_what_the_best_weights_would_gain(digits: Any) -> None:
    probability = true_class(digits.log_prob["validation"], digits.label["validation"])
    equal, best = np.full(4, 0.25), best_weights(probability)
    gained = (np.log(best @ probability) - np.log(equal @ probability)).mean()
    assert 0 < gained <= optimality_gap(equal, probability)


def test_an_image_whose_class_every_member_rules_out_decides_nothing() -> None:
    log_prob = np.log(np.array([[[0.9, 0.1]], [[0.3, 0.7]]], dtype=np.float32))
    impossible = np.array([[[-np.inf, 0.0]], [[-np.inf, 0.0]]], dtype=np.float32)
    both = np.concatenate([log_prob, impossible], axis=1)
    assert weighted_vote(both, np.array([0, 0])).weights == [1, 0]
