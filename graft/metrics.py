"""How good predictions are, from log probabilities (n, classes) and labels (n,) alone.

Log probabilities are natural logarithms, -inf allowed, and labels are whole numbers from 0 to classes - 1. What is
predicted is the most probable class, of equally probable ones the lowest; its probability is the confidence. Nothing is
checked here: :func:`graft.predictions.load_predictions` is what refuses predictions of another form.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from graft.statistics import (
    BOOTSTRAP_DRAWS,
    LEVEL,
    Interval,
    Statistic,
    bootstrap_counts,
    bootstrap_means,
    share_interval,
)

BINS = 15

# -- scores of each image ------------------------------------------------------------------------------------------------


def top_k_hits(log_prob: np.ndarray, label: np.ndarray, k: int) -> np.ndarray:
    """Whether each class is among the ``k`` most probable, bool (n,); of equal probabilities the lower class goes first."""
    own = np.take_along_axis(log_prob, label[:, None], axis=1)
    ahead = (log_prob > own) | ((log_prob == own) & (np.arange(log_prob.shape[1]) < label[:, None]))
    hits: np.ndarray = ahead.sum(axis=1) < k
    return hits


def log_losses(log_prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Negative log probability of each true class in nats, float64 (n,); infinite where it was ruled out."""
    own = np.take_along_axis(log_prob, label[:, None], axis=1)[:, 0]
    return -own.astype(np.float64)


def brier_scores(log_prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Sum over the classes of squared differences between probability and truth, 0 or 1: float64 (n,), from 0 to 2."""
    error = _probability(log_prob)
    error[np.arange(len(label)), label] -= 1
    squared: np.ndarray = (error**2).sum(axis=1)
    return squared


IMAGE_SCORES = {
    "top1": lambda log_prob, label: top_k_hits(log_prob, label, 1),
    "top5": lambda log_prob, label: top_k_hits(log_prob, label, 5),
    "log_loss": log_losses,
    "brier": brier_scores,
}
"""The metrics that are a mean over images, and the scores (n,) whose mean each is."""


def image_scores(log_prob: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    """A row per image and a float64 column per metric of ``IMAGE_SCORES``: what :mod:`graft.statistics` resamples."""
    return pd.DataFrame({name: scores(log_prob, label) for name, scores in IMAGE_SCORES.items()}, dtype=np.float64)


def _probability(log_prob: np.ndarray) -> np.ndarray:
    probability: np.ndarray = np.exp(log_prob.astype(np.float64))
    return probability


def _confidence(log_prob: np.ndarray) -> np.ndarray:
    return _probability(log_prob.max(axis=1))


# -- means of them -------------------------------------------------------------------------------------------------------


def top_k_accuracy(log_prob: np.ndarray, label: np.ndarray, k: int) -> float:
    """Share of samples whose class is among the ``k`` most probable; of equal probabilities the lower class goes first."""
    return float(top_k_hits(log_prob, label, k).mean())


def log_loss(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean negative log probability of the true class, in nats; infinite where a true class was ruled out."""
    return float(log_losses(log_prob, label).mean())


def brier_score(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean over images of the sum over all classes of squared differences between probability and truth, from 0 to 2.

    Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78 (1950), equation 2. Of
    two classes that is twice the score of those who count one of them alone.
    """
    return float(brier_scores(log_prob, label).mean())


# -- by class ------------------------------------------------------------------------------------------------------------


def confusion_matrix(log_prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Counts (classes, classes): rows are true classes, columns the most probable ones."""
    classes = log_prob.shape[1]
    pairs = label * classes + log_prob.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean over the classes that occur of the share of their images that is recognised.

    Brodersen et al., The Balanced Accuracy and Its Posterior Distribution, ICPR 2010, p. 3121, for any number of
    classes.
    """
    matrix = confusion_matrix(log_prob, label)
    images = matrix.sum(axis=1)
    return float((matrix.diagonal()[images > 0] / images[images > 0]).mean())


def _f1(log_prob: np.ndarray, label: np.ndarray, average: str) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(label, log_prob.argmax(axis=1), average=average, zero_division=0))


def macro_f1(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean of F1 over the classes that occur among labels or predictions, as scikit-learn takes it.

    F1 is the harmonic mean of precision and recall (van Rijsbergen, Information Retrieval, 2nd edition 1979, chapter 7),
    and 0 of a class that is never predicted, or predicted and never there.
    """
    return _f1(log_prob, label, "macro")


def weighted_f1(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean of F1 over the classes, weighted by how many images each has; otherwise as :func:`macro_f1`."""
    return _f1(log_prob, label, "weighted")


def per_class(log_prob: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    """One row per class, in order: ``precision``, ``recall``, ``f1`` (shares) and ``support``, the class's images.

    NaN where a share is one of nothing: the precision of a class that is never predicted, the recall of one that does not
    occur, the F1 of one of which both is true.
    """
    from sklearn.metrics import precision_recall_fscore_support

    classes = range(log_prob.shape[1])
    columns = precision_recall_fscore_support(label, log_prob.argmax(axis=1), labels=classes, zero_division=np.nan)
    return pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))


def roc_auc(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean over classes of the area under the ROC curve of that class against all others, by its probability.

    Classes without an image, or without an image of another class, have no such curve and are left out; NaN if none is
    left. The area is the chance that an image of the class is given a higher probability of it than another image is,
    equal ones counting half: Hanley and McNeil, Radiology 143 (1982), p. 29.
    """
    from sklearn.metrics import roc_auc_score

    truth = label[:, None] == np.arange(log_prob.shape[1])
    known = truth.any(axis=0) & ~truth.all(axis=0)
    return float(roc_auc_score(truth[:, known], _probability(log_prob[:, known]))) if known.any() else float("nan")


# -- calibration ---------------------------------------------------------------------------------------------------------


class _Bins(NamedTuple):
    """Of each bin of confidence (bins,): its ends, its images, and the sums of their hits and of their confidences."""

    lower: np.ndarray
    upper: np.ndarray
    images: np.ndarray
    hits: np.ndarray
    confidence: np.ndarray


def _bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The number of the bin of equal width that each confidence is in, from 0; ends belong to the bin below."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")


def _in_bins(log_prob: np.ndarray, label: np.ndarray, bins: int, equal_mass: bool) -> _Bins:
    confidence = _confidence(log_prob)
    if equal_mass:
        ordered = np.sort(confidence)
        less, least = (np.searchsorted(ordered, confidence, side) for side in ("left", "right"))
        number = (less + least - 1) * bins // (2 * len(label))  # twice the mean rank of those with this confidence
        held = pd.Series(confidence).groupby(number)
        lower, upper = (ends.reindex(range(bins)).to_numpy() for ends in (held.min(), held.max()))
    else:
        edges = np.linspace(0, 1, bins + 1)
        number = _bin_of(confidence, bins)
        lower, upper = edges[:-1], edges[1:]
    hits = log_prob.argmax(axis=1) == label
    sums = (np.bincount(number, weights=weights, minlength=bins) for weights in (None, hits, confidence))
    return _Bins(lower, upper, *sums)


def expected_calibration_error(
    log_prob: np.ndarray, label: np.ndarray, bins: int = BINS, equal_mass: bool = False
) -> float:
    """Mean gap between confidence and accuracy over ``bins`` bins of confidence, weighted by their counts.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equations 2 to 5; bin m holds confidences in
    ((m - 1) / bins, m / bins]. With ``equal_mass`` the images are parted by the rank of their confidence instead, into
    bins of as many images each, to within one (Nguyen and O'Connor, EMNLP 2015, p. 1587); but equal confidences are never
    parted, and a bin may be empty for that.
    """
    found = _in_bins(log_prob, label, bins, equal_mass)
    return float(np.abs(found.confidence - found.hits).sum() / len(label))


def maximum_calibration_error(
    log_prob: np.ndarray, label: np.ndarray, bins: int = BINS, equal_mass: bool = False
) -> float:
    """The largest gap between confidence and accuracy of a bin that holds images; bins as in
    :func:`expected_calibration_error`, and equation 5 of the same paper."""
    found = _in_bins(log_prob, label, bins, equal_mass)
    held = found.images > 0
    return float((np.abs(found.confidence - found.hits)[held] / found.images[held]).max())


def debiased_calibration_error(
    log_prob: np.ndarray, label: np.ndarray, bins: int = BINS, equal_mass: bool = True
) -> float:
    """Root of the mean squared gap between confidence and accuracy, less what chance alone would make of it.

    The estimator of the squared error of Kumar, Liang and Ma, Verified Uncertainty Calibration, NeurIPS 2019, section 5:
    of a bin with n images, confidence c and accuracy a it counts (c - a)² - a (1 - a) / (n - 1). The binned errors above
    are not zero for calibrated predictions, and the more so the fewer images a bin has; this one is nearly so, its square
    being below zero as often as above, which counts as zero. Bins of a single image, whose chance cannot be told, are
    left out. A root mean square, it weighs large gaps more than the expected calibration error does.
    """
    found = _in_bins(log_prob, label, bins, equal_mass)
    told = found.images > 1
    images, hits, confidence = (sums[told] for sums in (found.images, found.hits, found.confidence))
    accuracy = hits / images
    squares = (confidence / images - accuracy) ** 2 - accuracy * (1 - accuracy) / (images - 1)
    return float(np.sqrt(max((images * squares).sum() / max(images.sum(), 1), 0)))


def reliability(log_prob: np.ndarray, label: np.ndarray, bins: int = BINS, equal_mass: bool = False) -> pd.DataFrame:
    """What a reliability diagram shows, a row per bin of confidence: bins as in :func:`expected_calibration_error`.

    Columns: the bin's ends ``lower`` and ``upper`` (with ``equal_mass`` the least and the largest confidence in it), its
    number of ``images``, their mean ``confidence`` and their ``accuracy``, and Wilson's 95% interval of that, ``low`` and
    ``high``. NaN where an empty bin has none.
    DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, The Statistician 32 (1983), p. 12.
    """
    lower, upper, images, hits, confidence = _in_bins(log_prob, label, bins, equal_mass)
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {
                "lower": lower,
                "upper": upper,
                "images": images,
                "confidence": confidence / images,
                "accuracy": hits / images,
            }
        )
    intervals = [share_interval(int(right), int(count)) for right, count in zip(hits, images, strict=True)]
    return table.assign(low=[low for low, _ in intervals], high=[high for _, high in intervals])


# -- selective prediction ------------------------------------------------------------------------------------------------


def risk_coverage(log_prob: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    """The share of errors where only the most confident predictions count: a row for each number of them, from 1 to n.

    Columns: ``coverage``, the share of images that are answered, ``risk``, the share of errors among these, and
    ``confidence``, the least among these. Geifman and El-Yaniv, Selective Classification for Deep Neural Networks,
    NeurIPS 2017, section 2. Of images with equal confidence, of which a threshold would answer all or none, each counts
    as the mean of them, so that the order of images does not matter.
    """
    confidence = _confidence(log_prob)
    levels, level, images = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(level, weights=log_prob.argmax(axis=1) != label)
    answered = np.arange(1, len(label) + 1)
    return pd.DataFrame(
        {
            "coverage": answered / len(label),
            "risk": np.repeat(wrong / images, images).cumsum() / answered,
            "confidence": np.repeat(-levels, images),
        }
    )


def risk_coverage_area(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Area under :func:`risk_coverage`, the mean of its n risks: from 0 to 1, the less the better.

    Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, ICLR 2019, where it is AURC.
    """
    return float(risk_coverage(log_prob, label)["risk"].mean())


# -- the columns of tables -----------------------------------------------------------------------------------------------

METRICS = {
    "top1": lambda log_prob, label: top_k_accuracy(log_prob, label, 1),
    "top5": lambda log_prob, label: top_k_accuracy(log_prob, label, 5),
    "log_loss": log_loss,
    "brier": brier_score,
    "calibration_error": expected_calibration_error,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}


# -- their intervals -----------------------------------------------------------------------------------------------------

SHARES = ("top1", "top5")
OF_COUNTS = ("calibration_error", "balanced_accuracy", "macro_f1")
"""The metrics that are no means over images: sums over groups of images, and a function of these."""


class Outcomes(NamedTuple):
    """What the metrics of a table need of n predictions: labels and predicted classes, whole numbers (n,); confidences
    (n,), and :func:`image_scores`."""

    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    scores: pd.DataFrame


def outcomes(log_prob: np.ndarray, label: np.ndarray) -> Outcomes:
    """What is left of predictions where only metrics are asked for: some 60 bytes per image."""
    scores = image_scores(log_prob, label)
    return Outcomes(np.asarray(label), log_prob.argmax(axis=1), _confidence(log_prob), scores)


def _sums(group: np.ndarray, weights: np.ndarray, groups: int) -> Any:
    """The sparse matrix (groups, n) that adds up the weights of the images of each group."""
    from scipy.sparse import csr_array

    return csr_array((weights.astype(np.float64), (group, np.arange(len(group)))), shape=(groups, len(group)))


def of_counts(found: Outcomes) -> Statistic:
    """From how often each image counts, (samples, n), to the metrics of ``OF_COUNTS``, float64 (samples, 3).

    With every image counted once they are :func:`expected_calibration_error`, :func:`balanced_accuracy` and
    :func:`macro_f1`.
    """
    hits = (found.predicted == found.label).astype(np.float64)
    classes = int(max(found.label.max(), found.predicted.max())) + 1
    gaps = _sums(_bin_of(found.confidence, BINS), found.confidence - hits, BINS)
    right, there, said = (
        _sums(group, weights, classes)
        for group, weights in ((found.label, hits), (found.label, hits**0), (found.predicted, hits**0))
    )

    def metrics(counts: np.ndarray) -> np.ndarray:
        columns = np.ascontiguousarray(counts.T)
        right_ones, images, named = right @ columns, there @ columns, said @ columns
        occurs, known = images > 0, images + named > 0
        recall = right_ones / np.where(occurs, images, 1)
        f1 = 2 * right_ones / np.where(known, images + named, 1)
        error = np.abs(gaps @ columns).sum(axis=0) / counts.sum(axis=1)
        return np.stack([error, recall.sum(axis=0) / occurs.sum(axis=0), f1.sum(axis=0) / known.sum(axis=0)], axis=1)

    return metrics


def intervals(
    each: Sequence[Outcomes], draws: int = BOOTSTRAP_DRAWS, level: float = LEVEL, seed: int = 0
) -> list[dict[str, Interval]]:
    """The interval of every metric of ``METRICS`` over other images, for each of several predictions of as many images.

    Shares of images have Wilson's interval, the others that of the bootstrap, whose draws are those of
    :func:`graft.statistics.bootstrap_metric`, and the same for all.

    Raises:
        ValueError: there is no image, or they are of different numbers of images.
    """
    means = [name for name in IMAGE_SCORES if name not in SHARES]
    scores = np.concatenate([found.scores[means].to_numpy() for found in each], axis=1)
    of_means = iter(bootstrap_means(scores, draws, level, seed))
    statistics = [of_counts(found) for found in each]

    def together(counts: np.ndarray) -> np.ndarray:
        return np.concatenate([statistic(counts) for statistic in statistics], axis=1)

    others = iter(bootstrap_counts(together, len(scores), draws, level, seed))
    return [
        {name: _share(found.scores[name].to_numpy(), level) for name in SHARES}
        | {name: next(of_means) for name in means}
        | {name: next(others) for name in OF_COUNTS}
        for found in each
    ]


def _share(hits: np.ndarray, level: float) -> Interval:
    return Interval(float(hits.mean()), *share_interval(int(hits.sum()), len(hits), level), "wilson")
