import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from graft.metrics import METRICS, confusion_matrix, expected_calibration_error, log_loss, measure, top_k_accuracy
from graft.predictions import log_softmax

TABLE = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.5, 0.3, 0.2]])
LABEL = np.array([0, 2, 2, 1])


def drawn(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities without ties, and labels in which every class occurs."""
    random = np.random.default_rng(seed)
    label = random.permutation(np.arange(rows) % classes)
    return log_softmax(random.normal(size=(rows, classes)) * 2), label


SIZES = st.tuples(st.integers(0, 10**6), st.integers(12, 40), st.integers(3, 12))


def test_top_k_of_a_table_by_hand() -> None:
    assert [top_k_accuracy(np.log(TABLE), LABEL, k) for k in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert top_k_accuracy(np.log(TABLE), np.array([2, 0, 0, 2]), 2) == 0.25


@given(SIZES, st.integers(1, 11))
def test_top_k_is_scikit_learns(size: tuple[int, int, int], k: int) -> None:
    log_prob, label = drawn(*size)
    k = min(k, log_prob.shape[1] - 1)
    theirs = sklearn.metrics.top_k_accuracy_score(label, log_prob, k=k)
    assert top_k_accuracy(log_prob, label, k) == pytest.approx(theirs)


def test_of_equal_probabilities_the_lower_class_goes_first() -> None:
    log_prob = np.log(np.array([[0.4, 0.4, 0.2]] * 3))
    hits = [[top_k_accuracy(log_prob[:1], np.array([label]), k) for label in (0, 1, 2)] for k in (1, 2, 3)]
    assert hits == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=8))
def test_top_1_is_the_accuracy_of_argmax_ties_or_not(counts: list[list[int]]) -> None:
    log_prob = log_softmax(np.array(counts, dtype=np.float32))
    for label in range(4):
        assert top_k_accuracy(log_prob, np.full(len(counts), label), 1) == (log_prob.argmax(axis=1) == label).mean()


@given(SIZES)
def test_top_k_grows_with_k_up_to_one(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    values = [top_k_accuracy(log_prob, label, k) for k in range(1, log_prob.shape[1] + 1)]
    assert values == sorted(values)
    assert values[-1] == 1


def test_fewer_classes_than_k_are_all_hits() -> None:
    assert top_k_accuracy(np.log(TABLE), LABEL, 5) == 1
    assert measure(np.log(TABLE), LABEL)["top5"] == 1


def test_a_class_that_is_ruled_out_is_last() -> None:
    log_prob = np.array([[0.0, -np.inf, -np.inf]])
    assert top_k_accuracy(log_prob, np.array([2]), 2) == 0
    assert top_k_accuracy(log_prob, np.array([2]), 3) == 1


@given(SIZES)
def test_log_loss_is_scikit_learns(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    probability = np.exp(log_prob.astype(np.float64))
    probability /= probability.sum(axis=1, keepdims=True)
    theirs = sklearn.metrics.log_loss(label, probability, labels=np.arange(log_prob.shape[1]))
    assert log_loss(log_prob, label) == pytest.approx(theirs, rel=1e-5)


def test_log_loss_of_a_table_by_hand() -> None:
    assert log_loss(np.log(TABLE), LABEL) == pytest.approx(-np.log(0.7 * 0.3 * 0.4 * 0.3) / 4)


def test_log_loss_is_infinite_where_the_truth_was_ruled_out() -> None:
    assert log_loss(np.array([[0.0, -np.inf], [0.0, -np.inf]]), np.array([0, 1])) == np.inf


def test_calibration_error_of_a_table_by_hand() -> None:
    """Bins of a fifth: confidences .7 and .65 (one right), .45 and .5 (both right), .95 (wrong)."""
    table = np.array([[0.7, 0.3, 0], [0.65, 0.35, 0], [0.45, 0.3, 0.25], [0.5, 0.25, 0.25], [0.95, 0.05, 0]])
    with np.errstate(divide="ignore"):
        error = expected_calibration_error(np.log(table), np.array([0, 1, 0, 0, 1]), bins=5)
    assert error == pytest.approx((2 * abs(0.5 - 0.675) + 2 * abs(1 - 0.475) + 1 * abs(0 - 0.95)) / 5)


def test_bins_are_open_below_and_closed_above() -> None:
    """0.5 lies in (0, 1/2] and not with 0.75: one bin would average a hit and a miss."""
    log_prob, label = np.log(np.array([[0.5, 0.5], [0.75, 0.25]])), np.array([0, 1])
    assert expected_calibration_error(log_prob, label, bins=2) == pytest.approx((0.5 + 0.75) / 2)
    assert expected_calibration_error(log_prob, label, bins=1) == pytest.approx(abs(0.5 - 0.625))


def test_calibration_error_of_calibrated_predictions_vanishes() -> None:
    random = np.random.default_rng(3)
    log_prob = log_softmax(random.normal(size=(200_000, 3)) * 2)
    probability = np.exp(log_prob.astype(np.float64))
    label = (random.random((len(log_prob), 1)) > probability.cumsum(axis=1)).sum(axis=1).clip(max=2)
    assert expected_calibration_error(log_prob, label) < 0.005
    sharper = log_softmax(log_prob * 2)
    assert expected_calibration_error(sharper, label) > 0.05


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    certain = np.array([[0.0, -np.inf]] * 4)
    assert expected_calibration_error(certain, np.zeros(4, dtype=int)) == 0
    assert expected_calibration_error(certain, np.ones(4, dtype=int)) == 1


@given(SIZES)
def test_with_one_bin_calibration_error_is_the_gap_of_means(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    confidence = np.exp(log_prob.max(axis=1).astype(np.float64)).mean()
    gap = abs(top_k_accuracy(log_prob, label, 1) - confidence)
    assert expected_calibration_error(log_prob, label, bins=1) == pytest.approx(gap)


@given(SIZES)
def test_more_bins_never_hide_a_gap(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    errors = [expected_calibration_error(log_prob, label, bins) for bins in (1, 5, 10, 20)]
    assert errors == sorted(errors) or np.allclose(errors, sorted(errors))
    assert errors[0] >= 0
    assert errors[-1] <= 1


@given(SIZES)
def test_the_order_of_samples_does_not_matter(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    assert measure(log_prob[::-1], label[::-1]) == pytest.approx(measure(log_prob, label))


@given(SIZES)
def test_confusion_matrix_is_scikit_learns(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    theirs = sklearn.metrics.confusion_matrix(label, log_prob.argmax(axis=1), labels=np.arange(log_prob.shape[1]))
    np.testing.assert_array_equal(confusion_matrix(log_prob, label), theirs)


def test_confusion_matrix_has_a_row_for_a_class_that_does_not_occur() -> None:
    assert confusion_matrix(np.log(TABLE), np.array([0, 0, 0, 0])).tolist() == [[2, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_every_metric_is_measured_by_its_name() -> None:
    log_prob = np.log(TABLE)
    assert measure(log_prob, LABEL) == {
        "top1": 0.5,
        "top5": 1.0,
        "log_loss": log_loss(log_prob, LABEL),
        "calibration_error": expected_calibration_error(log_prob, LABEL, 15),
    }
    assert measure(log_prob, LABEL).keys() == METRICS.keys()
