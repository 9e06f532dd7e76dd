"""Weight averaging: one network whose weights are the mean of the members', which costs no more than one of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from graft.ensembles.base import plain_weights
from graft.metrics import log_loss, top_k_accuracy
from graft.registry import part

LOSSES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "log_loss": log_loss,
    "top1": lambda log_prob, label: 1 - top_k_accuracy(log_prob, label, 1),
}

SoupOf = Callable[[Sequence[int]], np.ndarray]
"""Log probabilities (n, classes) of the network whose weights are the mean of these members', by their positions."""


class Choice(NamedTuple):
    """Whose weights are averaged: each member's share, none of them negative, that sum to one; and what was found."""

    weights: list[float]
    facts: dict[str, Any]


def _greedy(log_prob: np.ndarray, label: np.ndarray, soup_of: SoupOf, metric: str) -> tuple[list[int], np.ndarray]:
    """The members of a greedy soup in ascending order, and what it says."""
    loss_of = LOSSES[metric]
    losses = [loss_of(member, label) for member in log_prob]
    first, *others = np.argsort(losses, kind="stable").tolist()
    chosen, said = [first], log_prob[first]
    least = losses[first]
    for member in others:
        tried = sorted([*chosen, member])
        heard = soup_of(tried)
        loss = loss_of(heard, label)
        if loss <= least:
            chosen, said, least = tried, heard, loss
    return chosen, said


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


@part("weight_average", reads="weights")
def weight_average(
    log_prob: np.ndarray,
    label: np.ndarray,
    soup_of: SoupOf,
    *,
    mode: Literal["greedy", "uniform"] = "greedy",
    metric: Literal["log_loss", "top1"] = "log_loss",
) -> Choice:
    """Whose weights are averaged (Wortsman et al., Model Soups, arXiv 2203.05482, section 2), all on the validation split.

    ``uniform`` averages all members. ``greedy`` (their recipe 1) begins with the best member and tries to add the others
    in the order of their worth, each of which stays if the network with it is no worse by ``metric``.

    The mean is applied if its log loss is below that of the best single member, who is taken otherwise: networks that were
    trained apart may have nothing between them (after arXiv 2301.10092, where means that did not win were of no use).
    """
    losses = [log_loss(member, label) for member in log_prob]
    best = int(np.argmin(losses))
    if mode == "greedy":
        chosen, said = _greedy(log_prob, label, soup_of, metric)
    else:
        chosen = list(range(len(log_prob)))
        said = soup_of(chosen) if len(chosen) > 1 else log_prob[0]
    loss = log_loss(said, label)
    wins = len(chosen) > 1 and loss < losses[best]
    weights = np.zeros(len(log_prob))
    weights[chosen if wins else best] = 1 / len(chosen) if wins else 1
    facts = {
        "applied": "weight_average" if wins else "best_member",
        "averaged": len(chosen),
        "average_log_loss": _finite(loss),
        "best_member_log_loss": _finite(losses[best]),
    }
    return Choice(plain_weights(weights), facts)
