"""What an ensemble method returns."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Combination(NamedTuple):
    """A fitted ensemble: the weight of each member, the function that combines their predictions, and what was found."""

    weights: list[float]
    apply: Callable[[np.ndarray], np.ndarray]
    """Log probabilities (members, n, classes) to (n, classes), float32."""
    facts: Mapping[str, Any] = {}
    """Plain values about the fit, for ``ensemble.json``."""


def plain_weights(weights: np.ndarray) -> list[float]:
    """Weights as plain numbers."""
    return [float(weight) for weight in weights]
