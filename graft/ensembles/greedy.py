"""Greedy ensemble selection: members are added one by one, each the one that helps most."""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le

from graft.ensembles.averages import CHUNK, weighted_mean
from graft.ensembles.base import Combination, plain_weights
from graft.ensembles.losses import true_class
from graft.registry import part


class Table(NamedTuple):
    """What a metric needs of the members: rows of numbers that add up, and what a sum and one more row are worth."""

    values: np.ndarray
    """One row per member."""
    losses: Callable[[np.ndarray, np.ndarray, int], list[float]]
    """A sum of rows, members of which each would be added, and the size of the ensemble with one of them; a loss for each."""


def _log_loss(log_prob: np.ndarray, label: np.ndarray) -> Table:
    probability = true_class(log_prob, label)

    def losses(total: np.ndarray, bag: np.ndarray, size: int) -> list[float]:
        return [float(-np.log((total + probability[member]) / size).mean()) for member in bag]

    return Table(probability, losses)


def _brier(log_prob: np.ndarray, label: np.ndarray) -> Table:
    """The sum of squares over the classes is quadratic in the members' weights, so that these alone are added up."""
    members, rows, classes = log_prob.shape
    step = max(1, CHUNK // (members * classes))
    products = np.zeros((members, members))
    for start in range(0, rows, step):
        chunk = np.exp(log_prob[:, start : start + step]).reshape(members, -1)
        products += chunk @ chunk.T
    own = np.exp(log_prob[:, np.arange(rows), label].astype(np.float64)).sum(axis=1)
    single = np.eye(members)

    def losses(total: np.ndarray, bag: np.ndarray, size: int) -> list[float]:
        weights = (total + single[bag]) / size
        squares = ((weights @ products) * weights).sum(axis=1)
        return [float(loss) for loss in (squares - 2 * weights @ own) / rows + 1]

    return Table(single, losses)


def _top1(log_prob: np.ndarray, label: np.ndarray) -> Table:
    """The lead over the true class of each class that some member puts before it: no other class can win."""
    members, rows, classes = log_prob.shape
    step = max(1, CHUNK // (members * classes))
    leads, images, lower = [], [], []
    for start in range(0, rows, step):
        own = label[start : start + step]
        chunk = np.exp(log_prob[:, start : start + step])
        lead = chunk - np.take_along_axis(chunk, own[None, :, None], axis=2)
        rival = (lead >= 0).any(axis=0)
        rival[np.arange(len(own)), own] = False
        image, other = np.nonzero(rival)
        leads.append(lead[:, image, other])
        images.append(image + start)
        lower.append(other < own[image])
    lead, image, first = np.concatenate(leads, axis=1), np.concatenate(images), np.concatenate(lower)
    highest, lowest = lead.max(axis=0), lead.min(axis=0)

    def losses(total: np.ndarray, bag: np.ndarray, size: int) -> list[float]:
        # Most leads are so large or so small that no further member turns them.
        wrong = np.zeros(rows, dtype=bool)
        wrong[image[total + lowest > 0]] = True
        open_ones = np.flatnonzero((total + highest >= 0) & ~wrong[image])
        so_far, of, wins_ties = total[open_ones], image[open_ones], first[open_ones]
        found = []
        for member in bag:
            then = so_far + lead[member, open_ones]
            lost = (then > 0) | ((then == 0) & wins_ties)
            found.append(float((wrong.sum() + np.count_nonzero(np.bincount(of[lost]))) / rows))
        return found

    return Table(lead, losses)


TABLES = {"log_loss": _log_loss, "top1": _top1, "brier": _brier}


def select(table: Table, bag: np.ndarray, rounds: int, initial: int) -> np.ndarray:
    """The share of each member in the best ensemble on the way to one of ``rounds`` members, all from ``bag``.

    The first ``initial`` of ``bag`` begin; of equally good members the first in it is added.
    """
    counts = np.zeros(len(table.values), dtype=int)
    total = np.zeros(table.values.shape[1])
    best = np.inf, counts
    begin = min(initial, rounds, len(bag))
    for size in range(1, rounds + 1):
        choice = bag if size > begin else bag[size - 1 : size]
        losses = table.losses(total, choice, size)
        added = choice[np.argmin(losses)]
        counts[added] += 1
        total += table.values[added]
        if size >= begin and min(losses) < best[0]:
            best = min(losses), counts.copy()
    shares: np.ndarray = best[1] / best[1].sum()
    return shares


@part("greedy")
def greedy(
    log_prob: np.ndarray,
    label: np.ndarray,
    *,
    rounds: Annotated[int, Ge(1)] = 50,
    initial: Annotated[int, Ge(1)] = 1,
    bags: Annotated[int, Ge(1)] = 20,
    share: Annotated[float, Gt(0), Le(1)] = 0.5,
    metric: Literal["log_loss", "top1", "brier"] = "log_loss",
    seed: Annotated[int, Ge(0)] = 0,
) -> Combination:
    """Selection with replacement from bags of members.

    Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble Selection from Libraries of Models, ICML 2004: sections 2.1 (with
    replacement), 2.2 (the best members begin) and 2.3 (bags). A bag of a ``share`` of the members, rounded up, chooses
    ``rounds`` of them, of which the ``initial`` best ones begin, and keeps the best ensemble that it met. A member's weight
    is its share in that, averaged over the bags.

    Log loss needs one probability per member and image, Brier's score one number per pair of members; ``top1`` needs one per
    member and class that some member finds more probable than the true one: the whole array at worst.
    """
    table = TABLES[metric](log_prob, label)
    nothing, everyone = np.zeros(table.values.shape[1]), np.arange(len(log_prob))
    best_first = np.argsort(table.losses(nothing, everyone, 1), kind="stable")
    random = np.random.default_rng(seed)
    size = int(np.ceil(share * len(best_first)))
    # Drawn by rank, so that the order in which a study names its members decides nothing.
    drawn = [np.sort(random.choice(len(best_first), size, replace=False)) for _ in range(bags)]
    weights = np.mean([select(table, best_first[ranks], rounds, initial) for ranks in drawn], axis=0)
    return Combination(plain_weights(weights), lambda members: weighted_mean(members, weights))
