"""What is searched for a model, and how."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Seed, Strict, named


class TPE(Strict):
    name: Literal["tpe"]
    n_startup_trials: Count | None = None
    multivariate: bool | None = None


class RandomSampler(Strict):
    name: Literal["random"]


class MedianPruner(Strict):
    name: Literal["median"]
    n_startup_trials: Annotated[int, Field(ge=0)] | None = None
    n_warmup_steps: Annotated[int, Field(ge=0)] | None = None


class NoPruner(Strict):
    name: Literal["none"]


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float) or value in (math.inf, -math.inf) or value != value:
        raise PydanticCustomError("graft", "{text}", {"text": f"{value!r} is not text, a finite number, true or false"})
    return value


class Choices(Strict):
    choices: Annotated[list[Annotated[str | int | float | bool, BeforeValidator(_scalar)]], Field(min_length=1)]


class _Range(Strict):
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low >= self.high:  # type: ignore[attr-defined]
            raise PydanticCustomError("graft", "low must be less than high")
        if self.log and self.low <= 0:  # type: ignore[attr-defined]
            raise PydanticCustomError("graft", "log: true needs low above 0")
        return self


class IntRange(_Range):
    low: int
    high: int


class FloatRange(_Range):
    low: float
    high: float


def _dimension(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "choices" if isinstance(value, Choices) else "int" if isinstance(value, IntRange) else "float"
    ends = value.get("low"), value.get("high")
    return "choices" if "choices" in value else "int" if all(isinstance(end, int) for end in ends) else "float"


Dimension = Annotated[
    Annotated[Choices, Tag("choices")] | Annotated[IntRange, Tag("int")] | Annotated[FloatRange, Tag("float")],
    Discriminator(_dimension),
]


class Tune(Strict):
    """An Optuna study over fields of the model, named by their paths; it sees the validation split only."""

    trials: Count
    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    metric: Literal["val_loss", "val_accuracy"] = "val_loss"
    epochs: Count | None = None
    seed: Seed = 0
    sampler: named({"random": RandomSampler, "tpe": TPE}) = Field(default_factory=lambda: TPE(name="tpe"))  # type: ignore[valid-type]
    pruner: named({"median": MedianPruner, "none": NoPruner}) = Field(  # type: ignore[valid-type]
        default_factory=lambda: MedianPruner(name="median")
    )
