"""What is searched for a model, and how: samplers, pruners and their options have Optuna's names."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Positive, Seed, Strict, named
from graft.config.space import Choices, Dimension, Plain, Problem, condition_problems, point_problems

NotNegative = Annotated[int, Field(ge=0)]
Factor = Annotated[int, Field(ge=2)]
Resource = Annotated[
    Count | None,
    BeforeValidator(
        lambda value: None if value == "auto" else value, json_schema_input_type=Count | Literal["auto"] | None
    ),
]
"""A number of epochs, or what Optuna makes of them: ``auto``, as if it was left out."""


# -- samplers ------------------------------------------------------------------------------------------------------------


class TPE(Strict):
    """A tree-structured Parzen estimator; multivariate unless said otherwise."""

    name: Literal["tpe"]
    n_startup_trials: NotNegative | None = None
    n_ei_candidates: Count | None = None
    multivariate: bool = True
    group: bool | None = None
    constant_liar: bool | None = None

    @model_validator(mode="after")
    def _groups_several(self) -> "TPE":
        if self.group and not self.multivariate:
            raise PydanticCustomError("graft", "group: true needs multivariate: true")
        return self


class RandomSampler(Strict):
    """Values at random."""

    name: Literal["random"]


class Grid(Strict):
    """Every point of a finite space once, in random order."""

    name: Literal["grid"]


class CmaEs(Strict):
    """CMA-ES, for spaces of ranges alone."""

    name: Literal["cmaes"]
    n_startup_trials: NotNegative | None = None
    popsize: Annotated[int, Field(ge=2)] | None = None
    consider_pruned_trials: bool | None = None
    use_separable_cma: bool | None = None
    with_margin: bool | None = None
    lr_adapt: bool | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> "CmaEs":
        if sum(map(bool, (self.use_separable_cma, self.with_margin, self.lr_adapt))) > 1:
            raise PydanticCustomError(
                "graft", "use_separable_cma, with_margin and lr_adapt are kinds of CMA-ES; give one"
            )
        return self


class GaussianProcess(Strict):
    """Bayesian optimisation by a Gaussian process, for spaces without conditions."""

    name: Literal["gp"]
    n_startup_trials: NotNegative | None = None
    deterministic_objective: bool | None = None


SAMPLERS = {"cmaes": CmaEs, "gp": GaussianProcess, "grid": Grid, "random": RandomSampler, "tpe": TPE}


# -- pruners -------------------------------------------------------------------------------------------------------------


class Asha(Strict):
    """Asynchronous successive halving; resources are epochs, from 1."""

    name: Literal["asha"]
    min_resource: Resource = None
    reduction_factor: Factor | None = None
    min_early_stopping_rate: NotNegative | None = None
    bootstrap_count: NotNegative | None = None

    @model_validator(mode="after")
    def _bootstraps_from_something(self) -> "Asha":
        if self.bootstrap_count and self.min_resource is None:
            raise PydanticCustomError("graft", "bootstrap_count needs min_resource")
        return self


class Hyperband(Strict):
    """Hyperband; resources are epochs, from 1, at most those of a trial unless said otherwise."""

    name: Literal["hyperband"]
    min_resource: Count | None = None
    max_resource: Resource = None
    reduction_factor: Factor | None = None
    bootstrap_count: NotNegative | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Hyperband":
        if self.max_resource is not None and (self.min_resource or 1) > self.max_resource:
            raise PydanticCustomError("graft", "min_resource must not be more than max_resource")
        return self


class _AgainstOthers(Strict):
    n_startup_trials: NotNegative | None = None
    n_warmup_steps: NotNegative | None = None
    interval_steps: Count | None = None
    n_min_trials: Count | None = None


class MedianPruner(_AgainstOthers):
    """Ends a trial that is worse than the median of those before it at the same epoch."""

    name: Literal["median"]


class PercentilePruner(_AgainstOthers):
    """Ends a trial that is not among this percentage, the best of those before it at the same epoch."""

    name: Literal["percentile"]
    percentile: Annotated[float, Field(ge=0, le=100)]


class Threshold(Strict):
    """Ends a trial whose metric leaves these bounds."""

    name: Literal["threshold"]
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: NotNegative | None = None
    interval_steps: Count | None = None

    @model_validator(mode="after")
    def _bounds(self) -> "Threshold":
        if self.lower is None and self.upper is None:
            raise PydanticCustomError("graft", "threshold needs lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise PydanticCustomError("graft", "lower must not be more than upper")
        return self


class NoPruner(Strict):
    """Every trial comes to its end."""

    name: Literal["none"]


PRUNERS = {
    "asha": Asha,
    "hyperband": Hyperband,
    "median": MedianPruner,
    "none": NoPruner,
    "percentile": PercentilePruner,
    "threshold": Threshold,
}


# -- where trials are kept -----------------------------------------------------------------------------------------------

ALLOWED_STORAGE = "sqlite, journal, postgresql://<host>/<database>, mysql://<host>/<database> or grpc://<host>:<port>"
PASSWORDS = {
    "postgresql": "put it into ~/.pgpass",
    "mysql": "put it into ~/.my.cnf, and ?read_default_file=~/.my.cnf behind the address",
    "grpc": "a proxy takes none",
}


def _is_storage(text: str) -> str:
    """Check the address of a database, or of a proxy of one, without a connection."""
    if text in ("sqlite", "journal"):
        return text
    try:
        address = urlsplit(text)
        port = address.port
    except ValueError:
        raise _no_storage(text) from None
    kind = address.scheme
    if kind not in PASSWORDS or any(letter.isspace() for letter in text):
        raise _no_storage(text)
    if address.password is not None or {"password", "passwd"} & {key for key, _ in parse_qsl(address.query)}:
        said = f"an address with a password is not taken, for the report shows it; {PASSWORDS[kind]}"
        raise PydanticCustomError("graft", "{text}", {"text": said})
    proxy = address.hostname and port and not any((address.username, address.path, address.query, address.fragment))
    if not (proxy if kind == "grpc" else address.path.strip("/")):
        raise _no_storage(text)
    return text


def _no_storage(text: str) -> PydanticCustomError:
    named = re.sub("//.*@", "//...@", text)  # there may be a password
    return PydanticCustomError("graft", "{text}", {"text": f"{named!r} is not a storage; allowed: {ALLOWED_STORAGE}"})


Storage = Annotated[str, AfterValidator(_is_storage)]


# -- the search ----------------------------------------------------------------------------------------------------------


class Tune(Strict):
    """An Optuna study over fields of the model, named by their paths; it sees the validation split only."""

    trials: Count
    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    metric: Literal["val_loss", "val_accuracy"] = "val_loss"
    epochs: Count | None = None
    seed: Seed = 0
    sampler: named(SAMPLERS) = Field(default_factory=lambda: TPE(name="tpe"))  # type: ignore[valid-type]
    pruner: named(PRUNERS) = Field(default_factory=lambda: MedianPruner(name="median"))  # type: ignore[valid-type]
    start_from: Annotated[list[Annotated[dict[str, Plain], Field(min_length=1)]], Field(min_length=1)] | None = None
    workers: Count = 1
    timeout: Positive | None = None
    storage: Storage = "sqlite"
    top_k: Count | None = None
    reruns: Annotated[int, Field(ge=2)] | None = None
    refit: Literal["retrain", "continue"] = "retrain"

    @model_validator(mode="before")
    @classmethod
    def _rerun_thrice(cls, values: Any) -> Any:
        implied = isinstance(values, Mapping) and values.get("top_k") is not None and values.get("reruns") is None
        return {**values, "reruns": 3} if implied else values

    @model_validator(mode="after")
    def _fits_together(self) -> "Tune":
        problems = list(condition_problems(self.space))
        problems = problems or [*_sampler_problems(self), *_start_problems(self), *_rerun_problems(self)]
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self


def _sampler_problems(tune: Tune) -> Iterator[Problem]:
    """What the sampler cannot search, or would draw at random without a word."""
    name, space = tune.sampler.name, tune.space
    for path, dimension in space.items():
        if name == "grid" and dimension.points is None:
            yield ("space", path), "is no finite set, as sampler: grid needs; give it a step, or choices"
        if name == "cmaes" and isinstance(dimension, Choices):
            yield ("space", path), "has choices, which sampler: cmaes would draw at random; take tpe"
        if name in ("cmaes", "gp", "grid") and dimension.when is not None:
            yield ("space", path), f"has when, but sampler: {name} needs every parameter in every trial; take tpe"
    points = [dimension.points for dimension in space.values() if dimension.points is not None]
    if name == "grid" and len(points) == len(space) and tune.trials > math.prod(points):
        yield ("trials",), f"{tune.trials} is more than the {math.prod(points)} points of the grid"
    if name == "cmaes" and tune.sampler.use_separable_cma and len(space) == 1:
        yield ("sampler", "use_separable_cma"), "needs a space of at least two dimensions"
    if name == "cmaes" and tune.sampler.with_margin and tune.start_from:
        yield ("sampler", "with_margin"), "does not go with start_from: it would learn from other points than these"


def _start_problems(tune: Tune) -> Iterator[Problem]:
    points = tune.start_from or []
    if len(points) > tune.trials:
        yield ("start_from",), f"has {len(points)} points, which is more than trials: {tune.trials}"
    for k, point in enumerate(points):
        yield from ((("start_from", k), text) for text in point_problems(tune.space, point))
        left = [path for path in tune.space if path not in point]
        if left and tune.sampler.name == "grid":
            yield ("start_from", k), f"leaves out {left[0]}; with sampler: grid a point is whole"


def _rerun_problems(tune: Tune) -> Iterator[Problem]:
    if tune.top_k is not None and tune.top_k > tune.trials:
        yield ("top_k",), f"{tune.top_k} is more than trials: {tune.trials}"
    if tune.reruns is not None and tune.top_k is None:
        yield ("reruns",), "needs top_k: of how many of the best trials"
    if tune.refit == "continue" and tune.epochs is None:
        yield ("refit",), "continue needs epochs: without them each trial is a whole training already"
