"""How finished runs are combined, one file per method, found by :mod:`graft.registry`.

A method is fitted on the validation split: it takes log probabilities (members, n, classes) and labels (n,), and returns
a :class:`~graft.ensembles.base.Combination`, which is then applied to each split.
"""

from collections.abc import Callable, Mapping
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


class Fitted(NamedTuple):
    """An ensemble that can be applied: what :class:`Combined` says of it, and the function of its members' predictions."""

    weights: list[float]
    facts: Mapping[str, Any]
    temperature: float | None
    apply: Callable[[np.ndarray], np.ndarray]
    """Log probabilities (members, n, classes), in the order of the members, to (n, classes), float32; divided by the
    temperature, if there is one."""


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


def _fit(aligned: Predictions, method: Mapping[str, Any], temperature: bool) -> Fitted:
    _, label, log_prob = aligned.splits["validation"]
    options = {key: value for key, value in method.items() if key != "name"}
    found = parts(__name__)[method["name"]].function(log_prob, label, **options)
    if not temperature:
        return Fitted(found.weights, found.facts, None, found.apply)
    best = best_temperature(found.apply(log_prob), label)
    return Fitted(found.weights, found.facts, best, lambda members: scaled(found.apply(members), best))


def fit(members: Mapping[str, Predictions], method: Mapping[str, Any], temperature: bool = False) -> Fitted:
    """Fit the ``method`` that a study names on the members' validation split; other splits are not looked at.

    With ``temperature``, what comes out is then divided by the temperature of least validation log loss and normalised.

    Raises:
        UserError: there is no member, a probability is NaN, or two members differ in classes, samples or labels.
    """
    validation = {
        name: member._replace(splits={split: found for split, found in member.splits.items() if split == "validation"})
        for name, member in members.items()
    }
    _check(validation)
    return _fit(align(validation), method, temperature)


def combine(members: Mapping[str, Predictions], method: Mapping[str, Any], temperature: bool = False) -> Combined:
    """As :func:`fit`, and what was fitted is applied to every split.

    Raises:
        UserError: as :func:`fit`, or of two members one alone has predictions of a split.
    """
    _check(members)
    aligned = align(members)
    fitted = _fit(aligned, method, temperature)
    splits = {name: split._replace(log_prob=fitted.apply(split.log_prob)) for name, split in aligned.splits.items()}
    return Combined(Predictions(aligned.classes, splits), fitted.weights, dict(fitted.facts), fitted.temperature)
