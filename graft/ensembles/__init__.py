"""How finished runs are combined, one file per method, found by :mod:`graft.registry`.

A method is fitted on the validation split: it takes log probabilities (members, n, classes) and labels (n,), and returns
a :class:`~graft.ensembles.base.Combination`, which is then applied to each split.
"""

from collections.abc import Mapping
from typing import Any

from graft.predictions import Predictions, align
from graft.registry import parts


def combine(members: Mapping[str, Predictions], method: Mapping[str, Any]) -> tuple[Predictions, list[float]]:
    """Fit the ``method`` that a study names on the members' validation split and apply it to every split.

    Returns the combined predictions and the weight of each member.

    Raises:
        UserError: two members differ in classes, samples or labels.
    """
    aligned = align(members)
    options = {key: value for key, value in method.items() if key != "name"}
    _, label, log_prob = aligned.splits["validation"]
    combination = parts(__name__)[method["name"]].function(log_prob, label, **options)
    splits = {
        name: split._replace(log_prob=combination.apply(split.log_prob)) for name, split in aligned.splits.items()
    }
    return Predictions(aligned.classes, splits), combination.weights
