"""Intervals cover what they say, tests are those of their sources, and equal seeds give equal draws."""

import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scipy.spatial
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from graft import statistics
from graft.metrics import balanced_accuracy, brier_score, image_scores, log_loss
from graft.predictions import log_softmax
from graft.statistics import (
    Interval,
    bootstrap_differences,
    bootstrap_means,
    bootstrap_metric,
    bootstrap_seeds,
    difference_interval,
    diversity,
    friedman,
    holm,
    mcnemar,
    mcnemar_tests,
    permutation_test,
    permutation_tests,
    share_interval,
    soft_vote_accuracy,
    t_interval,
)


def drawn(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    log_prob = log_softmax(random.normal(size=(rows, classes)) * 2)
    return log_prob, np.where(random.random(rows) < 0.6, log_prob.argmax(axis=1), random.integers(classes, size=rows))


# -- shares --------------------------------------------------------------------------------------------------------------


def test_wilsons_interval_is_that_of_his_formula() -> None:
    # z = 1.959964: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n), with p = 5651/10000
    assert share_interval(5651, 10_000) == pytest.approx((0.555360, 0.574790), abs=1e-6)
    assert share_interval(0, 10) == pytest.approx((0, 0.277533), abs=1e-6)  # z2 / (n + z2)


@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilsons_bounds_are_where_the_score_test_turns(images: int, share: float, level: float) -> None:
    correct = round(share * images)
    found, z = correct / images, scipy.stats.norm.ppf((1 + level) / 2)
    for bound in share_interval(correct, images, level):
        assert (found - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / images, abs=1e-9)


def test_no_images_have_no_interval() -> None:
    assert all(math.isnan(bound) for bound in share_interval(0, 0))


@pytest.mark.parametrize(("correct", "images"), [(3, 2), (-1, 2), (1, 0)])
def test_more_hits_than_images_are_an_error(correct: int, images: int) -> None:
    with pytest.raises(ValueError):
        share_interval(correct, images)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert difference_interval(first, second) == pytest.approx((low, high), abs=6e-5)
    assert difference_interval(second, first) == pytest.approx((-high, -low), abs=6e-5)


def test_a_higher_level_makes_every_interval_wider() -> None:
    scores = np.random.default_rng(0).random((6, 30))
    for bounds in (
        lambda level: share_interval(7, 10, level),
        lambda level: difference_interval((7, 10), (3, 10), level),
        lambda level: t_interval(scores[0], level),
        lambda level: bootstrap_means(scores.T, level=level)[0][1:3],
        lambda level: bootstrap_metric(log_loss, np.zeros(30, dtype=int), scores.T, draws=99, level=level)[1:3],
        lambda level: (bootstrap_seeds(scores[:, :, None], level=level) or [()])[0][1:3],
    ):
        low, high = bounds(0.95)
        wider_low, wider_high = bounds(0.99)
        assert wider_low < low < high < wider_high


def covered(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def test_wilsons_interval_covers_as_often_as_it_says() -> None:
    found = np.random.default_rng(1).binomial(250, 0.8, size=1500)
    assert 0.93 <= covered([share_interval(int(correct), 250) for correct in found], 0.8) <= 0.97


def test_newcombes_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    pairs = zip(random.binomial(250, 0.8, size=1000), random.binomial(400, 0.7, size=1000), strict=True)
    intervals = [difference_interval((int(one), 250), (int(two), 400)) for one, two in pairs]
    assert 0.93 <= covered(intervals, 0.1) <= 0.97


# -- means over seeds ----------------------------------------------------------------------------------------------------


def test_the_t_interval_of_a_table_by_hand() -> None:
    """Mean 3, standard deviation sqrt(2.5), t(0.975, 4) = 2.776445105."""
    half = 2.7764451051977987 * math.sqrt(2.5 / 5)
    assert t_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half), rel=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20).filter(lambda values: np.std(values) > 1e-6))
def test_the_t_interval_is_scipys(values: list[float]) -> None:
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(values) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-9)


def test_one_seed_has_no_interval_and_equal_ones_one_of_no_width() -> None:
    assert t_interval([]) is None
    assert t_interval([0.5]) is None
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_seed_that_is_not_finite_has_no_bounds(value: float) -> None:
    bounds = t_interval([1.0, value])
    assert bounds is not None and all(math.isnan(bound) for bound in bounds)


def test_the_t_interval_covers_as_often_as_it_says() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.02, size=(2000, 5))
    assert 0.93 <= covered([t_interval(row) or (1, 0) for row in values], 0.7) <= 0.97


# -- bootstrap -----------------------------------------------------------------------------------------------------------


def test_bca_of_the_same_draws_is_scipys() -> None:
    scores = np.random.default_rng(4).exponential(size=40)
    theirs = scipy.stats.bootstrap((scores,), np.mean, n_resamples=999, method="BCa", rng=5)
    replicates = theirs.bootstrap_distribution
    ours = statistics._interval(float(scores.mean()), replicates, scores - scores.mean(), 0.95)
    assert ours[1:3] == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)
    assert ours.method == "bca"


def test_a_bootstrap_of_means_is_scipys_within_the_error_of_draws() -> None:
    scores = image_scores(*drawn(6, 300, 9)).to_numpy()
    ours = bootstrap_means(scores, draws=8000)
    theirs = scipy.stats.bootstrap((scores,), np.mean, axis=0, n_resamples=8000, batch=500, rng=7).confidence_interval
    spread = scores.std(axis=0) / math.sqrt(len(scores))
    assert [interval.estimate for interval in ours] == pytest.approx(scores.mean(axis=0).tolist(), rel=1e-12)
    # A quantile of 2.5% of 8,000 normal draws has a standard error of 0.03 standard deviations.
    assert (np.abs([interval.low for interval in ours] - theirs.low) < 0.2 * spread).all()
    assert (np.abs([interval.high for interval in ours] - theirs.high) < 0.2 * spread).all()


@pytest.mark.parametrize(("images", "tolerance"), [(120, 1e-9), (401, 0.06)])  # alone and in groups, by their width
def test_a_mean_has_the_same_interval_whichever_way_it_is_drawn(images: int, tolerance: float) -> None:
    log_prob, label = drawn(8, images, 4)
    means = bootstrap_means(image_scores(log_prob, label)[["log_loss"]].to_numpy(), draws=1000)[0]
    whole = bootstrap_metric(log_loss, label, log_prob, draws=1000)
    assert (whole.estimate, whole.method) == (pytest.approx(means.estimate), "bca")
    assert (whole.low, whole.high) == pytest.approx((means.low, means.high), abs=tolerance * (means.high - means.low))


@pytest.mark.parametrize("metric", [brier_score, balanced_accuracy])
def test_a_difference_is_of_the_same_images(metric: Callable[[np.ndarray, np.ndarray], float]) -> None:
    log_prob, label = drawn(9, 250, 3)
    other = np.concatenate([log_softmax(-log_prob[:10]), log_prob[10:]])
    paired = bootstrap_metric(metric, label, log_prob, other, draws=150)
    assert paired.estimate == pytest.approx(metric(log_prob, label) - metric(other, label))
    alone = bootstrap_metric(metric, label, log_prob, draws=150)
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)
    same = bootstrap_metric(metric, label, log_prob, log_prob, draws=20)
    assert same == Interval(0, 0, 0, "percentile")


@pytest.mark.parametrize("scores", [np.ones(30), np.zeros(30), np.full(30, 0.1), np.array([0.3])])
def test_equal_scores_have_a_percentile_interval_of_no_width(scores: np.ndarray) -> None:
    found = bootstrap_means(scores[:, None], draws=50)[0]
    assert found[:3] == pytest.approx((scores[0],) * 3)
    assert found.method == "percentile"


def test_scores_that_are_not_finite_have_no_bounds_and_leave_the_others_alone() -> None:
    scores = np.random.default_rng(10).random((50, 2))
    alone = bootstrap_means(scores[:, :1])[0]
    scores[3, 1] = math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_means(scores)
    assert found[0][:3] == pytest.approx(alone[:3])
    assert found[1].estimate == math.inf
    assert math.isnan(found[1].low) and math.isnan(found[1].high)
    assert found[1].method == "none"


def test_nothing_to_draw_from_is_an_error() -> None:
    empty = np.empty((0, 2))
    for draw in (
        lambda: bootstrap_means(empty),
        lambda: bootstrap_metric(balanced_accuracy, np.empty(0, dtype=int), empty),
        lambda: bootstrap_differences(empty, [(0, 1)]),
        lambda: bootstrap_seeds(np.empty((5, 0, 1))),
    ):
        with pytest.raises(ValueError, match="no images"):
            draw()


def test_one_image_has_an_interval_of_no_width() -> None:
    found = bootstrap_metric(log_loss, np.array([1]), np.log([[0.3, 0.7]]), draws=20)
    assert found.method == "percentile"
    assert found[:3] == pytest.approx((-math.log(0.7),) * 3)


def test_equal_seeds_give_equal_draws_whatever_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(11).random((60, 3))
    first = bootstrap_means(scores)
    assert bootstrap_means(scores) == first
    assert bootstrap_means(scores, seed=1) != first
    monkeypatch.setattr(statistics, "_CELLS", 700)
    again = bootstrap_means(scores)
    np.testing.assert_allclose([interval[:3] for interval in again], [interval[:3] for interval in first])


def test_bootstrapped_means_cover_as_often_as_they_say() -> None:
    random = np.random.default_rng(12)
    hits, losses = random.random((250, 1000)) < 0.8, random.exponential(size=(250, 1000))
    for scores, truth in ((hits, 0.8), (losses, 1.0)):
        intervals = bootstrap_means(scores, draws=1500, seed=13)
        assert {interval.method for interval in intervals} == {"bca"}
        assert 0.93 <= covered([interval[1:3] for interval in intervals], truth) <= 0.97


def predicted(random: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The log losses (images, 2) of two models of the same images, of which the second is less certain."""
    logits = random.normal(size=(images, 4)) * 1.5
    label = (random.random((images, 1)) > np.exp(log_softmax(logits)).cumsum(axis=1)).sum(axis=1).clip(max=3)
    losses = [-log_softmax(part)[np.arange(images), label] for part in (logits, 0.5 * logits)]
    return np.stack(losses, axis=1), label


def test_the_log_loss_and_a_paired_difference_of_log_losses_are_covered_as_often_as_they_say() -> None:
    random = np.random.default_rng(22)
    truth = predicted(random, 400_000)[0].mean(axis=0)
    samples = np.concatenate([predicted(random, 200)[0] for _ in range(1200)], axis=1)
    ours, theirs = samples[:, ::2], samples[:, 1::2]
    alone = bootstrap_means(ours, draws=1000, seed=23)
    assert 0.93 <= covered([interval[1:3] for interval in alone], truth[0]) <= 0.97
    pairs = [(2 * k, 2 * k + 1) for k in range(ours.shape[1])]
    paired = bootstrap_differences(samples, pairs, draws=1000, seed=24)
    assert 0.93 <= covered([interval[1:3] for interval in paired], truth[0] - truth[1]) <= 0.97
    assert np.mean([i.high - i.low for i in paired]) < np.mean([i.high - i.low for i in alone])
    assert [interval.estimate for interval in paired[:9]] == pytest.approx((ours - theirs).mean(axis=0)[:9].tolist())


def test_a_paired_difference_of_accuracies_is_covered_as_often_as_it_says() -> None:
    random = np.random.default_rng(25)
    easy = random.random((300, 800, 1))
    hits = (easy * 0.6 + random.random((300, 800, 2)) * 0.4 < np.array([0.7, 0.6])).reshape(300, -1)
    big = random.random((2_000_000, 1)) * 0.6 + random.random((2_000_000, 2)) * 0.4 < np.array([0.7, 0.6])
    truth = float(np.subtract(*big.mean(axis=0)))
    found = bootstrap_differences(hits, [(2 * k, 2 * k + 1) for k in range(800)], draws=1000, seed=26)
    assert 0.93 <= covered([interval[1:3] for interval in found], truth) <= 0.97


@pytest.mark.parametrize("of_seeds", [1, 3])
def test_a_paired_difference_is_the_interval_of_the_differences(of_seeds: int) -> None:
    """Of hits of three seeds too, whose thirds add up to equal means but for the last digit."""
    random = np.random.default_rng(27)
    hits = (random.random((90, 3, of_seeds)) < [[0.8], [0.7], [0.7]]).mean(axis=2)
    pairs = [(0, 1), (2, 0), (1, 1)]
    expected = bootstrap_means(np.column_stack([hits[:, one] - hits[:, two] for one, two in pairs]))
    for ours, theirs in zip(bootstrap_differences(hits, pairs), expected, strict=True):
        assert ours[:3] == pytest.approx(theirs[:3], rel=1e-9, abs=1e-12)
        assert ours.method == theirs.method


def test_a_difference_from_an_infinite_loss_has_no_bounds_and_leaves_the_others_alone() -> None:
    scores = np.random.default_rng(28).random((50, 3))
    alone = bootstrap_differences(scores, [(0, 1)])[0]
    scores[3, 2] = math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_differences(scores, [(0, 2), (2, 2), (0, 1)])
    assert [each.method for each in found] == ["none", "none", "bca"]
    assert found[0].estimate == -math.inf and math.isnan(found[1].estimate) and math.isnan(found[0].low)
    assert found[2] == alone


def over_seeds_and_images(random: np.random.Generator, seeds: int, images: int, columns: int = 1) -> np.ndarray:
    """Losses around 1 that depend on the seed, on the image and on both: (seeds, images, columns)."""
    of_seeds, of_images = random.normal(size=(seeds, 1, columns)), random.normal(size=(1, images, columns))
    return 1 + 0.1 * of_seeds + of_images + 0.5 * random.normal(size=(seeds, images, columns))


def only(intervals: list[Interval] | None) -> Interval:
    assert intervals is not None and len(intervals) == 1
    return intervals[0]


def test_seeds_and_images_are_covered_as_often_as_it_says() -> None:
    random = np.random.default_rng(21)
    found = bootstrap_seeds(over_seeds_and_images(random, 20, 200, 1000), draws=1000)
    assert 0.93 <= covered([interval[1:3] for interval in found or []], 1) <= 0.97


def test_seeds_and_images_vary_as_the_variance_of_their_mean_says() -> None:
    """Owen 2007: of S seeds, which vary by their population variance, and n images, which count once for all seeds."""
    scores = over_seeds_and_images(np.random.default_rng(15), 10, 500)
    found = only(bootstrap_seeds(scores, draws=8000))
    assert found.method == "percentile"
    error = math.sqrt(scores.mean(axis=1).var() / 10 + scores.mean(axis=0).var() / 500)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert found.estimate == pytest.approx(scores.mean(), rel=1e-12)


def test_fewer_than_five_seeds_say_nothing_of_others() -> None:
    scores = np.random.default_rng(16).random((5, 30, 2))
    assert bootstrap_seeds(scores[:4]) is None
    assert len(bootstrap_seeds(scores) or []) == 2


def test_each_column_is_as_it_is_alone_and_an_infinite_loss_has_no_bounds() -> None:
    scores = np.random.default_rng(29).random((5, 30, 2))
    alone = only(bootstrap_seeds(scores[:, :, :1]))
    scores[0, 0, 1] = math.inf
    found = bootstrap_seeds(scores)
    assert found is not None and found[0][:3] == pytest.approx(alone[:3], rel=1e-12)
    assert (found[1].estimate, found[1].method) == (math.inf, "none")
    assert math.isnan(found[1].low) and math.isnan(found[1].high)


# -- tests of pairs ------------------------------------------------------------------------------------------------------


def hits_of(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits of two models of which so many are right for both, for one of them and for neither."""
    rows = [(True, True)] * both + [(True, False)] * first + [(False, True)] * second + [(False, False)] * neither
    one, two = np.array(rows, dtype=bool).reshape(-1, 2).T
    return one, two


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(5, 0, 2 / 32), (0, 5, 2 / 32), (3, 1, 2 * 5 / 16), (2, 2, 1.0), (0, 0, 1.0), (8, 1, 2 * 10 / 512)],
)
def test_mcnemars_test_counts_the_images_that_one_alone_gets_right(first: int, second: int, p: float) -> None:
    found = mcnemar(*hits_of(40, first, second, 7))
    assert found == (first, second, pytest.approx(p, rel=1e-9))


@given(st.integers(0, 10**6), st.integers(1, 3000))
@settings(max_examples=30)
def test_mcnemars_tests_of_all_pairs_are_scipys(seed: int, images: int) -> None:
    hits = np.random.default_rng(seed).random((images, 4)) < [0.5, 0.5, 0.6, 0.9]
    pairs = list(itertools.combinations(range(4), 2))
    for (first, second), found in zip(pairs, mcnemar_tests(hits, pairs), strict=True):
        ours = int((hits[:, first] & ~hits[:, second]).sum())
        theirs = int((hits[:, second] & ~hits[:, first]).sum())
        p = scipy.stats.binomtest(ours, ours + theirs).pvalue if ours + theirs else 1
        assert found == (ours, theirs, pytest.approx(p, rel=1e-9))


@given(st.integers(0, 10**6), st.integers(1, 13))
def test_a_permutation_test_of_hits_is_mcnemars(seed: int, images: int) -> None:
    one, two = np.random.default_rng(seed).random((2, images)) < 0.5
    found = permutation_test(one, two)
    assert found.exact
    assert found.p == pytest.approx(mcnemar(one, two).p, rel=1e-9)


DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])


def test_every_permutation_of_darwins_maize_is_as_fisher_counted() -> None:
    """Fisher, The Design of Experiments, section 21: 863 of 32,768 sums are 314 or more, so 5.267% are so on either side."""
    found = permutation_test(DARWIN, np.zeros(15), permutations=2**15)
    assert found == (pytest.approx(314 / 15), pytest.approx(2 * 863 / 2**15, rel=1e-9), True)


def test_random_permutations_agree_with_every_one_and_are_never_none() -> None:
    found = permutation_test(DARWIN, np.zeros(15), permutations=10_000)
    assert not found.exact
    assert found.p == pytest.approx(2 * 863 / 2**15, abs=4 * math.sqrt(0.05 * 0.95 / 10_000))
    assert permutation_test(np.arange(1, 41), np.zeros(40), permutations=999).p == 1 / 1000
    assert permutation_test(DARWIN, np.zeros(15)) == permutation_test(DARWIN, np.zeros(15), seed=0)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9))
@settings(max_examples=30)
def test_the_permutation_test_of_few_images_is_scipys(differences: list[float]) -> None:
    theirs = scipy.stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    ours = permutation_test(np.array(differences), np.zeros(len(differences)))
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_images_that_do_not_differ_do_not_count() -> None:
    one = np.concatenate([[0.5, 0.4, 0.9], np.full(5000, 0.3)])
    two = np.concatenate([[0.1, 0.3, 0.2], np.full(5000, 0.3)])
    found = permutation_test(one, two)
    assert found == (pytest.approx(1.2 / 5003), 2 / 8, True)
    assert permutation_test(two, two) == (0, 1, True)


def test_scores_that_are_not_finite_cannot_be_permuted() -> None:
    one, two = np.array([math.inf, 1.0]), np.array([0.5, 0.5])
    for first, second in ((one, two), (one, one)):
        assert math.isnan(permutation_test(first, second).p)


def test_all_pairs_are_tested_as_each_alone() -> None:
    random = np.random.default_rng(30)
    scores = random.exponential(size=(300, 4))
    scores[8:, 1] = scores[8:, 0]  # of which every permutation is counted
    scores[2, 3] = math.inf
    pairs = list(itertools.combinations(range(4), 2))
    found = dict(zip(pairs, permutation_tests(scores, pairs, 999), strict=True))
    assert [pair for pair in pairs if found[pair].exact] == [(0, 1)]
    assert [pair for pair in pairs if math.isnan(found[pair].p)] == [(0, 3), (1, 3), (2, 3)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        alone = permutation_test(scores[:, first], scores[:, second], 999)
        assert found[first, second] == (pytest.approx(alone.difference), pytest.approx(alone.p), alone.exact)


def test_means_over_seeds_that_are_equal_count_as_equal() -> None:
    """Of thirds, whose sums differ in their last digits, p is that of the binomial distribution."""
    ours = np.tile([1 / 3, 2 / 3, 1, 0.1 + 0.2], 4)
    theirs = ours - np.repeat([1 / 3, -1 / 3], [11, 5])
    expected = scipy.stats.binomtest(11, 16).pvalue
    assert permutation_test(ours, theirs, 2**16).p == pytest.approx(expected, rel=1e-9)
    assert permutation_test(ours, theirs, 20_000).p == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(("images", "exact"), [(9, True), (60, False)])
def test_p_is_uniform_where_there_is_no_difference(images: int, exact: bool) -> None:
    random = np.random.default_rng(17)
    found = [permutation_test(*random.exponential(size=(2, images)), permutations=599, seed=k) for k in range(600)]
    assert {each.exact for each in found} == {exact}
    assert scipy.stats.kstest([each.p for each in found], "uniform").pvalue > 0.01


def test_p_is_hardly_ever_small_where_there_is_no_difference_and_mostly_where_there_is() -> None:
    random = np.random.default_rng(18)
    one, two = random.random((2, 300, 200)) < 0.7
    assert np.mean([mcnemar(*pair).p <= 0.05 for pair in zip(one, two, strict=True)]) <= 0.06
    better = random.random((300, 200)) < 0.85
    assert np.mean([mcnemar(*pair).p <= 0.05 for pair in zip(better, two, strict=True)]) > 0.8


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 x 0.005, 3 x 0.01, 2 x 0.03, 0.04 below that
        ([0.016, 0.019, 0.607], [0.048, 0.048, 0.607]),  # 2 x 0.019 is less than 3 x 0.016; Demsar 2006, section 3.2.3
        ([0.5, 0.6], [1, 1]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.03], [0.03]),
        ([], []),
    ],
)
def test_holms_adjustment_of_a_table_by_hand(p: list[float], expected: list[float]) -> None:
    assert holm(p) == pytest.approx(expected, rel=1e-9)


def test_what_was_not_tested_is_not_adjusted_for() -> None:
    assert holm([0.04, math.nan, 0.01]) == pytest.approx([0.04, math.nan, 0.02], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holms_adjustment_rejects_what_his_steps_reject(p: list[float], alpha: float) -> None:
    """Step down: the i-th least of m is compared with alpha / (m - i + 1) until one is larger."""
    order = sorted(range(len(p)), key=lambda k: p[k])
    steps = [p[k] * (len(p) - place) <= alpha for place, k in enumerate(order)]
    rejected = set(order[: steps.index(False)] if False in steps else order)
    assert {k for k, value in enumerate(holm(p)) if value <= alpha} == rejected


# -- many models on many data sets ---------------------------------------------------------------------------------------

# Demsar 2006, table 6: ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets.
RANKS = np.array(
    [
        *([4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1]),
        *(
            [2.5, 2.5, 4, 1],
            [4, 3, 2, 1],
            [2.5, 2.5, 2.5, 2.5],
            [4, 2.5, 1, 2.5],
            [3, 2, 4, 1],
            [4, 1, 2, 3],
            [3, 1, 4, 2],
        ),
    ]
)


def test_the_ranks_of_demsars_example_are_as_he_has_them() -> None:
    found = friedman(RANKS, higher_is_better=False)
    assert found is not None
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * (4**3 - 4))  # he does not correct for them, SciPy does
    assert found.statistic * ties == pytest.approx(9.28, abs=0.005)
    looser = friedman(RANKS, higher_is_better=False, level=0.90)
    assert looser is not None and looser.critical_difference == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(
    ("models", "quantile"),
    [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_values_are_those_of_demsars_table(models: int, quantile: float) -> None:
    """Table 5 (a), at 0.05; of 6 data sets the root is that of k (k + 1) / 36."""
    found = friedman(np.random.default_rng(19).random((6, models)))
    assert found is not None
    assert found.critical_difference == pytest.approx(quantile * math.sqrt(models * (models + 1) / 36), rel=4e-4)


def test_the_best_model_has_the_lowest_rank() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.5], [0.3, 0.2, 0.1]])
    found, turned = friedman(scores), friedman(-scores, higher_is_better=False)
    assert found is not None and turned is not None
    assert found.ranks == pytest.approx([1, 13 / 6, 17 / 6])
    assert (turned.ranks == found.ranks).all()
    theirs = scipy.stats.friedmanchisquare(*scores.T)
    assert (found.statistic, found.p) == pytest.approx(tuple(theirs), rel=1e-9)


def test_equal_models_do_not_differ() -> None:
    found = friedman(np.full((4, 3), 0.5))
    assert found is not None
    assert (found.ranks.tolist(), found.statistic, found.p) == ([2, 2, 2], 0, 1)


@pytest.mark.parametrize("shape", [(5, 2), (1, 5), (0, 3)])
def test_too_few_models_or_data_sets_have_no_ranks(shape: tuple[int, int]) -> None:
    assert friedman(np.zeros(shape)) is None


# -- diversity -----------------------------------------------------------------------------------------------------------


def votes(**counts: int) -> dict[str, np.ndarray]:
    """Hits of three members: ``b110=3`` are three images that the first two get right."""
    rows = [[digit == "1" for digit in name[1:]] for name, count in counts.items() for _ in range(count)]
    return dict(zip("abc", np.array(rows).T, strict=True))


@pytest.mark.parametrize(
    ("hits", "q", "correlation", "disagreement", "double_fault"),
    [  # three classifiers, each right on 6 of 10 images; 2 x 2 tables by hand
        (votes(b110=3, b101=3, b011=3, b000=1), -1 / 2, -1 / 4, 0.6, 0.1),  # most are outvoted least: 9 of 10 right
        (votes(b111=4, b100=2, b010=2, b001=2), 1 / 3, 1 / 6, 0.4, 0.2),  # and most: 4 of 10
        (votes(b111=6, b000=4), 1, 1, 0, 0.4),
    ],
)
def test_the_diversity_of_patterns_of_success_and_failure(
    hits: dict[str, np.ndarray], q: float, correlation: float, disagreement: float, double_fault: float
) -> None:
    found = diversity(hits)
    assert found[["first", "second"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    for column, value in (
        *(("q_statistic", q), ("correlation", correlation)),
        *(("disagreement", disagreement), ("double_fault", double_fault)),
    ):
        assert found[column].tolist() == pytest.approx([value] * 3, rel=1e-9, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(5, 50))
def test_diversity_agrees_with_what_others_compute(seed: int, images: int) -> None:
    one, two = np.random.default_rng(seed).random((2, images)) < 0.6
    found = diversity({"one": one, "two": two}).iloc[0]
    assert found["disagreement"] == pytest.approx(scipy.spatial.distance.hamming(one, two), abs=1e-12)
    if 0 < one.sum() < images and 0 < two.sum() < images:
        assert found["correlation"] == pytest.approx(np.corrcoef(~one, ~two)[0, 1], abs=1e-9)
    else:
        assert math.isnan(found["correlation"])
    ((neither, second), (first, both)) = sklearn.metrics.confusion_matrix(one, two, labels=[False, True])
    if both * neither + first * second:
        odds = (both * neither - first * second) / (both * neither + first * second)
        assert found["q_statistic"] == pytest.approx(odds, abs=1e-9)
    assert found["double_fault"] == pytest.approx(neither / images)


def test_a_member_that_is_always_right_has_no_correlation() -> None:
    found = diversity({"always": np.ones(4, dtype=bool), "once": np.array([True, False, False, False])}).iloc[0]
    assert math.isnan(found["q_statistic"]) and math.isnan(found["correlation"])
    assert (found["disagreement"], found["double_fault"]) == (0.75, 0)


def test_one_member_has_no_pairs() -> None:
    assert diversity({"alone": np.ones(3, dtype=bool)}).empty
    assert list(diversity({}).columns) == list(diversity(votes(b111=1)).columns)


def test_soft_votes_of_every_number_of_members() -> None:
    members = [drawn(seed, 80, 4)[0] for seed in range(4)]
    label = drawn(0, 80, 4)[1]
    found = soft_vote_accuracy(np.stack(members), label)
    for size in range(1, 5):
        expected = [
            np.mean(np.exp([members[k].astype(float) for k in chosen]).mean(axis=0).argmax(axis=1) == label)
            for chosen in itertools.combinations(range(4), size)
        ]
        row = found.iloc[size - 1]
        assert (row["members"], row["subsets"]) == (size, math.comb(4, size))
        assert row[["mean", "lowest", "highest"]].tolist() == pytest.approx(
            [np.mean(expected), min(expected), max(expected)]
        )


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=30)
def test_of_equal_means_the_lower_class_wins(seed: int, members: int) -> None:
    """Probabilities that are halves and quarters, whose sums are exact, so that many classes are tied."""
    random = np.random.default_rng(seed)
    rows = random.choice([[0.5, 0.5, 0, 0], [0.25, 0.25, 0.5, 0], [0.25, 0.25, 0.25, 0.25]], size=(members, 40))
    probability, label = random.permuted(rows, axis=2), random.integers(4, size=40)
    with np.errstate(divide="ignore"):
        found = soft_vote_accuracy(np.log(probability), label)
    for size, mean in zip(found["members"], found["mean"], strict=True):
        choices = itertools.combinations(probability, size)
        expected = [(sum(chosen).argmax(axis=1) == label).mean() for chosen in choices]
        assert mean == pytest.approx(np.mean(expected), rel=1e-12)


def test_soft_votes_do_not_depend_on_what_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    members = np.stack([drawn(seed, 60, 5)[0] for seed in range(6)])
    label = drawn(0, 60, 5)[1]
    whole = soft_vote_accuracy(members, label)
    monkeypatch.setattr(statistics, "_CELLS", 100)
    pd.testing.assert_frame_equal(soft_vote_accuracy(members, label), whole)


def test_of_many_choices_of_members_some_are_drawn() -> None:
    members = np.stack([drawn(seed, 20, 3)[0] for seed in range(10)])
    label = drawn(0, 20, 3)[1]
    found = soft_vote_accuracy(members, label, draws=12)
    assert found["subsets"].tolist() == [10, *[12] * 7, 10, 1]
    pd.testing.assert_frame_equal(found, soft_vote_accuracy(members, label, draws=12))
    whole = soft_vote_accuracy(members, label, draws=300)
    assert (found["lowest"] >= whole["lowest"]).all() and (found["highest"] <= whole["highest"]).all()


def test_a_choice_of_members_is_drawn_once() -> None:
    found = statistics._subsets(6, 3, 19, np.random.default_rng(0))  # of 20
    assert len(set(found)) == len(found) == 19
    assert all(len(set(chosen)) == 3 and max(chosen) < 6 for chosen in found)
