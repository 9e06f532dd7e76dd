"""Temperature scaling: one number that makes probabilities more or less certain."""

import numpy as np

from graft.predictions import log_softmax

LEAST, MOST = 0.1, 100.0
"""Between these a temperature is looked for: where no image is wrong, none is too low for the log loss."""


def scaled(log_prob: np.ndarray, temperature: float) -> np.ndarray:
    """Log probabilities (n, classes) divided by a temperature and normalised, float32."""
    return log_softmax(log_prob.astype(np.float64) / temperature)


def best_temperature(log_prob: np.ndarray, label: np.ndarray) -> float:
    """The temperature of least log loss for log probabilities (n, classes) and labels (n,).

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2; after averaging, as Rahaman and Thiery,
    arXiv 2007.08792, found best. Images whose true class was ruled out, which no temperature changes, do not count.
    """
    from scipy.optimize import minimize_scalar

    possible = np.isfinite(log_prob[np.arange(len(label)), label])
    if not possible.any():
        return 1.0
    logits, own = log_prob[possible].astype(np.float64), label[possible]
    logits -= logits.max(axis=1, keepdims=True)
    right = logits[np.arange(len(own)), own]

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float((np.log(np.exp(logits * inverse).sum(axis=1)) - right * inverse).mean())

    found = minimize_scalar(loss, bounds=np.log([LEAST, MOST]), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
