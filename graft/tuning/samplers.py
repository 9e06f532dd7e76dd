"""What chooses the values of trials, and what ends trials early: Optuna's samplers and pruners, built from a study's words."""

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graft.errors import UserError
from graft.tuning.space import Space, distributions

DIRECTIONS = {"val_loss": StudyDirection.MINIMIZE, "val_accuracy": StudyDirection.MAXIMIZE}

NEEDED = {"cmaes": ("cmaes",), "gp": ("torch", "scipy")}
"""The packages of samplers, which Optuna imports at the first trial alone."""

SAMPLERS: dict[str, type[BaseSampler]] = {
    "cmaes": CmaEsSampler,
    "gp": GPSampler,
    "random": RandomSampler,
    "tpe": TPESampler,
}
PRUNERS: dict[str, type[BasePruner]] = {
    "asha": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
    "median": MedianPruner,
    "none": NopPruner,
    "percentile": PercentilePruner,
    "threshold": ThresholdPruner,
}


class Grid(BaseSampler):
    """Each point of a finite space once, in an order that ``seed`` decides for each trial anew.

    Optuna's ``GridSampler`` does not do here: it ends the study, which is an error where trials are asked for one by one,
    counts a trial that failed as seen, knows nothing of points that a search starts from, and lists all points in memory.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._distributions = distributions(space)
        self._sizes = {path: _size(distribution) for path, distribution in self._distributions.items()}
        self._seed = seed
        self._any = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        others = [
            other.params for other in study.get_trials(deepcopy=False, states=states) if other.number != trial.number
        ]
        taken = sorted({self._place(params) for params in others if params.keys() == self._sizes.keys()})
        free = math.prod(self._sizes.values()) - len(taken)
        return self._point(_nth_free(random.Random(self._seed).randrange(free), taken)) if free > 0 else {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._any.sample_independent(study, trial, param_name, param_distribution)  # every point was tried

    def _place(self, params: Mapping[str, Any]) -> int:
        place = 0
        for path, size in self._sizes.items():
            place = place * size + _position(self._distributions[path], params[path])
        return place

    def _point(self, place: int) -> dict[str, Any]:
        point = {}
        for path, size in reversed(self._sizes.items()):
            place, position = divmod(place, size)
            point[path] = _value(self._distributions[path], position)
        return point


def _nth_free(number: int, taken: Sequence[int]) -> int:
    """The place with ``number`` free ones before it, where those ``taken``, in ascending order, are not free."""
    for place in taken:
        if place > number:
            break
        number += 1
    return number


# The values of a finite distribution, by their position.


def _size(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution) and distribution.step
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _value(distribution: BaseDistribution, position: int) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[position]
    assert isinstance(distribution, FloatDistribution | IntDistribution) and distribution.step
    if isinstance(distribution, IntDistribution):
        return distribution.low + position * distribution.step
    return float(Fraction(str(distribution.low)) + position * Fraction(str(distribution.step)))  # 0.3, not 0.1 * 3


def _position(distribution: BaseDistribution, value: Any) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value)
    assert isinstance(distribution, FloatDistribution | IntDistribution) and distribution.step
    position: int = round((value - distribution.low) / distribution.step)
    return position


# What a study says, built.


def _options(described: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {**more, **{key: value for key, value in described.items() if key != "name"}}


def build_sampler(described: Mapping[str, Any], space: Space, *, seed: int, workers: int) -> BaseSampler:
    """The sampler that ``tune.sampler`` describes, by ``name`` with Optuna's options, for one of so many workers.

    Raises:
        UserError: it needs a package that is not installed.
    """
    name = described["name"]
    if missing := [package for package in NEEDED.get(name, ()) if find_spec(package) is None]:
        raise UserError(f"sampler: {name} needs the package {missing[0]}; install it: pip install -e '.[{name}]'")
    if name == "grid":
        return Grid(space, seed)
    defaults: dict[str, Any] = {}
    if name == "tpe":
        multivariate = described.get("multivariate", True)
        group = multivariate and any("when" in dimension for dimension in space.values())
        defaults = {"multivariate": multivariate, "group": group, "constant_liar": workers > 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[name](**_options(described, seed=seed, **defaults))


def build_pruner(described: Mapping[str, Any], *, epochs: int) -> BasePruner:
    """The pruner that ``tune.pruner`` describes, for trials of at most so many ``epochs``, which are its steps."""
    defaults: dict[str, Any] = {}
    if described["name"] == "hyperband":
        defaults = {"max_resource": max(epochs, described.get("min_resource", 1))}  # a bracket at least
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PRUNERS[described["name"]](**_options(described, **defaults))
