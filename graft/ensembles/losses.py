"""What fitted methods minimise on the validation split."""

import numpy as np

FLOOR = 1e-12
"""The least of a member's probability of a true class, as a share of the highest that any member gives it."""


def true_class(log_prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Each member's probability of the true class, as a share of the highest: (members, n), float64.

    The log loss of any weighted mean of these differs by a constant from that of the members' probabilities, so both have
    their minimum at the same weights; and no row is too small for a float. A row that every member rules out is one.
    """
    own = log_prob[:, np.arange(len(label)), label].astype(np.float64)
    highest = own.max(axis=0)
    possible = np.isfinite(highest)
    relative = np.ones_like(own)
    relative[:, possible] = np.exp(own[:, possible] - highest[possible])
    return np.maximum(relative, FLOOR)
