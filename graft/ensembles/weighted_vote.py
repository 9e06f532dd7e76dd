"""Weighted soft voting: the weights of least validation log loss."""

import numpy as np

from graft.ensembles.averages import equal_weights, weighted_mean
from graft.ensembles.base import Combination, plain_weights
from graft.ensembles.losses import true_class
from graft.registry import part

NEGLIGIBLE = 1e-6
"""A weight below this is zero, and its member need not be kept."""


def best_weights(probability: np.ndarray) -> np.ndarray:
    """The weights (members,) of least mean negative log of the weighted mean of ``probability`` (members, n).

    None is negative and they sum to one, over which the loss is convex.
    """
    from scipy.optimize import minimize

    members, rows = probability.shape

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mean = np.maximum(weights @ probability, np.finfo(float).tiny)
        return -np.log(mean).mean(), probability @ (-1 / mean) / rows

    found = minimize(
        loss,
        equal_weights(members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights: np.ndarray = np.where(found.x < NEGLIGIBLE, 0, found.x)
    weights /= weights.sum()
    return weights


def optimality_gap(weights: np.ndarray, probability: np.ndarray) -> float:
    """How far above the least one the loss of ``weights`` is at most, in nats.

    By Jensen's inequality no weights ``v`` gain more than the log of the mean of ``v @ probability / (weights @ probability)``,
    which is highest where ``v`` is a single member.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.log((probability / (weights @ probability)).mean(axis=1).max()))


@part("weighted_vote")
def weighted_vote(log_prob: np.ndarray, label: np.ndarray) -> Combination:
    """The weighted arithmetic mean of least validation log loss: the members as a mixture, of which weights alone are fitted."""
    probability = true_class(log_prob, label)
    weights = best_weights(probability)
    gap = optimality_gap(weights, probability)
    return Combination(plain_weights(weights), lambda members: weighted_mean(members, weights), {"optimality_gap": gap})
