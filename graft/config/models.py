"""Which networks a study trains: architecture, weights, what is frozen, head, training and tuning."""

import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from graft.config.augment import TestTime
from graft.config.base import (
    LAYER,
    Count,
    OnDatasets,
    Positive,
    Seed,
    Strict,
    choice,
    each_differs,
    each_known,
    options_of,
    word_or,
)
from graft.config.space import space_problems
from graft.config.train import Train
from graft.config.tune import Tune
from graft.presets import ALLOWED, PATTERN, Preset, part_name, preset_of
from graft.registry import Part, parts
from graft.sources.remote import Remote
from graft.spec import can_be_extended


class OtherWeights(Strict):
    """The weights in a file, or those that another model of the study has at the end of its training."""

    file: Annotated[str, Field(min_length=1)] | None = None
    run: str | None = None
    dataset: str | None = None

    @field_validator("run", "dataset")
    @classmethod
    def _exists(cls, name: str | None, info: ValidationInfo) -> str | None:
        key, noun = ("models", "model") if info.field_name == "run" else ("datasets", "data set")
        return name if name is None else each_known([name], info, key, noun)[0]

    @model_validator(mode="after")
    def _one(self) -> "OtherWeights":
        if (self.file is None) == (self.run is None) or (self.dataset is not None and self.run is None):
            raise PydanticCustomError("graft", "needs either file: <path>, or run: <model> (and dataset:, if another)")
        return self


class Distill(Strict):
    """The ensemble whose probabilities are the training labels, how much softer they are made, and their weight beside the
    true labels."""

    ensemble: str
    temperature: Positive = 1.0
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0


class Model(OnDatasets):
    """A network, the size of the images that it sees, the weights that it starts from, and how it is trained."""

    architecture: str
    image_size: int
    weights: Any = "none"
    train: Train
    test_time: TestTime | None = None
    tune: Tune | None = None
    gpu: Count | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    distill: Distill | None = None
    why: str | None = None

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int] | None) -> list[int] | None:
        return seeds if seeds is None else each_differs(seeds)

    @model_validator(mode="after")
    def _folds_are_runs(self) -> "Model":
        if self.folds is not None and self.seeds is not None:
            text = "and seeds do not go together: a model with folds has one run for each, with its number as seed"
            raise PydanticCustomError("problems", "problems", {"problems": [(("folds",), text)]})
        if self.folds is not None and self.distill:
            text = "and distill do not go together: there are no soft labels of the validation images in other folds"
            raise PydanticCustomError("problems", "problems", {"problems": [(("folds",), text)]})
        if self.folds is not None and self.tune and self.tune.refit == "continue":
            text = "continue needs the images of the trial, and those of a fold are others"
            raise PydanticCustomError("problems", "problems", {"problems": [(("tune", "refit"), text)]})
        return self

    @model_validator(mode="after")
    def _soft_labels_are_softened_once(self) -> "Model":
        if self.distill and self.train.label_smoothing is not None:
            text = "softens labels that distill softens already; leave this out and set distill.temperature"
            raise PydanticCustomError("problems", "problems", {"problems": [(("train", "label_smoothing"), text)]})
        return self

    @model_validator(mode="after")
    def _head_is_first_of_something(self) -> "Model":
        if self.train.head_first and self.weights == "none":
            raise PydanticCustomError(
                "problems",
                "problems",
                {"problems": [(("train", "head_first"), "needs weights: behind random ones no head learns")]},
            )
        return self

    @model_validator(mode="after")
    def _views_are_stored(self) -> "Model":
        if self.train.views is not None and not self.frozen:
            text = "needs a frozen part to store: freeze: all or {before: <stage>}, and no test_time"
            raise PydanticCustomError("problems", "problems", {"problems": [(("train", "views"), text)]})
        return self

    @model_validator(mode="after")
    def _starts_from_images_or_weights(self) -> "Model":
        if self.train.whiten and self.weights != "none":
            text = "sets the first layer, which has weights already; leave out either"
            raise PydanticCustomError("problems", "problems", {"problems": [(("train", "whiten"), text)]})
        return self

    @model_validator(mode="after")
    def _batches_are_shared_out_evenly(self) -> "Model":
        if self.train.batch_size % (self.gpu or 1):
            text = f"{self.train.batch_size} is no multiple of gpu: {self.gpu}, each of which takes an equal part"
            raise PydanticCustomError("problems", "problems", {"problems": [(("train", "batch_size"), text)]})
        return self

    @model_validator(mode="after")
    def _trials_may_be_continued(self) -> "Model":
        if self.tune and self.tune.refit == "continue" and not can_be_extended(self.train.dump()):
            name = self.train.schedule.name
            text = f"continue needs a schedule that knows no end: constant or inverse_time; train.schedule is {name}"
            raise PydanticCustomError("problems", "problems", {"problems": [(("tune", "refit"), text)]})
        return self

    @model_validator(mode="after")
    def _space_fits(self) -> "Model":
        problems = list(space_problems(self))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @property
    def part(self) -> Part:
        """The architecture among those that are registered."""
        return parts("graft.models")[part_name(self.architecture)]

    @property
    def preset(self) -> Preset | None:
        """The KerasHub preset that the architecture is, if it is one."""
        return preset_of(self.architecture)

    @property
    def frozen(self) -> bool:
        """Whether a part of the network is frozen, and so needs to see each image once."""
        return False

    @property
    def weights_file(self) -> Remote | None:
        """The published file that the network's weights come in, if they come in one."""
        named = self.weights if isinstance(self.weights, str) else "none"
        published = self.part.facts.get("weights", {}).get(named)
        return published.file if published else None

    @property
    def own_weights(self) -> OtherWeights | None:
        """The file or run that the network's weights come from, if they are not published ones."""
        return self.weights if isinstance(self.weights, OtherWeights) else None

    @property
    def reads(self) -> tuple[Any, ...]:
        """What decides the arrays that the model trains on."""
        return (self.image_size, self.distill and self.distill.ensemble)

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job with this model runs beside the modules that its script imports."""
        return (self.part.module,)

    @cached_property
    def trained(self) -> dict[str, Any]:
        """What the network is and how it is trained: all that decides a run beside data and seed."""
        return self.dump("tune", "datasets", "seeds", "why", *(["gpu"] if self.gpu == 1 else []))


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

    @model_validator(mode="after")
    def _unfrozen_after_the_head(self) -> "Backbone":
        if self.train.head_first and self.freeze == "all" and self.replace_from is None:
            raise PydanticCustomError(
                "graft", "train.head_first needs a part that is trained after the head; freeze: all leaves none"
            )
        return self

    @property
    def frozen(self) -> bool:
        # Of a list, nobody knows before the network is built whether it starts at the images; and images that are changed
        # anew in each pass have no activations to store.
        changed = (self.train.augment is not None and self.train.views is None) or self.test_time is not None
        return self.freeze != "none" and not isinstance(self.freeze, list) and not changed

    @cached_property
    def frozen_part(self) -> dict[str, Any]:
        """What decides the activations of the frozen part: models that agree in it share them."""
        network = dict(self.trained)
        head, train = network.pop("head"), network.pop("train")
        network.pop("test_time", None)
        for key in ("gpu", "folds", "distill"):
            network.pop(key, None)
        network.pop("freeze_batch_norm", None)  # in the frozen part it is frozen either way
        network |= {"head": {"pooling": head["pooling"]}} if self.freeze == "all" else {}
        return network | ({key: train[key] for key in ("augment", "views")} if self.train.views else {})

    @property
    def reads(self) -> tuple[Any, ...]:
        return (*super().reads, self.frozen, self.frozen and self.frozen_part)

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
    return word_or(("none", "all"), "{before: <stage>} or [<stage>, ...]", mapping=before, list=listed)


def _is_preset(text: str) -> str:
    if not re.fullmatch(PATTERN, text):
        raise PydanticCustomError("graft", "{text}", {"text": f"{text!r} is not a preset; allowed: {ALLOWED}"})
    return text


def _model_class(alike: list[Part]) -> type[Strict]:
    """What a study may say of these architectures, which differ in nothing that it could."""
    part, *others = alike
    architecture: Any = Literal[tuple(one.name for one in alike)]
    if part.facts.get("preset"):
        architecture = Annotated[
            str, AfterValidator(_is_preset), WithJsonSchema({"type": "string", "pattern": PATTERN})
        ]
    fields: dict[str, Any] = {
        "architecture": (architecture, ...),
        "image_size": (Annotated[int, Field(ge=part.facts.get("smallest", 1), le=1024)], ...),
        "options": (options_of(part), Field(default_factory=dict, validate_default=True)),
    }
    published = tuple(part.facts.get("weights", {}))
    fields["weights"] = (
        word_or(("none", *published), "{file: <path>}, or {run: <model>}", mapping=OtherWeights),
        "none",
    )
    if part.facts.get("backbone"):
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
    AnyModel = choice("architecture", _model_classes(), part_name)
