"""How good predictions are, from log probabilities (n, classes) and labels (n,) alone."""

import numpy as np

BINS = 15


def top_k_accuracy(log_prob: np.ndarray, label: np.ndarray, k: int) -> float:
    """Share of samples whose class is among the ``k`` most probable; of equal probabilities the lower class goes first."""
    own = np.take_along_axis(log_prob, label[:, None], axis=1)
    ahead = (log_prob > own) | ((log_prob == own) & (np.arange(log_prob.shape[1]) < label[:, None]))
    return float((ahead.sum(axis=1) < k).mean())


def log_loss(log_prob: np.ndarray, label: np.ndarray) -> float:
    """Mean negative log probability of the true class, in nats; infinite where a true class was ruled out."""
    own = np.take_along_axis(log_prob, label[:, None], axis=1)
    return float(-own.astype(np.float64).mean())


def expected_calibration_error(log_prob: np.ndarray, label: np.ndarray, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over ``bins`` equal-width bins of confidence, weighted by their counts.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equations 2 to 5; bin m holds confidences in
    ((m - 1) / bins, m / bins].
    """
    confidence = np.exp(log_prob.max(axis=1).astype(np.float64))
    correct = log_prob.argmax(axis=1) == label
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(number, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(label))


def confusion_matrix(log_prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Counts (classes, classes): rows are true classes, columns the most probable ones."""
    classes = log_prob.shape[1]
    pairs = label * classes + log_prob.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


METRICS = {
    "top1": lambda log_prob, label: top_k_accuracy(log_prob, label, 1),
    "top5": lambda log_prob, label: top_k_accuracy(log_prob, label, 5),
    "log_loss": log_loss,
    "calibration_error": expected_calibration_error,
}


def measure(log_prob: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Every metric by its name."""
    return {name: metric(log_prob, label) for name, metric in METRICS.items()}
