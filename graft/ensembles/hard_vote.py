"""Hard voting: the class that most members find the most probable."""

import numpy as np

from graft.ensembles.averages import arithmetic_mean, by_rows, equal_weights
from graft.ensembles.base import Combination, plain_weights
from graft.registry import part


def vote_share(log_prob: np.ndarray) -> np.ndarray:
    """Votes, and the mean probability as one more that classes share: (members, n, classes) to (n, classes), float32.

    A class of ``v`` votes among ``m`` members and of mean probability ``p`` gets ``(v + p) / (m + 1)``. That sums to one, is
    zero only where every member's probability is, and never puts a class before one of more votes: ``p`` breaks ties
    alone. Of a member's equally probable classes the lowest has its vote.
    """

    def share_of(chunk: np.ndarray) -> np.ndarray:
        members, rows, classes = chunk.shape
        voted = chunk.argmax(axis=2) + classes * np.arange(rows)
        votes = np.bincount(voted.ravel(), minlength=rows * classes).reshape(rows, classes)
        with np.errstate(divide="ignore"):
            share: np.ndarray = np.logaddexp(np.log(votes), arithmetic_mean(chunk)) - np.log(members + 1)
        return share

    return by_rows(share_of, log_prob)


@part("hard_vote")
def hard_vote(log_prob: np.ndarray, label: np.ndarray) -> Combination:
    """Each member has one vote (majority vote: Kuncheva, Combining Pattern Classifiers, 2004, section 4.2); nothing is fitted.

    The probability is that of :func:`vote_share`.
    """
    return Combination(plain_weights(equal_weights(len(log_prob))), vote_share)
