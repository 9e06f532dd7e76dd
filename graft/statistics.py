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
    """An estimate and the interval around it, and what the latter is: ``bca``, ``percentile``, ``wilson`` or ``none`` (NaN)."""

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
    from scipy.special import ndtr, ndtri

    if not math.isfinite(estimate) or not np.isfinite(replicates).all():
        return Interval(estimate, math.nan, math.nan, "none")
    tails, method = _tails(level), "percentile"
    slack = 1e-9 * np.abs(replicates).max()  # equal means, added up in another order, differ in their last digits
    below = ((replicates < estimate - slack).mean() + (replicates <= estimate + slack).mean()) / 2
    if 0 < below < 1 and np.isfinite(influence).all() and np.ptp(influence) > 0:
        acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
        bias = ndtri(below)
        moved = bias + ndtri(tails)
        if (acceleration * moved < 1).all():
            tails, method = ndtr(bias + moved / (1 - acceleration * moved)), "bca"
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


Statistic = Callable[[np.ndarray], np.ndarray]
"""From how often each image counts, float64 (samples, n), to the values of each of these samples, (samples, columns)."""


def _replicates(statistic: Statistic, images: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """The values of a statistic (draws, columns) of images drawn with replacement."""
    if not images:
        raise ValueError("there are no images to draw from")
    return np.concatenate([statistic(_counts(images, part, generator)) for part in _batches(draws, images)])


class _Means(NamedTuple):
    """Of columns of scores: the scores, 0 for all of a column with one that is not finite; which columns are finite; the
    means; and the means of each draw (draws, columns)."""

    scores: np.ndarray
    finite: np.ndarray
    estimates: np.ndarray
    replicates: np.ndarray


def _means(scores: np.ndarray, draws: int, seed: int) -> _Means:
    images = len(scores)
    finite = np.isfinite(scores).all(axis=0)
    held = np.where(finite, scores, 0)
    replicates = _replicates(lambda counts: counts @ held, images, draws, np.random.default_rng(seed)) / images
    return _Means(held, finite, held.sum(axis=0) / images, replicates)


def bootstrap_means(
    scores: np.ndarray, draws: int = BOOTSTRAP_DRAWS, level: float = LEVEL, seed: int = 0
) -> list[Interval]:
    """The interval of the mean of each column of per-image ``scores`` (n, columns), over other test images.

    Images are drawn with replacement, the same ones for all columns, ``draws`` times; the interval is bias-corrected and
    accelerated (BCa: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 14.3, and the acceleration of
    a mean from its jackknife, equation 14.15). It is the plain percentile interval where that is not defined: all scores
    are equal (then of no width: :func:`share_interval` says more of hits), or all means of draws are on one side. Columns
    with scores that are not finite have ``none``. Paired differences are :func:`bootstrap_differences`.

    Raises:
        ValueError: there is no image.
    """
    scores = np.asarray(scores, dtype=np.float64)
    of = _means(scores, draws, seed)
    return [
        _interval(float(of.estimates[k]), of.replicates[:, k], of.scores[:, k] - of.estimates[k], level)
        if of.finite[k]
        else Interval(float(scores[:, k].mean()), math.nan, math.nan, "none")
        for k in range(scores.shape[1])
    ]


def bootstrap_differences(
    scores: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    draws: int = BOOTSTRAP_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Interval]:
    """The interval of the mean of one column of ``scores`` (n, columns) minus that of another one, for each of ``pairs``.

    Both are of the same images in each draw, so that it is :func:`bootstrap_means` of the difference of the two columns:
    the mean of a difference is the difference of means, of each of which the draws are made once.

    Raises:
        ValueError: there is no image.
    """
    scores = np.asarray(scores, dtype=np.float64)
    of = _means(scores, draws, seed)

    def interval(first: int, second: int) -> Interval:
        if not (of.finite[first] and of.finite[second]):
            return Interval(_mean_difference(scores[:, first], scores[:, second]), math.nan, math.nan, "none")
        differences = of.scores[:, first] - of.scores[:, second]
        mean = float(differences.mean())
        return _interval(mean, of.replicates[:, first] - of.replicates[:, second], differences - mean, level)

    return [interval(first, second) for first, second in pairs]


def _mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):  # an infinite loss minus another one
        return float((first - second).mean())


def _groups(images: int, generator: np.random.Generator) -> np.ndarray:
    """How often each image counts where one group of images is left out, for each group: float64 (groups, images)."""
    groups = np.array_split(generator.permutation(images), min(images, JACKKNIFE_GROUPS))
    kept = np.ones((len(groups), images))
    for row, group in zip(kept, groups, strict=True):
        row[group] = 0
    return kept


def bootstrap_counts(
    statistic: Statistic, images: int, draws: int = BOOTSTRAP_DRAWS, level: float = LEVEL, seed: int = 0
) -> list[Interval]:
    """The interval over other test images of each column of a statistic that is told how often each image counts.

    ``statistic`` takes counts (samples, images), which are whole numbers, and returns (samples, columns). Otherwise as
    :func:`bootstrap_means`; the acceleration comes from leaving out one of at most 200 random groups of images at a time,
    for the cost of one image at a time grows with the square of their number. Metrics whose value depends on the number
    of images, such as calibration errors, are larger in the draws, which have fewer distinct images; the bias correction
    makes up for a part of that.

    Raises:
        ValueError: there is no image.
    """
    generator = np.random.default_rng(seed)
    replicates = _replicates(statistic, images, draws, generator)
    estimates = statistic(np.ones((1, images)))[0]
    left = statistic(_groups(images, generator)) if images > 1 else np.zeros((1, len(estimates)))
    influence = left.mean(axis=0) - left
    return [
        _interval(float(estimate), column, own, level)
        for estimate, column, own in zip(estimates, replicates.T, influence.T, strict=True)
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
    As :func:`bootstrap_counts`, and as slow as so many calls of ``metric``.

    Raises:
        ValueError: there is no image.
    """
    every = np.arange(len(label))

    def value(counts: np.ndarray) -> float:
        rows = np.repeat(every, counts.astype(np.int64))
        ours = metric(log_prob[rows], label[rows])
        return ours if other is None else ours - metric(other[rows], label[rows])

    return bootstrap_counts(lambda counts: np.array([[value(row)] for row in counts]), len(label), draws, level, seed)[
        0
    ]


def bootstrap_seeds(
    scores: np.ndarray, draws: int = BOOTSTRAP_DRAWS, level: float = LEVEL, seed: int = 0
) -> list[Interval] | None:
    """The interval of the mean of each column of ``scores`` (seeds, n, columns) over other seeds and images at once.

    Seeds and images are drawn independently, both with replacement, and each draw is the mean over all pairs of them:
    every seed is tested on the same images, so that images are not nested in seeds (the pigeonhole bootstrap: Owen 2007,
    Annals of Applied Statistics 1:386). A percentile interval. None of fewer than 5 seeds; and with few of them still too
    narrow, for S seeds drawn with replacement show (S - 1) / S of their variance. For the difference of two models that
    share seeds, pass the difference of their scores.

    Raises:
        ValueError: there is no image.
    """
    scores = np.asarray(scores, dtype=np.float64)
    seeds, images, columns = scores.shape
    if not images:
        raise ValueError("there are no images to draw from")
    if seeds < FEWEST_SEEDS:
        return None
    finite = np.isfinite(scores).all(axis=(0, 1))
    held = np.where(finite, scores, 0).swapaxes(0, 1).reshape(images, -1)
    generator = np.random.default_rng(seed)
    sums = [
        np.einsum("ds,dsc->dc", _counts(seeds, part, generator), each.reshape(part, seeds, columns))
        for part in _batches(draws, images)
        for each in [_counts(images, part, generator) @ held]
    ]
    low, high = np.quantile(np.concatenate(sums) / (seeds * images), _tails(level), axis=0)
    return [
        Interval(float(scores[:, :, k].mean()), float(low[k]), float(high[k]), "percentile")
        if finite[k]
        else Interval(float(scores[:, :, k].mean()), math.nan, math.nan, "none")
        for k in range(columns)
    ]


# -- tests of pairs ------------------------------------------------------------------------------------------------------


class McNemar(NamedTuple):
    """Images that only the first and only the second model gets right, and the two-sided p-value of their difference."""

    only_first: int
    only_second: int
    p: float


def mcnemar_tests(hits: np.ndarray, pairs: Sequence[tuple[int, int]]) -> list[McNemar]:
    """McNemar's exact test of each of ``pairs`` of columns of ``hits``, bool (n, columns), of models on the same images.

    The images that one of them alone gets right are as many for either if both are equally good: a two-sided binomial
    test of one half. p is 1 where there are none. McNemar 1947, Psychometrika 12:153; exact as in Dietterich 1998, Neural
    Computation 10:1895, section 3.1, without its approximation.
    """
    from scipy.special import bdtr

    numbers = np.asarray(hits, dtype=np.float64)
    both = numbers.T @ numbers
    alone = both.diagonal()[:, None] - both
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ours, theirs = alone[first, second], alone[second, first]
    p = np.minimum(2 * bdtr(np.minimum(ours, theirs), (ours + theirs).astype(np.int64), 0.5), 1)
    return [McNemar(int(one), int(two), float(of)) for one, two, of in zip(ours, theirs, p, strict=True)]


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """:func:`mcnemar_tests` of the hits, bool (n,), of two models."""
    return mcnemar_tests(np.column_stack([first, second]), [(0, 1)])[0]


class Permutation(NamedTuple):
    """Mean of the differences, its two-sided p-value, and whether every permutation was counted or a sample of them."""

    difference: float
    p: float
    exact: bool


def _every_permutation(differences: np.ndarray) -> float:
    """The share of all choices of signs of ``differences`` (k,) whose sum is as far from zero as theirs."""
    every = (np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences))) & 1
    total = differences.sum()
    # Sums of the same numbers in another order may differ in their last digits.
    bound = abs(total) - 1e-12 * np.abs(differences).sum()
    return float((np.abs(total - 2 * every @ differences) >= bound).mean())


def _flips(permutations: int, images: int, generator: np.random.Generator) -> np.ndarray:
    """Whether the sign of each image changes, at random: 0 or 1, float64 (permutations, images)."""
    bits = np.frombuffer(generator.bytes(permutations * math.ceil(images / 8)), dtype=np.uint8)
    return np.unpackbits(bits.reshape(permutations, -1), axis=1, count=images).astype(np.float64)


def permutation_tests(
    scores: np.ndarray, pairs: Sequence[tuple[int, int]], permutations: int = PERMUTATIONS, seed: int = 0
) -> list[Permutation]:
    """Whether the two models of each of ``pairs`` differ in the mean of their columns of ``scores`` (n, columns).

    If they do not, the sign of each image's difference is as likely one as the other (Fisher, The Design of Experiments,
    1935, section 21). p is the share of all such choices of signs whose mean is as far from zero or further; where there
    are more than ``permutations`` of them, the share among so many random ones and the observed one,
    (1 + as far) / (1 + permutations), which is never zero (Phipson and Smyth 2010, Statistical Applications in Genetics
    and Molecular Biology 9:39). Images without a difference say nothing, and are not counted. p is NaN if a score is not
    finite. The random signs are the same for all pairs: the sum of a difference whose signs change is then a difference of
    sums, of which there is one per column.
    """
    scores = np.asarray(scores, dtype=np.float64)
    finite = np.isfinite(scores).all(axis=0)
    held = np.where(finite, scores, 0)
    found: dict[int, Permutation] = {}
    for place, (first, second) in enumerate(pairs):
        mean = _mean_difference(scores[:, first], scores[:, second])
        if not (finite[first] and finite[second]):
            found[place] = Permutation(mean, math.nan, False)
            continue
        differences = held[:, first] - held[:, second]
        told = differences[differences != 0]
        exact = 2 ** len(told) <= permutations
        found[place] = Permutation(mean, _every_permutation(told) if exact else math.nan, exact)
    drawn = [k for k, (first, second) in enumerate(pairs) if finite[[first, second]].all() and not found[k].exact]
    p = _drawn_permutations(held, [pairs[k] for k in drawn], permutations, np.random.default_rng(seed))
    found |= {place: found[place]._replace(p=float(of)) for place, of in zip(drawn, p, strict=True)}
    return list(found.values())


def _drawn_permutations(
    scores: np.ndarray, pairs: Sequence[tuple[int, int]], permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """p of each pair, float64 (pairs,), from random signs."""
    if not pairs:
        return np.empty(0)
    first, second = np.array(pairs).T
    totals, sizes = scores.sum(axis=0), np.abs(scores).sum(axis=0)
    bound = np.abs(totals[first] - totals[second]) - 1e-12 * (sizes[first] + sizes[second])
    as_far = np.zeros(len(pairs), dtype=np.int64)
    for part in _batches(permutations, len(scores)):
        sums = totals - 2 * (_flips(part, len(scores), generator) @ scores)
        as_far += (np.abs(sums[:, first] - sums[:, second]) >= bound).sum(axis=0)
    p: np.ndarray = (1 + as_far) / (1 + permutations)
    return p


def permutation_test(
    first: np.ndarray, second: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> Permutation:
    """:func:`permutation_tests` of any per-image scores (n,) of two models."""
    return permutation_tests(np.column_stack([first, second]), [(0, 1)], permutations, seed)[0]


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values (tests,) adjusted for their number, in their order, float64: none above ``alpha`` is rejected.

    Holm 1979, Scandinavian Journal of Statistics 6:65: the least is multiplied by the number of tests, the next by one
    less, and so on; none is below one that comes before it, or above 1. NaN is no test, and stays.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]
    adjusted = np.full_like(values, math.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1)
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
    generator = np.random.default_rng(seed)
    subsets = [_subsets(len(log_prob), size, draws, generator) for size in range(1, len(log_prob) + 1)]
    chosen = np.zeros((sum(map(len, subsets)), len(log_prob)))
    for row, members in zip(chosen, itertools.chain(*subsets), strict=True):
        row[list(members)] = 1
    accuracy = 1 - _outvoted(log_prob, label, chosen) / len(label)
    rows, start = [], 0
    for size, of_size in enumerate(subsets, 1):
        part = accuracy[start : start + len(of_size)]
        spread = {"mean": part.mean(), "lowest": part.min(), "highest": part.max()}
        rows.append({"members": size, "subsets": len(of_size), **spread})
        start += len(of_size)
    return pd.DataFrame(rows)


def _outvoted(log_prob: np.ndarray, label: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """How many images each choice of members, 0 or 1 (choices, members), gets wrong: float64 (choices,).

    A class can win only where some member puts it before the true one; its lead, of each such class and image, is summed
    over the members that were chosen.
    """
    members, images, classes = log_prob.shape
    step = max(1, 4 * _CELLS // (classes * max(len(chosen), members)))
    wrong = np.zeros(len(chosen))
    for start in range(0, images, step):
        own = label[start : start + step]
        probability = np.exp(log_prob[:, start : start + step].astype(np.float64))
        lead = probability - np.take_along_axis(probability, own[None, :, None], axis=2)
        rival = (lead >= 0).any(axis=0)
        rival[np.arange(len(own)), own] = False
        image, other = np.nonzero(rival)
        if not len(image):
            continue
        # Of equal probabilities the lower class wins, here with any lead above the largest number below zero.
        bound = np.where(other < own[image], np.nextafter(0, -1), 0)
        wins = chosen @ lead[:, image, other] > bound
        wrong += np.logical_or.reduceat(wins, np.flatnonzero(np.diff(image, prepend=-1)), axis=1).sum(axis=1)
    return wrong


def _subsets(members: int, size: int, draws: int, generator: np.random.Generator) -> list[tuple[int, ...]]:
    if math.comb(members, size) <= draws:
        return list(itertools.combinations(range(members), size))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < draws:
        found[tuple(sorted(generator.choice(members, size, replace=False).tolist()))] = None
    return list(found)
