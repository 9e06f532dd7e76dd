"""Means of members' probabilities, over as many rows at a time as the cache holds."""

from collections.abc import Callable

import numpy as np

from graft.predictions import log_softmax

CHUNK = 2**17
"""Values that are worked on at a time: 512 KiB of float32."""

TINY = 1e-30
"""A mean below this is computed anew from logarithms, for some of its terms may be too small for float32."""


def by_rows(combine: Callable[[np.ndarray], np.ndarray], log_prob: np.ndarray, at_once: int = CHUNK) -> np.ndarray:
    """Apply ``combine``, from (members, some, classes) to (some, classes), to all of (members, n, classes); float32."""
    members, rows, classes = log_prob.shape
    step = max(1, at_once // (members * classes))
    combined = np.empty((rows, classes), dtype=np.float32)
    for start in range(0, rows, step):
        combined[start : start + step] = combine(log_prob[:, start : start + step])
    return combined


def equal_weights(members: int) -> np.ndarray:
    """The same weight for each member, float64."""
    return np.full(members, 1 / members)


def _of_tiny(log_prob: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The logarithm of a weighted mean, however small: (members, k) to (k,), float64."""
    mean: np.ndarray = np.logaddexp.reduce(log_prob.astype(np.float64) + np.log(weights)[:, None], axis=0)
    return mean


def weighted_mean(log_prob: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of probabilities given and returned as logarithms: (members, n, classes) to (n, classes).

    ``weights`` (members,) are none of them negative and sum to one; members of no weight are not looked at.
    """
    used = np.flatnonzero(weights)
    positive = weights[used]

    def mean_of(chunk: np.ndarray) -> np.ndarray:
        flat = (chunk if len(used) == len(weights) else chunk[used]).reshape(len(used), -1)
        mean = positive.astype(flat.dtype) @ np.exp(flat)
        tiny = mean < TINY
        with np.errstate(divide="ignore"):
            logarithm: np.ndarray = np.log(mean)
        if tiny.any():
            logarithm[tiny] = _of_tiny(flat[:, tiny], positive)
        return logarithm.reshape(chunk.shape[1:])

    return by_rows(mean_of, log_prob)


def arithmetic_mean(log_prob: np.ndarray) -> np.ndarray:
    """:func:`weighted_mean` of equal weights."""
    return weighted_mean(log_prob, equal_weights(len(log_prob)))


def geometric_mean(log_prob: np.ndarray) -> np.ndarray:
    """The mean of log probabilities, normalised so that probabilities sum to one; shapes as :func:`arithmetic_mean`.

    Of an image for which some member or other rules out every class, it is the arithmetic mean.
    """

    def mean_of(chunk: np.ndarray) -> np.ndarray:
        mean = chunk.mean(axis=0, dtype=np.float64)
        undecided = ~np.isfinite(mean).any(axis=1)
        if undecided.any():
            mean[undecided] = arithmetic_mean(chunk[:, undecided])
        return log_softmax(mean)

    return by_rows(mean_of, log_prob)
