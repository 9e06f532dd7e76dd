"""The space of a search between a study, which has any plain value, and Optuna, which stores scalars.

A space is the plain dump of ``tune.space``: dimensions by the path of the field that they are for, each with ``choices``,
or with ``low``, ``high``, ``log`` and perhaps ``step``, and perhaps with ``when``, the values of other parameters with
which this one exists.
"""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from graft.spec import as_scalar, chosen_spec, holds, in_order

__all__ = ["Dimension", "Space", "chosen_spec", "decoded", "distributions", "encoded", "is_float", "suggest"]

Dimension = Mapping[str, Any]
Space = Mapping[str, Dimension]


def is_float(dimension: Dimension) -> bool:
    """Whether a range is one of any number: its ends are written so."""
    return isinstance(dimension["low"], float) or isinstance(dimension["high"], float)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if "choices" in dimension:
        return CategoricalDistribution([as_scalar(choice) for choice in dimension["choices"]])
    low, high, log = dimension["low"], dimension["high"], dimension.get("log", False)
    if is_float(dimension):
        return FloatDistribution(low, high, log=log, step=dimension.get("step"))
    return IntDistribution(low, high, log=log, step=dimension.get("step", 1))


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What Optuna draws each parameter from."""
    return {path: _distribution(space[path]) for path in space}


def encoded(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna stores for values of a trial: lists and mappings as JSON text, numbers of the dimension's kind."""

    def encode(dimension: Dimension, value: Any) -> Any:
        return as_scalar(value) if "choices" in dimension else float(value) if is_float(dimension) else value

    return {path: encode(space[path], value) for path, value in values.items()}


def decoded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial for what Optuna has stored, as :func:`encoded` has it.

    Raises:
        ValueError: it is none of the choices.
    """

    def decode(dimension: Dimension, stored: Any) -> Any:
        if "choices" not in dimension:
            return stored
        scalars = [as_scalar(choice) for choice in dimension["choices"]]
        return dimension["choices"][scalars.index(stored)]

    return {path: decode(space[path], stored) for path, stored in params.items()}


def suggest(trial: optuna.trial.BaseTrial, space: Space) -> dict[str, Any]:
    """The values of a trial by path, conditions before what depends on them; without those whose ``when`` does not hold."""
    values: dict[str, Any] = {}
    for path in in_order(space):
        if holds(space[path], values):
            values |= decoded(space, {path: _suggested(trial, path, _distribution(space[path]))})
    return values


def _suggested(trial: optuna.trial.BaseTrial, path: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(path, distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            path, distribution.low, distribution.high, log=distribution.log, step=distribution.step
        )
    return trial.suggest_int(path, distribution.low, distribution.high, log=distribution.log, step=distribution.step)
