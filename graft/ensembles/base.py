"""What an ensemble method returns."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Combination(NamedTuple):
    """A fitted ensemble: the weight of each member, and the function that combines their predictions."""

    weights: list[float]
    apply: Callable[[np.ndarray], np.ndarray]
    """Log probabilities (members, n, classes) to (n, classes), float32."""
