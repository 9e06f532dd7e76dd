"""Soft voting: the mean of the members' probabilities."""

import numpy as np

from graft.ensembles.base import Combination
from graft.registry import part


def mean_probability(log_prob: np.ndarray) -> np.ndarray:
    """The arithmetic mean of probabilities given and returned as logarithms: (members, n, classes) to (n, classes)."""
    highest = log_prob.max(axis=0)
    # A class that every member rules out has a highest of -inf, from which nothing can be subtracted.
    base = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        mean: np.ndarray = base + np.log(np.exp(log_prob.astype(np.float64) - base).mean(axis=0))
    return mean.astype(np.float32)


@part("soft_vote")
def soft_vote(log_prob: np.ndarray, label: np.ndarray) -> Combination:
    """Every member weighs the same; nothing is fitted (Kuncheva, Combining Pattern Classifiers, 2004, section 5.2.1)."""
    members = len(log_prob)
    return Combination([1 / members] * members, mean_probability)
