from itertools import product
from typing import Any

import numpy as np
import pytest

from graft.ensembles.greedy import greedy
from graft.metrics import log_loss, top_k_accuracy

ALL = {"bags": 1, "share": 1.0}


def log(*members: list[list[float]]) -> np.ndarray:
    return np.log(np.array(members, dtype=np.float32))


def losses(metric: str, probability: np.ndarray, label: np.ndarray) -> float:
    """Of plain probabilities (n, classes), the metric as it is defined."""
    if metric == "brier":
        return float(((probability - np.eye(probability.shape[1])[label]) ** 2).sum(axis=1).mean())
    with np.errstate(divide="ignore"):
        logarithm = np.log(probability)
    return log_loss(logarithm, label) if metric == "log_loss" else 1 - top_k_accuracy(logarithm, label, 1)


def plainly(metric: str, probability: np.ndarray, label: np.ndarray, rounds: int, initial: int) -> np.ndarray:
    """The published procedure, word for word: (members, n, classes) to weights."""
    members = range(len(probability))
    best_first = sorted(members, key=lambda member: losses(metric, probability[member], label))
    chosen = best_first[:initial]
    nested = [chosen]
    while len(chosen) < rounds:
        found = [losses(metric, probability[[*chosen, member]].mean(axis=0), label) for member in best_first]
        chosen = [*chosen, best_first[int(np.argmin(np.round(found, 9)))]]
        nested.append(chosen)
    best = min(nested, key=lambda these: round(losses(metric, probability[these].mean(axis=0), label), 9))
    return np.bincount(best, minlength=len(probability)) / len(best)


@pytest.mark.parametrize(("metric", "initial"), list(product(["log_loss", "top1", "brier"], [1, 3])))
def test_it_chooses_what_the_published_procedure_chooses(digits: Any, metric: Any, initial: int) -> None:
    log_prob, label = digits.log_prob["validation"], digits.label["validation"]
    expected = plainly(metric, np.exp(log_prob.astype(np.float64)), label, 12, initial)
    found = greedy(log_prob, label, metric=metric, rounds=12, initial=initial, **ALL)
    np.testing.assert_allclose(found.weights, expected)
    assert np.count_nonzero(expected) > 1


@pytest.mark.parametrize("metric", ["log_loss", "top1", "brier"])
@pytest.mark.parametrize("shape", [(3, 6, 200, 5), (7, 5, 300, 8)])
def test_so_it_does_where_members_hardly_differ(drawn: Any, metric: Any, shape: tuple[int, int, int, int]) -> None:
    log_prob, label = drawn(*shape)
    expected = plainly(metric, np.exp(log_prob.astype(np.float64)), label, 15, 1)
    np.testing.assert_allclose(greedy(log_prob, label, metric=metric, rounds=15, **ALL).weights, expected)


def test_two_rounds_by_hand() -> None:
    # Each is right of two images in three. The first is best alone; with the second it is right of all, with itself of two.
    sure, unsure, wrong = [0.9, 0.1], [0.55, 0.45], [0.4, 0.6]
    log_prob = log([sure, sure, wrong], [unsure, wrong, sure], [wrong, unsure, unsure])
    found = greedy(log_prob, np.zeros(3, dtype=int), metric="top1", rounds=2, **ALL)
    assert found.weights == [0.5, 0.5, 0]


def test_a_bag_keeps_the_best_ensemble_on_its_way(digits: Any) -> None:
    log_prob, label = digits.log_prob["validation"][[3, 2]], digits.label["validation"]
    good = np.stack([log_prob[0], np.roll(log_prob[0], 1, axis=1)])  # the other is wrong of everything
    assert greedy(good, label, rounds=5, initial=2, **ALL).weights == pytest.approx([0.8, 0.2])
    assert greedy(good, label, rounds=5, initial=1, **ALL).weights == [1, 0]


def test_each_bag_leaves_members_out_and_the_seed_says_which(digits: Any) -> None:
    data = digits.log_prob["validation"], digits.label["validation"]
    few = [greedy(*data, bags=1, share=0.5, seed=seed).weights for seed in range(6)]
    assert all(np.count_nonzero(weights) <= 2 for weights in few)
    assert len({tuple(weights) for weights in few}) > 1
    assert greedy(*data, seed=3).weights == greedy(*data, seed=3).weights


@pytest.mark.parametrize("metric", ["log_loss", "top1", "brier"])
def test_what_is_chosen_is_as_good_as_the_best_member(digits: Any, metric: Any) -> None:
    log_prob, label = digits.log_prob["validation"], digits.label["validation"]
    found = greedy(log_prob, label, metric=metric, **ALL)
    combined = losses(metric, np.exp(found.apply(log_prob)), label)
    assert combined <= min(losses(metric, np.exp(member), label) for member in log_prob) + 1e-6


def test_of_equal_probabilities_the_lower_class_is_the_first_as_for_the_metric() -> None:
    tied, right = [[0.5, 0.5]], [[0.4, 0.6]]
    for label, best in ((1, [0, 1]), (0, [1, 0])):
        assert greedy(log(tied, right), np.array([label]), metric="top1", rounds=1, **ALL).weights == best
