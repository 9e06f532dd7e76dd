import math
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from graft.metrics import (
    IMAGE_SCORES,
    METRICS,
    OF_COUNTS,
    SHARES,
    balanced_accuracy,
    brier_score,
    confusion_matrix,
    debiased_calibration_error,
    expected_calibration_error,
    image_scores,
    intervals,
    log_loss,
    macro_f1,
    maximum_calibration_error,
    of_counts,
    outcomes,
    per_class,
    reliability,
    risk_coverage,
    risk_coverage_area,
    roc_auc,
    top_k_accuracy,
    weighted_f1,
)
from graft.predictions import log_softmax
from graft.statistics import bootstrap_means, bootstrap_metric

TABLE = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.5, 0.3, 0.2]])
LABEL = np.array([0, 2, 2, 1])


def drawn(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities without ties, and labels in which every class occurs."""
    random = np.random.default_rng(seed)
    label = random.permutation(np.arange(rows) % classes)
    return log_softmax(random.normal(size=(rows, classes)) * 2), label


def measure(log_prob: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Every metric of a table by its name."""
    return {name: metric(log_prob, label) for name, metric in METRICS.items()}


def probabilities(log_prob: np.ndarray) -> np.ndarray:
    """As scikit-learn wants them: float64, and of sum 1 to the last digit."""
    table = np.exp(log_prob.astype(np.float64))
    whole: np.ndarray = table / table.sum(axis=1, keepdims=True)
    return whole


def calibrated(seed: int, rows: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities, and labels drawn from them."""
    random = np.random.default_rng(seed)
    log_prob = log_softmax(random.normal(size=(rows, classes)) * 2)
    below = probabilities(log_prob).cumsum(axis=1)
    return log_prob, (random.random((rows, 1)) > below).sum(axis=1).clip(max=classes - 1)


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
    probability = probabilities(log_prob)
    theirs = sklearn.metrics.log_loss(label, probability, labels=np.arange(log_prob.shape[1]))
    assert log_loss(np.log(probability), label) == pytest.approx(theirs, rel=1e-9)
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
    log_prob, label = calibrated(3, 200_000)
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


# -- Brier score ---------------------------------------------------------------------------------------------------------


def test_brier_score_of_a_table_by_hand() -> None:
    """Squares of (.3 .2 .1), (.1 .6 .7), (.3 .3 .6) and (.5 .7 .2)."""
    assert brier_score(np.log(TABLE), LABEL) == pytest.approx((0.14 + 0.86 + 0.54 + 0.78) / 4, rel=1e-12)


@given(SIZES)
def test_brier_score_is_scikit_learns(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    probability, classes = probabilities(log_prob), np.arange(log_prob.shape[1])
    theirs = sklearn.metrics.brier_score_loss(label, probability, labels=classes, scale_by_half=False)
    assert brier_score(np.log(probability), label) == pytest.approx(theirs, rel=1e-9)


def test_brier_score_ends_at_zero_and_at_two() -> None:
    certain = np.array([[0.0, -np.inf, -np.inf]] * 4)
    assert brier_score(certain, np.zeros(4, dtype=int)) == 0
    assert brier_score(certain, np.full(4, 2)) == 2


@given(SIZES)
def test_scores_of_images_have_the_metrics_as_their_means(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    scores, metrics = image_scores(log_prob, label), measure(log_prob, label)
    assert list(scores.columns) == list(IMAGE_SCORES)
    assert scores.shape == (len(label), len(IMAGE_SCORES))
    assert (scores.dtypes == np.float64).all()
    assert scores.mean().to_dict() == pytest.approx({name: metrics[name] for name in IMAGE_SCORES}, rel=1e-12)


# -- by class ------------------------------------------------------------------------------------------------------------


@given(SIZES)
def test_balanced_accuracy_is_scikit_learns(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    theirs = sklearn.metrics.balanced_accuracy_score(label, log_prob.argmax(axis=1))
    assert balanced_accuracy(log_prob, label) == pytest.approx(theirs, rel=1e-9)


# Predicted 0, 1, 2, 0 and 2 of four classes: class 1 is predicted but does not occur, class 3 neither.
FIVE = np.log(
    [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]]
)
TRUTH = np.array([0, 2, 2, 2, 2])


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur() -> None:
    assert balanced_accuracy(FIVE, TRUTH) == pytest.approx((1 + 2 / 4) / 2, rel=1e-12)


def test_f1_of_a_table_by_hand() -> None:
    """Precision 1/2 and recall 1 make 2/3 of class 0, precision 1 and recall 1/2 make 2/3 of class 2; class 1 has none."""
    assert macro_f1(FIVE, TRUTH) == pytest.approx((2 / 3 + 0 + 2 / 3) / 3, rel=1e-12)
    assert weighted_f1(FIVE, TRUTH) == pytest.approx((1 * 2 / 3 + 4 * 2 / 3) / 5, rel=1e-12)


def test_each_class_has_a_row_by_hand() -> None:
    expected = pd.DataFrame(
        {
            "precision": [0.5, 0, 1, math.nan],
            "recall": [1, math.nan, 0.5, math.nan],
            "f1": [2 / 3, 0, 2 / 3, math.nan],
            "support": [1, 0, 4, 0],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(per_class(FIVE, TRUTH), expected, rtol=1e-12)


@given(SIZES)
@settings(max_examples=25)
def test_means_over_classes_are_those_of_their_rows(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    rows = per_class(log_prob, label)
    assert rows["f1"].mean() == pytest.approx(macro_f1(log_prob, label), rel=1e-9)
    assert np.average(rows["f1"], weights=rows["support"]) == pytest.approx(weighted_f1(log_prob, label), rel=1e-9)
    assert rows["recall"].mean() == pytest.approx(balanced_accuracy(log_prob, label), rel=1e-9)
    matrix = confusion_matrix(log_prob, label)
    assert rows["support"].tolist() == matrix.sum(axis=1).tolist()
    said = matrix.sum(axis=0)
    np.testing.assert_allclose(rows["precision"][said > 0], matrix.diagonal()[said > 0] / said[said > 0], rtol=1e-12)


def pairs_won(log_prob: np.ndarray, positive: np.ndarray) -> float:
    """The area of one class by its definition: pairs of a positive and a negative image, ties by half."""
    ours, others = log_prob[positive][:, None], log_prob[~positive][None]
    return float(((ours > others) + 0.5 * (ours == others)).mean())


@given(SIZES)
@settings(max_examples=25)
def test_roc_auc_is_the_share_of_pairs_in_order(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    log_prob = np.round(log_prob)  # with ties
    areas = [pairs_won(log_prob[:, k], label == k) for k in range(log_prob.shape[1])]
    assert roc_auc(log_prob, label) == pytest.approx(np.mean(areas), rel=1e-9)


@given(SIZES)
@settings(max_examples=25)
def test_roc_auc_is_scikit_learns(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    probability = probabilities(log_prob)
    theirs = sklearn.metrics.roc_auc_score(label, probability, multi_class="ovr", average="macro")
    assert roc_auc(np.log(probability), label) == pytest.approx(theirs, rel=1e-9)


def test_roc_auc_leaves_out_classes_without_positives_or_negatives() -> None:
    found = roc_auc(FIVE, TRUTH)
    assert found == pytest.approx(np.mean([pairs_won(FIVE[:, k], k == TRUTH) for k in (0, 2)]), rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(roc_auc(FIVE, np.full(5, 2)))
    assert roc_auc(np.array([[0.0, -np.inf], [-np.inf, 0.0]]), np.array([0, 1])) == 1


# -- calibration ---------------------------------------------------------------------------------------------------------

# Confidences, and which are right; the others predict class 0 of a row that is of class 1.
CONFIDENCE = np.array([0.55, 0.6, 0.65, 0.7, 0.8, 0.95])
RIGHT = np.array([True, False, True, True, False, True])
SIX = np.log(np.stack([CONFIDENCE, 1 - CONFIDENCE], axis=1))
OF_SIX = np.where(RIGHT, 0, 1)


def test_calibration_errors_of_equal_mass_bins_by_hand() -> None:
    """Three bins of two: (.55 .6) with one right, (.65 .7) with both, (.8 .95) with one."""
    gaps = [0.575 - 0.5, 1 - 0.675, 0.875 - 0.5]
    assert expected_calibration_error(SIX, OF_SIX, 3, equal_mass=True) == pytest.approx(sum(gaps) / 3, rel=1e-9)
    assert maximum_calibration_error(SIX, OF_SIX, 3, equal_mass=True) == pytest.approx(0.375, rel=1e-9)


def test_maximum_calibration_error_of_equal_width_bins_by_hand() -> None:
    """Fifths: (.55 .6), (.65 .7 .8) with two right, and .95."""
    assert maximum_calibration_error(SIX, OF_SIX, 5) == pytest.approx(0.575 - 0.5, rel=1e-9)
    assert maximum_calibration_error(SIX, 1 - OF_SIX, 5) == pytest.approx(0.95, rel=1e-9)


def test_debiased_calibration_error_by_hand() -> None:
    """Two bins of three. With two right in each, chance alone makes (2/3 x 1/3) / 2 = 1/9, more than both squared gaps."""
    assert debiased_calibration_error(SIX, OF_SIX, 2) == 0
    squares = [(0.6 - 1 / 3) ** 2 - 1 / 9, (2.45 / 3 - 1 / 3) ** 2 - 1 / 9]
    assert debiased_calibration_error(SIX, 1 - OF_SIX, 2) == pytest.approx(math.sqrt(sum(squares) / 2), rel=1e-9)


def test_bins_of_one_image_say_nothing_of_chance() -> None:
    assert debiased_calibration_error(SIX, OF_SIX, 6) == 0
    by_width = debiased_calibration_error(SIX, 1 - OF_SIX, 5, equal_mass=False)  # without .95
    two, three = (0.575 - 0.5) ** 2 - 1 / 4, (2.15 / 3 - 1 / 3) ** 2 - 1 / 9
    assert by_width == pytest.approx(math.sqrt(max((2 * two + 3 * three) / 5, 0)), rel=1e-9)


BINS = st.tuples(st.sampled_from([1, 4, 10, 15]), st.booleans())


@given(SIZES, st.sampled_from([1, 4, 10, 15]))
@settings(max_examples=25)
def test_bins_of_equal_width_are_scikit_learns(size: tuple[int, int, int], bins: int) -> None:
    log_prob, label = drawn(*size)
    log_prob = np.log(probabilities(log_prob))
    confidence, right = np.exp(log_prob.max(axis=1)), log_prob.argmax(axis=1) == label
    accuracy, mean = sklearn.calibration.calibration_curve(right, confidence, n_bins=bins)
    rows = reliability(log_prob, label, bins)
    held = rows[rows["images"] > 0]
    np.testing.assert_allclose(held["accuracy"], accuracy, rtol=1e-9)
    np.testing.assert_allclose(held["confidence"], mean, rtol=1e-9)
    worst = np.abs(accuracy - mean).max()
    assert maximum_calibration_error(log_prob, label, bins) == pytest.approx(worst, rel=1e-9, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(2, 7))
@settings(max_examples=25)
def test_bins_of_equal_mass_are_parts_of_the_sorted_confidences(seed: int, each: int, bins: int) -> None:
    log_prob, label = drawn(seed, each * bins, 3)
    order = np.argsort(log_prob.max(axis=1))
    rows = reliability(log_prob, label, bins, equal_mass=True)
    assert rows["images"].tolist() == [each] * bins
    for row, part in zip(rows.itertuples(), np.split(order, bins), strict=True):
        confidence = np.exp(log_prob[part].max(axis=1).astype(float))
        assert (row.lower, row.upper) == pytest.approx((confidence.min(), confidence.max()), rel=1e-12)
        assert row.confidence == pytest.approx(confidence.mean(), rel=1e-12)
        assert row.accuracy == pytest.approx((log_prob[part].argmax(axis=1) == label[part]).mean(), rel=1e-12)


@given(SIZES, st.integers(1, 40))
@settings(max_examples=25)
def test_bins_of_equal_mass_differ_by_one_image_at_most(size: tuple[int, int, int], bins: int) -> None:
    images = reliability(*drawn(*size), bins, equal_mass=True)["images"]
    assert images.max() - images.min() <= 1


@given(SIZES, BINS)
def test_a_reliability_diagram_shows_the_errors(size: tuple[int, int, int], binning: tuple[int, bool]) -> None:
    log_prob, label = drawn(*size)
    rows = reliability(log_prob, label, *binning)
    assert len(rows) == binning[0]
    assert rows["images"].sum() == len(label)
    held = rows[rows["images"] > 0]
    assert (held["lower"].to_numpy()[1:] >= held["upper"].to_numpy()[:-1]).all()
    assert ((held["lower"] <= held["confidence"] + 1e-12) & (held["confidence"] <= held["upper"] + 1e-12)).all()
    gaps = (held["accuracy"] - held["confidence"]).abs()
    error = expected_calibration_error(log_prob, label, *binning)
    assert np.average(gaps, weights=held["images"]) == pytest.approx(error, rel=1e-9, abs=1e-12)
    assert gaps.max() == pytest.approx(maximum_calibration_error(log_prob, label, *binning), rel=1e-9, abs=1e-12)


def test_bins_have_wilsons_interval_or_are_empty() -> None:
    rows = reliability(SIX, OF_SIX, bins=5)
    assert rows["images"].tolist() == [0, 0, 2, 3, 1]
    assert rows.loc[:1, ["confidence", "accuracy", "low", "high"]].isna().all(axis=None)
    expected = binomtest(2, 3).proportion_ci(method="wilson")
    assert rows.loc[3, ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high], rel=1e-12)


def test_equal_confidences_are_in_one_bin() -> None:
    log_prob = np.log(np.array([[0.75, 0.25]] * 9 + [[0.6, 0.4]]))
    rows = reliability(log_prob, np.zeros(10, dtype=int), bins=5, equal_mass=True)
    assert sorted(rows["images"]) == [0, 0, 0, 1, 9]


ERRORS = [
    expected_calibration_error,
    maximum_calibration_error,
    debiased_calibration_error,
    lambda log_prob, label: expected_calibration_error(log_prob, label, equal_mass=True),
]


@pytest.mark.parametrize("error", ERRORS)
@given(st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_more_calibrated_predictions_the_less_error(
    error: Callable[[np.ndarray, np.ndarray], float], seed: int
) -> None:
    """Gaps that chance makes shrink with the root of the number of images, here to a tenth."""
    few, many = (
        np.mean([error(*calibrated(seed + 1000 * k, rows, classes=2)) for k in range(6)]) for rows in (500, 50_000)
    )
    assert many < 0.02
    assert many < few / 2 or few < 0.02


def test_the_debiased_error_is_nearly_zero_where_the_others_are_not() -> None:
    """Of 300 calibrated predictions in 15 bins the squared error that chance makes is about 15 / 300 times a (1 - a)."""
    samples = [calibrated(seed, 300) for seed in range(200)]
    plain = np.mean([expected_calibration_error(*sample, equal_mass=True) for sample in samples])
    debiased = np.array([debiased_calibration_error(*sample) for sample in samples])
    assert plain > 0.05
    assert np.mean(debiased == 0) == pytest.approx(0.5, abs=0.15)
    assert np.median(debiased) < 0.03


def test_the_debiased_error_is_that_of_many_images() -> None:
    """Confidence 0.8 where 0.6 are right: the error is 0.2, where 500 bins without the correction would say 0.214."""
    log_prob = np.log(np.tile([[0.8, 0.2]], (20_000, 1)) + np.linspace(-1e-6, 1e-6, 20_000)[:, None] * [[1, -1]])
    label = (np.random.default_rng(0).random(20_000) > 0.6).astype(int)
    right = 0.8 - (label == 0).mean()
    for bins in (1, 10, 500):
        assert debiased_calibration_error(log_prob, label, bins) == pytest.approx(right, abs=0.006)


# -- selective prediction ------------------------------------------------------------------------------------------------


def test_risk_and_coverage_of_a_table_by_hand() -> None:
    """By confidence: .95 right, .8 wrong, .7 and .65 right, .6 wrong, .55 right."""
    rows = risk_coverage(SIX, OF_SIX)
    risks = [0, 1 / 2, 1 / 3, 1 / 4, 2 / 5, 2 / 6]
    assert rows["coverage"].tolist() == pytest.approx([k / 6 for k in range(1, 7)], rel=1e-12)
    assert rows["risk"].tolist() == pytest.approx(risks, rel=1e-12)
    assert rows["confidence"].tolist() == pytest.approx(sorted(CONFIDENCE, reverse=True), rel=1e-12)
    assert risk_coverage_area(SIX, OF_SIX) == pytest.approx(sum(risks) / 6, rel=1e-12)


@given(SIZES)
def test_risk_is_the_error_of_those_above_a_threshold(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    confidence, right = log_prob.max(axis=1), log_prob.argmax(axis=1) == label
    rows = risk_coverage(log_prob, label)
    for answered, level in enumerate(sorted(confidence, reverse=True), 1):
        assert rows["risk"][answered - 1] == pytest.approx(1 - right[confidence >= level].mean(), abs=1e-12)
    assert rows["risk"].iloc[-1] == pytest.approx(1 - top_k_accuracy(log_prob, label, 1), abs=1e-12)


def test_equal_confidences_count_as_their_mean_whatever_their_order() -> None:
    log_prob = np.log(np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.7, 0.3]]))
    for label in ([0, 1, 0, 0], [0, 0, 0, 1]):
        rows = risk_coverage(log_prob, np.array(label))
        assert rows["risk"].tolist() == pytest.approx([0, 1 / 3 / 2, 2 / 3 / 3, 1 / 4], rel=1e-12, abs=1e-12)


def test_the_area_is_less_where_errors_are_less_confident() -> None:
    ends = [risk_coverage_area(np.sort(SIX, axis=0)[::step], OF_SIX * 0) for step in (1, -1)]
    assert ends == [0, 0]
    late, early = (risk_coverage_area(SIX, np.isin(CONFIDENCE, wrong).astype(int)) for wrong in (0.55, 0.95))
    assert (late, early) == (pytest.approx(1 / 36), pytest.approx(sum(1 / k for k in range(1, 7)) / 6))


# -- the columns of tables -----------------------------------------------------------------------------------------------


def test_every_metric_is_measured_by_its_name() -> None:
    log_prob = np.log(TABLE)
    assert measure(log_prob, LABEL) == {
        "top1": 0.5,
        "top5": 1.0,
        "log_loss": log_loss(log_prob, LABEL),
        "brier": brier_score(log_prob, LABEL),
        "calibration_error": expected_calibration_error(log_prob, LABEL, 15),
        "balanced_accuracy": balanced_accuracy(log_prob, LABEL),
        "macro_f1": macro_f1(log_prob, LABEL),
    }


# -- their intervals -----------------------------------------------------------------------------------------------------


@given(SIZES)
@settings(max_examples=25)
def test_metrics_of_counted_images_are_those_of_images_taken_so_often(size: tuple[int, int, int]) -> None:
    log_prob, label = drawn(*size)
    counts = np.random.default_rng(size[0]).integers(3, size=(4, len(label)))
    counts[0] = 1
    found = of_counts(outcomes(log_prob, label))(counts.astype(float))
    for row, values in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(len(label)), row)
        expected = [METRICS[name](log_prob[rows], label[rows]) for name in OF_COUNTS]
        assert values.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("images", [90, 450])  # each left out alone, and by groups
def test_intervals_are_those_of_the_plain_bootstrap_of_each_metric(images: int) -> None:
    both = [drawn(31, images, 4), calibrated(32, images)]
    found = intervals([outcomes(*each) for each in both], draws=100, seed=3)
    for (log_prob, label), of_metrics in zip(both, found, strict=True):
        assert list(of_metrics) == [*SHARES, "log_loss", "brier", *OF_COUNTS]
        for name in OF_COUNTS:
            plain = bootstrap_metric(METRICS[name], label, log_prob, draws=100, seed=3)
            assert of_metrics[name][:3] == pytest.approx(plain[:3], rel=1e-9)
            assert of_metrics[name].method == plain.method == "bca"
        for name in ("log_loss", "brier"):
            plain = bootstrap_metric(METRICS[name], label, log_prob, draws=100, seed=3)
            means = bootstrap_means(image_scores(log_prob, label)[[name]].to_numpy(), draws=100, seed=3)[0]
            assert of_metrics[name] == (*(pytest.approx(value) for value in means[:3]), means.method)
            assert of_metrics[name][:3] == pytest.approx(plain[:3], abs=0.1 * (plain.high - plain.low))
        right = int((log_prob.argmax(axis=1) == label).sum())
        expected = binomtest(right, images).proportion_ci(method="wilson")
        assert of_metrics["top1"] == (
            right / images,
            pytest.approx(expected.low),
            pytest.approx(expected.high),
            "wilson",
        )


def test_the_intervals_of_several_are_those_of_each() -> None:
    both = [outcomes(*drawn(seed, 60, 5)) for seed in (33, 34)]
    together = intervals(both, draws=50)
    for alone, expected in zip(both, together, strict=True):
        found = intervals([alone], draws=50)[0]
        assert found.keys() == METRICS.keys()
        for name, interval in found.items():
            assert interval[:3] == pytest.approx(expected[name][:3], rel=1e-9)


def test_a_truth_that_was_ruled_out_takes_the_bounds_of_the_log_loss_alone() -> None:
    log_prob, label = drawn(35, 50, 3)
    log_prob[0] = np.where(np.arange(3) == label[0], -np.inf, np.log(0.5))
    found = intervals([outcomes(log_prob, label)], draws=50)[0]
    assert (found["log_loss"].estimate, found["log_loss"].method) == (math.inf, "none")
    assert all(math.isfinite(found[name].low) for name in METRICS if name != "log_loss")


def test_images_that_are_not_there_have_no_intervals() -> None:
    with pytest.raises(ValueError, match="no images"):
        intervals([outcomes(np.empty((0, 3)), np.empty(0, dtype=int))])


def test_balanced_accuracy_is_covered_as_often_as_its_interval_says() -> None:
    """Three classes with recalls of 0.9, 0.7 and 0.5, the third rare: 200 images of each sample."""
    random, recalls = np.random.default_rng(36), np.array([0.9, 0.7, 0.5])
    samples = []
    for _ in range(400):
        label = random.choice(3, size=200, p=[0.5, 0.35, 0.15])
        said = np.where(random.random(200) < recalls[label], label, (label + 1) % 3)
        samples.append(outcomes(np.log(np.where(np.arange(3) == said[:, None], 0.8, 0.1)), label))
    found = [each["balanced_accuracy"] for each in intervals(samples, draws=600)]
    covered = np.mean([interval.low <= recalls.mean() <= interval.high for interval in found])
    assert 0.93 <= covered <= 0.97
