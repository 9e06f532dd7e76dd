from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder

from graft.ensembles.averages import arithmetic_mean
from graft.ensembles.hard_vote import hard_vote, vote_share


def table(*members: list[float]) -> np.ndarray:
    """One image, of which each member says so."""
    with np.errstate(divide="ignore"):
        return np.log(np.array(members, dtype=np.float32))[:, None]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        # Two votes to one, though the mean probability is higher for the one: (2 + 1.2 / 3) / 4, (1 + 1.8 / 3) / 4.
        (([0.6, 0.4], [0.6, 0.4], [0.0, 1.0]), [0.6, 0.4]),
        # One vote each: the mean probability decides.
        (([0.9, 0.1, 0.0], [0.3, 0.5, 0.2]), [1.6 / 3, 1.3 / 3, 0.1 / 3]),
        # All agree and are certain.
        (([1.0, 0.0], [1.0, 0.0]), [1.0, 0.0]),
        # Of a member's equally probable classes the lowest has its vote.
        (([0.4, 0.4, 0.2],), [0.7, 0.2, 0.1]),
    ],
)
def test_known_votes(members: tuple[list[float], ...], expected: list[float]) -> None:
    np.testing.assert_allclose(np.exp(vote_share(table(*members))), [expected], rtol=1e-5)


def test_it_chooses_as_scikit_learn_does_where_votes_are_not_tied(digits: Any) -> None:
    voting = VotingClassifier([(str(k), one) for k, one in enumerate(digits.classifiers)], voting="hard")
    voting.estimators_, voting.le_ = digits.classifiers, LabelEncoder().fit(range(5))
    log_prob = digits.log_prob["test"]
    votes = np.stack([np.bincount(row, minlength=5) for row in log_prob.argmax(axis=2).T])
    untied = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    ours = vote_share(log_prob).argmax(axis=1)
    assert 0.5 < untied.mean() < 1
    np.testing.assert_array_equal(ours[untied], voting.predict(digits.inputs["test"])[untied])
    tied = np.where(votes == votes.max(axis=1, keepdims=True), arithmetic_mean(log_prob), -np.inf)
    np.testing.assert_array_equal(ours[~untied], tied.argmax(axis=1)[~untied])


@pytest.mark.parametrize("shape", [(0, 1, 50, 2), (1, 5, 200, 4), (2, 8, 100, 30)])
def test_votes_rank_classes_before_probabilities_do(drawn: Any, shape: tuple[int, int, int, int]) -> None:
    log_prob, _ = drawn(*shape)
    members, _, classes = log_prob.shape
    share = vote_share(log_prob)
    votes = (log_prob.argmax(axis=2)[..., None] == np.arange(classes)).sum(axis=0)
    order = np.argsort(-share, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(votes, order, axis=1)) <= 0).all()
    assert np.isfinite(share).all()
    np.testing.assert_allclose(np.exp(share.astype(np.float64)).sum(axis=1), 1, rtol=1e-5)
    assert np.abs(np.exp(share) - votes / members).max() <= 1 / (members + 1) + 1e-6


def test_every_member_weighs_the_same(drawn: Any) -> None:
    assert hard_vote(*drawn(0, 4, 3, 2)).weights == [0.25] * 4
