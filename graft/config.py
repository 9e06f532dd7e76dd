"""What a study may say: the one place that knows its keys, checks them, and names what is wrong.

The rules read the typed :class:`Study`; scripts get plain values through ``params`` and never import this module. A new
optional key has the default ``None``, which the values handed to jobs leave out: that makes no finished result stale.
"""

import hashlib
import inspect
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from graft.problems import describe
from graft.registry import Part, parts
from graft.sources.remote import Remote
from graft.spec import get_path, set_paths
from graft.words import nearest

LAYER = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """Unknown keys are refused, text is no number, and a study that was read does not change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def dump(self, *without: str) -> dict[str, Any]:
        """Plain values for a job, keys sorted and unset ones left out, for two equal studies dump alike."""
        dumped = self.model_dump(mode="json", exclude_none=True, exclude=set(without))
        sorted_dump: dict[str, Any] = json.loads(json.dumps(dumped, sort_keys=True))
        return sorted_dump


# Types made here at run time are valid to pydantic; mypy cannot see them, hence `valid-type` where they annotate a field.

# -- parts that are found by name ----------------------------------------------------------------------------------------


def _options(part: Part) -> type[Strict]:
    """The keyword-only parameters of a part's function as a model of their own."""
    hints = get_type_hints(part.function, include_extras=True)
    parameters = inspect.signature(part.function).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }
    return create_model(f"{part.name} options", __base__=Strict, **fields)


def _choice(key: str, classes: Mapping[str, type[Strict]]) -> Any:
    """A union of classes told apart by the text under ``key``."""
    tagged = tuple(Annotated[cls, Tag(name)] for name, cls in classes.items())

    def tag(value: Any) -> Any:
        return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)

    context: dict[str, Any] = {"key": key, "classes": classes}
    discriminator = Discriminator(
        tag, custom_error_type="choice", custom_error_message="choice", custom_error_context=context
    )
    return Annotated[Union[tagged], discriminator]  # noqa: UP007 (a tuple of classes has no X | Y)


class _NameAlone:
    """Tells the JSON schema of a choice that the name alone may stand for a part without required options."""

    def __init__(self, classes: Mapping[str, type[Strict]]) -> None:
        self.names = [
            name
            for name, cls in classes.items()
            if not any(field.is_required() for key, field in cls.model_fields.items() if key != "name")
        ]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": self.names}, handler(schema)]}


def _named(classes: Mapping[str, type[Strict]]) -> Any:
    """A union as :func:`_choice` by ``name``, for which the name alone may stand."""
    spell_out = BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
    return Annotated[_choice("name", classes), spell_out, _NameAlone(classes)]


def _word_or(words: tuple[str, ...], shape: str, **others: Any) -> Any:
    """One of ``words``, or what is written in another ``shape``: the types in ``others``, by ``mapping`` and ``list``."""
    tagged = tuple(Annotated[other, Tag(tag)] for tag, other in {"word": Literal[words], **others}.items())

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in words:
            text = f"{value!r} is not allowed; allowed: {', '.join(words)}, or {shape}"
            raise PydanticCustomError("graft", "{text}", {"text": text})
        return value

    def tag(value: Any) -> str:
        written = "word" if isinstance(value, str) else "list" if isinstance(value, list) else "mapping"
        return written if written in {"word", *others} else next(iter(others))

    return Annotated[Union[tagged], Discriminator(tag), BeforeValidator(check)]  # noqa: UP007 (as above)


def _named_parts(package: str) -> Any:
    fields: dict[str, Any] = {name: (Literal[name], ...) for name in parts(package)}
    classes = {name: _options(part) for name, part in parts(package).items()}
    return _named({name: create_model(name, __base__=cls, name=fields[name]) for name, cls in classes.items()})


# -- training ------------------------------------------------------------------------------------------------------------


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


class Train(Strict):
    """How a model is trained. Optimizers have Keras' names and, where an option is left out, Keras' defaults."""

    epochs: Count
    batch_size: Count = 32
    optimizer: _named({"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}) = Field(  # type: ignore[valid-type]
        default_factory=lambda: Adam(name="adam")
    )
    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Count | None = None
    early_stopping: EarlyStopping | None = None

    @model_validator(mode="after")
    def _warms_up_to_something(self) -> "Train":
        if self.warmup_epochs is not None and self.schedule != "cosine":
            raise PydanticCustomError("graft", "warmup_epochs needs schedule: cosine")
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs:
            raise PydanticCustomError("graft", "warmup_epochs must be fewer than epochs")
        return self


# -- tuning --------------------------------------------------------------------------------------------------------------


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
    sampler: _named({"random": RandomSampler, "tpe": TPE}) = Field(default_factory=lambda: TPE(name="tpe"))  # type: ignore[valid-type]
    pruner: _named({"median": MedianPruner, "none": NoPruner}) = Field(  # type: ignore[valid-type]
        default_factory=lambda: MedianPruner(name="median")
    )


# -- data ----------------------------------------------------------------------------------------------------------------


class Split(Strict):
    """Shares of the images that are held out where the source publishes no such split, by a hash of seed and pixels."""

    validation: Share | None = None
    test: Share | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_some(self) -> "Split":
        if (total := (self.validation or 0) + (self.test or 0)) >= 1:
            raise PydanticCustomError(
                "graft",
                "validation and test sum to {total}; they must leave a share for training, so sum to less than 1",
                {"total": round(total, 6)},
            )
        return self


class PerClass(Strict):
    """The most images of a class in each split."""

    train: Count | None = None
    validation: Count | None = None
    test: Count | None = None


class Subset(Strict):
    """Less than the whole data set: some classes, a fraction of the training images, or a number of images per class."""

    classes: Annotated[list[str], Field(min_length=2)] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    per_class: PerClass | None = None
    seed: Seed = 0

    @field_validator("classes")
    @classmethod
    def _differ(cls, names: list[str] | None) -> list[str] | None:
        if twice := [name for name in names or [] if (names or []).count(name) > 1]:
            raise PydanticCustomError("graft", "{text}", {"text": f"names {twice[0]!r} more than once"})
        return names

    @model_validator(mode="after")
    def _one_way(self) -> "Subset":
        if self.fraction is not None and self.per_class is not None and self.per_class.train is not None:
            raise PydanticCustomError("graft", "fraction and per_class.train both thin the training split; give one")
        return self


class Dataset(Strict):
    """Images with labels, how they are prepared, how they are split, and what a study leaves out."""

    source: _named_parts("graft.sources")  # type: ignore[valid-type]
    split: Split = Split()
    resize: Literal["squash", "crop", "pad"] = "squash"
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bicubic"
    max_bad: Annotated[float, Field(ge=0, lt=1)] = 0.01
    leakage: Literal["report", "move", "drop"] = "report"
    subset: Subset | None = None

    @model_validator(mode="after")
    def _splits_fit(self) -> "Dataset":
        published = self.facts["splits"]
        problems = []
        for name in ("validation", "test") if published is not None else ():
            share = getattr(self.split, name)
            if share is None and name not in published:
                problems.append(
                    (("split", name), f"is required, such as 0.1: {self.source.name} publishes no such split")
                )
            if share is not None and name in published:
                problems.append((("split", name), f"{self.source.name} publishes its {name} split; leave this out"))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of the source: the ``splits`` that it publishes, its ``licence`` and its ``page``."""
        return parts("graft.sources")[self.source.name].facts

    @cached_property
    def preparation(self) -> dict[str, Any]:
        """How images become arrays."""
        return self.dump("source", "split", "max_bad", "leakage", "subset")

    @cached_property
    def division(self) -> dict[str, Any]:
        """Which images a study uses, and for what."""
        return self.dump("source", "resize", "interpolation")

    @cached_property
    def key(self) -> str:
        """A hash of source and preparation: studies that agree in it share the prepared arrays."""
        return _short_hash([self.source.dump(), self.preparation])

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job that reads the source runs beside the modules that its script imports."""
        return (parts("graft.sources")[self.source.name].module,)


def _short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def _each_known(names: list[str], info: ValidationInfo, key: str, noun: str) -> list[str]:
    """Check that ``names`` stand under ``key`` of the study that is being read, each once."""
    known = list((info.context or {}).get(key, names))
    for name in names:
        if name not in known:
            raise PydanticCustomError(
                "graft", "{text}", {"text": f"{name!r} is not a {noun} of this study{nearest(name, known)}"}
            )
    if not names:
        raise PydanticCustomError("graft", "{text}", {"text": f"is empty; it needs at least one {noun}"})
    if twice := [name for name in names if names.count(name) > 1]:
        raise PydanticCustomError("graft", "{text}", {"text": f"names {twice[0]!r} more than once"})
    return names


class _OnDatasets(Strict):
    datasets: list[str] | None = None

    @field_validator("datasets")
    @classmethod
    def _exist(cls, names: list[str] | None, info: ValidationInfo) -> list[str] | None:
        return names if names is None else _each_known(names, info, "datasets", "data set")


# -- models --------------------------------------------------------------------------------------------------------------


class Model(_OnDatasets):
    """A network, the size of the images that it sees, and how it is trained."""

    architecture: str
    image_size: int
    train: Train
    tune: Tune | None = None

    @model_validator(mode="after")
    def _space_fits(self) -> "Model":
        problems = list(_space_problems(self))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @property
    def frozen(self) -> bool:
        """Whether a part of the network is frozen, and so needs to see each image once."""
        return False

    @property
    def weights_file(self) -> Remote | None:
        """The published file that the network's weights come in, if they come in one."""
        return None

    @property
    def reads(self) -> tuple[Any, ...]:
        """What decides the arrays that the model trains on."""
        return (self.image_size,)

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job with this model runs beside the modules that its script imports."""
        return (parts("graft.models")[self.architecture].module,)

    @cached_property
    def trained(self) -> dict[str, Any]:
        """What the network is and how it is trained: all that decides a run beside data and seed."""
        return self.dump("tune", "datasets")


class Head(Strict):
    """What stands behind a backbone: pooling, dense layers of these widths, dropout, and the logits."""

    pooling: Literal["avg", "max", "flatten"] = "avg"
    dense: list[Count] = []
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    activation: Literal["elu", "gelu", "relu", "selu", "silu", "tanh"] | None = None


class ReplaceFrom(Strict):
    """The stage of a backbone that is left out with all that follows, and the ResNet blocks that stand in its place."""

    stage: Annotated[str, Field(pattern=LAYER)]
    blocks: Count = 3
    filters: Count = 512
    stride: Count = 1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99


class Backbone(Model):
    """A model whose architecture is a backbone: it can start from published weights, and be frozen in part."""

    weights: str = "none"
    freeze: Any = "none"
    freeze_batch_norm: bool | None = None
    replace_from: ReplaceFrom | None = None
    upsample: Annotated[int, Field(ge=2, le=32)] | None = None
    head: Head = Head()

    @model_validator(mode="after")
    def _frozen_is_pretrained(self) -> "Backbone":
        if self.freeze != "none" and self.weights == "none":
            raise PydanticCustomError("graft", "freeze needs weights: a frozen part with random weights learns nothing")
        return self

    @property
    def frozen(self) -> bool:
        # Of a list, nobody knows before the network is built whether it starts at the images.
        return self.freeze != "none" and not isinstance(self.freeze, list)

    @cached_property
    def frozen_part(self) -> dict[str, Any]:
        """What decides the activations of the frozen part: models that agree in it share them."""
        network = dict(self.trained)
        head = network.pop("head")
        del network["train"]
        network.pop("freeze_batch_norm", None)  # in the frozen part it is frozen either way
        return network | ({"head": {"pooling": head["pooling"]}} if self.freeze == "all" else {})

    @property
    def reads(self) -> tuple[Any, ...]:
        return (self.image_size, self.frozen, self.frozen and self.frozen_part)

    @property
    def weights_file(self) -> Remote | None:
        named = parts("graft.models")[self.architecture].facts["weights"].get(self.weights)
        return named.file if named else None

    @property
    def cut(self) -> str:
        """What names the place where the frozen part ends."""
        return self.freeze if isinstance(self.freeze, str) else str(self.freeze.before)


def _freeze(stages: tuple[str, ...] | None) -> Any:
    """How much is frozen; without ``stages``, the names of layers are known once the network is built."""
    layer = Annotated[str, Field(pattern=LAYER)]
    field: Any = (layer if stages is None else Literal[stages], ...)
    before = create_model("freeze before", __base__=Strict, before=field)
    listed: Any = Annotated[list[field[0]], Field(min_length=1)]
    return _word_or(("none", "all"), "{before: <stage>} or [<stage>, ...]", mapping=before, list=listed)


def _model_class(alike: list[Part]) -> type[Strict]:
    """What a study may say of these architectures, which differ in nothing that it could."""
    part, *others = alike
    fields: dict[str, Any] = {
        "architecture": (Literal[tuple(one.name for one in alike)], ...),
        "image_size": (Annotated[int, Field(ge=part.facts.get("smallest", 1), le=1024)], ...),
        "options": (_options(part), Field(default_factory=dict, validate_default=True)),
    }
    if part.facts.get("backbone"):
        fields["weights"] = (Literal[("none", *part.facts["weights"])], "none")
        fields["freeze"] = (_freeze(part.facts["stages"]), "none")
    base = Backbone if part.facts.get("backbone") else Model
    described = base.__doc__ if others else part.function.__doc__
    return create_model(part.name, __base__=base, __doc__=described, **fields)


def _model_classes() -> dict[str, type[Strict]]:
    # A class takes pydantic milliseconds at every start, so backbones of one module that are alike share one.
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts("graft.models").values():
        facts = part.facts
        alike: tuple[Any, ...] = (part.name,)
        if facts.get("backbone"):
            alike = part.module, facts.get("smallest"), facts["stages"], tuple(facts["weights"])
        groups.setdefault(alike, []).append(part)
    classes = {part.name: cls for group in groups.values() for cls in [_model_class(group)] for part in group}
    return dict(sorted(classes.items()))


if TYPE_CHECKING:
    AnyModel = Model
else:
    AnyModel = _choice("architecture", _model_classes())


def _space_problems(model: Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with a tuning space: paths that lead nowhere, values that a field refuses, pairs that do not fit."""
    space = {path: _ends(dimension) for path, dimension in model.tune.space.items()} if model.tune else {}
    problems: list[tuple[tuple[str, ...], str]] = []
    for path, ends in space.items():
        found = dict.fromkeys(text for value in ends for text in _trial_problems(model, {path: value}))
        dimension = model.tune.space[path] if model.tune else None
        whole = isinstance(dimension, IntRange) and not found
        if whole and not list(_trial_problems(model, {path: ends[0] + 0.5})):
            text = f"low: {ends[0]} and high: {ends[1]} search whole numbers only"
            found[f"{text}; write {ends[0]}.0 and {ends[1]}.0, for the field takes any number"] = None
        problems += [(("tune", "space", path), text) for text in found]
    for (one, values), (other, others) in itertools.combinations(space.items(), 2) if not problems else ():
        for value, second in itertools.product(values, others):
            trouble = list(_trial_problems(model, {one: value, other: second}))
            if trouble:
                text = f"{one}: {value} and {other}: {second} do not go together: {trouble[0]}"
                problems.append((("tune", "space"), text))
                break
    yield from problems


def _ends(dimension: Choices | IntRange | FloatRange) -> list[Any]:
    return list(dimension.choices) if isinstance(dimension, Choices) else [dimension.low, dimension.high]


def _trial_problems(model: Model, values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a trial that sets these fields."""
    misplaced = "changes what a trial reads; tune fields of train, head or options"
    if any(path.partition(".")[0] in ("architecture", "datasets", "tune") for path in values):
        yield misplaced
        return
    if "train.epochs" in values and model.tune and model.tune.epochs is not None:
        yield "is what tune.epochs sets for every trial; leave out one of them"
        return
    try:
        trial = type(model).model_validate(set_paths(model.trained, values))
    except ValidationError as error:
        for text in describe(error, type(model)):
            place, _, problem = text.partition(": ")
            yield problem if any(f"{path}.".startswith(f"{place}.") for path in values) else text
        return
    if trial.reads != model.reads:
        yield misplaced
    for path, value in values.items():
        if get_path(trial.trained, path) != value:
            yield f"{value!r} stands for several fields; name the one to tune, such as {path}.name"


# -- the study -----------------------------------------------------------------------------------------------------------


class Ensemble(_OnDatasets):
    """Finished models that are combined, from their saved predictions alone."""

    method: _named_parts("graft.ensembles")  # type: ignore[valid-type]
    members: _word_or(("all",), "a list of models", list=list[str]) = "all"  # type: ignore[valid-type]

    @field_validator("members")
    @classmethod
    def _are_models(cls, names: str | list[str], info: ValidationInfo) -> str | list[str]:
        return names if isinstance(names, str) else _each_known(names, info, "models", "model")

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job with this ensemble runs beside the modules that its script imports."""
        return (parts("graft.ensembles")[self.method.name].module,)


class Run(NamedTuple):
    """One training: a model on a data set from one seed."""

    dataset: str
    model: str
    seed: int


class Study(Strict):
    """One study: data sets, models, ensembles, and what holds for all of them."""

    study: Name
    title: str | None = None
    description: str | None = None
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    deterministic: bool = True
    threads: Count = 4
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    mirror: list[str] | None = None
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    ensembles: dict[Name, Ensemble] = {}

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
            text = f"names {twice[0]} more than once; each run has a seed of its own"
            raise PydanticCustomError("graft", "{text}", {"text": text})
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        problems: list[tuple[tuple[str, ...], str]] = []
        for name, ensemble in self.ensembles.items():
            if name in self.models:
                problems.append((("ensembles", name), "a model has this name too; results need names of their own"))
            for dataset in self.datasets_of(ensemble):
                trained = self.models_on(dataset)
                members = trained if ensemble.members == "all" else ensemble.members
                text = f"does not train on {dataset!r}; name under datasets what this ensemble is for"
                problems += [(("ensembles", name), f"{member} {text}") for member in members if member not in trained]
                if not members:
                    problems.append((("ensembles", name), f"no model trains on {dataset!r}"))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @cached_property
    def compute(self) -> dict[str, Any]:
        """What decides a job's bits beside its data, its seed and its model."""
        return {"backend": self.backend, "deterministic": self.deterministic, "threads": self.threads}

    def features(self, model: str) -> str:
        """The folder name of a model's frozen activations: backbone, cut, and a hash of all that decides them."""
        backbone = self.models[model]
        assert isinstance(backbone, Backbone)
        return f"{backbone.architecture}-{backbone.cut}-{_short_hash([backbone.frozen_part, self.compute])}"

    def datasets_of(self, item: _OnDatasets) -> list[str]:
        """The data sets that a model or an ensemble is for: all, if it names none."""
        return list(self.datasets) if item.datasets is None else item.datasets

    def models_on(self, dataset: str) -> list[str]:
        """The models that train on a data set, in the study's order."""
        return [name for name, model in self.models.items() if dataset in self.datasets_of(model)]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every training of the study."""
        return tuple(
            Run(dataset, name, seed)
            for name, model in self.models.items()
            for dataset in self.datasets_of(model)
            for seed in self.seeds
        )

    def sizes(self, dataset: str) -> list[int]:
        """The image sizes, in pixels, of the models that train on a data set."""
        return sorted({self.models[name].image_size for name in self.models_on(dataset)})

    def members(self, ensemble: str, dataset: str) -> list[Run]:
        """The runs that an ensemble combines on a data set: every seed of each member."""
        names = self.ensembles[ensemble].members
        chosen = self.models_on(dataset) if names == "all" else names
        return [Run(dataset, name, seed) for name in chosen for seed in self.seeds]
