"""What a number of test images and of seeds can tell: intervals, tests of pairs, ranks over data sets, diversity.

Scores are numbers of single images (hits, losses; see :func:`graft.metrics.image_scores`). Every interval covers
``level`` of the cases, 95% unless said otherwise. Draws depend on ``seed`` alone. Where there is too little data for a
question, the answer is None.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

LEVEL = 0.95
BOOTSTRAP_DRAWS = 2_000
PERMUTATIONS = 10_000
FEWEST_SEEDS = 5
"""With fewer, resampling seeds says next to nothing of other ones: there are only 35 ways to draw four of four."""
JACKKNIFE_GROUPS = 200
_CELLS = 2_500_000  # numbers that a batch of draws may hold: 20 MB of float64


class Interval(NamedTuple):
    """An estimate and the interval around it, and what the latter is: ``bca``, ``percentile`` or ``none`` (NaN)."""

    estimate: float
    low: float
    high: float
    method: str


# -- shares --------------------------------------------------------------------------------------------------------------


def share_interval(correct: int, images: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of the share ``correct / images``; NaN of no images.

    Wilson 1927, Journal of the American Statistical Association 22:209.

    Raises:
        ValueError: ``correct`` is negative or more than ``images``.
    """
    from scipy.stats import binomtest

    if not images and not correct:
        return math.nan, math.nan
    interval = binomtest(correct, images).proportion_ci(confidence_level=level, method="wilson")
    return float(interval.low), float(interval.high)


def difference_interval(first: tuple[int, int], second: tuple[int, int], level: float = LEVEL) -> tuple[float, float]:
    """The interval of the first share minus the second, of two independent samples; each is (correct, images).

    Newcombe's hybrid score method: Newcombe 1998, Statistics in Medicine 17:873, method 10. Shares of the same images are
    not independent: :func:`bootstrap_means` of the differences of their hits is for these.

    Raises:
        ZeroDivisionError: a sample has no images.
    """
    (one, one_low, one_high), (two, two_low, two_high) = (
        (correct / images, *share_interval(correct, images, level)) for correct, images in (first, second)
    )
    difference = one - two
    return (
        difference - math.hypot(one - one_low, two_high - two),
        difference + math.hypot(one_high - one, two - two_low),
    )


# -- means over seeds ----------------------------------------------------------------------------------------------------


def t_interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Student's t interval of the mean of what other seeds would give, from the value of each seed; None of fewer than two.

    Student 1908, Biometrika 6:1. It takes the values for normal, is wide for few of them (of two seeds, 9 standard
    deviations to each side), and is not cut off where a share ends at 0 or 1. Of equal values, which a few seeds may have
    by chance, it has no width. NaN where a value is not finite.
    """
    from scipy.stats import t

    each = np.asarray(values, dtype=np.float64)
    if len(each) < 2:
        return None
    if not np.isfinite(each).all():
        return math.nan, math.nan
    half = t.ppf((1 + level) / 2, len(each) - 1) * each.std(ddof=1) / math.sqrt(len(each))
    return float(each.mean() - half), float(each.mean() + half)


# -- bootstrap -----------------------------------------------------------------------------------------------------------


def _tails(level: float) -> np.ndarray:
    return np.array([(1 - level) / 2, (1 + level) / 2])


def _interval(estimate: float, replicates: np.ndarray, influence: np.ndarray, level: float) -> Interval:
    """BCa from replicates (draws,) and the influence (parts,) of each image or group of images on the estimate."""
    from scipy.stats import norm

    if not math.isfinite(estimate) or not np.isfinite(replicates).all():
        return Interval(estimate, math.nan, math.nan, "none")
    tails, method = _tails(level), "percentile"
    below = ((replicates < estimate).mean() + (replicates <= estimate).mean()) / 2
    if 0 < below < 1 and np.isfinite(influence).all() and np.ptp(influence) > 0:
        acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
        bias = norm.ppf(below)
        moved = bias + norm.ppf(tails)
        if (acceleration * moved < 1).all():
            tails, method = norm.cdf(bias + moved / (1 - acceleration * moved)), "bca"
    low, high = np.quantile(replicates, tails)
    return Interval(estimate, float(low), float(high), method)


def _counts(images: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each image is in each of ``draws`` samples with replacement, float64 (draws, images)."""
    rows = np.arange(draws)[:, None] * images + generator.integers(images, size=(draws, images))
    counts = np.bincount(rows.ravel(), minlength=draws * images)
    return counts.reshape(draws, images).astype(np.float64)


def _batches(draws: int, images: int) -> list[int]:
    """``draws`` in parts of which each is small enough for its (part, images) numbers to be held."""
    size = max(_CELLS // images, 1)
    return [min(size, draws - start) for start in range(0, draws, size)]


def bootstrap_means(
    scores: np.ndarray, draws: int = BOOTSTRAP_DRAWS, level: float = LEVEL, seed: int = 0
) -> list[Interval]:
    """The interval of the mean of each column of per-image ``scores`` (n, columns), over other test images.

    Images are drawn with replacement, the same ones for all columns, ``draws`` times; the interval is bias-corrected and
    accelerated (BCa: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 14.3, and the acceleration of
    a mean from its jackknife, equation 14.15). It is the plain percentile interval where that is not defined: all scores
    are equal (then of no width: :func:`share_interval` says more of hits), or all means of draws are on one side. Columns
    with scores that are not finite have ``none``. For a paired difference of two models, pass their scores' difference.

    Raises:
        ValueError: there is no image.
    """
    scores = np.asarray(scores, dtype=np.float64)
    images = len(scores)
    if not images:
        raise ValueError("there are no images to draw from")
    generator = np.random.default_rng(seed)
    finite = np.isfinite(scores).all(axis=0)
    held = np.where(finite, scores, 0)
    replicates = np.concatenate([_counts(images, part, generator) @ held for part in _batches(draws, images)]) / images
    estimates = scores.sum(axis=0) / images
    return [
        _interval(float(estimate), column if usable else column + math.nan, score - estimate, level)
        for estimate, column, score, usable in zip(estimates, replicates.T, held.T, finite, strict=True)
    ]


def bootstrap_metric(
    metric: Callable[[np.ndarray, np.ndarray], float],
    label: np.ndarray,
    log_prob: np.ndarray,
    other: np.ndarray | None = None,
    draws: int = BOOTSTRAP_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The interval over other test images of any metric of log probabilities (n, classes) and labels (n,).

    With ``other`` it is that of the metric of ``log_prob`` minus the metric of ``other``, of the same images in each draw.
    As :func:`bootstrap_means`, which is much faster where a metric is a mean over images; the acceleration comes from
    leaving out one of at most 200 random groups of images at a time, for the cost of one image at a time grows with the
    square of their number. Metrics whose value depends on the number of images, such as calibration errors, are larger in
    the draws, which have fewer distinct images; the bias correction makes up for a part of that.

    Raises:
        ValueError: there is no image.
    """

    def value(rows: np.ndarray) -> float:
        ours = metric(log_prob[rows], label[rows])
        return ours if other is None else ours - metric(other[rows], label[rows])

    images = len(label)
    if not images:
        raise ValueError("there are no images to draw from")
    generator = np.random.default_rng(seed)
    replicates = np.array([value(generator.integers(images, size=images)) for _ in range(draws)])
    groups = np.array_split(generator.permutation(images), min(images, JACKKNIFE_GROUPS)) if images > 1 else []
    left = np.array([value(np.delete(np.arange(images), group)) for group in groups])
    influence = left.mean() - left if len(left) else np.zeros(1)
    return _interval(float(value(np.arange(images))), replicates, influence, level)


def bootstrap_seeds(
    scores: np.ndarray, draws: int = BOOTSTRAP_DRAWS, level: float = LEVEL, seed: int = 0
) -> Interval | None:
    """The interval of the mean of ``scores`` (seeds, n) over other seeds and other test images at once.

    Seeds and images are drawn independently, both with replacement, and each draw is the mean over all pairs of them:
    every seed is tested on the same images, so that images are not nested in seeds (the pigeonhole bootstrap: Owen 2007,
    Annals of Applied Statistics 1:386). A percentile interval. None of fewer than 5 seeds; and with few of them still too
    narrow, for S seeds drawn with replacement show (S - 1) / S of their variance. For the difference of two models that
    share seeds, pass the difference of their scores.

    Raises:
        ValueError: there is no image.
    """
    scores = np.asarray(scores, dtype=np.float64)
    seeds, images = scores.shape
    if not images:
        raise ValueError("there are no images to draw from")
    if seeds < FEWEST_SEEDS:
        return None
    estimate = float(scores.mean())
    if not math.isfinite(estimate):
        return Interval(estimate, math.nan, math.nan, "none")
    generator = np.random.default_rng(seed)
    means = [
        ((_counts(seeds, part, generator) @ scores) * _counts(images, part, generator)).sum(axis=1)
        for part in _batches(draws, images)
    ]
    low, high = np.quantile(np.concatenate(means) / (seeds * images), _tails(level))
    return Interval(estimate, float(low), float(high), "percentile")


# -- tests of pairs ------------------------------------------------------------------------------------------------------


class McNemar(NamedTuple):
    """Images that only the first and only the second model gets right, and the two-sided p-value of their difference."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's exact test of the hits, bool (n,), of two models on the same images.

    The images that one of them alone gets right are as many for either if both are equally good: a two-sided binomial
    test of one half. p is 1 where there are none. McNemar 1947, Psychometrika 12:153; exact as in Dietterich 1998, Neural
    Computation 10:1895, section 3.1, without its approximation.
    """
    from scipy.stats import binomtest

    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    ours, theirs = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(ours, theirs, float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0)


class Permutation(NamedTuple):
    """Mean of the differences, its two-sided p-value, and whether every permutation was counted or a sample of them."""

    difference: float
    p: float
    exact: bool


def permutation_test(
    first: np.ndarray, second: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> Permutation:
    """Whether two models differ in the mean of any per-image scores (n,) of the same images.

    If they do not, the sign of each image's difference is as likely one as the other (Fisher, The Design of Experiments,
    1935, section 21). p is the share of all such choices of signs whose mean is as far from zero or further; where there
    are more than ``permutations`` of them, the share among so many random ones and the observed one,
    (1 + as far) / (1 + permutations), which is never zero (Phipson and Smyth 2010, Statistical Applications in Genetics
    and Molecular Biology 9:39). Images without a difference say nothing, and are not counted. p is NaN if a score is not
    finite.
    """
    with np.errstate(invalid="ignore"):
        differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean = float(differences.mean())
    if not math.isfinite(mean):
        return Permutation(mean, math.nan, False)
    told = differences[differences != 0]
    total, images = told.sum(), len(told)
    # Sums of the same numbers in another order may differ in their last digits.
    bound = abs(total) - 1e-12 * np.abs(told).sum()
    if 2**images <= permutations:
        every = (np.arange(2**images)[:, None] >> np.arange(images)) & 1
        return Permutation(mean, float((np.abs(total - 2 * every @ told) >= bound).mean()), True)
    generator = np.random.default_rng(seed)
    as_far = 0
    for part in _batches(permutations, images):
        bits = np.frombuffer(generator.bytes(part * math.ceil(images / 8)), dtype=np.uint8).reshape(part, -1)
        flipped = np.unpackbits(bits, axis=1, count=images).astype(np.float64)
        as_far += int((np.abs(total - 2 * flipped @ told) >= bound).sum())
    return Permutation(mean, (1 + as_far) / (1 + permutations), False)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values (tests,) adjusted for their number, in their order, float64: none above ``alpha`` is rejected.

    Holm 1979, Scandinavian Journal of Statistics 6:65: the least is multiplied by the number of tests, the next by one
    less, and so on; none is below one that comes before it, or above 1.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    return adjusted


# -- many models on many data sets ---------------------------------------------------------------------------------------


class Friedman(NamedTuple):
    """Mean rank of each model (models,), 1 the best; Friedman's statistic and its p-value; Nemenyi's critical difference."""

    ranks: np.ndarray
    statistic: float
    p: float
    critical_difference: float


def friedman(scores: np.ndarray, higher_is_better: bool = True, level: float = LEVEL) -> Friedman | None:
    """Whether models differ over data sets, and by how much their mean ranks have to differ; None of fewer than three.

    ``scores`` (data sets, models) are ranked on each data set, equal ones by their mean rank. The statistic is corrected
    for ties, as SciPy has it, and compared with chi squared of models - 1 degrees of freedom, which is rough for fewer
    than ten data sets or five models. Two models differ at ``level`` where their mean ranks are further apart than the
    critical difference. Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, Journal of Machine
    Learning Research 7 (2006), section 3.2.2. None of fewer than three models or two data sets.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    scores = np.asarray(scores, dtype=np.float64)
    datasets, models = scores.shape
    if models < 3 or datasets < 2:
        return None
    ranks = rankdata(-scores if higher_is_better else scores, axis=1)
    statistic, p = friedmanchisquare(*ranks.T) if np.ptp(ranks) else (0.0, 1.0)
    quantile = studentized_range.ppf(level, models, np.inf) / math.sqrt(2)
    difference = quantile * math.sqrt(models * (models + 1) / (6 * datasets))
    return Friedman(ranks.mean(axis=0), float(statistic), float(p), float(difference))


# -- diversity of an ensemble's members ----------------------------------------------------------------------------------


def diversity(hits: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """How much each pair of members errs on the same images: a row per pair, from the hits, bool (n,), of each by name.

    Columns: the names ``first`` and ``second``; ``disagreement``, the share of images that one alone gets right;
    ``double_fault``, the share that both get wrong; ``q_statistic``, Yule's Q; and ``correlation`` of being right, which
    is that of being wrong. The last two are from -1 to 1, 0 if the members err independently, and NaN where they are not
    defined, as for a member that is always right. Two members that err on an image by naming different classes do not
    disagree there. Kuncheva and Whitaker, Measures of Diversity in Classifier Ensembles, Machine Learning 51 (2003),
    section 2.1.
    """
    rows = []
    for (first, ours), (second, theirs) in itertools.combinations(hits.items(), 2):
        one, two = np.asarray(ours, dtype=bool), np.asarray(theirs, dtype=bool)
        both, neither, only_one, only_two = (
            float(cell.mean()) for cell in (one & two, ~(one | two), one & ~two, two & ~one)
        )
        product = both * neither - only_one * only_two
        total = both * neither + only_one * only_two
        spread = math.sqrt((both + only_one) * (only_two + neither) * (both + only_two) * (only_one + neither))
        rows.append(
            {
                "first": first,
                "second": second,
                "disagreement": only_one + only_two,
                "double_fault": neither,
                "q_statistic": product / total if total else math.nan,
                "correlation": product / spread if spread else math.nan,
            }
        )
    return pd.DataFrame(rows, columns=["first", "second", "disagreement", "double_fault", "q_statistic", "correlation"])


def soft_vote_accuracy(log_prob: np.ndarray, label: np.ndarray, draws: int = 100, seed: int = 0) -> pd.DataFrame:
    """Accuracy of the mean probability of some of the members, against their number: a row for each, from 1 to all.

    ``log_prob`` is (members, n, classes), ``label`` (n,). Columns: ``members``; ``subsets``, how many choices of so many
    members were tried, all there are or ``draws`` different random ones; and ``mean``, ``lowest`` and ``highest`` of
    their accuracies. They have members in common, so their spread is not that of other ensembles.
    """
    probability = np.exp(log_prob.astype(np.float64))
    generator = np.random.default_rng(seed)
    rows = []
    for size in range(1, len(log_prob) + 1):
        subsets = _subsets(len(log_prob), size, draws, generator)
        accuracies = [
            float((probability[list(chosen)].sum(axis=0).argmax(axis=1) == label).mean()) for chosen in subsets
        ]
        rows.append(
            {
                "members": size,
                "subsets": len(subsets),
                "mean": float(np.mean(accuracies)),
                "lowest": min(accuracies),
                "highest": max(accuracies),
            }
        )
    return pd.DataFrame(rows)


def _subsets(members: int, size: int, draws: int, generator: np.random.Generator) -> list[tuple[int, ...]]:
    if math.comb(members, size) <= draws:
        return list(itertools.combinations(range(members), size))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < draws:
        found[tuple(sorted(generator.choice(members, size, replace=False).tolist()))] = None
    return list(found)
