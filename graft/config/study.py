"""A whole study, and what follows from it: runs, members, folders."""

from functools import cached_property
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import (
    Count,
    Name,
    OnDatasets,
    Seed,
    Strict,
    each_differs,
    each_known,
    named_parts,
    short_hash,
    word_or,
)
from graft.config.data import Dataset
from graft.config.limits import Limits
from graft.config.models import AnyModel, Backbone
from graft.config.reference import Reference
from graft.registry import parts
from graft.words import nearest

Problems = list[tuple[tuple[str | int, ...], str]]

ONE_GPU = {
    "train.accumulate": None,
    "train.retries": None,  # which accumulates
    "train.jit": False,
    "train.steps_per_execution": 1,
    **{f"train.optimizer.{clip}": None for clip in ("clipnorm", "global_clipnorm", "clipvalue")},
}
"""What Keras on TensorFlow does with one GPU alone, and the value that switches it off: with several it clips the gradients
of each by themselves, and fails at the rest."""


class Ensemble(OnDatasets):
    """Finished models that are combined, from their saved predictions alone."""

    method: named_parts("graft.ensembles")  # type: ignore[valid-type]
    members: word_or(("all",), "a list of models", list=list[str]) = "all"  # type: ignore[valid-type]
    temperature: bool | None = None

    @field_validator("members")
    @classmethod
    def _are_models(cls, names: str | list[str], info: ValidationInfo) -> str | list[str]:
        return names if isinstance(names, str) else each_known(names, info, "models", "model")

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job with this ensemble runs beside the modules that its script imports."""
        return (parts("graft.ensembles")[self.method.name].module,)


class Features(Strict):
    """How activations of frozen parts are stored."""

    dtype: Literal["float16", "float32"] = "float32"


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
    features: Features | None = None
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    ensembles: dict[Name, Ensemble] = {}

    reference: Reference | None = None
    limits: Limits | None = None

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        return each_differs(seeds)

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        problems: Problems = []
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
        problems += _weights_problems(self) + _gpu_problems(self) + _reference_problems(self)
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @cached_property
    def compute(self) -> dict[str, Any]:
        """What decides a job's bits beside its data, its seed and its model."""
        return {"backend": self.backend, "deterministic": self.deterministic, "threads": self.threads}

    def features_name(self, model: str) -> str:
        """The folder name of a model's frozen activations: backbone, cut, and a hash of all that decides them."""
        backbone = self.models[model]
        assert isinstance(backbone, Backbone)
        stored = [self.features.dump()] if self.features else []
        name = backbone.preset.name if backbone.preset else backbone.architecture
        return f"{name}-{backbone.cut}-{short_hash([backbone.frozen_part, self.compute, *stored])}"

    def datasets_of(self, item: OnDatasets) -> list[str]:
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
            for seed in self.seeds_of(name)
        )

    def seeds_of(self, model: str) -> list[int]:
        """The seeds of a model's runs: its own, or the study's."""
        return self.models[model].seeds or self.seeds

    def starts_from(self, run: Run) -> Run | None:
        """The run whose weights another one starts from."""
        weights = self.models[run.model].own_weights
        if weights is None or weights.run is None:
            return None
        return Run(weights.dataset or run.dataset, weights.run, run.seed)

    def sizes(self, dataset: str) -> list[int]:
        """The image sizes, in pixels, of the models that train on a data set."""
        return sorted({self.models[name].image_size for name in self.models_on(dataset)})

    def members(self, ensemble: str, dataset: str) -> list[Run]:
        """The runs that an ensemble combines on a data set: every seed of each member."""
        names = self.ensembles[ensemble].members
        chosen = self.models_on(dataset) if names == "all" else names
        return [Run(dataset, name, seed) for name in chosen for seed in self.seeds_of(name)]


def _weights_problems(study: Study) -> Problems:
    """What is wrong with models that start from the weights of another run."""
    problems: Problems = []
    for name, model in study.models.items():
        weights = model.own_weights
        if weights is None or weights.run is None:
            continue
        place, source = ("models", name, "weights", "run"), study.models[weights.run]
        chain = [name]
        while (own := study.models[chain[-1]].own_weights) and own.run and own.run not in chain:
            chain.append(own.run)
        if own and own.run:
            problems.append((place, f"{' starts from '.join([*chain, own.run])}; no run can come before itself"))
            continue
        if source.architecture != model.architecture:
            problems.append(
                (
                    place,
                    f"{weights.run!r} is of architecture {source.architecture}, and this model of {model.architecture}",
                )
            )
        for dataset in [weights.dataset] if weights.dataset else study.datasets_of(model):
            if dataset not in study.datasets_of(source):
                text = f"{weights.run!r} does not train on {dataset!r}; name under dataset one on which it does"
                problems.append((place, text))
        if lacking := [str(seed) for seed in study.seeds_of(name) if seed not in study.seeds_of(weights.run)]:
            problems.append((place, f"{weights.run!r} has no run with seed {', '.join(lacking)}, which this model has"))
    return problems


def _gpu_problems(study: Study) -> Problems:
    """What the backend cannot do for models that train on several GPUs."""
    problems: Problems = []
    for name, model in study.models.items():
        if (model.gpu or 1) == 1:
            continue
        if study.backend == "torch":
            text = f"{model.gpu} with backend: torch is not offered; allowed: 1, or backend: tensorflow or jax"
            problems.append((("models", name, "gpu"), text))
        elif study.backend == "tensorflow":
            text = f"does not work with gpu: {model.gpu} on backend: tensorflow; leave it out, or take backend: jax"
            given = [path for path, off in ONE_GPU.items() if attrgetter(path)(model) not in (None, off)]
            opened = [path for path in ONE_GPU if model.tune and path in model.tune.space]
            problems += [(("models", name, *path.split(".")), text) for path in given]
            problems += [(("models", name, "tune", "space", path), text) for path in opened]
    return problems


def _reference_problems(study: Study) -> Problems:
    """What is wrong with published figures; fills in their data set, where there is no choice."""
    problems: Problems = []
    figures = []
    for k, figure in enumerate(study.reference.figures if study.reference else ()):
        place = ("reference", "figures", k)
        item = study.models.get(figure.of) or study.ensembles.get(figure.of)
        if item is None:
            text = f"{figure.of!r} is no model or ensemble of this study"
            problems.append(((*place, "of"), text + nearest(figure.of, [*study.models, *study.ensembles])))
            continue
        choice = study.datasets_of(item)
        if figure.dataset is None and len(choice) > 1:
            problems.append(((*place, "dataset"), f"is required, for {figure.of} is for {', '.join(choice)}"))
        elif figure.dataset is not None and figure.dataset not in choice:
            problems.append(((*place, "dataset"), f"{figure.of} is for {', '.join(choice)}, not {figure.dataset!r}"))
        figures.append(figure.model_copy(update={"dataset": figure.dataset or choice[0]}))
    if study.reference and not problems:
        object.__setattr__(study, "reference", study.reference.model_copy(update={"figures": figures}))
    return problems
