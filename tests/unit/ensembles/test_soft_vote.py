from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder

from graft.ensembles.averages import CHUNK, arithmetic_mean, geometric_mean, weighted_mean
from graft.ensembles.soft_vote import soft_vote
from graft.predictions import log_softmax

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
    ours = arithmetic_mean(log_prob)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(exp(ours), exp(log_prob).mean(axis=0), rtol=1e-4, atol=1e-12)


@given(SHAPES)
def test_a_single_member_is_itself(shape: tuple[int, int, int, int]) -> None:
    log_prob = drawn(*shape)[:1]
    np.testing.assert_allclose(arithmetic_mean(log_prob), log_prob[0], rtol=1e-6, atol=1e-6)


@given(SHAPES, st.randoms())
def test_the_order_of_members_does_not_matter(shape: tuple[int, int, int, int], random: object) -> None:
    log_prob = drawn(*shape)
    order = list(range(len(log_prob)))
    random.shuffle(order)
    np.testing.assert_allclose(arithmetic_mean(log_prob[order]), arithmetic_mean(log_prob), rtol=1e-6, atol=1e-6)


@given(SHAPES)
def test_probabilities_still_sum_to_one(shape: tuple[int, int, int, int]) -> None:
    np.testing.assert_allclose(exp(arithmetic_mean(drawn(*shape))).sum(axis=1), 1, rtol=1e-4)


@given(SHAPES)
def test_a_member_twice_weighs_twice(shape: tuple[int, int, int, int]) -> None:
    log_prob = drawn(*shape)
    doubled = np.concatenate([log_prob, log_prob[:1]])
    weights = np.array([2, *[1] * (len(log_prob) - 1)]) / (len(log_prob) + 1)
    np.testing.assert_allclose(
        exp(arithmetic_mean(doubled)), np.tensordot(weights, exp(log_prob), 1), rtol=1e-4, atol=1e-12
    )


def test_a_class_that_all_rule_out_stays_ruled_out() -> None:
    log_prob = np.array([[[0.0, -np.inf, -np.inf]], [[-np.inf, 0.0, -np.inf]]], dtype=np.float32)
    np.testing.assert_allclose(arithmetic_mean(log_prob), [[np.log(0.5), np.log(0.5), -np.inf]], rtol=1e-6)


def test_probabilities_too_small_for_a_float_survive() -> None:
    log_prob = np.array([[[0.0, -2000.0]], [[0.0, -2000.0]]], dtype=np.float32)
    assert arithmetic_mean(log_prob).tolist() == [[0.0, -2000.0]]


def test_every_member_weighs_the_same_whatever_the_labels() -> None:
    log_prob = drawn(0, 4, 3, 2)
    assert soft_vote(log_prob, np.array([0, 0, 0])).weights == [0.25] * 4
    assert soft_vote(log_prob, np.array([1, 1, 1])).weights == [0.25] * 4


@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
def test_rows_are_the_same_in_whatever_portions_they_are_worked_on(mean: Any) -> None:
    log_prob = drawn(1, 3, CHUNK // 12 + 7, 5)
    whole = mean(log_prob)
    np.testing.assert_allclose(whole[-20:], mean(log_prob[:, -20:]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole[:20], mean(log_prob[:, :20]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", [None, [3, 1, 0, 2]])
def test_it_is_that_of_scikit_learn(digits: Any, weights: list[int] | None) -> None:
    voting = VotingClassifier(
        [(str(k), one) for k, one in enumerate(digits.classifiers)], voting="soft", weights=weights
    )
    voting.estimators_, voting.le_ = digits.classifiers, LabelEncoder().fit(range(5))
    share = np.array(weights or [1] * 4) / sum(weights or [1] * 4)
    ours = weighted_mean(digits.log_prob["test"], share)
    np.testing.assert_allclose(exp(ours), voting.predict_proba(digits.inputs["test"]), rtol=1e-4, atol=1e-12)


def test_the_geometric_mean_of_two_known_members() -> None:
    one, two = [0.8, 0.1, 0.1], [0.2, 0.4, 0.4]
    log_prob = np.log(np.array([[one], [two]], dtype=np.float32))
    found = soft_vote(log_prob, np.array([0]), mean="geometric").apply(log_prob)
    # Roots of 0.16, 0.04 and 0.04: 0.4, 0.2 and 0.2.
    np.testing.assert_allclose(exp(found), [[0.5, 0.25, 0.25]], rtol=1e-6)


@given(SHAPES)
def test_the_geometric_mean_is_the_softmax_of_mean_logits(shape: tuple[int, int, int, int]) -> None:
    logits = np.random.default_rng(shape[0]).normal(size=shape[1:]) * 5
    log_prob = np.stack([log_softmax(one) for one in logits])
    np.testing.assert_allclose(geometric_mean(log_prob), log_softmax(logits.mean(axis=0)), rtol=1e-4, atol=1e-5)


def test_where_the_product_of_every_class_is_zero_the_arithmetic_mean_stands_in() -> None:
    log_prob = np.array([[[0.0, -np.inf]] * 2, [[-np.inf, 0.0], [0.0, -np.inf]]], dtype=np.float32)
    np.testing.assert_allclose(exp(geometric_mean(log_prob)), [[0.5, 0.5], [1, 0]], rtol=1e-6)
