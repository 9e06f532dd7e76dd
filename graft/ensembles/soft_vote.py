"""Soft voting: the mean of the members' probabilities."""

from typing import Literal

import numpy as np

from graft.ensembles.averages import arithmetic_mean, equal_weights, geometric_mean
from graft.ensembles.base import Combination, plain_weights
from graft.registry import part


@part("soft_vote")
def soft_vote(
    log_prob: np.ndarray, label: np.ndarray, *, mean: Literal["arithmetic", "geometric"] = "arithmetic"
) -> Combination:
    """Every member weighs the same; nothing is fitted.

    Kuncheva, Combining Pattern Classifiers, 2004, section 5.2.1: the mean, or the product, of which ``geometric`` is a root.
    """
    apply = {"arithmetic": arithmetic_mean, "geometric": geometric_mean}[mean]
    return Combination(plain_weights(equal_weights(len(log_prob))), apply)
