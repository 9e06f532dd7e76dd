"""How a model is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Positive, Share, Strict, named


class SGD(Strict):
    name: Literal["sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    nesterov: bool | None = None


class Adam(Strict):
    name: Literal["adam"]
    beta_1: Share | None = None
    beta_2: Share | None = None


class AdamW(Strict):
    name: Literal["adamw"]
    weight_decay: Positive | None = None
    beta_1: Share | None = None
    beta_2: Share | None = None


class RMSprop(Strict):
    name: Literal["rmsprop"]
    rho: Share | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None


class EarlyStopping(Strict):
    """Stop when the metric on the validation split has not improved for ``patience`` epochs; keep the best weights."""

    patience: Count
    metric: Literal["val_loss", "val_accuracy"] = "val_loss"


class Constant(Strict):
    name: Literal["constant"]


class Cosine(Strict):
    name: Literal["cosine"]


class InverseTime(Strict):
    name: Literal["inverse_time"]
    decay: Positive


class HeadFirst(Strict):
    """A first phase, in which nothing but the head and what replaces a stage is trained."""

    epochs: Count
    learning_rate: Positive


class Train(Strict):
    """How a model is trained. Optimizers have Keras' names and, where an option is left out, Keras' defaults."""

    epochs: Count
    batch_size: Count = 32
    optimizer: named({"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}) = Field(  # type: ignore[valid-type]
        default_factory=lambda: Adam(name="adam")
    )
    learning_rate: Positive = 1e-3
    schedule: named({"constant": Constant, "cosine": Cosine, "inverse_time": InverseTime}) = Field(  # type: ignore[valid-type]
        default_factory=lambda: Constant(name="constant")
    )
    warmup_epochs: Count | None = None
    steps_per_epoch: Count | None = None
    head_first: HeadFirst | None = None
    layer_decay: Share | None = None
    early_stopping: EarlyStopping | None = None

    @model_validator(mode="after")
    def _warms_up_to_something(self) -> "Train":
        if self.warmup_epochs is not None and self.schedule.name != "cosine":
            raise PydanticCustomError("graft", "warmup_epochs needs schedule: cosine")
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs:
            raise PydanticCustomError("graft", "warmup_epochs must be fewer than epochs")
        return self
