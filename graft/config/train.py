"""How a model is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from graft.config.augment import Augment
from graft.config.base import Count, Positive, Share, Strict, named, word_or

Momentum = Annotated[float, Field(ge=0, lt=1)]


class _Optimizer(Strict):
    """What every optimizer takes, by Keras' names: decay apart from the gradient, and clipping of gradients."""

    name: str
    weight_decay: Positive | None = None
    clipnorm: Positive | None = None
    global_clipnorm: Positive | None = None
    clipvalue: Positive | None = None

    @model_validator(mode="after")
    def _clips_one_way(self) -> "_Optimizer":
        if len([clip for clip in (self.clipnorm, self.global_clipnorm, self.clipvalue) if clip is not None]) > 1:
            raise PydanticCustomError("graft", "clipnorm, global_clipnorm and clipvalue all clip gradients; give one")
        return self


class SGD(_Optimizer):
    name: Literal["sgd"]
    momentum: Momentum | None = None
    nesterov: bool | None = None


class Adam(_Optimizer):
    name: Literal["adam"]
    beta_1: Share | None = None
    beta_2: Share | None = None
    epsilon: Positive | None = None


class AdamW(_Optimizer):
    name: Literal["adamw"]
    beta_1: Share | None = None
    beta_2: Share | None = None
    epsilon: Positive | None = None


class Nadam(_Optimizer):
    name: Literal["nadam"]
    beta_1: Share | None = None
    beta_2: Share | None = None
    epsilon: Positive | None = None


class RMSprop(_Optimizer):
    name: Literal["rmsprop"]
    rho: Share | None = None
    momentum: Momentum | None = None


class Adagrad(_Optimizer):
    name: Literal["adagrad"]


class Adadelta(_Optimizer):
    name: Literal["adadelta"]
    rho: Share | None = None


class Lion(_Optimizer):
    name: Literal["lion"]
    beta_1: Share | None = None
    beta_2: Share | None = None


class Lamb(_Optimizer):
    name: Literal["lamb"]
    beta_1: Share | None = None
    beta_2: Share | None = None


class Muon(_Optimizer):
    name: Literal["muon"]
    adam_lr_ratio: Positive | None = None
    momentum: Momentum | None = None
    nesterov: bool | None = None


OPTIMIZERS = {
    cls.__name__.lower(): cls for cls in (Adadelta, Adagrad, Adam, AdamW, Lamb, Lion, Muon, Nadam, RMSprop, SGD)
}


class EarlyStopping(Strict):
    """Stop when the metric on the validation split has not improved for ``patience`` epochs; keep the best weights."""

    patience: Count
    metric: Literal["val_loss", "val_accuracy"] = "val_loss"


class Constant(Strict):
    name: Literal["constant"]


class Cosine(Strict):
    name: Literal["cosine"]


class CosineCycles(Strict):
    name: Literal["cosine_cycles"]
    cycles: Annotated[int, Field(ge=2)]


class InverseTime(Strict):
    name: Literal["inverse_time"]
    decay: Positive


class Triangular(Strict):
    name: Literal["triangular"]
    peak: Share = 0.25


SCHEDULES = {
    "constant": Constant,
    "cosine": Cosine,
    "cosine_cycles": CosineCycles,
    "inverse_time": InverseTime,
    "triangular": Triangular,
}


class HeadFirst(Strict):
    """A first phase, in which nothing but the head and what replaces a stage is trained."""

    epochs: Count
    learning_rate: Positive


class Train(Strict):
    """How a model is trained. Optimizers have Keras' names and, where an option is left out, Keras' defaults."""

    epochs: Count
    batch_size: Count = 32
    optimizer: named(OPTIMIZERS) = Field(  # type: ignore[valid-type]
        default_factory=lambda: Adam(name="adam")
    )
    learning_rate: Positive = 1e-3
    schedule: named(SCHEDULES) = Field(default_factory=lambda: Constant(name="constant"))  # type: ignore[valid-type]
    warmup_epochs: Count | None = None
    steps_per_epoch: Count | None = None
    whiten: bool | None = None
    head_first: HeadFirst | None = None
    layer_decay: Share | None = None
    early_stopping: EarlyStopping | None = None
    augment: Augment | None = None
    views: Count | None = None
    label_smoothing: Share | None = None
    class_weights: word_or(("balanced",), "{<class>: <weight>, ...}", mapping=dict[str, Positive]) | None = None  # type: ignore[valid-type]
    l2: Positive | None = None
    accumulate: Annotated[int, Field(ge=2)] | None = None
    ema: Share | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] | None = None
    jit: bool | None = None
    steps_per_execution: Count | None = None
    on_nan: Literal["stop", "lower_lr"] | None = None
    retries: Count | None = None
    checkpoint_minutes: Positive | None = None

    @model_validator(mode="after")
    def _ema_of_one_optimizer(self) -> "Train":
        if self.ema is not None and self.layer_decay is not None:
            raise PydanticCustomError(
                "graft", "ema and layer_decay do not go together: Keras averages weights of one optimizer"
            )
        return self

    @model_validator(mode="after")
    def _views_of_single_images(self) -> "Train":
        if self.views is not None and self.augment is None:
            raise PydanticCustomError("graft", "views needs augment: it says how views of an image differ")
        if self.views is not None and self.augment and (self.augment.mixup or self.augment.cutmix):
            raise PydanticCustomError(
                "graft", "views are of one image each; mixup and cutmix mix several: leave out either"
            )
        return self

    @model_validator(mode="after")
    def _warms_up_to_something(self) -> "Train":
        if self.warmup_epochs is not None and self.schedule.name != "cosine":
            raise PydanticCustomError("graft", "warmup_epochs needs schedule: cosine")
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs:
            raise PydanticCustomError("graft", "warmup_epochs must be fewer than epochs")
        return self

    @model_validator(mode="after")
    def _cycles_are_whole(self) -> "Train":
        if self.schedule.name != "cosine_cycles":
            return self
        problems: list[tuple[tuple[str, ...], str]] = []
        cycles = self.schedule.cycles
        if self.epochs % cycles:
            below = self.epochs // cycles * cycles
            near = " or ".join(str(epochs) for epochs in (below, below + cycles) if epochs)
            text = f"{self.epochs} is no multiple of schedule.cycles: {cycles}, which have equally many epochs each"
            problems.append((("epochs",), f"{text}; take {near}"))
        if self.early_stopping is not None:
            text = "does not go with schedule: cosine_cycles, whose every cycle comes to its end; leave out either"
            problems.append((("early_stopping",), text))
        if self.ema is not None:
            text = "does not go with schedule: cosine_cycles, whose every cycle ends in weights of its own; leave out either"
            problems.append((("ema",), text))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self
