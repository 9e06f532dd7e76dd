"""How finished runs are combined, one file per method, found by :mod:`graft.registry`.

A method is fitted on the validation split: it takes log probabilities (members, n, classes) and labels (n,), and returns
a :class:`~graft.ensembles.base.Combination`, which is then applied to each split.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from graft.ensembles.temperature import best_temperature, scaled
from graft.errors import UserError
from graft.predictions import Predictions, align
from graft.registry import parts


class Combined(NamedTuple):
    """What members became: their predictions as one, and what was fitted on the validation split for that."""

    predictions: Predictions
    weights: list[float]
    """One per member, in the order of the members."""
    facts: dict[str, Any]
    """Plain values that the method reports of its fit."""
    temperature: float | None
    """By which log probabilities were divided, if that was asked for."""


def _check(members: Mapping[str, Predictions]) -> None:
    if not members:
        raise UserError("an ensemble needs at least one member; name models that were trained")
    splits = next(iter(members.values())).splits.keys()
    for name, member in members.items():
        if missing := splits ^ member.splits.keys():
            raise UserError(f"{name} cannot be combined: not every member has predictions of the {min(missing)} split")
        for split, predictions in member.splits.items():
            if np.isnan(predictions.log_prob).any():
                raise UserError(
                    f"{name} cannot be combined: its {split} split has a probability that is no number (NaN); "
                    "train it again, or leave it out of the members"
                )
    if not len(next(iter(members.values())).splits["validation"].label):
        raise UserError(
            "members cannot be combined: the validation split, on which an ensemble is fitted, has no images"
        )


def combine(members: Mapping[str, Predictions], method: Mapping[str, Any], temperature: bool = False) -> Combined:
    """Fit the ``method`` that a study names on the members' validation split and apply it to every split.

    With ``temperature``, what comes out is then divided by the temperature of least validation log loss and normalised.

    Raises:
        UserError: there is no member, a probability is NaN, or two members differ in classes, samples or labels.
    """
    _check(members)
    aligned = align(members)
    options = {key: value for key, value in method.items() if key != "name"}
    _, label, log_prob = aligned.splits["validation"]
    combination = parts(__name__)[method["name"]].function(log_prob, label, **options)
    splits = {
        name: split._replace(log_prob=combination.apply(split.log_prob)) for name, split in aligned.splits.items()
    }
    fitted = best_temperature(splits["validation"].log_prob, label) if temperature else None
    if fitted is not None:
        splits = {name: split._replace(log_prob=scaled(split.log_prob, fitted)) for name, split in splits.items()}
    return Combined(Predictions(aligned.classes, splits), combination.weights, dict(combination.facts), fitted)
