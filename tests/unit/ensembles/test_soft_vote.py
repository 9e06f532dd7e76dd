import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.ensembles import combine
from graft.ensembles.soft_vote import mean_probability, soft_vote
from graft.predictions import Predictions, SplitPredictions, log_softmax

SHAPES = st.tuples(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.integers(2, 6))


def drawn(seed: int, members: int, rows: int, classes: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(members * rows, classes)) * random.choice([1, 10, 100])
    return log_softmax(logits).reshape(members, rows, classes)


def exp(log_prob: np.ndarray) -> np.ndarray:
    return np.exp(log_prob.astype(np.float64))


@given(SHAPES)
def test_it_is_the_plain_mean_of_probabilities(shape: tuple[int, int, int, int]) -> None:
    log_prob = drawn(*shape)
    ours = mean_probability(log_prob)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(exp(ours), exp(log_prob).mean(axis=0), rtol=1e-4, atol=1e-12)


@given(SHAPES)
def test_a_single_member_is_itself(shape: tuple[int, int, int, int]) -> None:
    log_prob = drawn(*shape)[:1]
    np.testing.assert_allclose(mean_probability(log_prob), log_prob[0], rtol=1e-6, atol=1e-6)


@given(SHAPES, st.randoms())
def test_the_order_of_members_does_not_matter(shape: tuple[int, int, int, int], random: object) -> None:
    log_prob = drawn(*shape)
    order = list(range(len(log_prob)))
    random.shuffle(order)
    np.testing.assert_allclose(mean_probability(log_prob[order]), mean_probability(log_prob), rtol=1e-6, atol=1e-6)


@given(SHAPES)
def test_probabilities_still_sum_to_one(shape: tuple[int, int, int, int]) -> None:
    np.testing.assert_allclose(exp(mean_probability(drawn(*shape))).sum(axis=1), 1, rtol=1e-4)


@given(SHAPES)
def test_a_member_twice_weighs_twice(shape: tuple[int, int, int, int]) -> None:
    log_prob = drawn(*shape)
    doubled = np.concatenate([log_prob, log_prob[:1]])
    weights = np.array([2, *[1] * (len(log_prob) - 1)]) / (len(log_prob) + 1)
    np.testing.assert_allclose(
        exp(mean_probability(doubled)), np.tensordot(weights, exp(log_prob), 1), rtol=1e-4, atol=1e-12
    )


def test_a_class_that_all_rule_out_stays_ruled_out() -> None:
    log_prob = np.array([[[0.0, -np.inf, -np.inf]], [[-np.inf, 0.0, -np.inf]]], dtype=np.float32)
    np.testing.assert_allclose(mean_probability(log_prob), [[np.log(0.5), np.log(0.5), -np.inf]], rtol=1e-6)


def test_probabilities_too_small_for_a_float_survive() -> None:
    log_prob = np.array([[[0.0, -2000.0]], [[0.0, -2000.0]]], dtype=np.float32)
    assert mean_probability(log_prob).tolist() == [[0.0, -2000.0]]


def test_every_member_weighs_the_same_whatever_the_labels() -> None:
    log_prob = drawn(0, 4, 3, 2)
    assert soft_vote(log_prob, np.array([0, 0, 0])).weights == [0.25] * 4
    assert soft_vote(log_prob, np.array([1, 1, 1])).weights == [0.25] * 4


def member(validation: list[list[float]], test: list[list[float]], order: list[int]) -> Predictions:
    splits = {
        name: SplitPredictions(
            np.array([f"{name}{k}" for k in order]),
            np.array([k % 2 for k in order]),
            np.log(np.array(rows, dtype=np.float32)[order]),
        )
        for name, rows in (("validation", validation), ("test", test))
    }
    return Predictions(["a", "b"], splits)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_members_meet_on_their_samples_in_every_split(order: list[int]) -> None:
    one = member([[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [0.6, 0.4]], [0, 1])
    two = member([[0.1, 0.9], [0.7, 0.3]], [[0.4, 0.6], [0.8, 0.2]], order)
    combined, weights = combine({"one": one, "two": two}, {"name": "soft_vote"})
    assert weights == [0.5, 0.5]
    assert combined.classes == ["a", "b"]
    assert combined.splits["test"].sample_id.tolist() == ["test0", "test1"]
    assert combined.splits["test"].label.tolist() == [0, 1]
    np.testing.assert_allclose(exp(combined.splits["test"].log_prob), [[0.3, 0.7], [0.7, 0.3]], rtol=1e-6)
    np.testing.assert_allclose(exp(combined.splits["validation"].log_prob), [[0.3, 0.7], [0.8, 0.2]], rtol=1e-6)
